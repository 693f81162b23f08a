package agent

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// JoinOptions say what to join, and how.
type JoinOptions struct {
	Server string // base URL
	Tenant string // id or domain; empty: the tenant of whoever signs in
	CA     []byte // PEM of further authorities for the server's TLS; nil: none
	// Name is what the device is called, OS what it runs ("Debian 12").
	Name, OS string
	Type     JoinType
	// Software makes keys that are files, for trials: the registry says so.
	Software bool
	SignIn   SignIn
}

// JoinResult is what came of a join.
type JoinResult struct {
	DeviceID  string    `json:"deviceId"`
	TenantID  string    `json:"tenantId"`
	Domain    string    `json:"tenantDomain"`
	User      string    `json:"userPrincipalName"`
	Place     Place     `json:"keys"`
	Assurance Assurance `json:"assurance"`
	// SignedIn says that there is a PRT already; Notes what did not work and
	// need not stop anybody.
	SignedIn bool     `json:"signedIn"`
	Notes    []string `json:"notes,omitempty"`
}

// csrSubject is the name that all certificate requests of devices have
// (device-protocol.md §5.1).
const csrSubject = "7E980AD9-B86D-4306-9425-9AC066FB014A"

// Join registers this machine. Cut off at any moment, it can be called again.
func (a *Agent) Join(ctx context.Context, o JoinOptions) (JoinResult, error) {
	var result JoinResult
	err := a.during(ctx, "join", func(w *work) error {
		if w.st.Device != nil {
			return idp.Conflictf("joined", "device %s", w.st.Device.ID).
				Say("this machine has joined already: signet device status shows what; signet device leave ends it")
		}
		if err := w.prepare(ctx, o); err != nil {
			return err
		}
		g, err := o.SignIn.obtain(ctx, w.remote, w.st.Endpoints, occasion{})
		if err != nil {
			return err
		}
		i, err := who(g.IDToken)
		if err != nil {
			return err
		}
		if err := w.settleTenant(ctx, i); err != nil {
			return err
		}
		if err := w.register(ctx, o, g, &result); err != nil {
			return err
		}
		w.first(ctx, i, g, &result)
		return nil
	})
	return result, err
}

// prepare finds the server and makes the keys, or takes those of a join that
// was cut off before they were sent.
func (w *work) prepare(ctx context.Context, o JoinOptions) error {
	w.st.Server, w.st.CA = strings.TrimRight(o.Server, "/"), o.CA
	if err := w.server(); err != nil {
		return err
	}
	tenant := o.Tenant
	if tenant == "" {
		tenant = "organizations"
	}
	e, err := w.remote.discover(ctx, w.st.Server, tenant)
	if err != nil {
		return err
	}
	if o.Tenant != "" {
		if err := w.remote.services(ctx, w.st.Server, tenant, &e); err != nil {
			return err
		}
	}
	w.st.Endpoints = e
	place := InTPM
	if o.Software {
		place = InSoftware
	}
	if j := w.st.Joining; j != nil && (j.Sent || w.st.Place != place) {
		w.st.Joining = nil
	}
	if w.st.Joining == nil {
		w.st.Place, w.st.Storage, w.st.TPM = place, nil, ""
	}
	if err := w.keys(); err != nil {
		return err
	}
	if t, ok := w.vault.(*tpm); ok {
		w.st.Storage = t.Storage()
	}
	if w.st.Joining == nil {
		var j joining
		if j.Device, err = w.vault.Make(forDevice, nil); err != nil {
			return err
		}
		if j.Transport, err = w.vault.Make(forTransport, nil); err != nil {
			return err
		}
		w.st.Joining = &j
	}
	return w.save("keys made")
}

// settleTenant learns the tenant from who signed in, where nobody said it.
func (w *work) settleTenant(ctx context.Context, i identity) error {
	if w.st.Endpoints.Join != "" {
		if !strings.EqualFold(i.Tenant, w.st.Endpoints.Tenant) {
			return idp.Deniedf("tenant_differs", "tenant %q", i.Tenant).Say(i.name() + " belongs to another organisation: sign in with an account of " + w.st.Endpoints.Domain)
		}
		return nil
	}
	e, err := w.remote.discover(ctx, w.st.Server, i.Tenant)
	if err == nil {
		err = w.remote.services(ctx, w.st.Server, i.Tenant, &e)
	}
	if err == nil {
		w.st.Endpoints = e
	}
	return err
}

// joinRequest and joinReply are device-protocol.md §5.1, with the extension of
// docs/device-registration.md.
type joinRequest struct {
	CertificateRequest struct {
		Type string `json:"Type"`
		Data []byte `json:"Data"`
	} `json:"CertificateRequest"`
	TransportKey      []byte            `json:"TransportKey"`
	TargetDomain      string            `json:"TargetDomain"`
	DeviceType        string            `json:"DeviceType"`
	OSVersion         string            `json:"OSVersion"`
	DeviceDisplayName string            `json:"DeviceDisplayName"`
	JoinType          int               `json:"JoinType"`
	Attributes        map[string]string `json:"Attributes"`
	Attestation       *attestation      `json:"Attestation,omitempty"`
}

type joinReply struct {
	Certificate struct {
		RawBody []byte `json:"RawBody"`
	} `json:"Certificate"`
	Attestation struct {
		Assurance Assurance `json:"Assurance"`
		Challenge *struct {
			Context    string    `json:"Context"`
			Credential []byte    `json:"Credential"`
			Secret     []byte    `json:"Secret"`
			Expires    time.Time `json:"Expires"`
		} `json:"Challenge"`
	} `json:"Attestation"`
}

// register sends the keys and keeps what comes back.
func (w *work) register(ctx context.Context, o JoinOptions, g grant, result *JoinResult) error {
	j := w.st.Joining
	ask, ak, err := w.joinRequest(ctx, o, j, result)
	if err != nil {
		return err
	}
	j.Sent = true
	if err := w.save("join sent"); err != nil {
		return err
	}
	var got joinReply
	if err := w.remote.post(ctx, withVersion(w.st.Endpoints.Join, "2.0"), g.AccessToken, ask, &got); err != nil {
		if r := refusal(err); r != nil && r.Status < 500 {
			// It was not registered: these keys can be sent again, unless they
			// are what is wrong.
			j.Sent = r.Reason == "key_registered"
			return errors.Join(err, w.save("join refused"))
		}
		return err
	}
	w.store.step("join answered")
	d := &joined{
		Name: o.Name, Type: o.Type, Assurance: Unproven, Certificate: got.Certificate.RawBody,
		Device: j.Device, Transport: j.Transport, At: w.now,
	}
	if d.ID, err = w.ours(d); err != nil {
		return err
	}
	if got.Attestation.Assurance != "" {
		d.Assurance = got.Attestation.Assurance
	}
	if c := got.Attestation.Challenge; c != nil {
		d.Activation = &activation{ak, c.Context, c.Credential, c.Secret, c.Expires}
	}
	w.st.Device, w.st.Joining = d, nil
	if err := w.save("joined"); err != nil {
		return err
	}
	if err := w.activate(ctx); err != nil {
		result.Notes = append(result.Notes, "the TPM could not be shown to the server: "+text(err))
	}
	result.DeviceID, result.TenantID, result.Domain = d.ID, w.st.Endpoints.Tenant, w.st.Endpoints.Domain
	result.Place, result.Assurance = w.st.Place, d.Assurance
	return nil
}

// text is an error for a note: the sentence for people, if it has one.
func text(err error) string {
	if e := idp.AsError(err); e.Public != "" {
		return e.Public
	}
	return err.Error()
}

func withVersion(address, version string) string {
	sign := "?"
	if strings.Contains(address, "?") {
		sign = "&"
	}
	return address + sign + "api-version=" + version
}

func (w *work) joinRequest(ctx context.Context, o JoinOptions, j *joining, result *JoinResult) (joinRequest, key, error) {
	var ask joinRequest
	device, err := newSigner(w.vault, j.Device, nil)
	if err != nil {
		return ask, key{}, err
	}
	ask.CertificateRequest.Type = "pkcs10"
	ask.CertificateRequest.Data, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: csrSubject}, SignatureAlgorithm: x509.SHA256WithRSA,
	}, device)
	if err != nil {
		return ask, key{}, fmt.Errorf("write the certificate request: %w", foreign(err))
	}
	transport, err := w.vault.PublicKey(j.Transport)
	if err != nil {
		return ask, key{}, err
	}
	ask.TransportKey = jose.RSA1(transport)
	ask.TargetDomain, ask.DeviceType, ask.OSVersion, ask.DeviceDisplayName = w.st.Endpoints.Domain, "Linux", o.OS, o.Name
	ask.JoinType = o.Type.wire()
	ask.Attributes = map[string]string{"ReuseDevice": "true", "ReturnClientSid": "true", "SharedDevice": "false", "SoftwareKeys": fmt.Sprint(w.st.Place == InSoftware)}
	ak, err := w.attest(ctx, j, &ask)
	if err != nil {
		// A server that insists refuses what comes without.
		result.Notes = append(result.Notes, "the TPM does not attest its keys: "+text(err))
	}
	return ask, ak, nil
}

// attest has the TPM say that the keys are in it.
func (w *work) attest(ctx context.Context, j *joining, ask *joinRequest) (key, error) {
	t, ok := w.vault.(attester)
	if !ok || w.st.Endpoints.Attestation == "" {
		return key{}, nil
	}
	var nonce struct{ Value string }
	if err := w.remote.get(ctx, withVersion(w.st.Endpoints.Nonce, "1.0"), &nonce); err != nil {
		return key{}, err
	}
	said, ak, err := t.Attest(nonce.Value, j.Device, j.Transport)
	if err != nil {
		return key{}, err
	}
	ask.Attestation = &said
	return ak, nil
}

// ours says whether a certificate is for this device's key, and whose it is.
func (w *work) ours(d *joined) (string, error) {
	cert, err := x509.ParseCertificate(d.Certificate)
	if err != nil {
		return "", fmt.Errorf("read the device certificate: %w", err)
	}
	pub, err := w.vault.PublicKey(d.Device)
	if err != nil {
		return "", err
	}
	if certified, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !certified.Equal(pub) || cert.Subject.CommonName == "" {
		return "", errors.New("the certificate that the server gave is not for this device's key")
	}
	return cert.Subject.CommonName, nil
}

// activate does the second round of attestation, if one is open: what the
// server encrypted to this TPM comes back in the clear.
func (w *work) activate(ctx context.Context) error {
	d := w.st.Device
	t, ok := w.vault.(attester)
	if d.Activation == nil || !ok {
		return nil
	}
	if w.now.After(d.Activation.Expires) {
		d.Activation = nil
		return w.save("activation over")
	}
	opened, err := t.Activate(d.Activation.Key, d.Activation.Credential, d.Activation.Secret)
	if err != nil {
		return err
	}
	s, err := newSigner(w.vault, d.Device, nil)
	if err != nil {
		return err
	}
	payload, err := json.Marshal(map[string]string{
		"aud": w.st.Endpoints.Attestation, "context": d.Activation.Context, "secret": base64.RawURLEncoding.EncodeToString(opened),
	})
	if err != nil {
		return err
	}
	request, err := jose.SignRS256(s, map[string]any{"typ": "signet-attestation+jwt", "kid": d.ID}, payload)
	if err != nil {
		return err
	}
	var got struct{ Assurance Assurance }
	err = retried(ctx, func() error {
		return w.remote.post(ctx, w.st.Endpoints.Attestation, "", map[string]string{
			"TenantId": w.st.Endpoints.Tenant, "DeviceId": d.ID, "Request": request,
		}, &got)
	})
	if err != nil {
		return err
	}
	d.Assurance, d.Activation = got.Assurance, nil
	return w.save("attested")
}

// first signs the person in who joined the device. That need not work: a
// tenant may want another sign-in for it. Who came by an access pass is not
// signed in: what is left of their sign-in registers their key.
func (w *work) first(ctx context.Context, i identity, g grant, result *JoinResult) {
	result.User = i.name()
	p := w.st.known(i)
	if g.byPass() {
		p.Registration = &registration{g.AccessToken, w.now.Add(min(registrationLasts, time.Duration(g.ExpiresIn)*time.Second))}
		result.Notes = append(result.Notes, fmt.Sprintf("an access pass signs nobody in: make your own key within %d minutes, with signet device hello enrol",
			int(p.Registration.Until.Sub(w.now).Minutes())))
		if err := w.save("person known"); err != nil {
			result.Notes = append(result.Notes, text(err))
		}
		return
	}
	if err := w.bySignIn(ctx, p, g); err != nil {
		result.Notes = append(result.Notes, "there is no primary refresh token yet: "+text(err))
		if err := w.save("person known"); err != nil {
			result.Notes = append(result.Notes, text(err))
		}
		return
	}
	result.SignedIn = true
}
