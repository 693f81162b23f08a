package mac

import (
	"crypto/x509"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/macagent"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/card"
	"github.com/signetid/signet/test/running"
)

// office is a demo whose Macs take cards.
func office(t *testing.T) *card.Office {
	t.Helper()
	o := card.NewOffice(t)
	for _, s := range [][2]string{{"devices.on", "true"}, {"method.platform", "true"}, {"macs.method", "SmartCard"}} {
		o.Admin(t, nil, "policy", "set", s[0], s[1])
	}
	return o
}

// issue makes a card for somebody.
func issue(t *testing.T, o *card.Office, kind card.Kind, user running.User, changes ...pkixtest.Change) *macagent.Card {
	t.Helper()
	c := card.New(t, kind)
	c.Put(o.Cards.Leaf(c.Public, user.Show, user.Name, time.Now(), changes...))
	return &macagent.Card{Key: c.Signer(), Chain: []*x509.Certificate{c.Cert}}
}

// insert is a stand-in with a card in its reader, registered by the pass of the
// card's owner.
func insert(t *testing.T, o *card.Office, user running.User, c *macagent.Card, form macagent.Form) *macagent.Mac {
	t.Helper()
	m, err := macagent.New(macagent.Config{Folder: filepath.Join(t.TempDir(), "mac"), Now: time.Now, Form: form, Card: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Configure(t.Context(), o.Base, o.Tenant, nil); err != nil {
		t.Fatal(err)
	}
	who, err := m.SignIn(t.Context(), agent.AccessPass{User: user.Name, Pass: user.Pass}, user.Name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Register(t.Context(), macagent.RegisterOptions{Name: "Stand-in", OS: "none", AccessToken: who.AccessToken}); err != nil {
		t.Fatal(err)
	}
	if p, err := m.RegisterUser(t.Context(), who.AccessToken); err != nil || p.User != user.Name || p.Method != "SmartCard" || p.Credential != "" {
		t.Fatalf("%+v, %v", p, err)
	}
	return m
}

// Each kind of card, by each algorithm that its key can do, with its certificate
// in an array and as a string (apple-platform-sso.md §6.3).
func TestSmartCard(t *testing.T) {
	t.Parallel()
	o := office(t)
	ada, bob := o.Users[0], o.Users[1]
	multi := card.Policies(card.CardPolicy)
	rsa := issue(t, o, card.RSA, ada, multi)
	m := insert(t, o, ada, rsa, macagent.Form{})
	for _, alg := range []string{"RS256", "RS384", "RS512"} {
		rsa.Alg = alg
		signsIn(t, m, ada, alg)
	}
	p256 := issue(t, o, card.P256, bob, multi)
	ec := insert(t, o, bob, p256, macagent.Form{X5C: "string", Old: true, TextTime: true})
	signsIn(t, ec, bob, "ES256")
	if v, err := ec.Open(t.Context(), o.App+"/login"); err != nil || len(v.Claims) == 0 || !v.Signed {
		t.Errorf("the app by a card: %+v, %v", v, err)
	}

	// A card that is revoked is worth nothing from then on, and another's never
	// was.
	rsa.Alg = ""
	own := *rsa
	*rsa = *p256
	if _, err := m.Login(t.Context(), macagent.LoginOptions{}); macagent.AsRefusal(err).Status != http.StatusUnauthorized {
		t.Errorf("the card of somebody else: %v", err)
	}
	*rsa = own
	signsIn(t, m, ada, "RS256")
	o.Lists.Publish("cards", o.Cards.CRL(time.Now(), 2, own.Chain[0].SerialNumber))
	o.Refresh("cards")
	if _, err := m.Login(t.Context(), macagent.LoginOptions{}); macagent.AsRefusal(err).Status != http.StatusUnauthorized {
		t.Errorf("a revoked card: %v", err)
	}
	signsIn(t, ec, bob, "ES256")
}

// signsIn logs in and refreshes, as Macs with cards do.
func signsIn(t *testing.T, m *macagent.Mac, user running.User, alg string) {
	t.Helper()
	got, err := m.Login(t.Context(), macagent.LoginOptions{})
	if err != nil || got.User != user.Name {
		t.Fatalf("%s: %+v, %v", alg, got, err)
	}
	if got, err = m.Refresh(t.Context()); err != nil || got.User != user.Name {
		t.Errorf("%s, refreshed: %+v, %v", alg, got, err)
	}
}

// Cards that are not what they must be, each for one reason.
func TestWeakCards(t *testing.T) {
	t.Parallel()
	o := office(t)
	ada := o.Users[0]
	good := issue(t, o, card.RSA, ada, card.Policies(card.CardPolicy))
	m := insert(t, o, ada, good, macagent.Form{})
	signsIn(t, m, ada, "RS256")

	stranger := pkixtest.Root(t, "Elsewhere", time.Now())
	c := card.New(t, card.P256)
	c.Put(stranger.Leaf(c.Public, ada.Show, ada.Name, time.Now(), card.Policies(card.CardPolicy)))
	all := map[string]*macagent.Card{"an unknown authority": {Key: c.Signer(), Chain: []*x509.Certificate{c.Cert}}}
	late := issue(t, o, card.P256, ada, card.Policies(card.CardPolicy), func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	all["a certificate that is over"] = late
	swapped := *good
	swapped.Key = c.Signer() // which is not the certificate's
	all["another key"] = &swapped
	for name, bad := range all {
		was := *good
		*good = *bad
		if _, err := m.Login(t.Context(), macagent.LoginOptions{}); macagent.AsRefusal(err).Status != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
		*good = was
	}
	signsIn(t, m, ada, "RS256")
}
