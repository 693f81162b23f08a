package card

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/running"
)

// issue makes a card for a person of the demo.
func (o *Office) issue(kind Kind, user running.User, changes ...pkixtest.Change) *Card {
	o.t.Helper()
	return o.issueBy(o.Cards, kind, user, changes...)
}

func (o *Office) issueBy(a *pkixtest.Authority, kind Kind, user running.User, changes ...pkixtest.Change) *Card {
	o.t.Helper()
	c := New(o.t, kind)
	c.Put(a.Leaf(c.Public, user.Show, user.Name, time.Now(), changes...))
	return c
}

// renew gives a card another certificate for its key.
func (c *Card) renew(a *pkixtest.Authority, user running.User, changes ...pkixtest.Change) {
	c.t.Helper()
	c.tool("--delete-object", "--type", "cert")
	c.Put(a.Leaf(c.Public, user.Show, user.Name, time.Now(), changes...))
}

// at is a browser with a card in its reader.
func (o *Office) at(c *Card) *Browser {
	b := NewBrowser(o.t, o.CAFile)
	b.Card = c
	return b
}

// signInPage goes from the application to the sign-in page.
func (o *Office) signInPage(b *Browser) Page {
	o.t.Helper()
	return b.Open(o.App+"/login?prompt=login", nil)
}

// show chooses the certificate on a sign-in page, and comes to wherever that
// leads.
func (o *Office) show(b *Browser, p Page, stops ...string) Page {
	o.t.Helper()
	return b.Press(p, "signin", "signin-certificate", nil, stops...)
}

// signIn goes from the application through the handshake to wherever that leads.
func (o *Office) signIn(b *Browser) Page {
	o.t.Helper()
	return o.show(b, o.signInPage(b))
}

// claims are what the application was told; nil when it was told nothing.
func (o *Office) claims(p Page) map[string]any {
	o.t.Helper()
	found := regexp.MustCompile(`(?s)<pre[^>]*data-claims[^>]*>(.*?)</pre>`).FindStringSubmatch(p.Text)
	if found == nil || !strings.HasPrefix(p.URL.String(), o.App) {
		return nil
	}
	var c map[string]any
	if err := json.Unmarshal([]byte(html.UnescapeString(found[1])), &c); err != nil {
		o.t.Fatalf("claims %q: %v", found[1], err)
	}
	return c
}

// worksFor fails the test when a card does not sign its owner in.
func (o *Office) worksFor(user running.User, c *Card) {
	o.t.Helper()
	if p := o.signIn(o.at(c)); o.claims(p)["preferred_username"] != user.Name {
		o.t.Errorf("the card of %s does not sign in: %d %s: %s", user.Name, p.Status, p.URL, p.Words())
	}
}

// record is a sign-in as the audit has it.
type record struct {
	Category, Activity, Outcome, Reason, Rule, Method string
	UserName                                          string
	Code                                              int
	Detail                                            map[string]string
}

// latest are the latest sign-ins, newest first.
func (o *Office) latest(count string) (out []record) {
	o.t.Helper()
	o.Admin(o.t, &out, "audit", "--category", "signin", "--limit", count)
	return out
}

// refused fails the test unless the page says why somebody did not get in, in
// words and with other ways to sign in, and the record has that reason.
func (o *Office) refused(p Page, reason, words string) {
	o.t.Helper()
	if c := o.claims(p); c != nil {
		o.t.Fatalf("%s: signed in: %v", reason, c)
	}
	if !strings.Contains(p.Words(), words) {
		o.t.Errorf("%s: the page (%d %s) does not say %q: %s", reason, p.Status, p.URL, words, p.Words())
	}
	if _, _, _, ok := p.Button("signin-passkey"); !ok {
		o.t.Errorf("%s: the page has no other way: %s", reason, p.Words())
	}
	all := o.latest("1")
	if len(all) != 1 || all[0].Outcome != "failure" || all[0].Reason != reason || all[0].Method != "certificate" {
		o.t.Errorf("%s: the record is %+v", reason, all)
	}
}

// skiOf is a value of certificateUserIds that names a card's key.
func skiOf(c *Card) string { return "X509:<SKI>" + pkix.KeyID(c.Cert) }

// query reads one value of the address that a page leads to.
func query(t *testing.T, p Page, name string) string {
	t.Helper()
	to, err := url.Parse(p.To())
	if err != nil {
		t.Fatal(err)
	}
	return to.Query().Get(name)
}

// in is the office for a test in the test.
func (o *Office) in(t *testing.T) *Office {
	c := *o
	c.t = t
	return &c
}

// keyOf is an authority's key identifier, as rules name it.
func keyOf(a *pkixtest.Authority) string { return pkix.KeyID(a.Cert) }

// spoofs are the headers in which proxies send certificates.
func spoofs(c *x509.Certificate) map[string]string {
	text := string(pkixtest.PEM(c))
	return map[string]string{
		"Client-Cert":             ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":",
		"X-SSL-Client-Cert":       url.QueryEscape(text),
		"X-Forwarded-Client-Cert": `Cert="` + url.QueryEscape(text) + `"`,
		"X-ARR-ClientCert":        base64.StdEncoding.EncodeToString(c.Raw),
		"Client-Certificate":      ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":",
	}
}
