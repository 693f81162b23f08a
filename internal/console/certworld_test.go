package console

import (
	"bytes"
	"context"
	"crypto/x509"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// wallet is a room whose certificates are what a test says they are.
type wallet struct {
	mu     sync.Mutex
	badges []method.Credential
	barred map[idp.CredentialID]time.Time
}

func (*wallet) ID() idp.MethodID { return policy.Certificate }
func (*wallet) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Unprovenf("stub", "no challenge here")
}
func (*wallet) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("stub", "no proof here")
}
func (k *wallet) those(keep func(method.Credential, bool) bool) (out []method.Credential) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.badges {
		if _, barred := k.barred[c.ID]; keep(c, barred) {
			out = append(out, c)
		}
	}
	return out
}
func (k *wallet) List(_ context.Context, _ idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	return k.those(func(c method.Credential, barred bool) bool { return c.User == u && !barred }), nil
}
func (*wallet) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return idp.NotFoundf("stub", "none")
}
func (k *wallet) has(u idp.UserID, id idp.CredentialID, barred bool) bool {
	return len(k.those(func(c method.Credential, b bool) bool { return c.User == u && c.ID == id && b == barred })) == 1
}
func (k *wallet) Remove(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	if !k.has(u, id, false) {
		return idp.NotFoundf("certificate_missing", "%s", id)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.barred[id] = time.Unix(1_760_000_000, 0)
	return nil
}
func (k *wallet) Restore(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID) (method.Credential, error) {
	if !k.has(u, id, true) {
		return method.Credential{}, idp.NotFoundf("certificate_missing", "%s", id)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.barred, id)
	return k.badges[slices.IndexFunc(k.badges, func(c method.Credential) bool { return c.ID == id })], nil
}
func (k *wallet) Removed(_ context.Context, _ idp.TenantID, fn func(method.Credential, time.Time) error) error {
	for _, c := range k.those(func(_ method.Credential, barred bool) bool { return barred }) {
		if err := fn(c, k.barred[c.ID]); err != nil {
			return err
		}
	}
	return nil
}
func (k *wallet) Count(ctx context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	all, err := k.List(ctx, t, u)
	return len(all), err
}
func (k *wallet) Walk(_ context.Context, _ idp.TenantID, fn func(method.Credential) error) error {
	for _, c := range k.those(func(_ method.Credential, barred bool) bool { return !barred }) {
		if err := fn(c); err != nil {
			return err
		}
	}
	return nil
}

// seen gives somebody a certificate below CAs, from the one that issued it up.
func (k *wallet) seen(u idp.User, id idp.CredentialID, now time.Time, cas ...*pkixtest.Authority) {
	var keys []string
	for _, a := range cas {
		keys = append(keys, trust.Authority{Cert: a.Cert}.Key())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.badges = append(k.badges, method.Credential{
		ID: id, Tenant: u.Tenant, User: u.ID, Method: policy.Certificate, Mode: idp.ModeCertificateMulti, Name: "Badge " + string(id), Model: "CN=Cards",
		Facts:      idp.Facts{Issuer: keys[0], Certificate: &idp.CertificateFacts{Issuers: keys}},
		Properties: []idp.Property{idp.PhishingResistant, idp.Possession, idp.MultiFactor, idp.UserVerified}, Created: now, LastUsed: now, Expires: now.Add(365 * day),
	})
}

// pki is a tenant's CAs, as they are in a world: a root, cards below it, and
// where their lists are.
type pki struct {
	root, card *pkixtest.Authority
	host       *httptest.Server
	mu         sync.Mutex
	broken     bool
	explained  [][]*x509.Certificate
	answer     certificate.Explained
}

func newPKI(t *testing.T, now func() time.Time) *pki {
	p := &pki{}
	p.root = pkixtest.Root(t, "Nordhafen Root", now())
	p.card = p.root.Sub("Nordhafen Cards", now())
	p.host = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.broken {
			http.Error(w, "closed", http.StatusServiceUnavailable)
			return
		}
		w.Write(p.card.CRL(now(), 7))
	}))
	t.Cleanup(p.host.Close)
	return p
}

func (p *pki) crl() string { return p.host.URL + "/cards.crl" }

func (p *pki) breaks(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = on
}

// explain stands for the room's tester.
func (p *pki) explain(_ context.Context, _ idp.TenantID, chain []*x509.Certificate) (certificate.Explained, error) {
	p.explained = append(p.explained, chain)
	return p.answer, nil
}

// added puts both CAs into the store, the cards' with their list.
func (w *world) added() (root, card trust.Authority) {
	w.t.Helper()
	w.Write(w.t, func(ctx context.Context, tx *sqldb.Tx) error {
		all, err := w.trust.Add(ctx, tx, w.Tenant.ID, "", []trust.Offer{{Cert: w.pki.root.Cert, Root: true}, {Cert: w.pki.card.Cert, CRL: w.pki.crl()}})
		if err == nil {
			root, card = all[0], all[1]
		}
		return err
	})
	return root, card
}

// upload sends files, by name, as a browser does.
func (b *browser) upload(path string, fields url.Values, files map[string][]byte) reply {
	b.w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, values := range fields {
		for _, v := range values {
			form.WriteField(name, v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		part, err := form.CreateFormFile("file", name)
		if err != nil {
			b.w.t.Fatal(err)
		}
		part.Write(files[name])
	}
	form.Close()
	r := httptest.NewRequest(http.MethodPost, origin+path, &body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	web.Chain(b.w.mux, web.Identify(nil)).ServeHTTP(rec, r)
	return reply{b.w.t, rec.Code, rec.Header().Get("X-Page"), rec.Header().Get("Location"), rec.Body.String(), rec.Header()}
}

// sent are the values of the boxes of a page, and of the addresses beside them.
func (r reply) sent() url.Values {
	out := url.Values{}
	for _, part := range strings.Split(r.body, "<input")[1:] {
		tag, _, _ := strings.Cut(part, ">")
		name, value := attr(tag, "name"), attr(tag, "value")
		if strings.Contains(tag, "checkbox") && !strings.Contains(tag, " checked") || name == "" || name == "whose" {
			continue
		}
		out.Add(name, value)
	}
	return out
}

func attr(tag, name string) string {
	_, rest, ok := strings.Cut(tag, " "+name+`="`)
	if !ok {
		return ""
	}
	value, _, _ := strings.Cut(rest, `"`)
	return strings.NewReplacer("&#43;", "+", "&amp;", "&", "&#34;", `"`).Replace(value)
}
