package app_test

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

// An administrator takes a lost passkey away: what stood on it ends, refresh
// tokens too.
func TestSec_SES03_LostPasskey(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, bela)
	_, token, config := s.tokens(t, b, "openid", "offline_access")
	tenant := idp.TenantID(s.made.TenantID)
	user := must(s.Directory.UserByName(t.Context(), s.DB, tenant, bela.UserName))
	var key idp.CredentialID
	for _, c := range must(s.Corridor.Credentials(t.Context(), tenant, user.ID)) {
		if c.Method == "passkey" {
			key = c.ID
		}
	}
	fresh := *token
	fresh.Expiry = time.Now().Add(-time.Hour)
	used := must(config.TokenSource(b.context(), &fresh).Token())
	if err := s.Corridor.RemoveFor(t.Context(), tenant, user.ID, "passkey", key, "cli:test", signin.Peer{}); err != nil {
		t.Fatal(err)
	}
	if live := must(s.Sessions.List(t.Context(), tenant, user.ID)); len(live) != 0 {
		t.Errorf("%d sessions live on", len(live))
	}
	over := *used
	over.Expiry = time.Now().Add(-time.Hour)
	if _, err := config.TokenSource(b.context(), &over).Token(); err == nil {
		t.Error("the refresh token of the removed passkey is good")
	}
}

// What a pass opened ends with the pass, also where passes open apps: there is
// no refresh token to outlive it.
func TestSec_POL04_NoRefreshTokenFromAPass(t *testing.T) {
	s := newSite(t, nil)
	if _, err := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do(t.Context(), "policy.set",
		map[string]string{"name": "accessPass.appSignIn", "value": "true"}, nil); err != nil {
		t.Fatal(err)
	}
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.usePass(b.get(s.made.AppURL+"/login"), bela.UserName, bela.AccessPass)
	_, token, _ := s.tokens(t, b, "openid", "offline_access")
	if token.AccessToken == "" || token.RefreshToken != "" {
		t.Errorf("a pass gave access token %t, refresh token %t", token.AccessToken != "", token.RefreshToken != "")
	}
}
