package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"os"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// Handshake is how certificates of people get here when a proxy makes the
// handshakes (security.md CBA09). Without one they come from the TLS listener.
type Handshake struct {
	// Header is the field in which the proxy says what its client has shown, in
	// the form of RFC 9440 or as PEM with percent-encoding.
	Header string
	// Proxy is a PEM file with the proxy's own client certificates: a connection
	// to ListenTLS that shows one of them is the proxy's.
	Proxy string
	// Socket is a Unix socket of mode 0660 on which the proxy may speak instead.
	Socket string
}

// check judges the words.
func (h Handshake) check(c Config) error {
	var bad []error
	from := h.Proxy != "" || h.Socket != ""
	switch {
	case h.Header == "" && from:
		bad = append(bad, errors.New("certificate-header is missing: name the header in which the proxy sends certificates, such as Client-Cert"))
	case h.Header == "":
		return nil
	case !from:
		bad = append(bad, errors.New("certificate-header is given, but nobody may send it: give certificate-proxy or certificate-socket too"))
	case !headerName(h.Header):
		bad = append(bad, fmt.Errorf("certificate-header is %q: use a name of letters, digits and dashes that nothing else uses, such as Client-Cert", h.Header))
	}
	if h.Proxy != "" && c.tlsAddr() == "" {
		bad = append(bad, errors.New("certificate-proxy is given, but nothing listens for it: give listen-tls too, or certificate-socket instead"))
	}
	if h.Socket != "" && c.tlsAddr() == "" && c.TLSBaseURL == "" {
		bad = append(bad, errors.New("certificate-socket is given, but the address of the proxy before it is not known: give tls-base-url"))
	}
	if c.Demo && from {
		bad = append(bad, errors.New("certificate-proxy and certificate-socket are not for a demo, which is for this machine only: use signet serve"))
	}
	return errors.Join(bad...)
}

// taken are header fields that mean something to us or to HTTP: a proxy that
// sent certificates in one would send them in the place of something else.
var taken = []string{"accept", "authorization", "connection", "content-length", "content-type", "cookie", "host", "origin", "referer",
	"te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded"}

func headerName(s string) bool {
	for _, k := range taken {
		if strings.EqualFold(s, k) {
			return false
		}
	}
	return s != "" && len(s) <= 64 && strings.Trim(strings.ToLower(s), "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// pinned are the proxy's own certificates, as they are on the wire.
func (h Handshake) pinned() ([][]byte, error) {
	if h.Proxy == "" {
		return nil, nil
	}
	text, err := os.ReadFile(h.Proxy)
	if err != nil {
		return nil, fmt.Errorf("certificate-proxy cannot be read: %w; name a PEM file with the proxy's client certificate", err)
	}
	var out [][]byte
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate-proxy %s cannot be used: %w; give the proxy's client certificate as PEM", h.Proxy, err)
		}
		if c.IsCA {
			return nil, fmt.Errorf("certificate-proxy %s has the certificate of an authority, %q: give that of the proxy itself, so that nobody else can be it", h.Proxy, c.Subject.CommonName)
		}
		out = append(out, c.Raw)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("certificate-proxy %s has no certificate in it: give the proxy's client certificate as PEM", h.Proxy)
	}
	return out, nil
}

// fields are those in which somebody might say what certificate was shown.
func (h Handshake) fields() []string {
	return []string{web.ClientCert, web.ClientCertChain, textproto.CanonicalMIMEHeaderKey(h.Header)}
}

// shown is what a request came with.
type shown struct {
	chain []*x509.Certificate
	err   error
	proxy bool // the certificate proxy brought it, for somebody elsewhere
}

type shownKey struct{}

// handshakeOf says which certificates a request came with, the leaf first; none
// when none was shown. Only what stands before the listeners that ask for
// certificates puts any there.
func handshakeOf(r *http.Request) ([]*x509.Certificate, error) {
	s, ok := r.Context().Value(shownKey{}).(shown)
	if !ok {
		return nil, idp.Invalidf("certificate_not_asked", "no certificates are asked for at this address")
	}
	return s.chain, s.err
}

// byProxy says whether the certificate proxy brought a request.
func byProxy(r *http.Request) bool {
	s, _ := r.Context().Value(shownKey{}).(shown)
	return s.proxy
}

func with(r *http.Request, s shown) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), shownKey{}, s))
}

// vouched is r as one that came with what a proxy says: also to handlers that
// look at the connection, so that the proxy's own certificate is nobody's there.
func vouched(r *http.Request, s shown) *http.Request {
	s.proxy = true
	r = with(r, s)
	r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: s.chain}
	return r
}

// onSocket is where requests of the proxy's socket come from, as far as
// addresses go: from where its X-Forwarded-For says.
var onSocket = netip.MustParsePrefix("127.0.0.1/32")

// unvouched stands before everything that does not ask for certificates: nobody
// there may say what somebody has shown, and no handler sees that they did.
func (h Handshake) unvouched(next http.Handler) http.Handler {
	fields := h.fields()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		web.WithoutFields(r.Header, fields...)
		web.WithoutFields(r.Trailer, fields...)
		next.ServeHTTP(w, r)
	})
}

// direct stands before the TLS listener: what a client has shown is what is in
// the handshake. A connection of the proxy's says it in the header, and its own
// certificate is nobody's. From anybody else the header is refused aloud: it is
// a forgery, or a proxy that is not set up, and neither should look as if no
// certificate had come.
func (h Handshake) direct(pinned [][]byte, next http.Handler) http.Handler {
	fields := h.fields()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var s shown
		if r.TLS != nil && r.TLS.HandshakeComplete {
			s.chain = r.TLS.PeerCertificates
		}
		if len(s.chain) > 0 && isOne(pinned, s.chain[0].Raw) {
			r = vouched(r, h.said(r))
			web.WithoutFields(r.Header, fields...)
		} else if web.WithoutFields(r.Header, fields...) {
			http.Error(w, "Only the certificate proxy may say what certificate somebody has shown.", http.StatusBadRequest)
			return
		} else {
			r = with(r, s)
		}
		web.WithoutFields(r.Trailer, fields...)
		next.ServeHTTP(w, r)
	})
}

// proxied stands before the socket of the proxy: whoever may open it is the
// proxy.
func (h Handshake) proxied(next http.Handler) http.Handler {
	fields := h.fields()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := h.said(r)
		r.RemoteAddr = net.JoinHostPort(onSocket.Addr().String(), "0")
		web.WithoutFields(r.Header, fields...)
		web.WithoutFields(r.Trailer, fields...)
		next.ServeHTTP(w, vouched(r, s))
	})
}

// said is what the proxy says. It sends one header of ours; a second spelling of
// it came from its client, so all of it is refused.
func (h Handshake) said(r *http.Request) shown {
	chain, err := web.ClientCertificates(r.Header, h.Header)
	rest := r.Header.Clone()
	rest.Del(h.Header)
	if textproto.CanonicalMIMEHeaderKey(h.Header) == web.ClientCert {
		rest.Del(web.ClientCertChain)
	}
	if err == nil && web.WithoutFields(rest, h.Header) {
		err = errors.New("another spelling beside it")
	}
	if err != nil {
		return shown{err: idp.Invalidf("certificate_header", "%w", err).
			Say("The proxy sent a certificate that cannot be read. Nobody was let in. Tell the help desk.")}
	}
	return shown{chain: chain}
}

func isOne(list [][]byte, raw []byte) bool {
	for _, l := range list {
		if bytes.Equal(l, raw) {
			return true
		}
	}
	return false
}

// handshakeRoads are the addresses that are served where certificates are asked
// for, and nowhere else.
func (h *House) handshakeRoads() *http.ServeMux {
	mux := http.NewServeMux()
	for _, m := range h.rooms.all() {
		if road, ok := m.(interface{ MountTLS(*http.ServeMux) }); ok {
			road.MountTLS(mux)
		}
	}
	return mux
}
