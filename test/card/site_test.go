package card

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/running"
)

// The policies that a card's issuer asserts: what an administrator believes of
// them is in rules.
const (
	softPolicy = "1.3.6.1.4.1.99999.1.1" // a key somewhere
	cardPolicy = "1.3.6.1.4.1.99999.1.2" // a card with a PIN
)

// office is a running demo whose organisation has an authority of its own, and
// cards from it.
type office struct {
	*running.Demo
	t     *testing.T
	lists *Lists
	root  *pkixtest.Authority // its list is at "root"
	cards *pkixtest.Authority // the one that issues; its list is at "cards"
	ids   map[string]string   // of authorities in the trust store, by name
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, Demo: running.StartDemo(t, "--certificate-private-lists"), lists: NewLists(t), ids: map[string]string{}}
	now := time.Now()
	o.root = pkixtest.Root(t, "Nordhafen Root", now)
	o.cards = o.root.Sub("Nordhafen Cards", now, policies("2.5.29.32.0"))
	o.trust(o.root, "root", "--crl", o.lists.Publish("root", o.root.CRL(now, 1)))
	o.trust(o.cards, "cards", "--crl", o.lists.Publish("cards", o.cards.CRL(now, 1)))
	o.rules(nil)
	return o
}

// trust adds an authority to the trust store, and waits for its list.
func (o *office) trust(a *pkixtest.Authority, name string, flags ...string) {
	o.t.Helper()
	file := filepath.Join(o.t.TempDir(), name+".pem")
	if err := os.WriteFile(file, pkixtest.PEM(a.Cert), 0o600); err != nil {
		o.t.Fatal(err)
	}
	var added []struct{ ID string }
	o.Admin(o.t, &added, append([]string{"cert-authority", "add", file}, flags...)...)
	if len(added) != 1 || added[0].ID == "" {
		o.t.Fatalf("%s: added %+v", name, added)
	}
	o.ids[name] = added[0].ID
}

// rules saves the policies of a demo with certificates switched on, after a
// change of the part about certificates.
func (o *office) rules(change func(certificate map[string]any)) {
	o.t.Helper()
	certificate := map[string]any{
		"bindings": []any{binding("PrincipalName", "userPrincipalName", 1, "low")},
		"levels":   []any{map[string]any{"policy": cardPolicy, "mode": "x509CertificateMultiFactor", "affinity": "low"}},
	}
	if change != nil {
		change(certificate)
	}
	on := map[string]any{"on": true, "include": []any{map[string]any{"all": true}}}
	whole := map[string]any{
		"methods":     map[string]any{"certificate": on, "passkey": on, "accessPass": on, "phone": on},
		"certificate": certificate,
	}
	text, err := json.Marshal(whole)
	if err != nil {
		o.t.Fatal(err)
	}
	file := filepath.Join(o.t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	o.Admin(o.t, nil, "policy", "apply", file, "--yes")
}

func binding(field, property string, priority int, affinity string) map[string]any {
	return map[string]any{"field": field, "property": property, "priority": priority, "affinity": affinity}
}

// policies is a change that asserts certificate policies.
func policies(ids ...string) pkixtest.Change {
	return func(c *x509.Certificate) {
		for _, id := range ids {
			oid, err := x509.ParseOID(id)
			if err != nil {
				panic(err)
			}
			c.Policies = append(c.Policies, oid)
		}
	}
}

// issue makes a card for a person of the demo.
func (o *office) issue(kind Kind, user running.User, changes ...pkixtest.Change) *Card {
	o.t.Helper()
	return o.issueBy(o.cards, kind, user, changes...)
}

func (o *office) issueBy(a *pkixtest.Authority, kind Kind, user running.User, changes ...pkixtest.Change) *Card {
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
func (o *office) at(c *Card) *Browser {
	b := NewBrowser(o.t, o.CAFile)
	b.Card = c
	return b
}

// signInPage goes from the application to the sign-in page.
func (o *office) signInPage(b *Browser) Page {
	o.t.Helper()
	return b.Open(o.App+"/login?prompt=login", nil)
}

// show chooses the certificate on a sign-in page, and comes to wherever that
// leads.
func (o *office) show(b *Browser, p Page, stops ...string) Page {
	o.t.Helper()
	return b.Press(p, "signin", "signin-certificate", nil, stops...)
}

// signIn goes from the application through the handshake to wherever that leads.
func (o *office) signIn(b *Browser) Page {
	o.t.Helper()
	return o.show(b, o.signInPage(b))
}

// claims are what the application was told; nil when it was told nothing.
func (o *office) claims(p Page) map[string]any {
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
func (o *office) worksFor(user running.User, c *Card) {
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
func (o *office) latest(count string) (out []record) {
	o.t.Helper()
	o.Admin(o.t, &out, "audit", "--category", "signin", "--limit", count)
	return out
}

// refused fails the test unless the page says why somebody did not get in, in
// words and with other ways to sign in, and the record has that reason.
func (o *office) refused(p Page, reason, words string) {
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

// refresh fetches the lists of an authority now, and says nothing of how that
// went: a sign-in does.
func (o *office) refresh(name string) {
	o.t.Helper()
	cmd := exec.Command(o.Binary, "admin", "cert-authority", "refresh", o.ids[name], "--data", o.Data)
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Logf("refresh of %s: %s", name, out)
	}
}

// in is the office for a test in the test.
func (o *office) in(t *testing.T) *office {
	c := *o
	c.t = t
	return &c
}

// tenant is another organisation on the same server, without people.
func (o *office) tenant(name, domain string) *office {
	o.t.Helper()
	var made struct{ ID string }
	o.Admin(o.t, &made, "tenant", "create", name, "--domain", domain)
	d := *o.Demo
	d.Tenant = made.ID
	return &office{t: o.t, Demo: &d, lists: o.lists, ids: map[string]string{}}
}

// Admin is the demo's, in this organisation.
func (o *office) Admin(t *testing.T, into any, args ...string) {
	t.Helper()
	o.Demo.Admin(t, into, append(args, "--tenant", o.Tenant)...)
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
