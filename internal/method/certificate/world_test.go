package certificate_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

const (
	base    = "https://id.nordhafen.example"
	tlsBase = "https://id.nordhafen.example:8443"
)

var sources = []fs.FS{certificate.Migrations, trust.Migrations}

// judged is a trust store that a test may make say something else of one
// certificate.
type judged struct {
	*trust.Store
	mu     sync.Mutex
	faults map[string]*pkix.Fault // by certificate
	asked  int
	after  func() // what happens behind a path that holds
}

func (j *judged) refuse(c *x509.Certificate, reason pkix.Reason) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults[string(c.Raw)] = &pkix.Fault{Reason: reason, Cert: c, Path: []*x509.Certificate{c}, Err: errors.New("so says the test")}
}

func (j *judged) fault(c *x509.Certificate) *pkix.Fault {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked++
	return j.faults[string(c.Raw)]
}

func (j *judged) Verify(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r trust.Rules) (trust.Verified, error) {
	if f := j.fault(leaf); f != nil {
		return trust.Verified{}, idp.Unprovenf("certificate_"+string(f.Reason), "%w", f)
	}
	v, err := j.Store.Verify(ctx, t, leaf, sent, r)
	if err == nil && j.after != nil {
		j.after()
	}
	return v, err
}

func (j *judged) Steps(ctx context.Context, t idp.TenantID, leaf *x509.Certificate, sent []*x509.Certificate, r trust.Rules) (trust.Trace, error) {
	if f := j.fault(leaf); f != nil {
		return trust.Trace{Fault: f, Steps: []trust.Step{{Cert: leaf, Fault: f}}}, nil
	}
	return j.Store.Steps(ctx, t, leaf, sent, r)
}

// world is a house with the room, and authorities that both tenants trust.
type world struct {
	*signintest.House
	room  *certificate.Room
	trust *judged
	root  *pkixtest.Authority
	sub   *pkixtest.Authority // issues people's certificates
	peer  signin.Peer
	mux   *http.ServeMux
	noTLS bool // nothing listens for handshakes
	limit int
}

// fill makes the world around a house, before its room is asked for.
func fill(t testing.TB, h *signintest.House) *world {
	t.Helper()
	w := &world{House: h, peer: h.Peer("browser"), mux: http.NewServeMux()}
	w.trust = &judged{Store: trust.New(trust.Config{DB: h.DB, Now: h.Now}), faults: map[string]*pkix.Fault{}}
	w.root = pkixtest.Root(t, "Nordhafen Root", h.Now())
	w.sub = w.root.Sub("Nordhafen People", h.Now())
	for _, tenant := range []idp.TenantID{h.Tenant.ID, h.Other.ID} {
		w.admit(t, tenant, w.root.Cert, w.sub.Cert)
		w.Policy(t, tenant, func(p *policy.Policy) {
			p.Certificate.Unchecked = []string{pkix.KeyID(w.root.Cert), pkix.KeyID(w.sub.Cert)}
		})
	}
	w.room = w.open(t)
	w.room.MountTLS(w.mux)
	return w
}

func (w *world) admit(t testing.TB, tenant idp.TenantID, certs ...*x509.Certificate) {
	t.Helper()
	offers := trust.Offers(certs, nil)
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := w.trust.Add(ctx, tx, tenant, "", offers)
		return err
	})
}

// shownBy carries what a handshake of the test showed.
type shownBy struct{}

// open makes a room, as another node would.
func (w *world) open(t testing.TB) *certificate.Room {
	t.Helper()
	room, err := certificate.New(w.config())
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// config is what the world's rooms are made with.
func (w *world) config() certificate.Config {
	return certificate.Config{
		DB: w.DB, Now: w.Now, Base: base, Key: w.key, Trust: w.trust, Handshakes: w.limit,
		Address: func(context.Context, idp.TenantID) (string, error) {
			if w.noTLS {
				return "", nil
			}
			return tlsBase, nil
		},
		Tenant: w.Directory.Resolve,
		Handshake: func(r *http.Request) ([]*x509.Certificate, error) {
			chain, _ := r.Context().Value(shownBy{}).([]*x509.Certificate)
			return chain, nil
		},
		Rules: func(ctx context.Context, tenant idp.TenantID) (policy.CertificateRules, error) {
			p, err := w.Policies.Get(ctx, tenant)
			return p.Certificate, err
		},
		Users: func(ctx context.Context, tenant idp.TenantID, p policy.UserProperty, values []string) ([]idp.User, error) {
			return w.Directory.UsersBy(ctx, w.DB, tenant, string(p), values)
		},
		Stands: func(ctx context.Context, q sqldb.Querier, tenant idp.TenantID) (func([]string) bool, error) {
			return w.trust.Stands(ctx, q, tenant)
		},
		Issuer: issuer,
		Judge: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, who, err := w.Policies.For(ctx, u.Tenant, u)
			return p.Judge(who, policy.Use, policy.Certificate, &f).Refusal, err
		},
	}
}

func (w *world) key(ctx context.Context, tenant idp.TenantID) (*secret.Key, error) {
	return w.Key(ctx, tenant, "certificate")
}

func issuer(tenant idp.TenantID) string { return base + "/" + string(tenant) + "/v2.0" }

// newWorld is a house around the room.
func newWorld(t testing.TB, db *sqldb.DB) *world {
	t.Helper()
	var w *world
	signintest.New(t, db, func(h *signintest.House) []method.Method {
		w = fill(t, h)
		return []method.Method{w.room}
	})
	return w
}

// each runs a test on both databases, one is a world on SQLite alone.
func each(t *testing.T, fn func(*testing.T, *world)) {
	t.Helper()
	sqldbtest.Each(t, signintest.Sources(sources...), func(t *testing.T, db *sqldb.DB) { fn(t, newWorld(t, db)) })
}

func one(t testing.TB) *world {
	t.Helper()
	return newWorld(t, sqldbtest.Open(t, signintest.Sources(sources...)))
}

// card makes a certificate of the sub-authority with a P-256 key.
func (w *world) card(t testing.TB, upn string, changes ...pkixtest.Change) certificatetest.Card {
	t.Helper()
	return w.cardOf(t, pkixtest.ECKey(t), upn, changes...)
}

func (w *world) cardOf(t testing.TB, key crypto.Signer, upn string, changes ...pkixtest.Change) certificatetest.Card {
	t.Helper()
	return certificatetest.Card{Key: key, Chain: []*x509.Certificate{w.sub.Leaf(key.Public(), "Somebody", upn, w.Now(), changes...)}}
}

// goes is the address that a page was told to send its browser to.
func goes(t testing.TB, show json.RawMessage) string {
	t.Helper()
	var to struct{ Go string }
	if err := json.Unmarshal(show, &to); err != nil || !strings.HasPrefix(to.Go, tlsBase+"/") {
		t.Fatalf("shown %s, %v", show, err)
	}
	return to.Go
}

// visit is a browser at the address of handshakes.
func (w *world) visit(t testing.TB, at string, chain ...*x509.Certificate) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(context.WithValue(t.Context(), shownBy{}, chain), http.MethodGet, at, nil)
	r.RemoteAddr = "192.0.2.7:4711"
	rec := httptest.NewRecorder()
	web.Identify(nil)(w.mux).ServeHTTP(rec, r)
	return rec
}

// shake makes the handshake for a ceremony and gives the query of the way back.
func (w *world) shake(t testing.TB, show json.RawMessage, chain ...*x509.Certificate) url.Values {
	t.Helper()
	rec := w.visit(t, goes(t, show)+"&flow=f-1", chain...)
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != http.StatusSeeOther {
		t.Fatalf("handshake: %d %s, %v", rec.Code, rec.Body, err)
	}
	return to.Query()
}

// answer is what the page sends after a handshake with the card.
func (w *world) answer(t testing.TB, show json.RawMessage, c certificatetest.Card) []byte {
	t.Helper()
	return payload(w.shake(t, show, c.Chain...).Get("code"))
}

func payload(code string) []byte {
	raw, err := json.Marshal(map[string]string{"code": code})
	if err != nil {
		panic(err)
	}
	return raw
}

// begun is a sign-in that waits for a handshake.
func (w *world) begun(t testing.TB, userName string) signin.Flow {
	t.Helper()
	return w.begunIn(t, w.Flow(t, signin.Flow{}, w.peer), userName)
}

func (w *world) begunIn(t testing.TB, f signin.Flow, userName string) signin.Flow {
	t.Helper()
	return w.Ask(t, f, certificate.ID, userName, w.peer)
}

// redeem answers what a flow waits for.
func (w *world) redeem(t testing.TB, f signin.Flow, answer []byte) (signin.Step, error) {
	t.Helper()
	return w.Corridor.Answer(t.Context(), f, certificate.ID, f.Waiting.Ceremony, answer, nil, w.peer)
}

// signIn is all of it, nobody's name typed.
func (w *world) signIn(t testing.TB, c certificatetest.Card) (signin.Step, error) {
	t.Helper()
	return w.signInAs(t, "", c)
}

func (w *world) signInAs(t testing.TB, userName string, c certificatetest.Card) (signin.Step, error) {
	t.Helper()
	f := w.begun(t, userName)
	return w.redeem(t, f, w.answer(t, f.Waiting.Show, c))
}

// mustSignIn gives the proof of a sign-in that must end in a session.
func (w *world) mustSignIn(t testing.TB, c certificatetest.Card) idp.Proof {
	t.Helper()
	step, err := w.signIn(t, c)
	if err != nil || step.Kind != signin.Done {
		t.Fatalf("sign-in: step %q (%s), %v", step.Kind, step.Decision.Reason, err)
	}
	s := w.Found(t, w.Tenant.ID, step.Bearer)
	return s.Proofs[0]
}

// refused is the reason for which a sign-in was refused.
func (w *world) refused(t testing.TB, c certificatetest.Card) string {
	t.Helper()
	step, err := w.signIn(t, c)
	if err == nil {
		t.Errorf("signed in: step %s of %s", step.Kind, step.Session.User)
	}
	return reason(err)
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// rules changes what the tenant says of certificates.
func (w *world) rules(t testing.TB, change func(*policy.CertificateRules)) {
	t.Helper()
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { change(&p.Certificate) })
}

// bindings sets the tenant's bindings in this order.
func (w *world) bindings(t testing.TB, list ...policy.CertificateBinding) {
	t.Helper()
	for i := range list {
		list[i].Priority = i + 1
		if list[i].Affinity == "" {
			list[i].Affinity = list[i].Field.Affinity()
		}
	}
	w.rules(t, func(r *policy.CertificateRules) { r.Bindings = list })
}

func (w *world) ids(t testing.TB, u idp.User, values ...string) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.Directory.SetCertificateIDs(ctx, tx, u.Tenant, u.ID, values)
	})
}

func (w *world) list(t testing.TB, u idp.User) []method.Credential {
	t.Helper()
	all, err := w.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// race runs n of them at once.
func race(n int, fn func(i int) error) []error {
	errs := make([]error, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			errs[i] = fn(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return errs
}

func wins(errs []error) int {
	return len(slices.DeleteFunc(slices.Clone(errs), func(err error) bool { return err != nil }))
}

type trustEdit = trust.Edit

// edit changes an authority of the tenant.
func (w *world) edit(t testing.TB, which *x509.Certificate, e trust.Edit) {
	t.Helper()
	all, err := w.trust.List(t.Context(), w.DB, w.Tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Cert.Equal(which) {
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.trust.Update(ctx, tx, w.Tenant.ID, a.ID, 0, e)
				return err
			})
			return
		}
	}
	t.Fatal("no such authority")
}
