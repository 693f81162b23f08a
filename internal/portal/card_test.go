package portal

import (
	"context"
	"encoding/json"
	"sync"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// cardOrigin is where the browsers of these tests are asked for certificates.
const cardOrigin = "https://cards.example:8443"

// cardStub is a room whose answer is fetched at another address, as that of
// certificates: what the pages need of one, without certificates. It is off
// until a test switches it on.
type cardStub struct {
	mu   sync.Mutex
	here map[string]cardShown // by code
	mode idp.Mode
}

// cardShown is what came of one handshake.
type cardShown struct {
	ceremony string
	user     idp.UserID
	refused  error
	genuine  bool
	detail   map[string]string
}

func newCard() *cardStub {
	return &cardStub{here: map[string]cardShown{}, mode: idp.ModeCertificateMulti}
}

func (c *cardStub) ID() idp.MethodID { return policy.Certificate }

func (c *cardStub) Away() {}

func (c *cardStub) View() method.View {
	return method.View{Action: "signin-certificate", Icon: "badge", Label: "method.certificate", Note: "method.certificate.note"}
}

func (c *cardStub) Challenge(_ context.Context, r method.Request) (method.Challenge, error) {
	id := secret.NewUUID4()
	show, err := json.Marshal(map[string]string{"go": cardOrigin + "/" + string(r.Tenant) + "/certificate?ceremony=" + id})
	return method.Challenge{Show: show, Keep: []byte(id)}, err
}

// handshake is the other address: it knows the ceremony and never the flow.
func (c *cardStub) handshake(s cardShown) (code string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code = secret.Token()
	c.here[code] = s
	return code
}

func (c *cardStub) Verify(_ context.Context, a method.Answer) (method.Verdict, error) {
	var in struct{ Code string }
	if err := json.Unmarshal(a.Payload, &in); err != nil {
		return method.Verdict{}, idp.Unprovenf("certificate_malformed", "%w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.here[in.Code]
	if !ok || s.ceremony != string(a.Keep) {
		return method.Verdict{}, idp.Unprovenf("certificate_code", "no such code in this ceremony")
	}
	v := method.Verdict{Detail: s.detail, Genuine: s.genuine, Settle: func(context.Context, *sqldb.Tx) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if _, ok := c.here[in.Code]; !ok {
			return idp.Unprovenf("certificate_code", "used")
		}
		delete(c.here, in.Code)
		return nil
	}}
	if s.refused != nil {
		return v, s.refused
	}
	v.Proof = idp.Proof{
		Tenant: a.Tenant, User: s.user, Method: policy.Certificate, Mode: c.mode, Credential: "badge",
		Properties: []idp.Property{idp.PhishingResistant, idp.Possession}, AMR: []string{"x509"}, Time: a.Now,
	}
	if c.mode == idp.ModeCertificateMulti {
		v.Proof.Properties = append(v.Proof.Properties, idp.MultiFactor, idp.UserVerified)
	}
	return v, nil
}

// cards switches the room on, and has an address for it.
func (w *world) cards() {
	w.t.Helper()
	w.portal.cfg.CertificateOrigin = func(context.Context, idp.TenantID) (string, error) { return cardOrigin, nil }
	w.certificateMode(idp.ModeCertificateMulti)
}

// certificateMode is what the tenant's rules say that a certificate counts for.
func (w *world) certificateMode(m idp.Mode) {
	w.t.Helper()
	p, err := w.rules.Get(w.t.Context(), w.tenant.ID)
	w.must(err)
	p = p.Clone()
	p.Switch(policy.Certificate, true)
	p.Certificate.Mode = m
	w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.rules.Put(ctx, tx, w.tenant.ID, p) })
}

var _ method.Away = (*cardStub)(nil)
