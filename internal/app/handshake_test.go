package app

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// card is a certificate of somebody, with its key.
func card(t testing.TB, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func sequence(c tls.Certificate) string {
	return ":" + base64.StdEncoding.EncodeToString(c.Certificate[0]) + ":"
}

func pemOf(c tls.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]})
}

// visitor says who came, as handlers of certificates see it, whom handlers of
// devices would see, and what is left of the headers.
var visitor = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	var out probed
	chain, err := handshakeOf(r)
	if err != nil {
		out.Refused = idp.AsError(err).Reason
	}
	for _, c := range chain {
		out.Who = append(out.Who, c.Subject.CommonName)
	}
	if r.TLS != nil {
		for _, c := range r.TLS.PeerCertificates {
			out.Peer = append(out.Peer, c.Subject.CommonName)
		}
	}
	for name := range r.Header {
		if n := strings.ToLower(name); strings.Contains(n, "cert") {
			out.Left = append(out.Left, name)
		}
	}
	out.From = r.RemoteAddr
	json.NewEncoder(w).Encode(out)
})

type probed struct {
	Who, Peer, Left []string
	Refused, From   string
}

func (p probed) who() string { return strings.Join(p.Who, " ") }

// ask sends one request as it is written, over a connection of its own.
func ask(t testing.TB, dial func() (net.Conn, error), headers ...string) (int, probed) {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: localhost\r\n%s\r\n", strings.Join(append(headers, ""), "\r\n"))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var out probed
	raw, _ := io.ReadAll(res.Body)
	if res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
	}
	return res.StatusCode, out
}

// nextDoor is the TLS listener as a server has it, before the visitor.
type nextDoor struct {
	*Server
	addr  string
	roots *x509.CertPool
}

func openNextDoor(t testing.TB, h Handshake, hosts *certificateHosts) *nextDoor {
	t.Helper()
	cfg := Default()
	cfg.Data, cfg.Log, cfg.Handshake = t.TempDir(), slog.New(slog.DiscardHandler), h
	if hosts == nil {
		hosts = &certificateHosts{now: time.Now, shared: func(string) bool { return true }}
	}
	s := &Server{cfg: cfg, base: "http://localhost:8080", House: &House{hosts: hosts}}
	var err error
	if s.tls, err = s.take(t.Context(), "listen-tls", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	d := &nextDoor{Server: s, addr: s.tls.Addr().String(), roots: x509.NewCertPool()}
	if err := s.secureTLS(nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.caFile)
	if err != nil || !d.roots.AppendCertsFromPEM(text) {
		t.Fatal("no local authority", err)
	}
	server, err := s.tlsServer(t.Context(), visitor)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(s.tls.Listener)
	t.Cleanup(func() { server.Close() })
	return d
}

// as is a client that shows certificates, or none.
func (d *nextDoor) as(change func(*tls.Config), shows ...tls.Certificate) func() (net.Conn, error) {
	conf := &tls.Config{RootCAs: d.roots, ServerName: "localhost", Certificates: shows}
	if change != nil {
		change(conf)
	}
	return func() (net.Conn, error) { return tls.Dial("tcp", d.addr, conf) }
}

func proxyOf(t *testing.T, header string) (Handshake, tls.Certificate) {
	t.Helper()
	proxy := card(t, "Proxy")
	file := filepath.Join(t.TempDir(), "proxy.pem")
	if err := os.WriteFile(file, append(pemOf(card(t, "Old proxy")), pemOf(proxy)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return Handshake{Header: header, Proxy: file}, proxy
}

// TestSec_CBA09_T24_Direct: what a client has shown is what its handshake says,
// whatever it writes into headers, in whatever spelling.
func TestSec_CBA09_T24_Direct(t *testing.T) {
	ada, eve := card(t, "Ada"), card(t, "Eve")
	h, _ := proxyOf(t, "Client-Cert")
	h2, _ := proxyOf(t, "X-SSL-Cert")
	for name, d := range map[string]*nextDoor{
		"no proxy": openNextDoor(t, Handshake{}, nil), "RFC 9440": openNextDoor(t, h, nil), "nginx": openNextDoor(t, h2, nil),
	} {
		if code, got := ask(t, d.as(nil, ada)); code != 200 || got.who() != "Ada" || strings.Join(got.Peer, " ") != "Ada" {
			t.Errorf("%s: shown Ada, got %d %+v", name, code, got)
		}
		if code, got := ask(t, d.as(nil)); code != 200 || got.Who != nil || got.Refused != "" {
			t.Errorf("%s: shown none, got %d %+v", name, code, got)
		}
		lines := []string{
			"Client-Cert: " + sequence(ada), "client-cert: " + sequence(ada), "CLIENT-CERT: " + sequence(ada), "Client_Cert: " + sequence(ada),
			"client_cert: " + sequence(ada), "Client-Cert:", "Client-Cert-Chain: " + sequence(ada), "client_cert-chain: x",
			"Client-Cert: " + sequence(ada) + "\r\nClient-Cert: " + sequence(eve),
		}
		if name == "nginx" {
			lines = append(lines, "X-SSL-Cert: "+url.PathEscape(string(pemOf(ada))), "x-ssl_cert: y", "X_SSL_CERT:")
		}
		for _, line := range lines {
			for who, shows := range map[string][]tls.Certificate{"nobody": nil, "Eve": {eve}} {
				if code, got := ask(t, d.as(nil, shows...), line); code != http.StatusBadRequest {
					t.Errorf("%s: %s says %.40q: %d %+v, want it refused", name, who, line, code, got)
				}
			}
		}
		// Smuggled behind another field, and in a trailer.
		if code, got := ask(t, d.as(nil, eve), "X-Other: a\r\n Client-Cert: "+sequence(ada)); code == 200 && got.who() != "Eve" {
			t.Errorf("%s: folded: %+v", name, got)
		}
		if code, got := ask(t, d.as(nil, eve), "Transfer-Encoding: chunked\r\nTrailer: Client-Cert\r\n\r\n0\r\nClient-Cert: "+sequence(ada)); code == 200 && got.who() != "Eve" {
			t.Errorf("%s: in a trailer: %+v", name, got)
		}
	}
}

// TestSec_CBA09_T24_Proxy: the one proxy is believed, by its certificate and by
// nothing else, and of what it sends one reading.
func TestSec_CBA09_T24_Proxy(t *testing.T) {
	ada, eve, issuing := card(t, "Ada"), card(t, "Eve"), card(t, "Issuing")
	h, proxy := proxyOf(t, "Client-Cert")
	d := openNextDoor(t, h, nil)
	if code, got := ask(t, d.as(nil, proxy), "Client-Cert: "+sequence(ada), "Client-Cert-Chain: "+sequence(issuing)); code != 200 || got.who() != "Ada Issuing" ||
		strings.Join(got.Peer, " ") != "Ada Issuing" || got.Left != nil {
		t.Errorf("the proxy: %d %+v", code, got)
	}
	for name, line := range map[string]string{"none": "Accept: x", "empty": "Client-Cert:", "empty sequence": "Client-Cert: ::"} {
		if code, got := ask(t, d.as(nil, proxy), line); code != 200 || got.Who != nil || got.Peer != nil || got.Refused != "" {
			t.Errorf("the proxy with %s: %d %+v; its own certificate is nobody's", name, code, got)
		}
	}
	for name, line := range map[string]string{
		"twice":                  "Client-Cert: " + sequence(ada) + "\r\nClient-Cert: " + sequence(eve),
		"another spelling":       "Client-Cert: " + sequence(ada) + "\r\nClient_Cert: " + sequence(eve),
		"another spelling alone": "Client_Cert: " + sequence(ada),
		"two in one":             "Client-Cert: " + sequence(ada) + ", " + sequence(eve),
		"no certificate":         "Client-Cert: :aGVsbG8=:",
	} {
		if code, got := ask(t, d.as(nil, proxy), line); code != 200 || got.Refused != "certificate_header" || got.Who != nil || got.Peer != nil || got.Left != nil {
			t.Errorf("the proxy, %s: %d %+v, want it refused", name, code, got)
		}
	}
	// A certificate that looks like the proxy's is not.
	if code, _ := ask(t, d.as(nil, card(t, "Proxy")), "Client-Cert: "+sequence(ada)); code != http.StatusBadRequest {
		t.Errorf("another of that name: %d", code)
	}
	// Nor is one that comes behind another's.
	two := tls.Certificate{Certificate: [][]byte{eve.Certificate[0], proxy.Certificate[0]}, PrivateKey: eve.PrivateKey}
	if code, _ := ask(t, d.as(nil, two), "Client-Cert: "+sequence(ada)); code != http.StatusBadRequest {
		t.Errorf("the proxy's certificate behind Eve's: %d", code)
	}
	h, proxy = proxyOf(t, "X-SSL-Cert")
	d = openNextDoor(t, h, nil)
	if code, got := ask(t, d.as(nil, proxy), "X-SSL-Cert: "+url.PathEscape(string(pemOf(ada))), "Client-Cert: "+sequence(eve)); code != 200 || got.who() != "Ada" || got.Left != nil {
		t.Errorf("in another header: %d %+v", code, got)
	}
}

// TestSec_CBA09_T24_OtherListeners: where no certificates are asked for, nobody
// says that one was shown, and no handler sees that they tried.
func TestSec_CBA09_T24_OtherListeners(t *testing.T) {
	ada := card(t, "Ada")
	h, _ := proxyOf(t, "X-SSL-Cert")
	cfg := Default()
	cfg.Log, cfg.Handshake = slog.New(slog.DiscardHandler), h
	server := (&Server{cfg: cfg}).httpServer(t.Context(), visitor)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	dial := func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	for _, line := range []string{"Client-Cert: " + sequence(ada), "client_cert: " + sequence(ada), "X-Ssl-Cert: a\r\nx-ssl-cert: b", "x_ssl_cert:", "Client-Cert-Chain: x"} {
		if code, got := ask(t, dial, line); code != 200 || got.Who != nil || got.Peer != nil || got.Left != nil || got.Refused != "certificate_not_asked" {
			t.Errorf("%q: %d %+v", line, code, got)
		}
	}
}

// The socket is the proxy's: what it says is believed of each request, and where
// it says that the request comes from.
func TestCertificateSocket(t *testing.T) {
	ada, bela := card(t, "Ada"), card(t, "Bela")
	cfg := Default()
	cfg.Log = slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	cfg.Handshake = Handshake{Header: "Client-Cert", Socket: filepath.Join(dir, "certificates.sock")}
	s := &Server{cfg: cfg}
	open := func() error { return s.openCertificateSocket(t.Context(), visitor) }
	if err := open(); err != nil {
		t.Fatal(err)
	}
	d := s.listeners[0]
	go d.server.Serve(d.Listener)
	t.Cleanup(func() { d.server.Close() })
	info, err := os.Stat(cfg.Handshake.Socket)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info.Mode(), err)
	}
	// T25: two people on one connection, which a proxy keeps.
	c, err := net.Dial("unix", cfg.Handshake.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for _, want := range []struct{ line, who string }{
		{"Client-Cert: " + sequence(ada), "Ada"}, {"Client-Cert: " + sequence(bela), "Bela"}, {"Accept: x", ""},
	} {
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", want.line)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got probed
		if err := json.NewDecoder(res.Body).Decode(&got); err != nil || got.who() != want.who || got.From != "127.0.0.1:0" {
			t.Errorf("%s: %+v, %v", want.who, got, err)
		}
		io.Copy(io.Discard, res.Body)
	}
	// One that a crash has left is taken away; what is none of ours is not.
	if err := open(); err != nil {
		t.Errorf("over one that was left: %v", err)
	}
	s.cfg.Handshake.Socket = filepath.Join(dir, "file")
	if err := os.WriteFile(s.cfg.Handshake.Socket, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
}

// TestSec_CBA10_T25_Resumption: a second handshake proves anew who is there,
// whoever the first was of, and a connection is over with its request.
func TestSec_CBA10_T25_Resumption(t *testing.T) {
	ada, bela := card(t, "Ada"), card(t, "Bela")
	d := openNextDoor(t, Handshake{}, nil)
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		cache := tls.NewLRUClientSessionCache(8)
		for _, c := range []struct {
			shows []tls.Certificate
			want  string
		}{{[]tls.Certificate{ada}, "Ada"}, {[]tls.Certificate{bela}, "Bela"}, {nil, ""}, {[]tls.Certificate{ada}, "Ada"}} {
			var conn *tls.Conn
			dial := d.as(func(conf *tls.Config) {
				conf.MinVersion, conf.MaxVersion, conf.ClientSessionCache, conf.NextProtos = version, version, cache, []string{"h2", "http/1.1"}
			}, c.shows...)
			code, got := ask(t, func() (net.Conn, error) {
				nc, err := dial()
				if err == nil {
					conn = nc.(*tls.Conn)
				}
				return nc, err
			})
			if code != 200 || got.who() != c.want {
				t.Errorf("%s: shown %q, got %d %+v", name, c.want, code, got)
			}
			if st := conn.ConnectionState(); st.DidResume || st.NegotiatedProtocol != "http/1.1" || st.Version != version {
				t.Errorf("%s: resumed %v, %q, version %x", name, st.DidResume, st.NegotiatedProtocol, st.Version)
			}
		}
		// Two requests written into one connection: the second is not served.
		c, err := d.as(func(conf *tls.Config) { conf.MinVersion, conf.MaxVersion = version, version }, ada)()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, strings.Repeat("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 2))
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		raw, err := io.ReadAll(c)
		c.Close()
		if n := bytes.Count(raw, []byte("HTTP/1.1 200")); n != 1 || !bytes.Contains(raw, []byte("Connection: close")) {
			t.Errorf("%s: %d answers on one connection, %v", name, n, err)
		}
	}
}

// tenants are what certificateHosts reads in these tests.
type tenants struct {
	list  []idp.Tenant
	rules map[idp.TenantID]policy.CertificateRules
	raw   map[idp.TenantID][][]byte
	err   error
	gate  chan struct{} // when set, reading waits for it
	reads int
}

func (x *tenants) hosts(now func() time.Time) *certificateHosts {
	return &certificateHosts{
		now: now, shared: func(name string) bool { return name == "localhost" || name == "id.example" },
		all: func(ctx context.Context) ([]idp.Tenant, error) {
			x.reads++
			if x.gate != nil {
				<-x.gate
			}
			return x.list, x.err
		},
		rules: func(_ context.Context, t idp.TenantID) (policy.CertificateRules, error) { return x.rules[t], nil },
		hints: func(_ context.Context, t idp.TenantID) ([][]byte, error) { return x.raw[t], nil },
	}
}

// TestSec_CBA14_Hints: browsers hear of a tenant's authorities at its own name,
// when it says so, and nowhere else; at most 16 KiB of them, on both versions.
func TestSec_CBA14_Hints(t *testing.T) {
	subject := func(name string) []byte {
		raw, err := x509.ParseCertificate(card(t, name).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return raw.RawSubject
	}
	var many [][]byte
	for n := range 400 {
		many = append(many, subject(fmt.Sprintf("Authority %d %s", n, strings.Repeat("x", 60))))
	}
	x := &tenants{
		list: []idp.Tenant{{ID: "a"}, {ID: "b"}, {ID: "c"}, {ID: "d"}, {ID: "e"}, {ID: "f"}},
		rules: map[idp.TenantID]policy.CertificateRules{
			"a": {Host: "cards.a.example", Hints: true}, "b": {Host: "cards.b.example"}, "c": {Host: "cards.both.example", Hints: true},
			"d": {Host: "Cards.Both.Example", Hints: true}, "e": {Host: "id.example", Hints: true}, "f": {Host: "many.example", Hints: true},
		},
		raw: map[idp.TenantID][][]byte{"a": {subject("A"), subject("A2")}, "b": {subject("B")}, "c": {subject("C")}, "d": {subject("D")}, "e": {subject("E")}, "f": many},
	}
	d := openNextDoor(t, Handshake{}, x.hosts(time.Now))
	for name, want := range map[string]int{
		"cards.a.example": 2, "CARDS.a.example": 2, "cards.b.example": 0, "cards.both.example": 0, "id.example": 0, "localhost": 0, "strange.example": 0, "many.example": -1,
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			told, size := 0, 0
			conn, err := d.as(func(c *tls.Config) {
				c.ServerName, c.InsecureSkipVerify, c.MinVersion, c.MaxVersion = name, true, version, version // the certificate is for localhost
				c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
					told = len(info.AcceptableCAs)
					for _, ca := range info.AcceptableCAs {
						size += 2 + len(ca)
					}
					return &tls.Certificate{}, nil
				}
			})()
			if err != nil {
				t.Fatal(err)
			}
			// In TLS 1.3 a client is done before the server has answered.
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			io.Copy(io.Discard, conn)
			conn.Close()
			if want >= 0 && told != want || size > 16<<10 || want < 0 && told < 100 {
				t.Errorf("%s: told %d authorities in %d bytes, want %d", name, told, size, want)
			}
		}
	}
	// Whoever shows one that was not asked for is let through to be judged.
	eve := card(t, "Eve")
	if _, got := ask(t, d.as(func(c *tls.Config) {
		c.ServerName, c.InsecureSkipVerify, c.Certificates = "cards.a.example", true, nil
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &eve, nil }
	})); got.who() != "Eve" {
		t.Errorf("a stranger's certificate: %+v", got)
	}
}

// A database that hangs holds no handshake up for long, and what was known stays.
func TestCertificateHostsSlow(t *testing.T) {
	now := time.Now()
	x := &tenants{list: []idp.Tenant{{ID: "a"}}, rules: map[idp.TenantID]policy.CertificateRules{"a": {Host: "cards.a.example"}}}
	h := x.hosts(func() time.Time { return now })
	if h.find(t.Context(), "cards.a.example") == nil || h.find(t.Context(), "other.example") != nil || x.reads != 1 {
		t.Fatalf("%d reads", x.reads)
	}
	// What is not there is looked for again, though not at each knock; what is
	// there stands for a while.
	for range 10 {
		h.find(t.Context(), "other.example")
	}
	if x.reads != 1 {
		t.Errorf("%d reads for a name that is not there", x.reads)
	}
	now = now.Add(2 * time.Second)
	x.rules["a"] = policy.CertificateRules{Host: "new.a.example"}
	if h.find(t.Context(), "new.a.example") == nil || x.reads != 2 {
		t.Errorf("a new name is not found, %d reads", x.reads)
	}
	x.gate = make(chan struct{})
	h.stale.Store(true)
	before := time.Now()
	if h.find(t.Context(), "new.a.example") == nil {
		t.Error("what was known is gone while the database hangs")
	}
	if took := time.Since(before); took < hostsWait/2 || took > 20*hostsWait {
		t.Errorf("waited %s", took)
	}
	x.err = errors.New("down")
	close(x.gate)
	<-h.renew(t.Context())
	if h.find(t.Context(), "new.a.example") == nil {
		t.Error("what was known is gone when the database is down")
	}
}

// TestSec_CBA10_TenantHost: a tenant's own name leads to that tenant's handshake
// and to nothing else.
func TestSec_CBA10_TenantHost(t *testing.T) {
	x := &tenants{list: []idp.Tenant{{ID: "a"}, {ID: "b"}}, rules: map[idp.TenantID]policy.CertificateRules{"a": {Host: "cards.a.example"}}}
	roads := http.NewServeMux()
	roads.HandleFunc("GET /{t}/certificate", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "road") })
	rest := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "rest") })
	resolve := func(_ context.Context, ref string) (idp.Tenant, error) {
		switch ref {
		case "a", "a.example":
			return idp.Tenant{ID: "a"}, nil
		case "b":
			return idp.Tenant{ID: "b"}, nil
		case "down":
			return idp.Tenant{}, idp.Unavailablef("down", "down")
		}
		return idp.Tenant{}, idp.NotFoundf("tenant_unknown", "x")
	}
	h := x.hosts(time.Now).around("https://id.example:8443", resolve, roads)(beside(roads, rest))
	for _, c := range []struct {
		host, path string
		want       int
		body       string
	}{
		{"id.example:8443", "/a/certificate", 200, "road"}, {"id.example:8443", "/b/certificate", 200, "road"}, {"id.example:8443", "/account", 200, "rest"},
		{"cards.a.example:8443", "/a/certificate", 200, "road"}, {"CARDS.A.example:8443", "/a.example/certificate", 200, "road"},
		{"cards.a.example:8443", "/b/certificate", 421, ""}, {"cards.a.example:8443", "/nobody/certificate", 421, ""}, {"cards.a.example:8443", "/account", 421, ""},
		{"cards.a.example:8443", "/a/signin", 404, ""}, {"cards.a.example:8443", "/down/certificate", 503, ""},
		{"cards.a.example", "/a/certificate", 421, ""}, {"cards.a.example:9999", "/a/certificate", 421, ""},
		{"evil.example:8443", "/a/certificate", 421, ""}, {"id.example", "/a/certificate", 421, ""},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.want || c.body != "" && w.Body.String() != c.body {
			t.Errorf("%s%s: %d %s, want %d %s", c.host, c.path, w.Code, w.Body, c.want, c.body)
		}
	}
}

// What is said of the proxy's own certificates is judged when it starts.
func TestPinned(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, text []byte) Handshake {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return Handshake{Header: "Client-Cert", Proxy: path}
	}
	authority, err := openLocalCA(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		h    Handshake
		want string // empty: good
	}{
		"good":         {file("good.pem", pemOf(card(t, "Proxy"))), ""},
		"missing":      {Handshake{Proxy: filepath.Join(dir, "none.pem")}, "cannot be read"},
		"empty":        {file("empty.pem", nil), "no certificate in it"},
		"a key":        {file("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})), "no certificate in it"},
		"broken":       {file("broken.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), "cannot be used"},
		"an authority": {file("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.cert.Raw})), "of an authority"},
	} {
		got, err := c.h.pinned()
		if c.want == "" && (err != nil || len(got) != 1) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d, %v", name, len(got), err)
		}
	}
}

// TestSec_NET05_MetricsNotOverTheCertificateProxy: who comes by the certificate
// proxy is not on this machine, although its socket is, and whether or not it
// says where they are.
func TestSec_NET05_MetricsNotOverTheCertificateProxy(t *testing.T) {
	h := newHealth(func(context.Context) error { return nil })
	ask := func(around func(http.Handler) http.Handler, prepare func(*http.Request)) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.RemoteAddr = "127.0.0.1:4711"
		prepare(r)
		rec := httptest.NewRecorder()
		around(h.localMetrics(nil)).ServeHTTP(rec, r)
		return rec.Code
	}
	x := Handshake{Header: "Client-Cert"}
	proxy, err := x509.ParseCertificate(card(t, "Proxy").Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	direct := func(next http.Handler) http.Handler { return x.direct([][]byte{proxy.Raw}, next) }
	shows := func(r *http.Request, c ...*x509.Certificate) {
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: c}
	}
	if got := ask(x.proxied, func(*http.Request) {}); got != http.StatusNotFound {
		t.Errorf("over the socket: %d", got)
	}
	if got := ask(direct, func(r *http.Request) { shows(r, proxy) }); got != http.StatusNotFound {
		t.Errorf("over the proxy's own connection: %d", got)
	}
	if got := ask(direct, func(r *http.Request) { shows(r) }); got != http.StatusOK {
		t.Errorf("from this machine: %d", got)
	}
}
