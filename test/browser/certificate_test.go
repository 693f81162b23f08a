package browser

import (
	"crypto"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/card"
)

// Chromium shows a certificate by itself where an administrator's policy says
// so, to a server that is not ours, in both versions of TLS and with both kinds
// of key. What fails here is not Signet's fault.
func TestBadgeIsShown(t *testing.T) {
	root := pkixtest.Root(t, "Tools", time.Now())
	for _, c := range []struct {
		name    string
		key     crypto.Signer
		version uint16
	}{{"rsa", pkixtest.RSAKey(t), tls.VersionTLS12}, {"p256", pkixtest.ECKey(t), tls.VersionTLS13}} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name := "none"
			if certs := r.TLS.PeerCertificates; len(certs) > 0 {
				name = certs[0].Subject.CommonName
			}
			w.Write([]byte("<p id=said>" + name + tls.VersionName(r.TLS.Version)))
		}))
		srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: c.version, MaxVersion: c.version}
		srv.StartTLS()
		defer srv.Close()
		ca := filepath.Join(t.TempDir(), "server.pem")
		if err := os.WriteFile(ca, pkixtest.PEM(srv.Certificate()), 0o600); err != nil {
			t.Fatal(err)
		}
		p := NewPerson(t, ChromiumWith(t, srv.URL, ca, Badge{root.Leaf(c.key.Public(), c.name, "", time.Now()), c.key}))
		p.Open(srv.URL)
		if got, want := strings.TrimSpace(p.Read("#said")), c.name+tls.VersionName(c.version); got != want {
			t.Errorf("the server saw %q, want %q", got, want)
		}
	}
}

// TestCertificate signs in to the application with a certificate that the
// computer holds, of either kind of key.
func TestCertificate(t *testing.T) {
	o := card.NewOffice(t)
	for n, key := range []crypto.Signer{pkixtest.ECKey(t), pkixtest.RSAKey(t)} {
		u := o.Users[n]
		cert := o.Cards.Leaf(key.Public(), u.Show, u.Name, time.Now(), card.Policies(card.CardPolicy))
		p := NewPerson(t, ChromiumWith(t, o.TLS, o.CAFile, Badge{cert, key}))
		p.Open(o.App)
		p.Press("login")
		p.Press("other-ways")
		p.Pictures("signin-certificate-way")
		p.Press("signin-certificate")
		c := p.Claims()
		if amr, _ := c["amr"].([]any); c["preferred_username"] != u.Name || !slices.Contains(amr, any("mfa")) {
			t.Errorf("claims of %s: %v", u.Name, c)
		}
		// Signed out, this browser is known to come by certificate: its button
		// is the first.
		p.Leave(o.Demo)
		p.Open(o.App)
		p.Press("login")
		p.See(`.ways [data-action="signin-certificate"]`)
		p.Pictures("signin-certificate-known")
		p.Press("signin-certificate")
		if c := p.Claims(); c["preferred_username"] != u.Name {
			t.Errorf("the second time, claims of %s: %v", u.Name, c)
		}
	}
}

// TestCertificateRevoked comes with a certificate that was taken back: the page
// says so, and another way from there leads on.
func TestCertificateRevoked(t *testing.T) {
	o := card.NewOffice(t)
	u, key, now := o.Users[1], pkixtest.ECKey(t), time.Now()
	cert := o.Cards.Leaf(key.Public(), u.Show, u.Name, now, card.Policies(card.CardPolicy))
	o.Lists.Publish("cards", o.Cards.CRL(now, 2, cert.SerialNumber))
	o.Refresh("cards")
	p := NewPerson(t, ChromiumWith(t, o.TLS, o.CAFile, Badge{cert, key}))
	p.Open(o.App)
	p.Press("login")
	p.Press("other-ways")
	p.Press("signin-certificate")
	p.See("#problem")
	p.reads("why not", "Your badge was taken back on")
	p.Pictures("signin-certificate-revoked")
	p.Click("#problem details.more summary")
	p.reads("what is known of the certificate", u.Show)
	p.Pictures("signin-certificate-revoked-details")
	p.Look("light", 320, 700)
	if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		t.Errorf("the refusal at 320 px is %v px too wide", over)
	}
	p.Look("light", 1280, 800)

	// Without leaving the page: the pass, a passkey, the application.
	p.Type("username", u.Name)
	p.Type("access_pass", u.Pass)
	p.Press("signin-access-pass")
	p.Register()
	p.Press("signin-passkey")
	if c := p.Claims(); c["preferred_username"] != u.Name {
		t.Errorf("claims: %v", c)
	}
}

// TestCertificateByKeyboard signs in without a mouse, and looks at every page on
// which the certificate stands afterwards: the account, the person and the log.
func TestCertificateByKeyboard(t *testing.T) {
	o := card.NewOffice(t)
	u, key, now := o.Users[1], pkixtest.ECKey(t), time.Now()
	cert := o.Cards.Leaf(key.Public(), u.Show, u.Name, now, card.Policies(card.CardPolicy))
	p := NewPerson(t, ChromiumWith(t, o.TLS, o.CAFile, Badge{cert, key}))
	p.Open(o.App)
	p.Press("login")
	p.See(`[data-action="other-ways"]`)
	p.tabTo("other-ways")
	p.Strike("\r")
	p.tabTo("signin-certificate")
	p.Strike("\r")
	if c := p.Claims(); c["preferred_username"] != u.Name {
		t.Errorf("claims: %v", c)
	}
	p.Open(o.Base + "/account")
	p.reads("the account", "Certificate “"+u.Show)
	p.Pictures("account-certificate")
	p.narrow(o.Base + "/account")

	admin := NewPerson(t, Chromium(t))
	admin.Console(o.Demo)
	admin.Open(o.Base + "/admin/people/" + u.ID)
	admin.Pictures("admin-person-certificate", "#b-cert")
	admin.Open(o.Base + "/admin/log")
	admin.Pictures("admin-log-certificate")
	admin.Open(o.Base + "/admin/log?person=" + u.ID)
	one := Eval[string](admin, `document.querySelector('tbody th a').href`)
	admin.Open(one)
	admin.reads("the entry", "O=Nordhafen,CN="+u.Show, "They proved themselves with the certificate "+u.Show, "This counts as multifactor and phishing-resistant. Nothing in a certificate proves where its key is.")
	admin.Pictures("admin-log-certificate-one")
	admin.narrow(one)
}

// tabTo presses the tabulator until what has the data-action has the focus.
func (p *Person) tabTo(action string) {
	p.t.Helper()
	for range 60 {
		if Eval[bool](p, `document.activeElement?.dataset?.action === "`+action+`"`) {
			return
		}
		p.Strike("\t")
	}
	p.t.Fatalf("the tabulator does not come to %s", action)
}

// narrow opens a page in a window of 320 px, which it must fit into.
func (p *Person) narrow(url string) {
	p.t.Helper()
	p.Open(url)
	p.Look("light", 320, 700)
	if over := Eval[float64](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
		p.t.Errorf("%s at 320 px is %v px too wide", url, over)
	}
	p.Look("light", 1280, 800)
}
