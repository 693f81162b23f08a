package card

import (
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

// The tools by themselves, against a server that is not ours: what fails here is
// not Signet's fault.
func TestTools(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Certificate", "none")
		if certs := r.TLS.PeerCertificates; len(certs) > 0 {
			w.Header().Set("Certificate", certs[0].Subject.CommonName)
		}
	}))
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	srv.StartTLS()
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "server.pem")
	if err := os.WriteFile(ca, pkixtest.PEM(srv.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	root := pkixtest.Root(t, "Tools", time.Now())
	for _, kind := range []Kind{RSA, P256} {
		c := New(t, kind)
		c.Put(root.Leaf(c.Public, string(kind), "", time.Now()))
		for _, version := range []string{"1.2", "1.3"} {
			b := NewBrowser(t, ca)
			b.TLS = version
			if got := b.Step(srv.URL, nil); got.Header.Get("Certificate") != "none" {
				t.Errorf("without a card the server sees %v", got.Header)
			}
			b.Card = c
			if got := b.Step(srv.URL, nil); got.Header.Get("Certificate") != string(kind) {
				t.Errorf("%s, TLS %s: the server sees %v", kind, version, got.Header)
			}
			if len(b.Handshakes) != 2 || !strings.Contains(b.Handshakes[1], "SSL connection using TLSv"+version+" ") {
				t.Errorf("%s, TLS %s: handshakes %q", kind, version, b.Handshakes)
			}
		}
	}
}
