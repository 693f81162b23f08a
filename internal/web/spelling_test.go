package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/web"
)

var odd = web.Spelling("/{t}/oauth2/token", "/{t}/oauth2/v2.0/authorize", "/EnrollmentServer/device/", "/EnrollmentServer/device/{id}",
	"/{t}/Discover", "/{t}/UserRealm/{upn}", "/odc/v2.1/federationProvider")

// seen is the path that the handler behind the table gets.
func seen(raw string) (path, escaped, query string) {
	h := odd(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		path, escaped, query = r.URL.Path, r.URL.EscapedPath(), r.URL.RawQuery
	}))
	u, err := url.ParseRequestURI(raw)
	if err != nil {
		return "", "", ""
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.URL = u
	h.ServeHTTP(httptest.NewRecorder(), r)
	return path, escaped, query
}

func TestSpelling(t *testing.T) {
	for raw, want := range map[string]string{
		"/common/oauth2/token":                      "/common/oauth2/token",
		"/Common/oAuth2/Token":                      "/common/oauth2/token",
		"//common/oauth2/token":                     "/common/oauth2/token",
		"/common//oauth2///token/":                  "/common/oauth2/token",
		"/NORDHAFEN.example/oAuth2/v2.0/AUTHorize/": "/nordhafen.example/oauth2/v2.0/authorize",
		"/EnrollmentServer/device":                  "/EnrollmentServer/device/",
		"/enrollmentserver/DEVICE/":                 "/EnrollmentServer/device/",
		"/enrollmentserver/device/6F1C0a52/":        "/EnrollmentServer/device/6F1C0a52",
		"/nordhafen.example/discover":               "/nordhafen.example/Discover",
		"/common/userrealm/Ada%40Corp.example":      "/common/UserRealm/Ada%40Corp.example",
		"/common/userrealm/a%2Fb@corp.example":      "/common/UserRealm/a%2Fb@corp.example",
		"/ODC/V2.1/federationprovider":              "/odc/v2.1/federationProvider",
		// What is not in the table stays as it came.
		"/Account/":                       "/Account/",
		"/v1.0//Users":                    "/v1.0//Users",
		"/common/oauth2/token/more":       "/common/oauth2/token/more",
		"/../oauth2/token":                "/../oauth2/token",
		"/%2e%2E/oauth2/token":            "/%2e%2E/oauth2/token",
		"/common/%6fauth2/token":          "/common/%6fauth2/token",
		"/":                               "/",
		"/" + strings.Repeat("a/", 40):    "/" + strings.Repeat("a/", 40),
		"/EnrollmentServer/device/../key": "/EnrollmentServer/device/../key",
	} {
		if _, got, query := seen(raw + "?A=B%2f&a=//"); got != want || query != "A=B%2f&a=//" {
			t.Errorf("%s became %s?%s, want %s", raw, got, query, want)
		}
	}
}

// The mux finds what was respelled, without a redirect.
func TestSpellingBeforeTheMux(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{t}/UserRealm/{upn}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Got", r.PathValue("t")+" "+r.PathValue("upn"))
	})
	mux.HandleFunc("GET /EnrollmentServer/device/{$}", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Got", "device") })
	for raw, want := range map[string]string{
		"//Common//userrealm/Ada%2FB%40corp.example/": "common Ada/B@corp.example",
		"/enrollmentServer//device":                   "device",
	} {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL, _ = url.ParseRequestURI(raw)
		odd(mux).ServeHTTP(rec, r)
		if rec.Code != http.StatusOK || rec.Header().Get("X-Got") != want {
			t.Errorf("%s: %d %q", raw, rec.Code, rec.Header().Get("X-Got"))
		}
	}
}

// Whatever comes, what goes on means the same after one more round, its two
// forms of the path agree, and no address is reached by way of a dot segment.
func FuzzSpelling(f *testing.F) {
	for _, s := range []string{"/common/oauth2/token", "//Common//oAuth2/token/", "/common/userrealm/a%2Fb", "/%2e%2e/oauth2/token", "/a\x00/oauth2/token", "/%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil || u.Opaque != "" || !strings.HasPrefix(raw, "/") {
			return
		}
		path, escaped, _ := seen(raw)
		if plain, err := url.PathUnescape(escaped); err != nil || plain != path {
			t.Fatalf("%q became path %q and escaped %q", raw, path, escaped)
		}
		if _, again, _ := seen(escaped); again != escaped {
			t.Fatalf("%q became %q and then %q", raw, escaped, again)
		}
		before, _ := url.PathUnescape(u.EscapedPath())
		if escaped != u.EscapedPath() && (strings.Contains(before, "/../") || strings.HasSuffix(before, "/..")) && !strings.Contains(strings.ToLower(u.EscapedPath()), "%2f") {
			t.Fatalf("%q was respelled as %q", raw, escaped)
		}
	})
}
