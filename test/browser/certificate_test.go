package browser

import (
	"crypto"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
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
