package app_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
)

func withTLS(c *app.Config) { c.ListenTLS = "127.0.0.1:0" }

// trusting is what a device on this machine trusts.
func trusting(t *testing.T, s *site) *tls.Config {
	t.Helper()
	text, err := os.ReadFile(s.LocalCA())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		t.Fatal("no certificate in the file of the local authority")
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// selfMade is a client certificate that nobody here issued.
func selfMade(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func get(t *testing.T, conf *tls.Config, address string) *http.Response {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}}
	res, err := c.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res
}

func TestTLSListener(t *testing.T) {
	s := newSite(t, withTLS)
	if !strings.HasPrefix(s.TLSBaseURL(), "https://localhost:") || s.TLSBaseURL() == s.BaseURL() {
		t.Fatalf("TLS base URL %q", s.TLSBaseURL())
	}
	discovery := "/" + s.made.TenantID + "/v2.0/.well-known/openid-configuration"
	for name, conf := range map[string]*tls.Config{"no certificate": trusting(t, s), "a stranger's": trusting(t, s)} {
		if name != "no certificate" {
			conf.Certificates = []tls.Certificate{selfMade(t)}
		}
		// The same house as on the other listener, by HTTP/1.1, once a connection.
		res := get(t, conf, s.TLSBaseURL()+discovery)
		if res.StatusCode != http.StatusOK || res.ProtoMajor != 1 || !res.Close {
			t.Errorf("%s: %d, %s, close %v", name, res.StatusCode, res.Proto, res.Close)
		}
	}
	res, err := http.Get(s.BaseURL() + discovery)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct {
		Issuer   string            `json:"issuer"`
		WithCert map[string]string `json:"mtls_endpoint_aliases"`
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || doc.Issuer != s.made.Issuer ||
		doc.WithCert["token_endpoint"] != s.TLSBaseURL()+"/"+s.made.TenantID+"/oauth2/v2.0/token" {
		t.Errorf("discovery says %+v, %v", doc, err)
	}
	// Metrics know it as they know the others.
	scrape := get(t, nil, s.BaseURL()+"/metrics")
	if scrape.StatusCode != http.StatusOK {
		t.Errorf("metrics: %d", scrape.StatusCode)
	}
}

// TestSec_NET01_TLSListener: old versions, weak ciphers, resumption and HTTP/2
// are refused, for that reason alone.
func TestSec_NET01_TLSListener(t *testing.T) {
	s := newSite(t, withTLS)
	addr := strings.TrimPrefix(s.TLSBaseURL(), "https://")
	dial := func(change func(*tls.Config)) (*tls.Conn, error) {
		conf := trusting(t, s)
		if change != nil {
			change(conf)
		}
		c, err := tls.Dial("tcp", addr, conf)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}
		},
		"no forward secrecy": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		},
	} {
		if c, err := dial(change); err == nil {
			t.Errorf("%s was accepted: %x", name, c.ConnectionState().CipherSuite)
		}
	}
	for name, change := range map[string]func(*tls.Config){
		"TLS 1.3": nil, "TLS 1.2": func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 },
	} {
		cache := tls.NewLRUClientSessionCache(4)
		for try := range 2 {
			c, err := dial(func(c *tls.Config) {
				c.ClientSessionCache, c.NextProtos = cache, []string{"h2", "http/1.1"}
				if change != nil {
					change(c)
				}
			})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			// A ticket comes with the answer.
			fmt.Fprintf(c, "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			if st := c.ConnectionState(); st.DidResume || st.NegotiatedProtocol != "http/1.1" {
				t.Errorf("%s, try %d: resumed %v, protocol %q", name, try, st.DidResume, st.NegotiatedProtocol)
			}
			// One request, then it is over.
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("%s: the connection stays: %v", name, err)
			}
		}
	}
}

// TestSec_NET02_TLSHost: each listener answers for its own name and port.
func TestSec_NET02_TLSHost(t *testing.T) {
	s := newSite(t, withTLS)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t, s)}}
	for host, want := range map[string]int{
		strings.TrimPrefix(s.TLSBaseURL(), "https://"): http.StatusOK,
		strings.TrimPrefix(s.BaseURL(), "http://"):     http.StatusMisdirectedRequest,
		"enterpriseregistration.windows.net":           http.StatusMisdirectedRequest,
	} {
		req, err := http.NewRequest("GET", s.TLSBaseURL()+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("host %s: %d, want %d", host, res.StatusCode, want)
		}
	}
}

// TestSec_DEV_ForeignCertificate: who shows a certificate of strangers hears so
// from the door, in its own words, and is not cut off; the same without any,
// and where none is asked for.
func TestSec_DEV_ForeignCertificate(t *testing.T) {
	s := newSite(t, withTLS)
	strange := trusting(t, s)
	strange.Certificates = []tls.Certificate{selfMade(t)}
	for name, c := range map[string]struct {
		base string
		conf *tls.Config
	}{
		"a stranger's": {s.TLSBaseURL(), strange}, "none": {s.TLSBaseURL(), trusting(t, s)}, "not asked": {s.BaseURL(), nil},
	} {
		req, err := http.NewRequest("DELETE", c.base+"/enrollmentserver/DEVICE/8f0c1f0e-54c5-4a52-8c1c-6f3c3cf1a111/?api-version=1.0", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: c.conf}}).Do(req)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || !json.Valid(body) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
}

// The local authority is for localhost, whatever its key signs, and belongs to
// its owner.
func TestSec_LocalCA(t *testing.T) {
	s := newSite(t, withTLS)
	for _, name := range []string{"local-ca.pem", "local-ca.key"} {
		info, err := os.Stat(filepath.Join(s.data, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(s.data, "local-ca.pem"), filepath.Join(s.data, "local-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca := pair.Leaf
	if lives := ca.NotAfter.Sub(ca.NotBefore); lives > 30*24*time.Hour+time.Minute || !ca.IsCA || !ca.MaxPathLenZero {
		t.Errorf("lives %s, CA %v, path %v", lives, ca.IsCA, ca.MaxPathLenZero)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"localhost": true, "127.0.0.1": true, "evil.example": false, "localhost.evil.example": false, "192.0.2.1": false} {
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		if ip := net.ParseIP(name); ip != nil {
			tmpl.IPAddresses = []net.IP{ip}
		} else {
			tmpl.DNSNames = []string{name}
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, ca, &key.PublicKey, pair.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The authority stays for the next start, until it is old; broken or open
// files stop the start with what to do.
func TestLocalCALater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	at := time.Now()
	start := func() (string, error) {
		cfg := app.Default()
		cfg.Demo, cfg.Data, cfg.Listen, cfg.ListenTLS, cfg.Drain = true, dir, "127.0.0.1:0", "127.0.0.1:0", 0
		cfg.Now = func() time.Time { return at }
		s, err := app.Start(t.Context(), cfg)
		if err != nil {
			return "", err
		}
		text, err := os.ReadFile(s.LocalCA())
		if err != nil {
			t.Fatal(err)
		}
		return string(text), s.Abandon()
	}
	first, err := start()
	if err != nil {
		t.Fatal(err)
	}
	at = at.Add(19 * 24 * time.Hour)
	if second, err := start(); err != nil || second != first {
		t.Errorf("after 19 days: the same %v, %v", second == first, err)
	}
	at = at.Add(2 * 24 * time.Hour)
	third, err := start()
	if err != nil || third == first {
		t.Errorf("after 21 days: the same %v, %v", third == first, err)
	}
	if block, _ := pem.Decode([]byte(third)); block == nil {
		t.Error("the new file is no PEM")
	}
	key := filepath.Join(dir, "local-ca.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := start(); err == nil || !strings.Contains(err.Error(), "remove both files") {
		t.Errorf("a broken key: %v", err)
	}
}

// What cannot listen says why, and what to change.
func TestTLSListenerRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		change func(*app.Config)
		want   string
	}{
		"no certificate":      {func(c *app.Config) { c.Demo, c.BaseURL = false, "https://id.example.com" }, "there is no certificate"},
		"port in use":         {func(c *app.Config) { c.ListenTLS = taken.Addr().String() }, "--listen-tls"},
		"no address":          {func(c *app.Config) { c.ListenTLS = "8443" }, "listen-tls"},
		"plain tls-base-url":  {func(c *app.Config) { c.TLSBaseURL = "http://localhost:8443" }, "tls-base-url"},
		"far tls-base-url":    {func(c *app.Config) { c.TLSBaseURL = "https://id.example.com" }, "this machine only"},
		"nothing behind it":   {func(c *app.Config) { c.ListenTLS, c.TLSBaseURL = "off", "https://localhost:8443" }, "listen-tls"},
		"tls-base-url's path": {func(c *app.Config) { c.TLSBaseURL = "https://localhost:8443/x" }, "tls-base-url"},
	} {
		cfg := app.Default()
		cfg.Demo, cfg.Data, cfg.Listen, cfg.ListenTLS, cfg.Drain = true, filepath.Join(t.TempDir(), "data"), "127.0.0.1:0", "127.0.0.1:0", 0
		c.change(&cfg)
		s, err := app.Start(t.Context(), cfg)
		if err == nil {
			s.Abandon()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// Published clients spell addresses in their own ways, and get no redirect.
func TestAddressesInAnySpelling(t *testing.T) {
	s := newSite(t, nil)
	host := strings.TrimPrefix(s.BaseURL(), "http://")
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"POST", "/Common/oAuth2/Token", http.StatusBadRequest}, // no grant type: it was understood
		{"POST", "//" + strings.ToUpper(s.made.TenantID) + "//oauth2/token/", http.StatusBadRequest},
		{"GET", "//common//.well-known/OPENID-configuration", http.StatusOK},
		{"GET", "/COMMON/userrealm/" + s.made.Users[0].UserName + "?api-version=1.0", http.StatusOK},
		{"GET", "/Common/Discovery/Instance?api-version=1.1", http.StatusOK},
		{"GET", "/ODC/v2.1/FederationProvider?domain=" + s.made.TenantDomain, http.StatusOK},
		{"GET", "/", http.StatusOK},
		// One spelling is right for all that no such client calls.
		{"GET", "/Account", http.StatusNotFound},
		{"GET", "//account", http.StatusTemporaryRedirect},
	} {
		conn, err := net.Dial("tcp", strings.Replace(host, "localhost", "127.0.0.1", 1))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n", c.method, c.path, host)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		conn.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, res.StatusCode, c.want)
		}
	}
}

// TestSec_CBA10_RoadNextDoor: the address at which certificates are taken in is
// on the listener that asks for them, and on no other; there it is good only in
// the middle of a sign-in, and only for what the handshake itself has shown.
func TestSec_CBA10_RoadNextDoor(t *testing.T) {
	s := newSite(t, withTLS)
	road := "/" + s.made.TenantID + "/certificate?ceremony=x&flow=y"
	if res := get(t, nil, s.BaseURL()+road); res.StatusCode != http.StatusNotFound {
		t.Errorf("where nobody is asked for a certificate: %d", res.StatusCode)
	}
	if res := get(t, trusting(t, s), s.TLSBaseURL()+road); res.StatusCode != http.StatusBadRequest || !res.Close || res.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("next door, in no sign-in: %d, close %v, %v", res.StatusCode, res.Close, res.Header)
	}
	req, err := http.NewRequest("GET", s.TLSBaseURL()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Client-Cert", "::")
	res, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: trusting(t, s)}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("a header that nobody may send: %d", res.StatusCode)
	}
	req.URL.Scheme, req.URL.Host, req.Host = "http", strings.TrimPrefix(s.BaseURL(), "http://"), ""
	if res, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the same where it means nothing: %d", res.StatusCode)
	}
}
