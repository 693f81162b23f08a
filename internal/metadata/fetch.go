package metadata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Bounds of a download (security.md NET04).
const (
	maxRedirects  = 2
	dialWithin    = 10 * time.Second
	headersWithin = 30 * time.Second
)

// fetched is an answer of the service.
type fetched struct {
	blob               []byte // nil: not changed
	etag, lastModified string
}

// fetch gets the list, or learns that it is still the one of the validators.
// Errors are Unavailable, and say in their public sentence what to look at.
func (r *Registry) fetch(ctx context.Context, etag, lastModified string) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL, nil)
	if err != nil {
		return fetched{}, idp.Invalidf("metadata_url", "%w", err)
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if lastModified != "" {
		req.Header.Set("If-Modified-Since", lastModified)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return fetched{}, unreachable(err)
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusNotModified:
		return fetched{etag: etag, lastModified: lastModified}, nil
	case http.StatusOK:
	default:
		return fetched{}, idp.Unavailablef("metadata_status", "GET %s: %s", r.cfg.URL, res.Status)
	}
	blob, err := io.ReadAll(io.LimitReader(res.Body, maxBlob+1))
	if err != nil {
		return fetched{}, unreachable(err)
	}
	if len(blob) > maxBlob {
		return fetched{}, idp.Unavailablef("metadata_too_large", "GET %s: more than %d bytes", r.cfg.URL, maxBlob)
	}
	if res.ContentLength > int64(len(blob)) {
		return fetched{}, idp.Unavailablef("metadata_unreachable", "%d of %d bytes", len(blob), res.ContentLength)
	}
	return fetched{blob, header100(res, "ETag"), header100(res, "Last-Modified")}, nil
}

// header100 is a validator, if it is of a size that is worth keeping.
func header100(res *http.Response, name string) string {
	v := res.Header.Get(name)
	if len(v) > 200 {
		return ""
	}
	return v
}

func unreachable(err error) error {
	var e *idp.Error
	if errors.As(err, &e) {
		return e
	}
	return idp.Unavailablef("metadata_unreachable", "%w", err)
}

// newClient makes the client that lists are fetched with: it goes to one host,
// over https, and, unless the network is the operator's own, to public
// addresses only, which is checked for the very address that is dialled, so
// that a name server cannot lead it elsewhere. Where the environment names a
// proxy (HTTPS_PROXY, NO_PROXY), the proxy is dialled, wherever it is.
// plain allows http, for what is signed.
func newClient(private, plain bool) *http.Client {
	guarded := &net.Dialer{Timeout: dialWithin}
	if !private {
		guarded.Control = publicOnly
	}
	direct := transport(guarded, nil)
	proxied := transport(&net.Dialer{Timeout: dialWithin}, http.ProxyFromEnvironment)
	return &http.Client{
		Transport: road(func(req *http.Request) (*http.Response, error) {
			if req.URL.Scheme != "https" && !((private || plain) && req.URL.Scheme == "http") {
				return nil, idp.Unavailablef("metadata_url_refused", "%s is not https", req.URL.Redacted())
			}
			proxy, err := http.ProxyFromEnvironment(req)
			if err != nil {
				return nil, err
			}
			if proxy != nil {
				return proxied.RoundTrip(req)
			}
			return direct.RoundTrip(req)
		}),
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return idp.Unavailablef("metadata_redirect", "more than %d redirects", maxRedirects)
			}
			if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
				return idp.Unavailablef("metadata_redirect", "%s leads to %s", from.Redacted(), req.URL.Redacted())
			}
			return nil
		},
	}
}

func transport(d *net.Dialer, proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	return &http.Transport{
		Proxy: proxy, DialContext: d.DialContext, TLSHandshakeTimeout: dialWithin,
		ResponseHeaderTimeout: headersWithin, MaxResponseHeaderBytes: 64 << 10,
		// Once a day: nothing is worth keeping open.
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
	}
}

type road func(*http.Request) (*http.Response, error)

func (f road) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// publicOnly refuses to dial what is not on the public internet.
func publicOnly(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %s: %w", address, err)
	}
	if ip := ap.Addr().Unmap(); !public(ip) {
		return idp.Unavailablef("metadata_address_refused", "%s is not a public address", ip)
	}
	return nil
}

// reserved are networks besides those that netip knows as special (IANA
// special-purpose address registries).
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
		return false
	}
	for _, p := range reserved {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
