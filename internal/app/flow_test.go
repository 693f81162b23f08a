package app_test

import (
	"encoding/json"
	"html"
	"net/http"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestFirstDay is the whole road of a person, on both databases: a pass, a
// passkey, the app; out, and in again with one gesture; the pass is spent.
func TestFirstDay(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { firstDay(t, nil) })
	t.Run("postgres", func(t *testing.T) {
		if address := sqldbtest.NewPostgres(t); address != "" {
			firstDay(t, func(c *app.Config) { c.Database = address })
		}
	})
}

func firstDay(t *testing.T, change func(*app.Config)) {
	s := newSite(t, change)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())

	p := b.firstDay(s, bela)
	if p.url.String() != s.made.AppURL+"/" || !strings.Contains(p.text, `data-action="logout"`) {
		t.Fatalf("came to %s:\n%s", p.url, p.text)
	}
	var claims map[string]any
	if err := json.Unmarshal([]byte(html.UnescapeString(p.field(t, `(?s)<pre data-claims>(.*?)</pre>`))), &claims); err != nil {
		t.Fatal(err)
	}
	if claims["preferred_username"] != bela.UserName || claims["tid"] != s.made.TenantID || claims["iss"] != s.made.Issuer || claims["acr"] != "phr" {
		t.Errorf("claims %v", claims)
	}

	p = b.get(s.made.AppURL + "/logout")
	if p.url.String() != s.made.AppURL+"/" || !strings.Contains(p.text, `data-action="login"`) {
		t.Errorf("signed out to %s:\n%s", p.url, p.text)
	}
	p = b.get(s.made.AppURL + "/login")
	if !strings.Contains(p.text, `data-action="signin-passkey"`) {
		t.Fatalf("still signed in after signing out: %s", p.url)
	}
	if p = b.usePasskey(p); !strings.Contains(p.text, `data-action="logout"`) {
		t.Errorf("the passkey led to %s:\n%s", p.url, p.text)
	}

	// The pass was good once.
	other := newBrowser(t, s.BaseURL())
	p = other.usePass(other.get(s.made.AppURL+"/login"), bela.UserName, bela.AccessPass)
	if strings.Contains(p.text, `data-action="register-passkey"`) || !strings.Contains(p.text, "This pass does not work") {
		t.Errorf("a spent pass led to %d %s:\n%s", p.status, p.url, p.text)
	}
}

// A person who is disabled is out of everything at once.
func TestDisabledPerson(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, bela)
	if p := b.get(s.BaseURL() + "/account"); p.status != http.StatusOK || !strings.Contains(p.text, "data-credential") {
		t.Fatalf("account page: %d\n%s", p.status, p.text)
	}
	if _, err := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do(t.Context(), "user.disable", map[string]string{"user": bela.UserName}, nil); err != nil {
		t.Fatal(err)
	}
	if p := b.get(s.BaseURL() + "/account"); strings.Contains(p.text, "data-credential") {
		t.Error("the account page still opens")
	}
	if p := b.usePasskey(b.get(s.made.AppURL + "/login")); strings.Contains(p.text, `data-action="logout"`) {
		t.Error("a disabled person got in")
	}
}
