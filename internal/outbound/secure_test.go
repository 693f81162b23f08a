package outbound_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/outbound"
)

// serve starts a server on this machine and gives its port and a pool that
// believes it.
func serve(t *testing.T, h http.HandlerFunc) (s *httptest.Server, port string, roots *x509.CertPool) {
	t.Helper()
	s = httptest.NewTLSServer(h)
	t.Cleanup(s.Close)
	_, port, _ = strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, port, roots
}

func get(t *testing.T, c *http.Client, address string) error {
	t.Helper()
	res, err := c.Get(address)
	if err == nil {
		res.Body.Close()
	}
	return err
}

func reason(t *testing.T, what string, err error, want string) {
	t.Helper()
	var e *idp.Error
	if !errors.As(err, &e) || e.Reason != want || e.Kind != idp.Unavailable {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// TestSec_NET04_Addresses: what is not on the public internet is not dialled,
// whatever name or number leads there.
func TestSec_NET04_Addresses(t *testing.T) {
	var called atomic.Int32
	_, port, roots := serve(t, func(http.ResponseWriter, *http.Request) { called.Add(1) })
	guarded := outbound.Client(outbound.Rules{Name: "crl", Plain: true, Roots: roots})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "[::]", "169.254.169.254", "10.0.0.1", "192.168.0.1", "172.16.0.1",
		"100.64.0.1", "[fe80::1%25lo]", "[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255",
	} {
		for _, scheme := range []string{"http", "https"} {
			reason(t, scheme+" "+host, get(t, guarded, scheme+"://"+host+":"+port+"/"), "crl_address_refused")
		}
	}
	// These are names for Go, which no name server knows; were they taken for
	// addresses, the dial would be refused.
	for _, host := range []string{"2130706433", "0x7f000001", "0177.0.0.1", "127.1"} {
		if err := get(t, guarded, "https://"+host+":"+port+"/"); err == nil {
			t.Errorf("%s was called", host)
		}
	}
	if n := called.Load(); n != 0 {
		t.Errorf("called %d times", n)
	}
	private := outbound.Client(outbound.Rules{Name: "crl", Private: true, Roots: roots})
	if err := get(t, private, "https://127.0.0.1:"+port); err != nil || called.Load() != 1 {
		t.Errorf("in a network of one's own: %v", err)
	}
}

// TestSec_NET04_SchemesAndPorts: each refused for that alone, redirects too.
func TestSec_NET04_SchemesAndPorts(t *testing.T) {
	s, port, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/x" {
			http.Redirect(w, r, "/y", http.StatusFound)
		}
	})
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	c := outbound.Client(outbound.Rules{Name: "x", Private: true, Roots: roots})
	reason(t, "http", get(t, c, plain.URL), "x_url_refused")
	for _, address := range []string{"gopher://127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/"} {
		reason(t, address, get(t, c, address), "x_url_refused")
		reason(t, address, get(t, outbound.Client(outbound.Rules{Name: "x", Private: true, Plain: true}), address), "x_url_refused")
	}
	if err := get(t, outbound.Client(outbound.Rules{Name: "x", Private: true, Plain: true}), plain.URL); err != nil {
		t.Errorf("http where it is allowed: %v", err)
	}
	reason(t, "port", get(t, outbound.Client(outbound.Rules{Name: "x", Private: true, Roots: roots, Port: "443"}), s.URL), "x_url_refused")
	if err := get(t, outbound.Client(outbound.Rules{Name: "x", Private: true, Roots: roots, Port: port}), s.URL); err != nil {
		t.Errorf("own port: %v", err)
	}
	reason(t, "implied port", get(t, outbound.Client(outbound.Rules{Name: "x", Private: true, Plain: true, Port: "443"}), "http://127.0.0.1/"), "x_url_refused")
	if err := get(t, outbound.Client(outbound.Rules{Name: "x", Private: true}), s.URL); err == nil {
		t.Error("a certificate that nobody vouches for is believed")
	}
}

// TestSec_NET04_Redirects: so many, on one host and scheme, and none by default.
func TestSec_NET04_Redirects(t *testing.T) {
	var called atomic.Int32
	other, _, _ := serve(t, func(http.ResponseWriter, *http.Request) { called.Add(1) })
	var to atomic.Value
	s, _, roots := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if left := strings.TrimPrefix(r.URL.Path, "/"); len(left) > 1 {
			http.Redirect(w, r, "/"+left[1:], http.StatusFound)
		} else if left == "o" {
			w.Header().Set("Location", to.Load().(string))
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	roots.AddCert(other.Certificate())
	none := outbound.Client(outbound.Rules{Name: "x", Private: true, Roots: roots})
	two := outbound.Client(outbound.Rules{Name: "x", Private: true, Plain: true, Roots: roots, Redirects: 2})
	if err := get(t, none, s.URL+"/1"); err != nil {
		t.Error(err)
	}
	reason(t, "one where none is followed", get(t, none, s.URL+"/11"), "x_redirect")
	if err := get(t, two, s.URL+"/111"); err != nil {
		t.Error(err)
	}
	reason(t, "three where two are", get(t, two, s.URL+"/1111"), "x_redirect")
	for _, address := range []string{other.URL + "/", strings.Replace(s.URL, "https:", "http:", 1) + "/", "http://169.254.169.254/", "file:///etc/passwd", "//evil.example/"} {
		to.Store(address)
		reason(t, address, get(t, two, s.URL+"/o"), "x_redirect")
	}
	if n := called.Load(); n != 0 {
		t.Errorf("another host was called %d times", n)
	}
}

// TestSec_NET04_Proxies: none of the environment unless it is asked for.
func TestSec_NET04_Proxies(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusForbidden)
	}))
	defer proxy.Close()
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	reason(t, "no proxy", get(t, outbound.Client(outbound.Rules{Name: "x"}), "https://10.0.0.1/"), "x_address_refused")
	if asked.Load() != 0 {
		t.Error("the environment's proxy was asked")
	}
	u, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	named := outbound.Client(outbound.Rules{Name: "x", Proxy: http.ProxyURL(u)})
	if err := get(t, named, "https://host.example/"); err == nil || asked.Load() != 1 {
		t.Errorf("%v, asked %d times", err, asked.Load())
	}
	reason(t, "http by proxy", get(t, named, "http://host.example/"), "x_url_refused")
	// A proxy that lets some hosts be called directly loosens nothing.
	some := outbound.Client(outbound.Rules{Name: "x", Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	reason(t, "directly", get(t, some, "https://127.0.0.1/"), "x_address_refused")
	bad := errors.New("no proxy")
	if err := get(t, outbound.Client(outbound.Rules{Name: "x", Proxy: func(*http.Request) (*url.URL, error) { return nil, bad }}), "https://host.example/"); !errors.Is(err, bad) {
		t.Errorf("%v", err)
	}
}

// TestKeptConnections: kept or not, as the rules say.
func TestKeptConnections(t *testing.T) {
	for idle, want := range map[time.Duration]int{0: 3, time.Minute: 1} {
		peers := map[string]bool{}
		s, _, roots := serve(t, func(_ http.ResponseWriter, r *http.Request) { peers[r.RemoteAddr] = true })
		c := outbound.Client(outbound.Rules{Name: "x", Private: true, Roots: roots, Idle: idle})
		for range 3 {
			res, err := c.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		c.CloseIdleConnections()
		if len(peers) != want {
			t.Errorf("idle %s: %d connections, want %d", idle, len(peers), want)
		}
	}
}

func TestPublic(t *testing.T) {
	for _, ip := range []string{
		"10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "0.0.0.0", "0.1.2.3", "169.254.169.254", "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1",
		"192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.0.8",
		"::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "fec0::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2002:a00:1::", "2001:db8::1", "2001::1",
	} {
		if outbound.Public(netip.MustParseAddr(ip)) {
			t.Errorf("%s is public", ip)
		}
	}
	for _, ip := range []string{"104.18.10.10", "::ffff:104.18.10.10", "172.15.255.255", "172.32.0.0", "100.128.0.0", "2606:4700::6812:a0a", "2a00:1450::1"} {
		if !outbound.Public(netip.MustParseAddr(ip)) {
			t.Errorf("%s is not public", ip)
		}
	}
	if outbound.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestRead(t *testing.T) {
	for n, want := range map[int]error{0: nil, 9: nil, 10: nil, 11: outbound.ErrTooLong, 1000: outbound.ErrTooLong} {
		b, err := outbound.Read(bytes.NewReader(make([]byte, n)), 10)
		if !errors.Is(err, want) || len(b) != min(n, 10) {
			t.Errorf("%d bytes: %d, %v", n, len(b), err)
		}
	}
	broken := errors.New("broken")
	if _, err := outbound.Read(io.MultiReader(strings.NewReader("x"), errorReader{broken}), 10); !errors.Is(err, broken) {
		t.Error(err)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }
