package browser

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/running"
)

// badgeOffice is somebody's PKI: a root, the CA of badges below it, and where that
// one's list is fetched.
type badgeOffice struct {
	root, card *pkixtest.Authority
	list       *httptest.Server
	down       atomic.Bool
	dir        string
	t          *testing.T
}

// cardPolicy is the policy that the CA writes into what it puts on cards.
const cardPolicy = "1.3.6.1.4.1.99999.1.2"

func newBadgeOffice(t *testing.T) *badgeOffice {
	t.Helper()
	o := &badgeOffice{dir: t.TempDir(), t: t}
	now := time.Now()
	named := func(c *x509.Certificate) {
		oid, err := x509.ParseOID(cardPolicy)
		if err != nil {
			t.Fatal(err)
		}
		c.Policies = append(c.Policies, oid)
	}
	o.root = pkixtest.Root(t, "Nordhafen Root", now)
	o.card = o.root.Sub("Nordhafen Card CA 2", now, named)
	o.list = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by := o.card
		if strings.HasPrefix(r.URL.Path, "/root") {
			by = o.root
		}
		if o.down.Load() {
			http.Error(w, "closed for repairs", http.StatusServiceUnavailable)
			return
		}
		w.Write(by.CRL(time.Now(), 7))
	}))
	t.Cleanup(o.list.Close)
	return o
}

// badge is a certificate of somebody's, with the policy of cards.
func (o *badgeOffice) badge(upn string) *x509.Certificate {
	return o.card.Leaf(pkixtest.ECKey(o.t).Public(), upn, upn, time.Now(), func(c *x509.Certificate) {
		oid, err := x509.ParseOID(cardPolicy)
		if err != nil {
			o.t.Fatal(err)
		}
		c.Policies = append(c.Policies, oid)
		c.CRLDistributionPoints = []string{o.list.URL + "/card.crl"}
	})
}

// file writes certificates into a file, and gives its name.
func (o *badgeOffice) file(name string, certs ...*x509.Certificate) string {
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, pkixtest.PEM(certs...), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// choose puts files into the form of a page.
func (p *Person) choose(files ...string) {
	p.t.Helper()
	p.do("choose files", chromedp.SetUploadFiles(chromedp.CSS("#file"), files))
}

// TestConsoleCertificates is an administrator's first day with badges: the CAs
// come in after a look at them, a list is fetched, the rules say what a card is
// worth, and the tester says whom a badge would sign in.
func TestConsoleCertificates(t *testing.T) {
	o := newBadgeOffice(t)
	d := running.StartDemo(t, "--crl-private-host", strings.TrimPrefix(o.list.URL, "http://"))
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	ben := d.Users[1]

	p.Open(d.Base + "/admin/certificates")
	p.told("No CA is trusted yet")
	p.Pictures("admin-certificates-empty")
	p.Click(".empty a")
	p.See("#upload")
	p.Pictures("admin-certificates-add")
	p.Press("look")
	p.told("There is nothing to look at.")
	p.choose(o.file("ca.pem", o.root.Cert, o.card.Cert), o.file("badge.pem", o.badge(ben.Name)))
	p.Press("look")
	p.told("3 certificates in what you sent")
	p.told("Cannot be added.")
	p.Pictures("admin-certificates-preview")
	p.Press("take-in")
	p.told("What they issue counts from now on.")
	p.Pictures("admin-certificates")

	p.Click(`[data-ca="Nordhafen Card CA 2"] th a`)
	p.See("#crl")
	p.Retype("crl", "ftp://pki.example/card.crl")
	p.Press("save-authority")
	p.See("#crl-err")
	p.Pictures("admin-certificate-wrong", "#c-edit")
	p.Retype("crl", o.list.URL+"/card.crl")
	p.Press("save-authority")
	p.told("It holds from the next sign-in on.")
	p.Press("fetch")
	p.told("The list was fetched.")
	p.told("Good until")
	p.Pictures("admin-certificate")
	o.down.Store(true)
	p.Press("fetch")
	p.told("went wrong")
	p.Pictures("admin-certificate-failed")
	o.down.Store(false)
	p.Press("remove-authority")
	p.told("Nobody was seen with a certificate below it.")
	p.Pictures("admin-certificate-remove")
	p.Press("confirm")
	p.told("It can be put back until")
	p.Pictures("admin-certificates-removed")
	p.Press("restore")
	p.told("It counts again, as it was set.")

	p.Open(d.Base + "/admin/methods/certificate")
	p.told("The first line that finds one person decides.")
	p.Pictures("admin-cert-rules")
	p.Click(`label:has(> [name=on])`)
	p.Click("#who-include summary")
	p.Click(`#who-include label:has([value=all])`)
	p.Click("#add-binding")
	p.Until("another row", `document.querySelectorAll("[name='binding.field']").length === 2`)
	p.pick("binding.field", 1, "SubjectKeyIdentifier")
	p.pick("binding.property", 1, "certificateUserIds")
	p.pick("binding.affinity", 1, "high")
	p.Click("#add-level")
	p.Until("a rule", `document.querySelectorAll("[name='level.issuer']").length === 1`)
	p.worked("This cannot be saved as it stands")
	p.Pictures("admin-cert-rules-wrong", "#s-levels")
	p.pick("level.issuer", 0, "")
	p.Type("level.policy", cardPolicy)
	p.pick("level.mode", 0, "x509CertificateMultiFactor")
	p.worked("Nobody loses a key")
	p.Pictures("admin-cert-rules-bindings", "#s-bindings")
	p.Pictures("admin-cert-rules-levels", "#s-levels")
	p.Click(`#s-revoked ~ * label:has([name=unchecked]), section[aria-labelledby=s-revoked] label:has([name=unchecked])`)
	p.told("a lost badge could not be taken back")
	p.Pictures("admin-cert-rules-unchecked", "#s-revoked")
	p.Press("save")
	p.told("Save, although it opens something?")
	p.Pictures("admin-cert-rules-ask")
	p.Press("confirm")
	p.told("It holds from the next sign-in on.")
	p.Open(d.Base + "/admin/methods")
	p.told("2 bindings")
	p.told("1 CA that nobody checks")

	p.Open(d.Base + "/admin/certificates/test")
	p.Pictures("admin-cert-test")
	p.choose(o.file("ben.pem", o.badge(ben.Name)))
	p.Press("test-certificate")
	p.told("Would sign in as " + ben.Show + ", counts as multifactor.")
	p.Pictures("admin-cert-test-good")
	p.choose(o.file("stranger.pem", o.badge("nobody@nordhafen.example")))
	p.Press("test-certificate")
	p.told("Would not sign anybody in. It is nobody’s here")
	p.told("Nobody has it.")
	p.Pictures("admin-cert-test-bad")
	p.Click(".answer details:has(.fits) summary")
	p.reads("the ids that fit", "X509:<SKI>", "X509:<PN>nobody@nordhafen.example")
	p.Pictures("admin-cert-test-ids", ".answer details:has(.fits)")

	person := d.Base + "/admin/people/" + ben.ID
	p.Open(person)
	p.Type("add", "X509:<SKI>0F1E")
	p.Press("add-certid")
	p.see509("#certid-err", "lower-case hex")
	p.Pictures("admin-cert-person-wrong", "#b-cert")
	p.Retype("add", "X509:<SKI>0f1e2d3c4b5a69788796")
	p.Press("add-certid")
	p.told("It holds from the next sign-in on.")
	p.Type("onPremises", "ben@corp.local")
	p.Press("set-onpremises")
	p.told("It holds from the next sign-in on.")
	p.Pictures("admin-cert-person", "#b-cert")
	p.Press("drop-certid")
	p.told("No certificate id is set.")

	p.Open(d.Base + "/admin/strengths/new")
	p.Type("name", "Badges")
	p.Click(`label:has(> [name=combo][value=x509CertificateMultiFactor])`)
	p.Click(`label:has(> [name=issuer])`)
	p.Type("oids", cardPolicy)
	p.Until("what was typed is worked out", `!document.querySelector("[data-busy]") && document.querySelector("#savebar b").textContent.startsWith("4")`)
	p.Pictures("admin-cert-strength", "#s-certs")
	p.Press("save")
	p.told("It holds from the next sign-in on.")
	p.Open(d.Base + "/admin/strengths")
	p.told(cardPolicy)
	p.Open(d.Base + "/admin/certificates")
	one := Eval[string](p, `document.querySelector("tbody th a").pathname`)
	for _, path := range []string{"/admin/certificates", "/admin/certificates/add", "/admin/certificates/test", one, "/admin/methods/certificate", "/admin/people/" + ben.ID} {
		p.Open(d.Base + path)
		p.Look("light", 320, 700)
		if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
			t.Errorf("%s at 320 px is %v px too wide", path, over)
		}
	}
}

// TestConsoleCertificatesWithoutScript: CAs come in, a rule is made and a
// certificate is tried by plain buttons.
func TestConsoleCertificatesWithoutScript(t *testing.T) {
	o := newBadgeOffice(t)
	d := running.StartDemo(t, "--crl-private-host", strings.TrimPrefix(o.list.URL, "http://"))
	p := NewPerson(t, Chromium(t))
	p.Console(d)
	p.scripts(false)
	p.Open(d.Base + "/admin/certificates/add")
	p.choose(o.file("ca.pem", o.root.Cert, o.card.Cert))
	p.Press("look")
	p.See(".offers")
	p.plain("2 certificates in what you sent", "Nordhafen Root", "Nordhafen Card CA 2")
	for i, path := range []string{"/root.crl", "/card.crl"} {
		p.do("the address of a list", chromedp.SendKeys(chromedp.CSS(fmt.Sprintf("#crl-%d", i)), o.list.URL+path))
	}
	p.Press("take-in")
	p.See(".said")
	p.plain("What they issue counts from now on.", "Good until")

	p.Open(d.Base + "/admin/methods/certificate")
	p.Click(`label:has(> [name=on])`)
	p.Click("#who-include summary")
	p.Click(`#who-include label:has([value=all])`)
	p.Click("#add-level")
	p.See(`[name="level.policy"]`)
	p.Type("level.policy", cardPolicy)
	p.Press("save")
	p.See(".said")
	p.plain("It holds from the next sign-in on.")

	p.Open(d.Base + "/admin/certificates/test")
	p.choose(o.file("ben.pem", o.badge(d.Users[1].Name)))
	p.Press("test-certificate")
	p.See("#answer")
	p.plain("Would sign in as "+d.Users[1].Show+", counts as multifactor.", "is not on the list of Nordhafen Root")
}

// see509 waits for an element that says something.
func (p *Person) see509(css, text string) {
	p.t.Helper()
	if got := p.Read(css); !strings.Contains(got, text) {
		p.t.Errorf("%s says %q, not %q", css, got, text)
	}
}

// pick chooses in the nth select of a name.
func (p *Person) pick(name string, n int, value string) {
	p.t.Helper()
	Eval[bool](p, fmt.Sprintf(`(() => { const s = document.querySelectorAll("[name='%s']")[%d]; s.value = %q; s.dispatchEvent(new Event("change", {bubbles: true})); return s.value === %q; })()`, name, n, value, value))
}
