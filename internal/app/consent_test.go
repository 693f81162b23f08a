package app_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/app"
)

// TestTakeBack: an app that somebody allowed something holds nothing of them
// once that is taken back, by themselves or by the help desk, and has to ask
// again (security.md OAU19).
func TestTakeBack(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, bela)
	desk := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	var made struct{ ID, Secret string }
	must(0, json.Unmarshal(must(desk.Do(t.Context(), "app.create", map[string]any{
		"displayName": "Wiki", "redirectUris": []string{s.made.AppURL + "/wiki"}, "scopes": []string{"openid", "profile", "offline_access"},
	}, nil)), &made))
	if _, ok := desk.Doer.(*admin.Client); !ok {
		t.Fatal("not by the running server")
	}

	for who, takeBack := range map[string]func(){
		"the person": func() {
			p := b.get(s.BaseURL() + "/account")
			session := p.field(t, `name="session" value="([^"]*)"`)
			p = b.get(s.BaseURL() + "/account/take-back?app=" + made.ID)
			p = b.post(p, "/account/take-back", url.Values{"session": {session}, "app": {p.field(t, `name="app" value="([^"]*)"`)}})
			if !strings.Contains(p.text, "Taken back.") {
				t.Fatalf("came to %d %s\n%s", p.status, p.url, p.text)
			}
		},
		"the help desk": func() {
			must(desk.Do(t.Context(), "user.revokeConsent", map[string]string{"user": bela.UserName, "app": "Wiki"}, nil))
		},
	} {
		t.Run(who, func(t *testing.T) {
			token, config := s.consented(t, b, made.ID, made.Secret)
			userinfo := s.BaseURL() + "/" + s.made.TenantID + "/openid/userinfo"
			if got := bearerStatus(t, b, userinfo, token.AccessToken); got != http.StatusOK {
				t.Fatalf("userinfo answered %d before", got)
			}
			takeBack()
			if got := bearerStatus(t, b, userinfo, token.AccessToken); got != http.StatusUnauthorized {
				t.Errorf("userinfo answers %d", got)
			}
			if _, err := config.TokenSource(b.context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token(); err == nil {
				t.Error("the refresh token still works")
			}
			if p := b.get(config.AuthCodeURL("state", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))); !strings.Contains(p.text, `data-action="consent-allow"`) {
				t.Errorf("the app was not made to ask: %s\n%s", p.url, p.text)
			}
		})
	}
}

// consented signs the browser's person in to an app that asks for consent, and
// gives it.
func (s *site) consented(t *testing.T, b *browser, id, secret string) (*oauth2.Token, *oauth2.Config) {
	t.Helper()
	at := s.BaseURL() + "/" + s.made.TenantID
	config := &oauth2.Config{
		ClientID: id, ClientSecret: secret, RedirectURL: s.made.AppURL + "/wiki", Scopes: []string{"openid", "profile", "offline_access"},
		Endpoint: oauth2.Endpoint{AuthURL: at + "/oauth2/v2.0/authorize", TokenURL: at + "/oauth2/v2.0/token", AuthStyle: oauth2.AuthStyleInHeader},
	}
	verifier := oauth2.GenerateVerifier()
	p := b.get(config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)))
	if !strings.Contains(p.text, `data-action="consent-allow"`) {
		t.Fatalf("no question: %s\n%s", p.url, p.text)
	}
	p = b.post(p, "/"+s.made.TenantID+"/signin/consent", url.Values{"handle": {p.handle(t)}, "decision": {"allow"}})
	token, err := config.Exchange(b.context(), p.url.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatalf("came to %s: %v", p.url, err)
	}
	return token, config
}

func bearerStatus(t *testing.T, b *browser, address, token string) int {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))
	r.Header.Set("Authorization", "Bearer "+token)
	return b.do(r).status
}
