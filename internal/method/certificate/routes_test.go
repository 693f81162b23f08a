package certificate_test

import (
	"crypto/x509"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/secret"
)

// ask gives the address that a sign-in of the tenant sends its browser to.
func (w *world) ask(t testing.TB, tenant idp.TenantID) string {
	t.Helper()
	ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: tenant, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return goes(t, ch.Show)
}

// TestHandshake: what a browser has shown is kept for a minute, under a code
// that only that browser gets, and nothing of it is in a page, a cookie or a
// cache.
func TestHandshake(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	rec := w.visit(t, w.ask(t, w.Tenant.ID)+"&flow=f%201", card.Leaf(), w.sub.Cert)
	to := rec.Header().Get("Location")
	u, err := url.Parse(to)
	if err != nil || rec.Code != http.StatusSeeOther || !strings.HasPrefix(to, base+"/"+string(w.Tenant.ID)+certificate.Return+"?") {
		t.Fatalf("%d to %s, %v", rec.Code, to, err)
	}
	if code := u.Query().Get("code"); len(code) < 40 || u.Query().Get("flow") != "f 1" || u.Query().Has("none") {
		t.Errorf("sent back with %v", u.Query())
	}
	for name, want := range map[string]string{"Connection": "close", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Set-Cookie": ""} {
		if got := rec.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	var code, chain []byte
	var expires int64
	row := w.DB.QueryRow(t.Context(), `select code, chain, expires from certificate_handover where tenant_id = $1`, w.Tenant.ID)
	if err := row.Scan(&code, &chain, &expires); err != nil {
		t.Fatal(err)
	}
	if string(code) != string(secret.Digest(u.Query().Get("code"))) {
		t.Error("the code is not kept as its digest")
	}
	if got, err := x509.ParseCertificates(chain); err != nil || len(got) != 2 || !got[0].Equal(card.Leaf()) {
		t.Errorf("kept %d certificates, %v", len(got), err)
	}
	if expires != w.Now().Add(time.Minute).UnixMilli() {
		t.Errorf("kept until %s", time.UnixMilli(expires))
	}
}

// TestHandshakeWithout: no certificate is no row, and an answer that says so.
func TestHandshakeWithout(t *testing.T) {
	w := one(t)
	rec := w.visit(t, w.ask(t, w.Tenant.ID)+"&flow=f-1")
	u, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || rec.Code != http.StatusSeeOther || u.Query().Get("none") != "1" || u.Query().Has("code") || u.Query().Get("flow") != "f-1" {
		t.Errorf("%d to %s, %v", rec.Code, u, err)
	}
	if n := w.Count(t, "certificate_handover", w.Tenant.ID); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestHandshakeRefused: nothing is kept, and nobody is sent anywhere, for what
// belongs to no sign-in of ours.
func TestHandshakeRefused(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	here, there := w.ask(t, w.Tenant.ID), w.ask(t, w.Other.ID)
	ticket := func(at string) string { return at[strings.Index(at, "ceremony=")+9:] }
	raw, err := base64.RawURLEncoding.DecodeString(ticket(here))
	if err != nil {
		t.Fatal(err)
	}
	with := func(raw []byte) string {
		return strings.Replace(here, ticket(here), base64.RawURLEncoding.EncodeToString(raw), 1)
	}
	later := append([]byte{}, raw...)
	later[20]++ // its end, further away
	for _, c := range []struct {
		name, at string
		status   int
		after    time.Duration
	}{
		{"no ticket", strings.SplitN(here, "?", 2)[0], http.StatusBadRequest, 0},
		{"a made-up ticket", with(secret.Bytes(len(raw))), http.StatusBadRequest, 0},
		{"a ticket made longer", with(later), http.StatusBadRequest, 0},
		{"a short ticket", with(raw[:30]), http.StatusBadRequest, 0},
		{"no base64", strings.Replace(here, ticket(here), "!!", 1), http.StatusBadRequest, 0},
		{"a ticket of another tenant", strings.Replace(here, ticket(here), ticket(there), 1), http.StatusBadRequest, 0},
		{"no such tenant", strings.Replace(here, string(w.Tenant.ID), "nowhere.example", 1), http.StatusNotFound, 0},
		{"a long flow", here + "&flow=" + strings.Repeat("f", 129), http.StatusBadRequest, 0},
		{"a late ticket", here, http.StatusGone, 5 * time.Minute},
	} {
		w.Advance(c.after)
		rec := w.visit(t, c.at, card.Leaf())
		if rec.Code != c.status || rec.Header().Get("Location") != "" || rec.Header().Get("Connection") != "close" {
			t.Errorf("%s: %d to %q, want %d", c.name, rec.Code, rec.Header().Get("Location"), c.status)
		}
	}
	if n := w.Count(t, "certificate_handover", w.Tenant.ID); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestHandshakeOfOther: a page of somebody else's is written as text.
func TestHandshakeText(t *testing.T) {
	w := one(t)
	rec := w.visit(t, tlsBase+"/%3Cscript%3E/certificate")
	if rec.Code != http.StatusNotFound || strings.Contains(rec.Body.String(), "<script>") || !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	// WEB01: nothing runs, loads or frames there, whatever comes into it.
	if got := rec.Header().Get("Content-Security-Policy"); got != "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" {
		t.Errorf("CSP %q", got)
	}
}

// TestHandshakeLimit: a source may make so many a minute (security.md CBA11).
func TestHandshakeLimit(t *testing.T) {
	w := one(t)
	w.limit = 3
	w.mux = http.NewServeMux()
	w.open(t).MountTLS(w.mux)
	at := w.ask(t, w.Tenant.ID)
	for range 3 {
		if rec := w.visit(t, at); rec.Code != http.StatusSeeOther {
			t.Fatalf("%d", rec.Code)
		}
	}
	rec := w.visit(t, at)
	if rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d, Retry-After %q", rec.Code, rec.Header().Get("Retry-After"))
	}
	w.Advance(time.Minute)
	if rec := w.visit(t, at); rec.Code != http.StatusSeeOther {
		t.Errorf("a minute later: %d", rec.Code)
	}
}

// TestHandshakeBounds: ten certificates and 64 KiB are kept at most, the leaf
// always.
func TestHandshakeBounds(t *testing.T) {
	w := one(t)
	card := w.card(t, w.Ada.Name)
	chain := []*x509.Certificate{card.Leaf()}
	for range 20 {
		chain = append(chain, w.sub.Cert)
	}
	big := w.card(t, w.Ada.Name, extended(t, 60<<10)).Leaf()
	huge := w.card(t, w.Ada.Name, extended(t, 65<<10)).Leaf()
	kept := func() int {
		var raw []byte
		if err := w.DB.QueryRow(t.Context(), `select chain from certificate_handover where tenant_id = $1`, w.Tenant.ID).Scan(&raw); err != nil {
			t.Fatal(err)
		}
		certs, err := x509.ParseCertificates(raw)
		if err != nil || len(raw) > 64<<10 {
			t.Errorf("%d bytes, %v", len(raw), err)
		}
		if _, err := w.DB.Exec(t.Context(), `delete from certificate_handover where tenant_id = $1`, w.Tenant.ID); err != nil {
			t.Fatal(err)
		}
		return len(certs)
	}
	w.visit(t, w.ask(t, w.Tenant.ID), chain...)
	if n := kept(); n != 10 {
		t.Errorf("%d certificates kept, want 10", n)
	}
	w.visit(t, w.ask(t, w.Tenant.ID), append([]*x509.Certificate{big, huge}, chain...)...)
	if n := kept(); n != 1 {
		t.Errorf("%d certificates kept beside a big one, want 1", n)
	}
	rec := w.visit(t, w.ask(t, w.Tenant.ID), huge)
	if rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "too large") || w.Count(t, "certificate_handover", w.Tenant.ID) != 0 {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

// TestSweep: what nobody has fetched goes, and what was seen of a certificate
// goes a month after its end.
func TestSweep(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		card := w.card(t, w.Ada.Name)
		w.mustSignIn(t, card)
		w.visit(t, w.ask(t, w.Tenant.ID), card.Leaf())
		sweep := func(wantKept, wantSeen int) {
			t.Helper()
			for _, j := range w.room.Jobs() {
				if err := j.Run(t.Context(), w.Now()); err != nil {
					t.Fatal(err)
				}
			}
			if kept, seen := w.Count(t, "certificate_handover", w.Tenant.ID), w.Count(t, "certificate_seen", w.Tenant.ID); kept != wantKept || seen != wantSeen {
				t.Errorf("%d kept, %d seen; want %d and %d", kept, seen, wantKept, wantSeen)
			}
		}
		sweep(1, 1)
		w.Advance(time.Minute)
		sweep(0, 1)
		w.Advance(card.Leaf().NotAfter.Sub(w.Now()) + certificate.Kept - time.Second)
		sweep(0, 1)
		w.Advance(2 * time.Second)
		sweep(0, 0)
	})
}
