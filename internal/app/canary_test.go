package app_test

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/oauth2"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// tokens signs the browser's person in to the demo's client once more, as
// another part of the app would, and keeps what it gets.
func (s *site) tokens(t *testing.T, b *browser, scopes ...string) (code string, token *oauth2.Token, config *oauth2.Config) {
	t.Helper()
	config = &oauth2.Config{
		ClientID: s.made.ClientID, ClientSecret: s.made.Secret, RedirectURL: s.made.AppURL + "/callback", Scopes: scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:   s.BaseURL() + "/" + s.made.TenantID + "/oauth2/v2.0/authorize",
			TokenURL:  s.BaseURL() + "/" + s.made.TenantID + "/oauth2/v2.0/token",
			AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
	verifier := oauth2.GenerateVerifier()
	p := b.get(config.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)))
	for _, address := range b.last {
		if u := must(url.Parse(address)); u.Query().Get("code") != "" {
			code = u.Query().Get("code")
		}
	}
	if code == "" {
		t.Fatalf("no code: came to %s\n%s", p.url, p.text)
	}
	token, err := config.Exchange(b.context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	return code, token, config
}

// TestCanaries plants secrets by using the server and then looks for them in
// everything that leaves it or lies on its disk (security.md KEY05).
func TestCanaries(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	first := b.firstDay(s, bela)
	code, token, config := s.tokens(t, b, "openid", "offline_access")
	refreshed, err := config.TokenSource(b.context(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	if err != nil {
		t.Fatal(err)
	}

	canaries := map[string]string{
		"access pass":             bela.AccessPass,
		"access pass, as typed":   strings.ReplaceAll(bela.AccessPass, "-", ""),
		"somebody else's pass":    s.made.Users[2].AccessPass,
		"client secret":           s.made.Secret,
		"authorization code":      code,
		"access token":            token.AccessToken,
		"ID token":                token.Extra("id_token").(string),
		"refresh token":           token.RefreshToken,
		"successor refresh token": refreshed.RefreshToken,
	}
	for _, c := range b.http.Jar.Cookies(must(url.Parse(s.BaseURL()))) {
		if c.Name != "signet-way" { // which way was used last, no secret
			canaries["cookie "+c.Name] = c.Value
		}
	}
	kek := strings.TrimSpace(string(must(os.ReadFile(filepath.Join(s.data, "kek")))))
	canaries["key-encryption key"] = kek
	canaries["key-encryption key, raw"] = string(must(base64.StdEncoding.DecodeString(kek)))
	fresh := secret.RandomKey()
	canaries["next key-encryption key"] = base64.StdEncoding.EncodeToString(fresh.Raw())
	canaries["next key-encryption key, raw"] = string(fresh.Raw())
	s.replaceKEK(t, canaries["next key-encryption key"])
	signer := must(s.Keys.Signer(t.Context(), idp.TenantID(s.made.TenantID), "ES256"))
	private := must(signer.Key.(*ecdsa.PrivateKey).Bytes())
	canaries["signing key, raw"] = string(private)
	canaries["signing key, base64"] = base64.RawURLEncoding.EncodeToString(private)
	canaries["signing key, hex"] = hex.EncodeToString(private)

	outputs := s.provoke(t, b, canaries)
	outputs["metrics"] = b.get(s.BaseURL() + "/metrics").text
	outputs["the app's page"] = first.text
	outputs["account page"] = b.get(s.BaseURL() + "/account").text
	outputs["audit"] = string(must(must(app.Administer(t.Context(), app.Config{Data: s.data})).Do(t.Context(), "audit.list", map[string]int{"limit": 999}, nil)))
	outputs["backup"] = s.plainBackup(t)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	outputs["log"] = s.log.String()
	for _, name := range must(os.ReadDir(s.data)) {
		if name.Name() != "kek" && !strings.HasPrefix(name.Name(), "kek.old-") { // which hold a key, and nothing else may
			outputs["file "+name.Name()] = string(must(os.ReadFile(filepath.Join(s.data, name.Name()))))
		}
	}
	if len(outputs["log"]) == 0 || len(outputs["file signet.db"]) < 10_000 || !strings.Contains(outputs["backup"], bela.UserName) {
		t.Fatal("there is nothing to look through")
	}
	for what, secret := range canaries {
		if len(secret) < 8 {
			t.Errorf("the %s is too short to look for: %q", what, secret)
			continue
		}
		for where, text := range outputs {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in the %s", what, where)
			}
		}
	}
}

// replaceKEK gives the running server another key-encryption key, and wrong
// ones made of it.
func (s *site) replaceKEK(t *testing.T, key string) {
	t.Helper()
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	for _, wrong := range []string{key + "A", key[:40], "{" + key} {
		if _, err := a.Do(t.Context(), "kek.add", map[string]string{"key": wrong}, nil); err == nil || strings.Contains(err.Error(), key[:40]) {
			t.Errorf("a wrong key: %v", err)
		}
	}
	must(a.Do(t.Context(), "kek.add", map[string]string{"key": key}, nil))
	must(a.Do(t.Context(), "kek.rewrap", map[string]bool{}, nil))
	must(a.Do(t.Context(), "kek.finish", map[string]bool{}, nil))
}

// provoke sends every canary to all places where a secret may be sent, in the
// wrong one for most, so that errors are made of it.
func (s *site) provoke(t *testing.T, b *browser, canaries map[string]string) map[string]string {
	t.Helper()
	outputs := map[string]string{}
	tenant := "/" + s.made.TenantID
	stranger := newBrowser(t, s.BaseURL())
	at := page{url: must(url.Parse(s.BaseURL()))}
	for what, secret := range canaries {
		say := func(p page, where string) {
			outputs["answer to "+where+" with the "+what] = back.ReplaceAllString(p.text, "")
		}
		q := url.QueryEscape(secret)
		say(stranger.get(s.BaseURL()+tenant+"/signin?flow="+q), "the sign-in page")
		say(stranger.get(s.BaseURL()+tenant+"/oauth2/v2.0/logout?id_token_hint="+q), "logout")
		say(stranger.post(at, tenant+"/signin/answer", url.Values{"handle": {secret}, "method": {"accessPass"}, "username": {s.made.Users[3].UserName}, "access_pass": {secret}}), "an answer")
		say(stranger.usePass(stranger.get(s.made.AppURL+"/login"), s.made.Users[3].UserName, secret), "a pass")
		for _, form := range []url.Values{
			{"grant_type": {"refresh_token"}, "refresh_token": {secret}},
			{"grant_type": {"authorization_code"}, "code": {secret}, "redirect_uri": {s.made.AppURL + "/callback"}, "code_verifier": {secret}},
			{"grant_type": {"client_credentials"}, "client_assertion": {secret}, "client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}},
		} {
			form.Set("client_id", s.made.ClientID)
			for _, own := range []string{secret, s.made.Secret} {
				form.Set("client_secret", own)
				for _, path := range []string{"/oauth2/v2.0/token", "/oauth2/v2.0/introspect", "/oauth2/v2.0/revoke"} {
					form.Set("token", secret)
					say(stranger.post(at, tenant+path, form), path+" "+form.Get("grant_type"))
				}
			}
		}
		outputs["answer to userinfo with the "+what] = bearer(t, s.BaseURL()+tenant+"/openid/userinfo", secret)
	}
	return outputs
}

// back is the field in which a page remembers its own address, which may hold
// what its reader typed there.
var back = regexp.MustCompile(`name="back" value="[^"]*"`)

func bearer(t *testing.T, address, token string) string {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))
	r.Header.Set("Authorization", "Bearer "+strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, token))
	r.URL.Host = strings.Replace(r.URL.Host, "localhost", "127.0.0.1", 1)
	r.Host = must(url.Parse(address)).Host
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return string(must(io.ReadAll(res.Body)))
}

// plainBackup is what somebody reads who has the backup's key.
func (s *site) plainBackup(t *testing.T) string {
	t.Helper()
	file, recipient, err := backup.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	if _, err := app.Backup(t.Context(), app.Config{Data: s.data, Now: app.Default().Now}, &sealed, backup.Keys{Recipients: []string{recipient}}, "test"); err != nil {
		t.Fatal(err)
	}
	plain := must(age.Decrypt(&sealed, must(age.ParseIdentities(strings.NewReader(file)))...))
	return string(must(io.ReadAll(must(gzip.NewReader(plain)))))
}
