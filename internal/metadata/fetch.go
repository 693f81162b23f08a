package metadata

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/outbound"
)

// maxRedirects is how many a download follows (security.md NET04).
const maxRedirects = 2

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
// addresses only. Where the environment names a proxy (HTTPS_PROXY, NO_PROXY),
// the proxy is dialled, wherever it is. plain allows http, for what is signed.
func newClient(private, plain bool) *http.Client {
	return outbound.Client(outbound.Rules{
		Name: "metadata", Private: private, Plain: private || plain, Redirects: maxRedirects, Proxy: http.ProxyFromEnvironment,
	})
}
