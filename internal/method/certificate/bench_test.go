package certificate_test

import (
	"context"
	"crypto/x509"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// quiet is a bus of one node, on which nothing changes.
type quiet struct{}

func (quiet) Publish(context.Context, *sqldb.Tx, string, string) error { return nil }
func (quiet) Subscribe(string, func(string))                           {}

// busy is a world as app wires it: what seldom changes is in memory, and both
// authorities have a list.
func busy(b *testing.B) (*world, *certificate.Room) {
	w := newWorld(b, sqldbtest.Open(b, signintest.Sources(sources...)))
	host := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		by := map[string]*pkixtest.Authority{"/root": w.root, "/sub": w.sub}[r.URL.Path]
		rw.Write(by.List(pkixtest.List{This: w.Now().Add(-time.Minute), Next: w.Now().Add(24 * time.Hour), Number: big.NewInt(1)}))
	}))
	b.Cleanup(host.Close)
	w.trust.Store = trust.New(trust.Config{DB: w.DB, Now: w.Now, Bus: quiet{}, Private: []string{"127.0.0.1"}})
	for path, c := range map[string]*x509.Certificate{"/root": w.root.Cert, "/sub": w.sub.Cert} {
		at := host.URL + path
		w.edit(b, c, trust.Edit{CRL: &at})
	}
	all, err := w.trust.List(b.Context(), w.DB, w.Tenant.ID)
	if err != nil {
		b.Fatal(err)
	}
	for _, a := range all {
		if _, err := w.trust.Refresh(b.Context(), w.Tenant.ID, a.ID); err != nil {
			b.Fatal(err)
		}
	}
	p, err := w.Policies.Get(b.Context(), w.Tenant.ID)
	if err != nil {
		b.Fatal(err)
	}
	key, err := w.key(b.Context(), w.Tenant.ID)
	if err != nil {
		b.Fatal(err)
	}
	c := w.config()
	c.Trust, c.Handshakes = w.trust.Store, 1<<30
	c.Rules = func(context.Context, idp.TenantID) (policy.CertificateRules, error) { return p.Certificate, nil }
	c.Key = func(context.Context, idp.TenantID) (*secret.Key, error) { return key, nil }
	c.Tenant = func(context.Context, string) (idp.Tenant, error) { return w.Tenant, nil }
	room, err := certificate.New(c)
	if err != nil {
		b.Fatal(err)
	}
	w.mux = http.NewServeMux()
	room.MountTLS(w.mux)
	return w, room
}

// BenchmarkHandshake is what the address of handshakes does with what a browser
// has shown: a row, and the browser is sent back. TLS is not in it.
func BenchmarkHandshake(b *testing.B) {
	w, room := busy(b)
	card := w.card(b, w.Ada.Name)
	ch, err := room.Challenge(b.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
	if err != nil {
		b.Fatal(err)
	}
	h := web.Identify(nil)(w.mux)
	r := httptest.NewRequestWithContext(context.WithValue(b.Context(), shownBy{}, card.Chain), http.MethodGet, goes(b, ch.Show)+"&flow=f-1", nil)
	r.RemoteAddr = "192.0.2.7:4711"
	b.ReportAllocs()
	for b.Loop() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != http.StatusSeeOther {
			b.Fatal(rec.Code, rec.Body)
		}
	}
}

// BenchmarkWayBack is the room's share of a sign-in behind its handshake: it
// judges the certificate, and settles.
func BenchmarkWayBack(b *testing.B) {
	w, room := busy(b)
	card := w.card(b, w.Ada.Name)
	answers := make([]method.Answer, b.N)
	for i := range answers {
		ch, err := room.Challenge(b.Context(), method.Request{Tenant: w.Tenant.ID, Now: w.Now()})
		if err != nil {
			b.Fatal(err)
		}
		back, err := url.Parse(w.visit(b, goes(b, ch.Show), card.Chain...).Header().Get("Location"))
		if err != nil {
			b.Fatal(err)
		}
		answers[i] = method.Answer{Tenant: w.Tenant.ID, Keep: ch.Keep, Payload: payload(back.Query().Get("code")), Now: w.Now()}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, a := range answers {
		v, err := room.Verify(b.Context(), a)
		if err == nil {
			err = w.DB.Write(b.Context(), v.Settle)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
