package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// foreignPost is a form on another site that is sent to us: the browser leaves
// out cookies that are SameSite=Lax, says where the form came from, and sends
// the cookies along when it follows a redirect to a GET.
func (b *browser) foreignPost(address string, v url.Values) (first, last answer) {
	b.t.Helper()
	req, err := http.NewRequest("POST", address, strings.NewReader(v.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	first = b.door.browser().do(req) // a jar of its own, without cookies
	where, err := first.Location()
	if err != nil || first.StatusCode != http.StatusSeeOther || !strings.HasPrefix(where.String(), b.url) {
		return first, first
	}
	return first, b.get(where.String())
}

// OAU16: an application may ask by POST (OpenID Connect RP-Initiated Logout
// 1.0, Section 2).
func TestSec_OAU16_LogoutByPostFromTheApp(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	tokens := a.tokensOf(d, b, "openid offline_access", d.ada)
	_, got := b.foreignPost(d.at("/oauth2/v2.0/logout"), url.Values{
		"id_token_hint": {str(tokens, "id_token")}, "post_logout_redirect_uri": {"https://wiki.example/bye"}, "state": {"s & t"}})
	if left := got.back(t, "https://wiki.example/bye"); left.Get("state") != "s & t" {
		t.Errorf("state %q", left.Get("state"))
	}
	if b.authorize(a.ask("prompt", "none")).back(t, callback).Has("code") {
		t.Error("the application is told that the person is signed out, and they are not")
	}
	if status, _ := a.token(d, refreshForm(str(tokens, "refresh_token"))); status == http.StatusOK {
		t.Error("the refresh token outlives the sign-out")
	}
}

// SES05: a form from another site does not replace the cookie that flows under
// way are bound to, and finds the session.
func TestSec_SES05_AuthorizeByPostFromTheApp(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	page := b.authorize(a.ask()).shown(t)
	first, last := b.foreignPost(d.at("/oauth2/v2.0/authorize"), a.ask())
	if set := first.Header.Values("Set-Cookie"); len(set) > 0 {
		t.Errorf("the form sets %q", set)
	}
	last.page(t, "signin")
	if got := b.prove(page.Handle, d.ada).back(t, callback); !got.Has("code") {
		t.Errorf("the flow that was under way hears %v", got)
	}
	if _, last = b.foreignPost(d.at("/oauth2/v2.0/authorize"), a.ask("prompt", "none")); !last.back(t, callback).Has("code") {
		t.Errorf("the session is not found: %s", last.Header.Get("Location"))
	}
}

// What does not fit in an address is refused; what is repeated stays repeated;
// a form of our own pages goes no detour.
func TestFormsFromOtherSitesAreBounded(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	first, _ := b.foreignPost(d.at("/oauth2/v2.0/authorize"), a.ask("extra", strings.Repeat("x", 17<<10)))
	first.page(t, "error")
	twice := a.ask()
	twice.Add("scope", "openid")
	if _, last := b.foreignPost(d.at("/oauth2/v2.0/authorize"), twice); last.back(t, callback).Get("error") != "invalid_request" {
		t.Errorf("scope twice: %s", last.Header.Get("Location"))
	}
	b.post(d.at("/oauth2/v2.0/authorize"), a.ask()).page(t, "signin")
}
