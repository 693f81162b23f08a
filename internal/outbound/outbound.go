package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Bounds of every client; a context's own deadline comes on top.
const (
	dialWithin    = 10 * time.Second
	headersWithin = 30 * time.Second
	maxHeaders    = 64 << 10
)

// Rules say where a client may go.
type Rules struct {
	// Name begins the reasons of what the client refuses: metadata gives
	// metadata_url_refused (scheme or port), metadata_address_refused (not on the
	// public internet) and metadata_redirect. All are Unavailable.
	Name string
	// Private lets it dial any address: the host is in a network of the
	// operator's own.
	Private bool
	// Plain allows http besides https, for what is signed.
	Plain bool
	// Port is the only one that is called. Empty: any.
	Port string
	// Redirects is how many are followed, on the same host and scheme only; at
	// zero none is.
	Redirects int
	// Proxy names the proxy of a request, or none; nil: there is never one. A
	// proxy is the operator's choice and is dialled wherever it is. The name
	// behind it is resolved by it, so that addresses are its to check.
	Proxy func(*http.Request) (*url.URL, error)
	// Idle is how long a connection is kept for the next request. Zero: each
	// has its own.
	Idle time.Duration
	// Roots are whose certificates are believed. Nil: the system's.
	Roots *x509.CertPool
}

// Client makes a client that goes by these rules. What it refuses is an
// idp.Error of kind Unavailable somewhere in the error's chain.
func Client(r Rules) *http.Client {
	guarded := &net.Dialer{Timeout: dialWithin}
	if !r.Private {
		guarded.Control = r.publicOnly
	}
	direct := r.transport(guarded, nil)
	proxied := direct
	if r.Proxy != nil {
		proxied = r.transport(&net.Dialer{Timeout: dialWithin}, r.Proxy)
	}
	return &http.Client{
		Transport: road(func(req *http.Request) (*http.Response, error) {
			if err := r.check(req.URL); err != nil {
				return nil, err
			}
			if r.Proxy != nil {
				proxy, err := r.Proxy(req)
				if err != nil {
					return nil, err
				}
				if proxy != nil {
					return proxied.RoundTrip(req)
				}
			}
			return direct.RoundTrip(req)
		}),
		CheckRedirect: r.follow,
	}
}

// check judges the address of each request, those of redirects too.
func (r Rules) check(u *url.URL) error {
	if u.Scheme != "https" && !(r.Plain && u.Scheme == "http") {
		return idp.Unavailablef(r.Name+"_url_refused", "%s://%s is not https", u.Scheme, u.Host)
	}
	if r.Port != "" && portOf(u) != r.Port {
		return idp.Unavailablef(r.Name+"_url_refused", "%s://%s is not on port %s", u.Scheme, u.Host, r.Port)
	}
	return nil
}

func portOf(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// follow judges a redirect. Only hosts are told: paths may be secret.
func (r Rules) follow(req *http.Request, via []*http.Request) error {
	if len(via) > r.Redirects {
		if r.Redirects == 0 {
			return idp.Unavailablef(r.Name+"_redirect", "%s redirects, which is not followed", via[0].URL.Host)
		}
		return idp.Unavailablef(r.Name+"_redirect", "more than %d redirects", r.Redirects)
	}
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return idp.Unavailablef(r.Name+"_redirect", "%s://%s leads to %s://%s", from.Scheme, from.Host, req.URL.Scheme, req.URL.Host)
	}
	return nil
}

func (r Rules) transport(d *net.Dialer, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy: proxy, DialContext: d.DialContext, TLSHandshakeTimeout: dialWithin,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: r.Roots},
		ResponseHeaderTimeout: headersWithin, MaxResponseHeaderBytes: maxHeaders,
		IdleConnTimeout: r.Idle, DisableKeepAlives: r.Idle == 0, ForceAttemptHTTP2: true,
	}
}

// road is a function as an http.RoundTripper.
type road func(*http.Request) (*http.Response, error)

func (f road) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// publicOnly refuses to dial what is not on the public internet.
func (r Rules) publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return idp.Unavailablef(r.Name+"_address_refused", "address %s: %w", address, err)
	}
	if !Public(ap.Addr()) {
		return idp.Unavailablef(r.Name+"_address_refused", "%s is not a public address", ap.Addr().Unmap())
	}
	return nil
}

// ErrTooLong is what Read gives for a body beyond its limit.
var ErrTooLong = errors.New("body is too long")

// Read reads a body of at most limit bytes. A longer one is ErrTooLong, with
// its first limit bytes.
func Read(body io.Reader, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(b)) > limit {
		return b[:limit], ErrTooLong
	}
	return b, err
}
