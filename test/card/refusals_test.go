package card

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/running"
)

// What a page says, in its first sentence.
const (
	sayUnknown   = "does not know who issued this certificate"
	sayUnchecked = "We cannot check your badge just now"
	sayNobody    = "This certificate lets nobody in"
	sayRevoked   = "Your badge was taken back on"
	sayExpired   = "Your badge ended on"
	sayOther     = "is somebody else’s than the user name that was typed"
	sayEarly     = "Your badge is not good yet"
)

// during makes the validity of a certificate.
func during(from, to time.Time) pkixtest.Change {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// TestRefused is about the certificate: each card differs from one that works in
// the one thing that it is refused for.
func TestRefused(t *testing.T) {
	o := NewOffice(t)
	bela, now := o.Users[1], time.Now() // the administrator's last way in is not taken away
	card := o.issue(P256, bela)
	o.worksFor(bela, card)
	try := func(reason, words string) {
		t.Helper()
		o.refused(o.signIn(o.at(card)), reason, words)
	}

	card.renew(o.Cards, bela, during(now.Add(-2*time.Hour), now.Add(-time.Minute)))
	try("certificate_expired", sayExpired)
	card.renew(o.Cards, bela, during(now.Add(time.Hour), now.Add(2*time.Hour)))
	try("certificate_not_yet_valid", sayEarly)

	card.renew(o.Cards, bela)
	o.worksFor(bela, card)
	o.Lists.Publish("cards", o.Cards.CRL(now, 2, card.Cert.SerialNumber))
	o.Refresh("cards")
	try("certificate_revoked", sayRevoked)
	card.renew(o.Cards, bela) // the next one of the same key is good
	o.worksFor(bela, card)

	o.Admin(t, nil, "cert-authority", "remove", o.IDs["cards"])
	try("certificate_unknown_issuer", sayUnknown)
	o.Admin(t, nil, "cert-authority", "restore", o.IDs["cards"])
	o.worksFor(bela, card)

	// A card that is good, of nobody.
	card.renew(o.Cards, running.User{Name: "ghost@nordhafen.example", Show: "Ghost"})
	try("certificate_no_user", sayNobody)
}

// TestRefusedUnchecked is about revocation Lists: without one that is good there
// is no sign-in, and with it there is.
func TestRefusedUnchecked(t *testing.T) {
	o := NewOffice(t)
	ada, now := o.Users[0], time.Now()
	good := func(a *pkixtest.Authority) []byte { return a.CRL(now, 7) }
	for _, c := range []struct {
		name string
		list func(a *pkixtest.Authority) http.HandlerFunc
	}{
		{"stale", func(a *pkixtest.Authority) http.HandlerFunc { return plain(a.CRL(now.Add(-8*24*time.Hour), 1)) }},
		{"absent", func(*pkixtest.Authority) http.HandlerFunc { return http.NotFound }},
		{"huge", func(*pkixtest.Authority) http.HandlerFunc { return huge }},
		{"foreign", func(*pkixtest.Authority) http.HandlerFunc {
			return plain(good(pkixtest.Root(t, "Nordhafen foreign", now)))
		}},
		{"nothing", func(*pkixtest.Authority) http.HandlerFunc {
			return plain([]byte("<html>Please sign in to the network"))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := o.in(t)
			a := o.Root.Sub("Nordhafen "+c.name, now)
			o.Trust(a, c.name, "--crl", o.Lists.Serve(c.name, c.list(a)))
			card := o.issueBy(a, P256, ada)
			o.refused(o.signIn(o.at(card)), "certificate_list_unavailable", sayUnchecked)
			o.Lists.Publish(c.name, good(a))
			o.Refresh(c.name)
			o.worksFor(ada, card)
		})
	}

	t.Run("no address", func(t *testing.T) {
		o := o.in(t)
		a := o.Root.Sub("Nordhafen nowhere", now)
		o.Trust(a, "nowhere")
		card := o.issueBy(a, P256, ada)
		o.refused(o.signIn(o.at(card)), "certificate_list_unavailable", sayUnchecked)
		o.Rules(func(c map[string]any) { c["unchecked"] = []string{keyOf(a)} })
		o.worksFor(ada, card)
		o.Rules(nil)
		o.refused(o.signIn(o.at(card)), "certificate_list_unavailable", sayUnchecked)
	})

	t.Run("host down", func(t *testing.T) {
		o := o.in(t)
		a := o.Root.Sub("Nordhafen down", now)
		o.Trust(a, "down", "--crl", Nowhere(t))
		card := o.issueBy(a, P256, ada)
		o.refused(o.signIn(o.at(card)), "certificate_list_unavailable", sayUnchecked)
	})

	// An authority whose key was renewed has its name twice, and the list of one
	// key says nothing of what the other has signed.
	t.Run("of the renewed key", func(t *testing.T) {
		o := o.in(t)
		old, renewed := o.Root.Sub("Nordhafen renewed", now), o.Root.Sub("Nordhafen renewed", now)
		o.Trust(old, "old", "--crl", Nowhere(t))
		o.Trust(renewed, "renewed", "--crl", o.Lists.Publish("renewed", good(renewed)))
		o.worksFor(ada, o.issueBy(renewed, P256, ada))
		o.refused(o.signIn(o.at(o.issueBy(old, P256, ada))), "certificate_list_unavailable", sayUnchecked)
	})

	// A list that was good when it came, and is over now.
	t.Run("went stale", func(t *testing.T) {
		o := o.in(t)
		a := o.Root.Sub("Nordhafen brief", now)
		end := time.Now().Add(6 * time.Second)
		o.Trust(a, "brief", "--crl", o.Lists.Publish("brief", listUntil(t, a, end)))
		card := o.issueBy(a, P256, ada)
		b := o.at(card)
		if p := o.signIn(b); o.claims(p) == nil && time.Now().Before(end) {
			t.Fatalf("not signed in while the list is good: %s", p.Words())
		}
		time.Sleep(time.Until(end.Add(time.Second))) // the end is the server's to see, by its own clock
		o.refused(o.signIn(o.at(card)), "certificate_list_unavailable", sayUnchecked)
		o.Rules(func(c map[string]any) { c["staleFor"] = "1h" })
		o.worksFor(ada, card)
		o.Rules(nil)
	})
}

// TestRefusedResponder is about OCSP: the answer is the authority's own, or there
// is none.
func TestRefusedResponder(t *testing.T) {
	o := NewOffice(t)
	ada, now := o.Users[0], time.Now()
	a, other := o.Root.Sub("Nordhafen Badges", now), o.Root.Sub("Nordhafen Doors", now)
	status := ocsp.Good
	answer := func(by *pkixtest.Authority) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
			if err != nil {
				return
			}
			req, err := ocsp.ParseRequest(body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			tmpl := ocsp.Response{Status: status, SerialNumber: req.SerialNumber, ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour), IssuerHash: req.HashAlgorithm}
			if status == ocsp.Revoked {
				tmpl.RevokedAt = time.Now().Add(-time.Hour)
			}
			der, err := ocsp.CreateResponse(by.Cert, by.Cert, tmpl, by.Key)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/ocsp-response")
			w.Write(der)
		}
	}
	o.Trust(a, "badges", "--ocsp", o.Lists.Serve("badges", answer(a)))
	card := o.issueBy(a, P256, ada)
	o.worksFor(ada, card)
	o.Lists.Serve("badges", answer(other))
	o.refused(o.signIn(o.at(o.issueBy(a, P256, ada))), "certificate_list_unavailable", sayUnchecked)
	o.Lists.Serve("badges", answer(a))
	o.worksFor(ada, o.issueBy(a, P256, ada))
	status = ocsp.Revoked
	o.refused(o.signIn(o.at(o.issueBy(a, P256, ada))), "certificate_revoked", sayRevoked)
}

// TestRefusedPerson is about whose a certificate is.
func TestRefusedPerson(t *testing.T) {
	o := NewOffice(t)
	bela, carmen := o.Users[1], o.Users[2] // no administrators: rules that shut those out are not saved
	card := o.issue(P256, bela)
	o.worksFor(bela, card)

	// A name can be given to somebody else; a key cannot.
	both := []any{Binding("PrincipalName", "userPrincipalName", 1, "low"), Binding("SubjectKeyIdentifier", "certificateUserIds", 2, "high")}
	o.Rules(func(c map[string]any) { c["affinity"], c["bindings"] = "high", both })
	o.refused(o.signIn(o.at(card)), "certificate_no_user", sayNobody)
	o.Admin(t, nil, "user", "update", bela.Name, "--certificate-user-id", skiOf(card))
	o.worksFor(bela, card)
	o.Rules(func(c map[string]any) { c["bindings"] = both })

	// Two names in one certificate, of two people; one of them alone is his.
	twice := New(t, P256)
	twice.Put(o.Cards.Leaf(twice.Public, "Two", "", time.Now(), func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{pkixtest.PrincipalNames(t, bela.Name, carmen.Name)}
	}))
	o.refused(o.signIn(o.at(twice)), "certificate_ambiguous", sayNobody)
	twice.renew(o.Cards, bela)
	o.worksFor(bela, twice)

	// The same name is Béla's here and Carmen's on her premises. The first binding
	// decides, and a name that is typed has to be of who that is.
	o.Rules(func(c map[string]any) {
		c["bindings"] = []any{Binding("PrincipalName", "onPremisesUserPrincipalName", 1, "low"), Binding("PrincipalName", "userPrincipalName", 2, "low")}
	})
	shared := o.issue(P256, bela)
	o.worksFor(bela, shared)
	o.Admin(t, nil, "user", "update", carmen.Name, "--on-premises-name", bela.Name)
	o.worksFor(carmen, shared)
	b := o.at(shared)
	o.refused(b.Press(o.signInPage(b), "signin", "signin-certificate", url.Values{"username": {bela.Name}}), "certificate_other_person", sayOther)
}

// TestRefusedTenant shows a card that signs in at one organisation to another
// one, which knows a person of that very name and has an authority of its own.
func TestRefusedTenant(t *testing.T) {
	o := NewOffice(t)
	ada := o.Users[0]
	card := o.issue(P256, ada, Policies(CardPolicy))
	o.worksFor(ada, card)
	other := o.Another("Sund", "sund.example")
	own := pkixtest.Root(t, "Sund Root", time.Now())
	other.Trust(own, "sund", "--crl", o.Lists.Publish("sund", own.CRL(time.Now(), 1)))
	other.Admin(t, nil, "user", "create", "ada@sund.example", "--name", "Ada")
	other.Rules(func(c map[string]any) {
		c["bindings"] = []any{Binding("SubjectKeyIdentifier", "certificateUserIds", 1, "high")}
	})
	other.Admin(t, nil, "user", "update", "ada@sund.example", "--certificate-user-id", skiOf(card))

	b := o.at(card)
	other.refused(other.show(b, b.Open(o.Base+"/"+other.Tenant+"/signin", nil)), "certificate_unknown_issuer", sayUnknown)

	// By Sund's own authority that same key is hers.
	card.renew(own, ada)
	b = o.at(card)
	if p := other.show(b, b.Open(o.Base+"/"+other.Tenant+"/signin", nil)); !strings.HasSuffix(p.URL.Path, "/account") {
		t.Errorf("Sund's own card: %d %s: %s", p.Status, p.URL, p.Words())
	}
	o.refused(o.signIn(o.at(card)), "certificate_unknown_issuer", sayUnknown)
}

// TestSec_CBA09_HeaderIsNoHandshake sends the header of a proxy to a server that
// has none: with no card, and with somebody else's.
func TestSec_CBA09_HeaderIsNoHandshake(t *testing.T) {
	o := NewOffice(t)
	ada, bela := o.Users[0], o.Users[1]
	card := o.issue(P256, ada)
	o.worksFor(ada, card)
	for name, value := range spoofs(card.Cert) {
		b := o.at(nil)
		away := o.show(b, o.signInPage(b), o.TLS)
		got, err := b.try(away.To(), nil, name+": "+value)
		if err != nil {
			t.Fatal(err)
		}
		if query(t, got, "code") != "" {
			t.Errorf("%s: the header is taken for a handshake: %s", name, got.To())
		}
		if got.To() != "" {
			if p := b.Open(got.To(), nil); o.claims(p) != nil {
				t.Errorf("%s: signed in", name)
			}
		}
	}
	// Beside a handshake it changes nothing.
	own := o.issue(P256, bela)
	for name, value := range spoofs(card.Cert) {
		b := o.at(own)
		away := o.show(b, o.signInPage(b), o.TLS)
		got := b.Step(away.To(), nil, name+": "+value)
		if got.To() == "" {
			continue // refused altogether
		}
		if p := b.Open(got.To(), nil); o.claims(p)["preferred_username"] == ada.Name {
			t.Errorf("%s: signed in as who is in the header", name)
		}
	}
}

// TestSec_CBA10_CodeIsForOneBrowser uses what a handshake gave twice, and in
// another browser.
func TestSec_CBA10_CodeIsForOneBrowser(t *testing.T) {
	o := NewOffice(t)
	ada := o.Users[0]
	card := o.issue(P256, ada)

	b := o.at(card)
	back := b.Step(o.show(b, o.signInPage(b), o.TLS).To(), nil)
	if query(t, back, "code") == "" {
		t.Fatalf("no code: %d %s", back.Status, back.Text)
	}
	stranger := o.at(nil)
	if p := stranger.Open(back.To(), nil); o.claims(p) != nil || p.Status < 400 {
		t.Errorf("another browser: %d %s: %s", p.Status, p.URL, p.Words())
	}
	if p := stranger.Open(o.Base+"/account", nil); strings.HasSuffix(p.URL.Path, "/account") {
		t.Error("another browser is signed in")
	}

	b = o.at(card)
	back = b.Step(o.show(b, o.signInPage(b), o.TLS).To(), nil)
	if p := b.Open(back.To(), nil); o.claims(p)["preferred_username"] != ada.Name {
		t.Fatalf("not signed in: %s", p.Words())
	}
	if p := b.Open(back.To(), nil); o.claims(p) != nil {
		t.Errorf("signed in twice with one code: %s", p.URL)
	}

	// The code of one sign-in is none for another one of the same browser.
	b = o.at(card)
	first := b.Step(o.show(b, o.signInPage(b), o.TLS).To(), nil)
	second := b.Step(o.show(b, o.signInPage(b), o.TLS).To(), nil)
	mixed := strings.Replace(second.To(), "code="+query(t, second, "code"), "code="+query(t, first, "code"), 1)
	if p := b.Open(mixed, nil); o.claims(p) != nil {
		t.Errorf("signed in with the code of another sign-in: %s", p.URL)
	}
}

// huge is a list that does not end.
func huge(w http.ResponseWriter, _ *http.Request) {
	// It begins as a list of 4 GiB does.
	w.Write([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xf0})
	block := make([]byte, 1<<20)
	for range 1 << 10 { // 1 GiB
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func plain(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }
}

// listUntil is a list that ends soon.
func listUntil(t *testing.T, a *pkixtest.Authority, end time.Time) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: end,
	}, a.Cert, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
