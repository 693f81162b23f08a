package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/test/person"
)

// What every client of the device protocol has built in (device-protocol.md
// §1.4, §5.1).
const (
	brokerID     = "29d9ed98-a469-4536-ade2-f981bc1d605e"
	registration = "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9"
	csrName      = "7E980AD9-B86D-4306-9425-9AC066FB014A"
)

// keys are those of one machine and of its owner on it, all in software.
type keys struct {
	device, user crypto.Signer
	transport    crypto.Signer // *rsa.PrivateKey: session keys; *ecdsa.PrivateKey: whole answers
}

// machine is a joined device with a Hello key of its owner.
type machine struct {
	keys
	owner   string // user principal name
	cert    string // standard base64, as in x5c
	prt     string // of a first sign-in; its session key, none for P-256
	session []byte
}

func newRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

func newP256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// makeKeys makes the keys of many machines, on all processors.
func makeKeys(count int, newKey func() (crypto.Signer, error)) ([]keys, error) {
	out := make([]keys, count)
	errs := make([]error, count)
	var wg sync.WaitGroup
	for n := range out {
		wg.Go(func() {
			k := &out[n]
			for _, to := range []*crypto.Signer{&k.device, &k.user, &k.transport} {
				var err error
				*to, err = newKey()
				errs[n] = errors.Join(errs[n], err)
			}
		})
	}
	wg.Wait()
	return out, errors.Join(errs...)
}

// fleet is machines and the connections that they share.
type fleet struct {
	site *site
	http *http.Client
}

func newFleet(s *site) *fleet {
	return &fleet{site: s, http: &http.Client{
		Transport: &http.Transport{
			MaxIdleConnsPerHost: callers[len(callers)-1],
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, s.addr)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// broker is the application that devices come with.
func (f *fleet) broker() person.App {
	return person.App{Issuer: f.site.app.Issuer, ID: brokerID, Redirect: "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID,
		Scope: "openid profile offline_access " + registration + "/.default"}
}

// join takes a machine to where its owner has signed in on it once: passkey,
// join, passkey on that machine, Hello key, and a first PRT by it.
func (f *fleet) join(ctx context.Context, p *person.Person, owner string, k keys) (*machine, error) {
	m := &machine{keys: k, owner: owner}
	p.DropSession() // it may be of another machine
	token, err := f.registrationToken(ctx, p, url.Values{"prompt": {"login"}})
	if err != nil {
		return nil, fmt.Errorf("token to join: %w", err)
	}
	if m.cert, err = f.certificate(ctx, token, k); err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if err := f.enrol(ctx, p, m); err != nil {
		return nil, fmt.Errorf("make the Hello key: %w", err)
	}
	asked, err := f.askHello(ctx, m)
	if err != nil {
		return nil, err
	}
	body, err := f.message(ctx, asked)
	if err != nil {
		return nil, fmt.Errorf("first PRT: %w", err)
	}
	return m, m.keep(body)
}

// registrationToken signs in with the passkey and redeems the code, as the
// machine does that the browser is on.
func (f *fleet) registrationToken(ctx context.Context, p *person.Person, extra url.Values) (string, error) {
	app := f.broker()
	page, verifier, err := p.Authorize(ctx, app, extra)
	if err != nil {
		return "", err
	}
	if page, err = p.UsePasskey(ctx, page); err != nil {
		return "", err
	}
	code, err := page.Code()
	if err != nil {
		return "", err
	}
	got, err := app.Ask(ctx, f.http, "token", url.Values{"grant_type": {"authorization_code"}, "client_id": {app.ID},
		"code": {code}, "redirect_uri": {app.Redirect}, "code_verifier": {verifier}})
	return got.Access, wanted(got.Access, got, err)
}

// certificate joins (device-protocol.md §5.1).
func (f *fleet) certificate(ctx context.Context, token string, k keys) (string, error) {
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: csrName}}, k.device)
	if err != nil {
		return "", err
	}
	body := map[string]any{
		"TargetDomain": "nordhafen.example", "DeviceType": "Linux", "OSVersion": "Debian 13", "DeviceDisplayName": "load", "JoinType": 0,
		"CertificateRequest": map[string]string{"Type": "pkcs10", "Data": base64.StdEncoding.EncodeToString(request)},
		"Attributes":         map[string]any{"ReuseDevice": "true", "ReturnClientSid": "true", "SoftwareKeys": "true"},
	}
	version := "2.0"
	switch t := k.transport.Public().(type) {
	case *rsa.PublicKey:
		body["TransportKey"] = base64.StdEncoding.EncodeToString(jose.RSA1(t))
	case *ecdsa.PublicKey:
		point, err := t.Bytes()
		if err != nil {
			return "", err
		}
		jwk, err := json.Marshal(map[string]string{"kty": "EC", "crv": "P-256", "x": raw64(point[1:33]), "y": raw64(point[33:])})
		if err != nil {
			return "", err
		}
		version = "3.0"
		body["DeviceKeys"] = []any{map[string]string{"Usage": "STK", "Type": "ECC", "Encoding": "JWK", "Data": string(jwk)}}
	}
	var got struct{ Certificate struct{ RawBody string } }
	err = f.call(ctx, "/EnrollmentServer/device/?api-version="+version, token, body, &got)
	if err == nil && got.Certificate.RawBody == "" {
		err = errors.New("no certificate")
	}
	return got.Certificate.RawBody, err
}

// enrol registers the owner's key (device-protocol.md §6). The sign-in for it
// names the machine by its own credential, so that the token is of that machine.
func (f *fleet) enrol(ctx context.Context, p *person.Person, m *machine) error {
	nonce, err := f.nonce(ctx)
	if err != nil {
		return err
	}
	proof, err := m.signed(m.device, map[string]any{"x5c": []string{m.cert}},
		map[string]any{"grant_type": "device_auth", "iss": "aad:brokerplugin", "request_nonce": nonce})
	if err != nil {
		return err
	}
	at := *p // the same browser, on this machine
	at.HTTP = &http.Client{Jar: p.HTTP.Jar, Timeout: p.HTTP.Timeout, CheckRedirect: p.HTTP.CheckRedirect,
		Transport: onMachine{p.HTTP.Transport, proof}}
	token, err := f.registrationToken(ctx, &at, url.Values{"prompt": {"login"}, "amr_values": {"ngcmfa"}})
	if err != nil {
		return err
	}
	public, err := publicBytes(m.user)
	if err != nil {
		return err
	}
	return f.call(ctx, "/EnrollmentServer/key/?api-version=1.0", token, map[string]string{"kngc": base64.StdEncoding.EncodeToString(public)}, new(any))
}

// onMachine adds the credential of a machine where its browser would.
type onMachine struct {
	http.RoundTripper
	proof string
}

func (o onMachine) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/authorize") {
		r = r.Clone(r.Context())
		r.Header.Set("x-ms-DeviceCredential", o.proof)
	}
	return o.RoundTripper.RoundTrip(r)
}

// publicBytes is a user key as it is registered and named.
func publicBytes(k crypto.Signer) ([]byte, error) {
	if p, ok := k.Public().(*rsa.PublicKey); ok {
		return jose.RSA1(p), nil
	}
	return x509.MarshalPKIXPublicKey(k.Public())
}

// signed is a JWS by one of the machine's keys.
func (m *machine) signed(key crypto.Signer, header, payload map[string]any) (string, error) {
	header["typ"], header["alg"] = "JWT", "RS256"
	curve, ec := key.(*ecdsa.PrivateKey)
	if ec {
		header["alg"] = "ES256"
	}
	input, err := signingInput(header, payload)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(input))
	if !ec {
		sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
		return input + "." + raw64(sig), err
	}
	r, s, err := ecdsa.Sign(rand.Reader, curve, sum[:])
	if err != nil {
		return "", err
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return input + "." + raw64(sig), nil
}

func signingInput(header, payload any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	p, err := json.Marshal(payload)
	return raw64(h) + "." + raw64(p), err
}

func raw64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// call posts JSON to the registration service.
func (f *fleet) call(ctx context.Context, path, token string, ask, answer any) error {
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.site.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	_, text, err := f.do(r, http.StatusOK)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, answer)
}

// do sends a request and reads the answer, which must have the wanted status.
func (f *fleet) do(r *http.Request, status int) (http.Header, []byte, error) {
	res, err := f.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != status {
		err = fmt.Errorf("%s answered %d: %.300s", r.URL.Path, res.StatusCode, text)
	}
	return res.Header, text, err
}
