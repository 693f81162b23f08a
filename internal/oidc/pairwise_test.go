package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/client"
)

func TestSec_OAU13_Pairwise(t *testing.T) {
	d := newDoor(t)
	pairwise := func(name, redirect string) app {
		return d.newApp(func(c *client.Client) {
			c.Name, c.Subject, c.RedirectURIs, c.PostLogoutURIs = name, "pairwise", []string{redirect}, nil
		})
	}
	one, same, far := pairwise("One", "https://one.example/cb"), pairwise("Same", "https://one.example/cb2"), pairwise("Far", "https://far.example/cb")
	sub := func(a app) string {
		t.Helper()
		out := a.tokens(d, "openid profile")
		id, access := payload(t, str(out, "id_token")), payload(t, str(out, "access_token"))
		if id["sub"] != access["sub"] || id["oid"] != nil || access["oid"] != nil || strings.Contains(str(out, "id_token"), string(d.ada.ID)) {
			t.Errorf("pairwise tokens: %v %v", id, access)
		}
		var info map[string]any
		if err := json.Unmarshal([]byte(d.userinfo(str(out, "access_token")).body), &info); err != nil || info["sub"] != id["sub"] || info["oid"] != nil {
			t.Errorf("userinfo says %v, the ID token %v", info, id["sub"])
		}
		return str(id, "sub")
	}
	if a, b, c := sub(one), sub(same), sub(far); a != b || a == c || a == string(d.ada.ID) {
		t.Errorf("subjects are %s, %s and %s", a, b, c)
	}
}

// T66: two pairwise applications cannot tell that it is the same person, or the
// same browser.
func TestSec_T66_PairwiseTellsNothing(t *testing.T) {
	d := newDoor(t)
	pairwise := func(name, redirect string) app {
		return d.newApp(func(c *client.Client) {
			c.Name, c.Kind, c.Auth, c.Subject, c.RedirectURIs, c.PostLogoutURIs = name, "native", "none", "pairwise", []string{redirect}, nil
			c.Grants = []string{"authorization_code", "refresh_token"}
		})
	}
	one, far := pairwise("One", "https://one.example/cb"), pairwise("Far", "https://far.example/cb")
	b := d.browser()
	first := one.tokensOf(d, b, "openid", d.ada)
	heard := b.authorize(far.ask("scope", "openid")).back(t, "https://far.example/cb")
	_, second := far.token(d, far.redeem(heard.Get("code")))
	for _, class := range []string{"id_token", "access_token"} {
		p, q := payload(t, str(first, class)), payload(t, str(second, class))
		for _, claim := range []string{"sub", "sid"} {
			if str(p, claim) == "" || p[claim] == q[claim] {
				t.Errorf("%s: %s is %v in one sector and %v in another", class, claim, p[claim], q[claim])
			}
		}
	}
	for name, redirects := range map[string][2]string{
		"loopback":       {"http://127.0.0.1/cb", "http://127.0.0.1/other"},
		"localhost":      {"https://localhost/cb", "https://localhost/other"},
		"private scheme": {"com.bank.app://callback/x", "com.game.app://callback/x"},
	} {
		p, q := pairwise(name+" p", redirects[0]), pairwise(name+" q", redirects[1])
		if payload(t, str(p.tokens(d, "openid"), "id_token"))["sub"] == payload(t, str(q.tokens(d, "openid"), "id_token"))["sub"] {
			t.Errorf("%s: two applications of different makers share a sector", name)
		}
	}
}

// OAU13: sub is stable, also when the application moves to another host.
func TestSec_OAU13_PairwiseSubjectIsStable(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.Subject, c.PostLogoutURIs = "pairwise", nil })
	before := payload(t, str(a.tokens(d, "openid"), "id_token"))["sub"]
	a.RedirectURIs = []string{"https://wiki.new.example/cb"}
	d.update(a, func(*client.Client) {})
	if after := payload(t, str(a.tokens(d, "openid"), "id_token"))["sub"]; before != after {
		t.Errorf("ada was %v and is %v to the same application", before, after)
	}
}

// OAU16: an ID token of a pairwise application signs out its own session
// without asking, and one of another session asks.
func TestSec_OAU16_PairwiseLogout(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.Subject = "pairwise" })
	b, elsewhere := d.browser(), d.browser()
	mine, old := a.tokensOf(d, b, "openid offline_access", d.ada), a.tokensOf(d, elsewhere, "openid", d.ada)
	logout := func(hint string) answer {
		t.Helper()
		return b.get(b.at("/oauth2/v2.0/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://wiki.example/bye"}}.Encode()))
	}
	logout(str(old, "id_token")).page(t, "logout")
	logout(str(mine, "id_token")).back(t, "https://wiki.example/bye")
	if b.authorize(a.ask("prompt", "none")).back(t, callback).Has("code") {
		t.Error("the person is still signed in")
	}
	if status, _ := a.token(d, refreshForm(str(mine, "refresh_token"))); status == http.StatusOK {
		t.Error("the refresh token outlives the sign-out")
	}
}
