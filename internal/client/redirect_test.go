package client_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
)

func TestCheckRedirect(t *testing.T) {
	for _, tt := range []struct {
		kind, uri string
	}{
		{client.Web, "https://wiki.example.com/callback"},
		{client.Web, "https://wiki.example.com"},
		{client.Web, "https://wiki.example.com:8443/cb?tenant=a&x=%C3%A9"},
		{client.Web, "https://xn--bcher-kva.example/cb"},
		{client.Web, "https://192.0.2.7/cb"},
		{client.Web, "https://[2001:db8::1]/cb"},
		{client.Web, "http://127.0.0.1:8090/callback"},
		{client.Web, "http://localhost/cb"},
		{client.Native, "http://127.0.0.1/callback"},
		{client.Native, "http://[::1]:5000/"},
		{client.Native, "http://localhost"},
		{client.Native, "https://app.example.com/claimed"},
		{client.Native, "com.example.app:/oauth2redirect"},
		{client.Native, "com.example.app://callback/path"},
	} {
		if err := client.CheckRedirect(tt.kind, tt.uri); err != nil {
			t.Errorf("%s %q: %v", tt.kind, tt.uri, err)
		}
		c := client.Client{Kind: tt.kind, RedirectURIs: []string{tt.uri}}
		if !client.MatchRedirect(c, tt.uri) {
			t.Errorf("%q does not match itself", tt.uri)
		}
	}
}

// hostileURIs must not be registered for either kind of client, and must not
// match a client that has the good ones (security.md OAU01, T40).
var hostileURIs = []string{
	"", " ", "/", "//", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "evil.example", "evil.example/cb", "?x", "#x", ":", "://", "https", "https:",
	"https:/", "https://", "https:///", "https:///evil.example", "https:evil.example/cb", "https:/evil.example/cb", "https:\\\\evil.example",
	"https://evil.example\\@good.example/cb", "https://good.example\\.evil.example/cb", "https:/\\evil.example/cb",
	"http://good.example/cb", "http://evil.example", "HTTP://good.example/cb", "HTTPS://good.example/cb", "hTtPs://good.example/cb",
	"https://GOOD.example/cb", "https://good.EXAMPLE/cb", "https://good.example./cb", "https://.good.example/cb", "https://good..example/cb",
	"https://good_example/cb", "https://-good.example/cb", "https://good-.example/cb",
	"https://user@good.example/cb", "https://user:pass@good.example/cb", "https://@good.example/cb", "https://:@good.example/cb", "https://good.example@evil.example/cb",
	"https://good.example%40evil.example/cb", "https://good.example%2eevil.example/cb",
	"https://*.good.example/cb", "https://*/cb", "https://good.example/*", "https://good.example/cb*", "https://good.example:*/cb", "https://good.example/%2a",
	"https://good.example/cb#", "https://good.example/cb#fragment", "https://good.example/#/cb", "https://good.example/cb%23x",
	"https://good.example/./cb", "https://good.example/../cb", "https://good.example/cb/..", "https://good.example/cb/../evil", "https://good.example/%2e%2e/cb",
	"https://good.example/.%2e/cb", "https://good.example/a/%2e/cb", "https://good.example/%2fcb", "https://good.example/%5ccb", "https://good.example/cb%00", "https://good.example/cb%0a",
	"https://good.example/cb%0d%0aSet-Cookie:x", "https://good.example/cb%20", "https://good.example/%252e%252e/cb", "https://good.example/%", "https://good.example/%4", "https://good.example/%zz",
	"https://good.example//cb", "https://good.example/c b", "https://good.example/cb ", " https://good.example/cb", "https://good.example/cb\n", "https://good.example/cb\r\nx", "https://good.example/\tcb",
	"https://good.example/cb\x00", "https://good.example\x00.evil.example/cb", "https://good.example/\"cb", "https://good.example/<cb>", "https://good.example/{cb}", "https://good.example/cb|x", "https://good.example/^", "https://good.example/`",
	"https://göod.example/cb", "https://good。example/cb", "https://good．example/cb", "https://gооd.example/cb", "https://good.example/ü", "https://good.example/\u202ecb", "https://good.example\u2215cb", "https://good.example／cb",
	"https://good.example:/cb", "https://good.example:0/cb", "https://good.example:65536/cb", "https://good.example:99999999/cb", "https://good.example:080/cb", "https://good.example:x/cb", "https://good.example:-1/cb", "https://good.example:80:80/cb",
	"https://0x7f000001/cb", "https://0x7f.1/cb", "https://2130706433/cb", "https://127.1/cb", "https://0177.0.0.1/cb", "https://127.0.0.01/cb", "https://1.2.3.4.5/cb", "https://256.1.1.1/cb", "https://good.1/cb",
	"https://[::1/cb", "https://::1/cb", "https://[::1]evil/cb", "https://[fe80::1%25eth0]/cb", "https://[0:0:0:0:0:0:0:1]/cb", "https://[::ffff:127.0.0.1]:x/cb", "https://[]/cb", "https://[v1.x]/cb",
	"http://127.0.0.1.evil.example/cb", "http://127.0.0.1@evil.example/cb", "http://localhost.evil.example/cb", "http://localhost@evil.example", "http://localhost:80@evil.example/cb",
	"http://127.0.0.2/cb", "http://127.1/cb", "http://0.0.0.0/cb", "http://[::]/cb", "http://[::ffff:127.0.0.1]/cb", "http://LOCALHOST/cb", "http://localhost./cb", "http://127.0.0.1:/cb", "http://127.0.0.1:0/cb",
	"http://127.0.0.1:65536/cb", "http://127.0.0.1:80x/cb", "http://127.0.0.1\\evil.example/cb", "http://2130706433/cb", "http://[::1", "http://::1/cb", "http://localhostx/cb", "http:localhost/cb", "http:///localhost/cb",
	"javascript:alert(1)", "JaVaScRiPt:alert(1)", "javascript://good.example/%0aalert(1)", "data:text/html,x", "vbscript:x", "file:///etc/passwd", "blob:https://good.example/x", "about:blank", "view-source:https://good.example/",
	"ftp://good.example/cb", "ws://good.example/cb", "wss://good.example/cb", "mailto:a@good.example", "tel:1", "urn:ietf:wg:oauth:2.0:oob", "urn:example:cb", "myapp://callback", "myapp:/callback", "intent://x#Intent;end", "chrome-extension://x/cb", "ms-app://x",
	"com.example.app:", "com.example.app:callback", "com.example.app://user@host/cb", "com.example.app:/cb#x", "com.example.app:/a/../b", "com..example:/cb", "com.example.:/cb", ".com.example:/cb", "COM.example.app:/cb", "com.example.app:/c b", "1com.example:/cb",
	"https://good.example/cb https://evil.example/cb", "https://" + strings.Repeat("a", 64) + ".example/cb", "https://good.example/" + strings.Repeat("a", 2048),
}

func TestHostileRedirects(t *testing.T) {
	if len(hostileURIs) < 80 {
		t.Fatalf("only %d URIs", len(hostileURIs))
	}
	seen := make(map[string]bool)
	for _, uri := range hostileURIs {
		if seen[uri] {
			t.Errorf("%q is there twice", uri)
		}
		seen[uri] = true
		for _, kind := range []string{client.Web, client.Native} {
			err := client.CheckRedirect(kind, uri)
			if !errors.Is(err, idp.Invalid) {
				t.Errorf("%s %q: %v, want Invalid", kind, uri, err)
			}
			if err != nil && idp.AsError(err).Public == "" {
				t.Errorf("%s %q: nothing to say", kind, uri)
			}
			c := client.Client{Kind: kind, RedirectURIs: []string{
				"https://good.example/cb", "http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb", "com.example.app:/cb",
			}}
			if client.MatchRedirect(c, uri) {
				t.Errorf("%s: %q matches", kind, uri)
			}
		}
	}
}

func TestMatchRedirect(t *testing.T) {
	registered := []string{"https://good.example/cb?a=1", "http://127.0.0.1:5000/cb", "http://[::1]/cb", "http://localhost/cb", "https://localhost/tls", "com.example.app:/cb"}
	for _, tt := range []struct {
		uri         string
		web, native bool
	}{
		{"https://good.example/cb?a=1", true, true},
		{"https://good.example/cb?a=1&b=2", false, false},
		{"https://good.example/cb", false, false},
		{"https://good.example/cb/?a=1", false, false},
		{"https://good.example:443/cb?a=1", false, false},
		{"https://good.example/CB?a=1", false, false},
		{"https://good.example/%63b?a=1", false, false},
		{"http://127.0.0.1:5000/cb", true, true},
		{"http://127.0.0.1:49152/cb", false, true},
		{"http://127.0.0.1/cb", false, true},
		{"http://127.0.0.1:49152/other", false, false},
		{"http://127.0.0.1:49152/cb/", false, false},
		{"http://127.0.0.1:49152/cb?x=1", false, false},
		{"http://127.0.0.1:0/cb", false, false},
		{"http://127.0.0.1:65536/cb", false, false},
		{"http://127.0.0.1:+80/cb", false, false},
		{"http://127.0.0.1:080/cb", false, false},
		{"http://127.0.0.1:/cb", false, false},
		{"http://[::1]:49152/cb", false, true},
		{"http://localhost:49152/cb", false, true},
		{"https://localhost:49152/tls", false, false},
		{"http://127.0.0.2:49152/cb", false, false},
		{"http://127.0.0.1:80@evil.example/cb", false, false},
		{"http://127.0.0.1:80.evil.example/cb", false, false},
		{"http://localhost:80/cb", false, true},
		{"com.example.app:/cb", true, true},
		{"com.example.app:/cb2", false, false},
	} {
		for kind, want := range map[string]bool{client.Web: tt.web, client.Native: tt.native} {
			c := client.Client{Kind: kind, RedirectURIs: registered, PostLogoutURIs: registered}
			if got := client.MatchRedirect(c, tt.uri); got != want {
				t.Errorf("%s %q: %v, want %v", kind, tt.uri, got, want)
			}
			if got := client.MatchPostLogout(c, tt.uri); got != want {
				t.Errorf("%s %q after logout: %v, want %v", kind, tt.uri, got, want)
			}
		}
	}
	if client.MatchRedirect(client.Client{Kind: client.Web}, "") {
		t.Error("nothing matches a client without redirect URIs")
	}
}

// FuzzRedirect: what may be registered is read the same way by net/url, leads
// to where it says, and matches only itself, the loopback port apart.
func FuzzRedirect(f *testing.F) {
	for _, uri := range hostileURIs {
		f.Add(uri, "https://good.example/cb", true)
	}
	f.Add("http://127.0.0.1:5/cb", "http://127.0.0.1:6/cb", true)
	f.Add("com.example.app:/cb", "com.example.app:/cb", true)
	f.Fuzz(func(t *testing.T, uri, asked string, native bool) {
		kind := client.Web
		if native {
			kind = client.Native
		}
		if client.CheckRedirect(kind, uri) != nil {
			return
		}
		u, err := url.Parse(uri)
		if err != nil || u.Fragment != "" || u.User != nil || !u.IsAbs() || u.String() == "" {
			t.Fatalf("%q may be registered and reads as %+v, %v", uri, u, err)
		}
		if u.Scheme == "http" && u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" {
			t.Fatalf("%q may be registered without TLS", uri)
		}
		if !client.MatchRedirect(client.Client{Kind: kind, RedirectURIs: []string{uri}}, asked) || asked == uri {
			return
		}
		a, err := url.Parse(asked)
		if err != nil {
			t.Fatalf("%q matches %q and is no URL: %v", asked, uri, err)
		}
		if kind != client.Native || u.Scheme != "http" || a.Scheme != "http" || a.Hostname() != u.Hostname() || a.EscapedPath() != u.EscapedPath() ||
			a.RawQuery != u.RawQuery || a.Fragment != "" || a.User != nil {
			t.Fatalf("%q matches %q", asked, uri)
		}
	})
}
