package web

import "net/http"

// What every reply carries, ready to be put into its headers under their
// canonical names. Set would make both anew for each reply; nobody may write
// into these.
var (
	nosniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	sameOrigin = []string{"same-origin"}
	denied     = []string{"DENY"}
	httpsOnly  = []string{"max-age=31536000; includeSubDomains"}
	noStore    = []string{"no-store"}
	isJSON     = []string{"application/json; charset=utf-8"}
)

// Headers sets what every reply carries (security.md WEB02). Pages add their
// Content-Security-Policy; secure says whether the base URL is https, without
// which a browser ignores HSTS.
func Headers(secure bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h["X-Content-Type-Options"] = nosniff
			h["Referrer-Policy"] = noReferrer
			h["Cross-Origin-Resource-Policy"] = sameOrigin
			h["X-Frame-Options"] = denied
			if secure {
				h["Strict-Transport-Security"] = httpsOnly
			}
			if r.Method == http.MethodTrace {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Host refuses requests for a host that is not ours with 421. Addresses are
// made from configuration alone; this keeps a stray Host header from reaching
// a cache or a log as if it were true (security.md NET02).
func Host(allowed ...string) func(http.Handler) http.Handler {
	ok := make(map[string]bool, len(allowed))
	for _, a := range allowed {
		ok[a] = true
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !ok[r.Host] {
				http.Error(w, "This server does not answer for that host.", http.StatusMisdirectedRequest)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// Chain wraps h in the middlewares, the first one outermost.
func Chain(h http.Handler, around ...func(http.Handler) http.Handler) http.Handler {
	for n := len(around) - 1; n >= 0; n-- {
		h = around[n](h)
	}
	return h
}
