package app_test

import (
	"testing"
	"time"

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
