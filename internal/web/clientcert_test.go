package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/web"
)

func clientCert(t testing.TB, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func sequence(der []byte) string { return ":" + base64.StdEncoding.EncodeToString(der) + ":" }

func asPEM(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestClientCertificates(t *testing.T) {
	ada, issuing, root := clientCert(t, "Ada"), clientCert(t, "Issuing"), clientCert(t, "Root")
	escaped := url.PathEscape(asPEM(ada))
	for name, c := range map[string]struct {
		header string
		h      http.Header
		want   string // common names
	}{
		"RFC 9440":           {"Client-Cert", http.Header{"Client-Cert": {sequence(ada)}}, "Ada"},
		"name in lower case": {"client-cert", http.Header{"Client-Cert": {sequence(ada)}}, "Ada"},
		"with a chain":       {"Client-Cert", http.Header{"Client-Cert": {sequence(ada)}, "Client-Cert-Chain": {sequence(issuing) + ", " + sequence(root)}}, "Ada Issuing Root"},
		"chain in two lines": {"Client-Cert", http.Header{"Client-Cert": {sequence(ada)}, "Client-Cert-Chain": {sequence(issuing), sequence(root)}}, "Ada Issuing Root"},
		"escaped PEM":        {"X-Ssl-Cert", http.Header{"X-Ssl-Cert": {escaped}}, "Ada"},
		"PEM as Client-Cert": {"Client-Cert", http.Header{"Client-Cert": {escaped}}, "Ada"},
		"another's chain":    {"X-Ssl-Cert", http.Header{"X-Ssl-Cert": {sequence(ada)}, "Client-Cert-Chain": {sequence(issuing)}}, "Ada"},
		"none":               {"Client-Cert", http.Header{}, ""},
		"empty":              {"Client-Cert", http.Header{"Client-Cert": {""}}, ""},
		"empty sequence":     {"Client-Cert", http.Header{"Client-Cert": {"::"}}, ""},
		"blank":              {"Client-Cert", http.Header{"Client-Cert": {" "}, "Client-Cert-Chain": {""}}, ""},
	} {
		got, err := web.ClientCertificates(c.h, c.header)
		var names []string
		for _, c := range got {
			names = append(names, c.Subject.CommonName)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: %v, %v, want %s", name, names, err, c.want)
		}
	}
	ten := strings.TrimSuffix(strings.Repeat(sequence(issuing)+",", 10), ",")
	for name, h := range map[string]http.Header{
		"twice":               {"Client-Cert": {sequence(ada), sequence(issuing)}},
		"twice the same":      {"Client-Cert": {sequence(ada), sequence(ada)}},
		"twice, one empty":    {"Client-Cert": {"", sequence(ada)}},
		"a list":              {"Client-Cert": {sequence(ada) + ", " + sequence(issuing)}},
		"a parameter":         {"Client-Cert": {sequence(ada) + ";a=b"}},
		"no end":              {"Client-Cert": {strings.TrimSuffix(sequence(ada), ":")}},
		"base64 alone":        {"Client-Cert": {base64.StdEncoding.EncodeToString(ada)}},
		"no padding":          {"Client-Cert": {":" + base64.RawStdEncoding.EncodeToString(ada[:len(ada)-len(ada)%3-1]) + ":"}},
		"base64url":           {"Client-Cert": {":" + base64.URLEncoding.EncodeToString(append(ada, 0xff, 0xfe, 0xff)) + ":"}},
		"no certificate":      {"Client-Cert": {":aGVsbG8=:"}},
		"something behind":    {"Client-Cert": {sequence(append(append([]byte{}, ada...), 0))}},
		"two in PEM":          {"Client-Cert": {url.PathEscape(asPEM(ada) + asPEM(issuing))}},
		"text before the PEM": {"Client-Cert": {url.PathEscape("x\n" + asPEM(ada))}},
		"a key":               {"Client-Cert": {url.PathEscape(strings.ReplaceAll(asPEM(ada), "CERTIFICATE", "PRIVATE KEY"))}},
		"escaped twice":       {"Client-Cert": {url.PathEscape(url.PathEscape(asPEM(ada)))}},
		"a wrong escape":      {"Client-Cert": {"%zz"}},
		"the chain alone":     {"Client-Cert-Chain": {sequence(ada)}},
		"a broken chain":      {"Client-Cert": {sequence(ada)}, "Client-Cert-Chain": {sequence(issuing) + ", x"}},
		"an empty chain":      {"Client-Cert": {sequence(ada)}, "Client-Cert-Chain": {""}},
		"a long chain":        {"Client-Cert": {sequence(ada)}, "Client-Cert-Chain": {ten}},
	} {
		if got, err := web.ClientCertificates(h, "Client-Cert"); err == nil || got != nil {
			t.Errorf("%s: %d certificates, %v, want an error", name, len(got), err)
		}
	}
}

func TestWithoutFields(t *testing.T) {
	h := http.Header{"Client-Cert": {"a", "b"}, "client_cert": {"c"}, "CLIENT_cert-ChaiN": {""}, "Accept": {"x"}, "Client-Certificate": {"y"}}
	if !web.WithoutFields(h, web.ClientCert, web.ClientCertChain) || len(h) != 2 || h.Get("Accept") != "x" {
		t.Errorf("left are %v", h)
	}
	if web.WithoutFields(h, web.ClientCert) {
		t.Error("found what is gone")
	}
}

// FuzzClientCertificates: whatever a header holds is one certificate at its
// head, or none, or an error, and bounded.
func FuzzClientCertificates(f *testing.F) {
	ada := clientCert(f, "Ada")
	f.Add(sequence(ada), sequence(ada))
	f.Add(url.PathEscape(asPEM(ada)), "")
	f.Add("::", ":")
	f.Add("", ",")
	f.Fuzz(func(t *testing.T, value, chain string) {
		h := http.Header{"Client-Cert": {value}}
		if chain != "" {
			h["Client-Cert-Chain"] = []string{chain}
		}
		got, err := web.ClientCertificates(h, "Client-Cert")
		if err != nil && got != nil || len(got) > 10 {
			t.Errorf("%d certificates, %v", len(got), err)
		}
		if err == nil && len(got) == 0 && strings.Trim(value, " \t\r\n:") != "" {
			t.Errorf("%q is taken for none", value)
		}
	})
}
