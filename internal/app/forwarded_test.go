package app_test

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/app"
)

// poison are headers by which proxies, and strangers, say under what name a
// request came in.
func poison(scheme string) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": scheme, "X-Forwarded-Scheme": scheme, "X-Forwarded-Port": "666",
		"X-Forwarded-Ssl": map[string]string{"https": "on", "http": "off"}[scheme], "X-Forwarded-Prefix": "/evil", "X-Forwarded-Server": "evil.example",
		"Forwarded":    "for=192.0.2.1;host=evil.example;proto=" + scheme,
		"X-Scheme":     scheme,
		"X-Url-Scheme": scheme, "Front-End-Https": "on", "X-Host": "evil.example", "X-Original-Host": "evil.example",
		"X-Original-Url": "/evil", "X-Rewrite-Url": "/evil", "X-Http-Host-Override": "evil.example",
	} {
		h.Set(name, value)
	}
	return h
}

// told is what a reply says about where we are.
type told struct {
	status   int
	location string
	cookies  []string // names and attributes, without values
	body     string
	raw      string // headers and body
}

// What differs between two replies to one request though nothing was changed:
// ids, sealed values and times.
var volatile = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[A-Za-z0-9_-]{40,}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ|\d{1,2} [A-Z][a-z]+ \d{4}, \d\d:\d\d(:\d\d)?`)

func (s *site) ask(t *testing.T, method, path string, form url.Values, host string, more http.Header) told {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.BaseURL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, more)
	r.URL.Scheme = "http" // a proxy in between speaks plainly to us
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, s.Addr().String())
		}},
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := told{status: res.StatusCode, location: volatile.ReplaceAllString(res.Header.Get("Location"), "…"), body: volatile.ReplaceAllString(string(body), "…")}
	var headers strings.Builder
	if err := res.Header.Write(&headers); err != nil {
		t.Fatal(err)
	}
	out.raw = headers.String() + string(body)
	for _, c := range res.Cookies() {
		c.Value = "x"
		out.cookies = append(out.cookies, c.String())
	}
	slices.Sort(out.cookies)
	return out
}

// T59: what a request says of the host and the scheme it came by changes no
// address, no issuer and no cookie; behind a trusted proxy neither (NET02: only
// the source address is believed there).
func TestSec_NET02_ForwardedHeadersChangeNothing(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*app.Config)
		other  string // the scheme that we do not have
	}{
		"plain":        {nil, "https"},
		"behind proxy": {func(c *app.Config) { c.TrustedProxy = []string{"127.0.0.0/8", "::1"} }, "https"},
		"https behind proxy": {func(c *app.Config) {
			c.Demo, c.BaseURL, c.TrustedProxy = false, "https://id.example", []string{"127.0.0.0/8", "::1"}
		}, "http"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.change)
			own := must(url.Parse(s.BaseURL()))
			tenant := "/" + s.made.TenantID
			ask := url.Values{"client_id": {s.made.ClientID}, "redirect_uri": {s.made.AppURL + "/callback"}, "response_type": {"code"}, "scope": {"openid"},
				"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
			silent := url.Values{"prompt": {"none"}}
			maps.Copy(silent, ask)
			cookies := 0
			for _, path := range []string{
				tenant + "/v2.0/.well-known/openid-configuration", tenant + "/.well-known/openid-configuration", "/common/v2.0/.well-known/openid-configuration",
				tenant + "/discovery/v2.0/keys", tenant + "/oauth2/v2.0/authorize?" + ask.Encode(), tenant + "/oauth2/v2.0/authorize?" + silent.Encode(),
				tenant + "/oauth2/v2.0/authorize", tenant + "/oauth2/v2.0/logout", tenant + "/openid/userinfo", "POST " + tenant + "/oauth2/v2.0/token",
				"POST " + tenant + "/oauth2/v2.0/authorize", "/", "/account", tenant + "/signin?to=account", "/signed-out", "/nowhere",
				"/.well-known/webauthn", "/.well-known/passkey-endpoints", "/.well-known/change-password",
			} {
				method, form := http.MethodGet, url.Values(nil)
				if rest, ok := strings.CutPrefix(path, "POST "); ok {
					method, path, form = http.MethodPost, rest, url.Values{"grant_type": {"client_credentials"}}
					maps.Copy(form, ask)
				}
				want := s.ask(t, method, path, form, own.Host, nil)
				for _, scheme := range []string{"http", "https"} {
					got := s.ask(t, method, path, form, own.Host, poison(scheme))
					if got.status != want.status || got.location != want.location || !slices.Equal(got.cookies, want.cookies) || got.body != want.body {
						t.Errorf("%s %s said to come by %s:\ngot  %d %q %q %.300q\nwant %d %q %q %.300q", method, path, scheme,
							got.status, got.location, got.cookies, got.body, want.status, want.location, want.cookies, want.body)
						t.Logf("bodies (-want +got):\n%s", cmp.Diff(want.body, got.body))
					}
					if strings.Contains(got.raw, "evil") || strings.Contains(got.raw, c.other+"://"+own.Host) {
						t.Errorf("%s %s repeats what it was told: %.2000s", method, path, got.raw)
					}
				}
				for _, cookie := range want.cookies {
					cookies++
					if secure := own.Scheme == "https"; strings.Contains(cookie, "; Secure") != secure || strings.HasPrefix(cookie, "__Host-") != secure {
						t.Errorf("%s sets %s under %s", path, cookie, own)
					}
				}
				for _, host := range []string{"evil.example", "evil.example:" + own.Port(), own.Host + ".evil.example", own.Hostname() + ":1"} {
					if got := s.ask(t, method, path, form, host, nil); got.status != http.StatusMisdirectedRequest || strings.Contains(got.raw, "evil") || len(got.cookies) > 0 {
						t.Errorf("%s %s for the host %s: %d %q", method, path, host, got.status, got.raw)
					}
				}
			}
			if cookies == 0 {
				t.Error("no request was answered with a cookie")
			}
			if doc := s.ask(t, http.MethodGet, tenant+"/v2.0/.well-known/openid-configuration", nil, own.Host, poison(c.other)); !strings.Contains(doc.raw, `"issuer":"`+s.BaseURL()+tenant+`/v2.0"`) {
				t.Errorf("discovery: %s", doc.raw)
			}
		})
	}
}
