package app_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/macprofile"
)

// What Macs are given before they register: the association file and the profile
// of what the operator has named, and in a demo of placeholders that say so.
func TestMacAddresses(t *testing.T) {
	fetch := func(s *site, path string) (int, string, string) {
		t.Helper()
		r, err := http.Get(s.BaseURL() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, r.Header.Get("Content-Type"), string(body)
	}
	const association = "/.well-known/apple-app-site-association"
	for name, c := range map[string]struct {
		change func(*app.Config)
		want   []string
		demo   bool
	}{
		"placeholders": {nil, []string{"DEMOTEAM00.example.signet.demo", "DEMOTEAM00.example.signet.demo.sso"}, true},
		"named": {func(c *app.Config) {
			c.Macs.App, c.Macs.Extension = "ABCDE12345.com.example.mac", "ABCDE12345.com.example.mac.sso"
		}, []string{"ABCDE12345.com.example.mac", "ABCDE12345.com.example.mac.sso"}, false},
	} {
		s := newSite(t, c.change)
		status, kind, body := fetch(s, association)
		var got struct{ Authsrv struct{ Apps []string } }
		if err := json.Unmarshal([]byte(body), &got); status != http.StatusOK || kind != "application/json" || err != nil || strings.Join(got.Authsrv.Apps, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %d %s %s", name, status, kind, body)
		}
		status, kind, body = fetch(s, "/"+string(s.made.Facts.TenantID)+"/psso/profile.mobileconfig")
		if found := macprofile.Lint([]byte(body)); status != http.StatusOK || kind != "application/x-apple-aspen-config" || len(found) > 0 || strings.Contains(body, "DEMO.") != c.demo {
			t.Errorf("%s: %d %s %q %s", name, status, kind, found, body)
		}
	}
}
