package main

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/signetid/signet/internal/jose"
)

// graph is what the applications of devices ask tokens for; they are always
// given an ID token, too.
const graph = "https://graph.microsoft.com"

// asked is a request that is ready to be sent: the fields of a form, the value
// of a browser's header, or an address that a caller's browser was sent to in a
// flow with this verifier.
type asked struct {
	machine           *machine
	form              string
	header            string
	caller            int
	address, verifier string
	mac               message // of a Mac
}

// nonce asks for a server nonce.
func (f *fleet) nonce(ctx context.Context) (string, error) {
	got, err := f.broker().Ask(ctx, f.http, "token", url.Values{"grant_type": {"srv_challenge"}})
	return got.Nonce, wanted(got.Nonce, got, err)
}

// protocol is 4.0 for a machine whose answers are sealed whole.
func (m *machine) protocol() string {
	if _, ec := m.transport.(*ecdsa.PrivateKey); ec {
		return "4.0"
	}
	return "3.0"
}

// party is what a machine brings to the key of an answer that is sealed whole.
var party = []byte("signet load")

// askHello is a request for a PRT by the owner's key, on one nonce, as our own
// agent makes it (device-protocol.md §7).
func (f *fleet) askHello(ctx context.Context, m *machine) (asked, error) {
	nonce, err := f.nonce(ctx)
	if err != nil {
		return asked{}, err
	}
	public, err := publicBytes(m.user)
	if err != nil {
		return asked{}, err
	}
	kid := sha256.Sum256(public)
	now := time.Now()
	inner, err := m.signed(m.user, map[string]any{"kid": base64.StdEncoding.EncodeToString(kid[:]), "use": "ngc"}, map[string]any{
		"iss": m.owner, "aud": f.site.tenant, "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(10 * time.Minute).Unix(),
		"scope": "openid aza", "request_nonce": nonce,
	})
	if err != nil {
		return asked{}, err
	}
	payload := map[string]any{
		"client_id": brokerID, "request_nonce": nonce, "scope": "openid aza", "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
		"username": m.owner, "assertion": inner,
	}
	header := map[string]any{"x5c": []string{m.cert}}
	if m.protocol() == "4.0" {
		payload["jwe_crypto"] = map[string]string{"alg": "ECDH-ES", "enc": "A256GCM", "apv": raw64(party)}
	} else {
		header["kdf_ver"] = 2
	}
	outer, err := m.signed(m.device, header, payload)
	return asked{machine: m, form: m.form(outer)}, err
}

// askToken gives the use of a machine's PRT for tokens of an application
// (device-protocol.md §9.1).
func (f *fleet) askToken(app func() string, scope string) func(context.Context, *machine) (asked, error) {
	return func(ctx context.Context, m *machine) (asked, error) {
		nonce, err := f.nonce(ctx)
		if err != nil {
			return asked{}, err
		}
		text, err := m.proven(map[string]any{
			"refresh_token": m.prt, "request_nonce": nonce, "client_id": app(), "scope": scope, "grant_type": "refresh_token",
			"iss": "aad:brokerplugin", "aud": "login.microsoftonline.com",
		})
		return asked{machine: m, form: m.form(text)}, err
	}
}

// askBrowser is the credential that a browser of the machine sends
// (device-protocol.md §9.3).
func (f *fleet) askBrowser(ctx context.Context, m *machine) (asked, error) {
	nonce, err := f.nonce(ctx)
	if err != nil {
		return asked{}, err
	}
	text, err := m.proven(map[string]any{"refresh_token": m.prt, "is_primary": "true", "request_nonce": nonce})
	return asked{machine: m, header: text}, err
}

func (m *machine) form(request string) string {
	return url.Values{"prt_protocol_version": {m.protocol()}, "grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "request": {request}, "client_info": {"1"}}.Encode()
}

// proven is a message under a key derived from the session key, version 2.
func (m *machine) proven(payload map[string]any) (string, error) {
	salt := make([]byte, 24)
	rand.Read(salt)
	input, err := signingInput(map[string]any{"alg": "HS256", "typ": "JWT", "ctx": base64.StdEncoding.EncodeToString(salt), "kdf_ver": 2}, payload)
	if err != nil {
		return "", err
	}
	_, encoded, _ := strings.Cut(input, ".")
	sent, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, jose.Derive(m.session, 2, salt, sent))
	mac.Write([]byte(input))
	return input + "." + raw64(mac.Sum(nil)), nil
}

// message sends a request to the token endpoint.
func (f *fleet) message(ctx context.Context, a asked) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.site.base+"/"+f.site.tenant+"/oauth2/v2.0/token", strings.NewReader(a.form))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, text, err := f.do(r, http.StatusOK)
	return text, err
}

// keep reads the answer to a request for a PRT, whole.
func (m *machine) keep(body []byte) error {
	if m.protocol() == "4.0" {
		own, err := m.transport.(*ecdsa.PrivateKey).ECDH()
		if err != nil {
			return err
		}
		body, err = jose.OpenAgreed(string(body), party, nil, func(theirs *ecdh.PublicKey) ([]byte, error) { return own.ECDH(theirs) })
		if err != nil {
			return fmt.Errorf("open the answer: %w", err)
		}
	}
	var got struct {
		PRT     string `json:"refresh_token"`
		Session string `json:"session_key_jwe"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		return err
	}
	if m.prt = got.PRT; m.prt == "" {
		return fmt.Errorf("no PRT in %.200s", body)
	}
	own, has := m.transport.(*rsa.PrivateKey)
	if !has {
		return nil
	}
	var err error
	m.session, err = jose.OpenSessionKey(got.Session, jose.UnwrapWith(own))
	return err
}

// The three ways to send. Answers are looked at as far as that is cheap: what
// the client costs, the server does not get.

func (f *fleet) sendHello(ctx context.Context, a asked) error {
	body, err := f.message(ctx, a)
	if err != nil {
		return err
	}
	if a.machine.protocol() == "4.0" {
		if n := strings.Count(string(body), "."); n != 4 {
			return fmt.Errorf("a sealed answer has 5 parts, not %d", n+1)
		}
		return nil
	}
	if !strings.Contains(string(body), `"session_key_jwe":"ey`) || !strings.Contains(string(body), `"refresh_token":"1.`) {
		return fmt.Errorf("no PRT in %.200s", body)
	}
	return nil
}

func (f *fleet) sendToken(ctx context.Context, a asked) error {
	body, err := f.message(ctx, a)
	if err != nil {
		return err
	}
	plain, err := jose.OpenDirect(string(body), func(salt []byte) ([]byte, error) { return jose.Derive(a.machine.session, 1, salt, nil), nil })
	if err == nil && !strings.Contains(string(plain), `"access_token":"ey`) {
		err = fmt.Errorf("no access token in %.200s", plain)
	}
	return err
}

func (f *fleet) sendBrowser(ctx context.Context, a asked) error {
	app := f.site.app
	q := url.Values{"client_id": {app.ID}, "redirect_uri": {app.Redirect}, "response_type": {"code"}, "scope": {app.Scope}, "state": {"s"}, "nonce": {"n"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.site.base+"/"+f.site.tenant+"/oauth2/v2.0/authorize?"+q.Encode(), nil)
	if err != nil {
		return err
	}
	r.Header.Set("x-ms-RefreshTokenCredential", a.header)
	h, _, err := f.do(r, http.StatusFound)
	if err == nil && !strings.Contains(h.Get("Location"), "code=") {
		err = errors.New("no code in " + h.Get("Location"))
	}
	return err
}

// machinesEach is how many machines of a kind there are; callers share them.
const machinesEach = 16

// machines joins machines of the crowd's people.
func (c *crowd) machines(ctx context.Context, f *fleet, newKey func() (crypto.Signer, error)) ([]*machine, error) {
	keys, err := makeKeys(machinesEach, newKey)
	if err != nil {
		return nil, err
	}
	var out []*machine
	for n, k := range keys {
		m, err := f.join(ctx, c.people[n], fmt.Sprint("caller", n, "@nordhafen.example"), k)
		if err != nil {
			return nil, fmt.Errorf("machine %d: %w", n, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// deviceOperations are those of the device half. Their requests are signed
// beforehand, nonces included: a client's RSA signature takes more than the
// server's whole answer, and on a machine of its own.
func (c *crowd) deviceOperations() []operation {
	f := newFleet(c.site)
	var rsaKind, curveKind []*machine
	hello := func(kind *[]*machine, newKey func() (crypto.Signer, error)) func(context.Context) error {
		return func(ctx context.Context) (err error) {
			if *kind == nil {
				*kind, err = c.machines(ctx, f, newKey)
			}
			return err
		}
	}
	ready := func(kind *[]*machine, ask func(context.Context, *machine) (asked, error), send func(context.Context, asked) error) *stock {
		return &stock{
			ask:  func(ctx context.Context, n int) (asked, error) { return ask(ctx, (*kind)[n%machinesEach]) },
			send: send,
		}
	}
	return []operation{
		{name: "PRT by Hello, RSA", goal: 0.45, setup: hello(&rsaKind, newRSA), stock: ready(&rsaKind, f.askHello, f.sendHello),
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 2*us(f.VerifyRSA), "two RS256", us(f.Wrap), "session key", us(f.Sign), "ID token", us(f.Row), "commit", 2.0, "nonce, PRT")
			}},
		{name: "PRT by Hello, P-256", goal: 0.45, setup: hello(&curveKind, newP256), stock: ready(&curveKind, f.askHello, f.sendHello),
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 2*us(f.Verify), "two ES256", us(f.Agree), "sealed answer", us(f.Sign), "ID token", us(f.Row), "commit", 2.0, "nonce, PRT")
			}},
		{name: "PRT to access token", goal: 0.40, setup: hello(&rsaKind, newRSA),
			stock: ready(&rsaKind, f.askToken(func() string { return f.site.tool }, "profile offline_access"), f.sendToken),
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 2.0, "nonce, PRT", us(f.MAC), "HS256 and derivation", us(f.Sign), "token", 5.0, "answer", us(f.Row), "commit")
			}},
		{name: "PRT to access and ID token", goal: 0.40, setup: hello(&rsaKind, newRSA),
			stock: ready(&rsaKind, f.askToken(func() string { return brokerID }, graph+"/.default"), f.sendToken),
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.PostForm), "form", 2.0, "nonce, PRT", us(f.MAC), "HS256 and derivation", 2*us(f.Sign), "two tokens", 5.0, "answer", us(f.Row), "commit")
			}},
		{name: "SSO header to code", setup: hello(&rsaKind, newRSA), stock: ready(&rsaKind, f.askBrowser, f.sendBrowser),
			ceiling: func(f floor) (float64, string) {
				return micro(us(f.Get), "authorize", 2.0, "nonce, PRT", us(f.MAC), "HS256 and derivation", us(f.Row), "commit", 8.0, "state, cookies")
			}},
	}
}
