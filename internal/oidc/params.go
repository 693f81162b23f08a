package oidc

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// Limits of single parameters. A flow and a code carry some of them, sealed,
// through hidden fields and addresses.
const (
	maxQuery  = 16 << 10
	maxState  = 4096
	maxNonce  = 1024
	maxURI    = 2048
	maxScope  = 2048
	maxHint   = 512
	maxToken  = 16 << 10
	maxClaims = 4096
)

// params are request parameters of which each was given once. Empty values
// count as absent (RFC 6749, Section 3.1).
type params url.Values

func (p params) get(name string) string { return url.Values(p).Get(name) }

// has says whether the parameter is there with a value.
func (p params) has(name string) bool { return p.get(name) != "" }

// authorizeParams reads the parameters of GET (query) or POST (form): OpenID
// Connect Core 1.0, Section 3.1.2.1 wants both. Those given twice come back by
// name; the caller can say so to the application only once it knows where the
// application is.
func authorizeParams(w http.ResponseWriter, r *http.Request) (params, []string, error) {
	if r.Method == http.MethodPost {
		v, err := web.Form(w, r)
		// web.Form hands the values back with its complaint about twice.
		if err != nil && idp.AsError(err).Reason != "duplicate_parameter" {
			return nil, nil, err
		}
		return params(v), twice(v), nil
	}
	return parseQuery(r.URL.RawQuery)
}

// roundByGet leads a form that another site posted to the same address by GET.
// Applications may ask by POST (OpenID Connect Core 1.0, Section 3.1.2.1;
// RP-Initiated Logout 1.0, Section 2), but with such a form a browser leaves
// out cookies that are SameSite=Lax: nobody would seem to be signed in, and the
// browser would get a new binding that ends its other flows. It sends them
// along when it follows the redirect.
func roundByGet(h web.HandlerFunc) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("Sec-Fetch-Site") != "cross-site" {
			return h(w, r)
		}
		p, _, err := authorizeParams(w, r)
		if err != nil {
			return err
		}
		query := url.Values(p).Encode()
		if len(query) > maxQuery {
			return queryTooLong(query)
		}
		return web.SeeOther(w, r, "?"+query)
	}
}

func queryTooLong(raw string) error {
	return idp.Invalidf("query_too_long", "query of %d bytes", len(raw)).Say("The request is too long.")
}

// parseQuery parses a query string.
func parseQuery(raw string) (params, []string, error) {
	if len(raw) > maxQuery {
		return nil, nil, queryTooLong(raw)
	}
	v, err := url.ParseQuery(raw)
	if err != nil {
		return nil, nil, idp.Invalidf("malformed_query", "%w", err).Say("The request could not be read.")
	}
	return params(v), twice(v), nil
}

func twice(v url.Values) []string {
	var names []string
	for name, values := range v {
		if len(values) > 1 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// words splits a space-separated list, dropping repetitions.
func words(s string) []string {
	var out []string
	for _, w := range strings.Split(s, " ") {
		if w != "" && !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// plain says whether s may go on a round trip: valid UTF-8 of at most limit
// bytes without control characters, so that it comes back byte for byte.
func plain(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r < 0x20 || r == 0x7f
	})
}
