package trust

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/outbound"
)

// Defaults of Limits, and what is not a setting.
const (
	defaultBytes = 20 << 20 // security.md CBA05
	defaultTime  = 10 * time.Second
	defaultOCSP  = 5 * time.Second
	maxRedirects = 2 // on the same host only (security.md NET04)
)

func (l Limits) filled() Limits {
	return Limits{CRLBytes: cmp.Or(l.CRLBytes, defaultBytes), CRLTime: cmp.Or(l.CRLTime, defaultTime), OCSPTime: cmp.Or(l.OCSPTime, defaultOCSP)}
}

// fetcher calls addresses that administrators of tenants chose.
type fetcher struct {
	limits  Limits
	private []string
	public  *http.Client
	inside  *http.Client // for hosts in networks of the operator's own
}

func newFetcher(c Config) *fetcher {
	client := func(private bool) *http.Client {
		// What is fetched is signed, so that it may come over http. Where the
		// environment names a proxy, it is dialled wherever it is.
		return outbound.Client(outbound.Rules{Name: "crl", Plain: true, Private: private, Redirects: maxRedirects, Proxy: http.ProxyFromEnvironment})
	}
	return &fetcher{limits: c.Limits.filled(), private: c.Private, public: client(false), inside: client(true)}
}

// client is the one for an address, which has neither a name nor a password in
// it.
func (f *fetcher) client(address string) (*http.Client, error) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil {
		return nil, idp.Unavailablef("crl_url_refused", "address of a list").Say("The address is none that can be fetched.")
	}
	if slices.Contains(f.private, u.Host) || slices.Contains(f.private, u.Hostname()) {
		return f.inside, nil
	}
	return f.public, nil
}

// fetched is an answer.
type fetched struct {
	body           []byte // nil: not changed
	etag, modified string
}

// list gets a list, or learns that it is still the one of the validators.
// Errors are Unavailable, and say what to look at.
func (f *fetcher) list(ctx context.Context, address, etag, modified string) (fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, f.limits.CRLTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fetched{}, idp.Unavailablef("crl_url_refused", "%w", err).Say("The address is none that can be fetched.")
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	if modified != "" {
		req.Header.Set("If-Modified-Since", modified)
	}
	client, err := f.client(address)
	if err != nil {
		return fetched{}, err
	}
	res, err := client.Do(req)
	if err != nil {
		return fetched{}, f.unreachable(err)
	}
	defer res.Body.Close()
	switch {
	case res.StatusCode == http.StatusNotModified && (etag != "" || modified != ""):
		return fetched{etag: etag, modified: modified}, nil
	case res.StatusCode != http.StatusOK:
		return fetched{}, idp.Unavailablef("crl_status", "GET: %s", res.Status).Say(fmt.Sprintf("The address answers with status %d.", res.StatusCode))
	}
	body, err := f.read(res)
	if err != nil {
		return fetched{}, err
	}
	return fetched{body, validator(res, "ETag"), validator(res, "Last-Modified")}, nil
}

// read reads a body of the size that it is said to have, or as it comes.
func (f *fetcher) read(res *http.Response) ([]byte, error) {
	limit := f.limits.CRLBytes
	big := func() error {
		return idp.Unavailablef("crl_too_large", "more than %d bytes", limit).Say(fmt.Sprintf("The list is larger than %d bytes, the limit of this server.", limit))
	}
	if res.ContentLength > limit {
		return nil, big()
	}
	if res.ContentLength >= 0 {
		body := make([]byte, res.ContentLength)
		if _, err := io.ReadFull(res.Body, body); err != nil {
			return nil, f.unreachable(err)
		}
		return body, nil
	}
	body, err := outbound.Read(res.Body, limit)
	switch {
	case errors.Is(err, outbound.ErrTooLong):
		return nil, big()
	case err != nil:
		return nil, f.unreachable(err)
	}
	return body, nil
}

// validator is one that is worth keeping.
func validator(res *http.Response, name string) string {
	v := res.Header.Get(name)
	if len(v) > 200 {
		return ""
	}
	return v
}

// unreachable puts into words why there is no answer.
func (f *fetcher) unreachable(err error) error {
	says := "The address cannot be reached."
	var e *idp.Error
	var dns *net.DNSError
	reason := "crl_unreachable"
	switch {
	case errors.As(err, &e):
		reason = e.Reason
		switch reason {
		case "crl_address_refused":
			says = "The address leads to a network that is not public; the operator of this server can allow its host (crl-private-host)."
		case "crl_redirect":
			says = "The address leads on to another, which is not followed."
		case "crl_url_refused":
			says = "The address leads to something that is neither http nor https."
		}
	case errors.Is(err, context.DeadlineExceeded):
		reason, says = "crl_timeout", "The address does not answer in time."
	case errors.As(err, &dns):
		says = "The host of the address is not known."
	case errors.Is(err, io.ErrUnexpectedEOF):
		says = "The answer ended before its end."
	}
	return idp.Unavailablef(reason, "%w", err).Say(says)
}
