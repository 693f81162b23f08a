package oidc_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// What an administrator changes while a person sits before a page, or while an
// application holds a code or a refresh token, counts from then on.

// An address that was taken out of the registration gets neither a code nor an
// error.
func TestSec_OAU01_RedirectTakenOutMeanwhile(t *testing.T) {
	const old = "https://old.wiki.example/cb"
	for name, finish := range map[string]func(b *browser, handle string) answer{
		"code":  func(b *browser, handle string) answer { return b.prove(handle, b.ada) },
		"error": func(b *browser, handle string) answer { return b.refuse(handle) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			a := d.newApp(func(c *client.Client) {
				c.RedirectURIs, c.FirstParty = []string{callback, old}, name == "code"
			})
			b := d.browser()
			page := b.authorize(a.ask("redirect_uri", old)).shown(t)
			if name == "error" {
				page = b.prove(page.Handle, d.ada).shown(t) // asks for consent
			}
			d.update(a, func(c *client.Client) { c.RedirectURIs = []string{callback} })
			got := finish(b, page.Handle)
			got.page(t, "error")
			if where := got.Header.Get("Location"); where != "" {
				t.Errorf("sent to an address that is not registered: %.90s", where)
			}
		})
	}
}

// An application that was switched off while the page was open hears nothing
// more: its addresses are no longer proven.
func TestSec_OAU06_ApplicationOffMeanwhile(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	page := b.authorize(a.ask()).shown(t)
	d.update(a, func(c *client.Client) { c.Enabled = false })
	got := b.prove(page.Handle, d.ada)
	got.page(t, "error")
	if where := got.Header.Get("Location"); where != "" || got.StatusCode != http.StatusForbidden {
		t.Errorf("got %d to %q", got.StatusCode, where)
	}
}

// refuse says no on the consent page.
func (b *browser) refuse(handle string) answer {
	b.t.Helper()
	return b.post(b.at("/test/consent"), url.Values{"handle": {handle}, "allow": {"no"}})
}

// refreshForm is the form that uses a refresh token.
func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// demand changes the tenant's policy.
func (d *door) demand(change func(*policy.Policy)) {
	d.t.Helper()
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		p, err := d.policies.Load(ctx, tx, d.tenant.ID)
		if err != nil {
			return err
		}
		p = p.Clone()
		change(&p)
		return d.policies.Put(ctx, tx, d.tenant.ID, p)
	})
}

// T11: what an application demands counts for grants that were made before.
// The refusal costs nobody the grant: it is good again when enough once more.
func TestSec_T11_RefreshAfterPolicyRaised(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	tokens := a.tokensOf(d, b, "openid offline_access", d.ada)
	code := b.authorize(a.ask()).back(t, callback).Get("code")
	d.update(a, func(c *client.Client) { c.ACR = "phrh" })
	status, out := a.token(d, refreshForm(str(tokens, "refresh_token")))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", policy.CodeStepUp)
	status, out = a.token(d, a.redeem(code))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", policy.CodeStepUp)
	d.update(a, func(c *client.Client) { c.ACR = "phr" })
	if status, out := a.token(d, refreshForm(str(tokens, "refresh_token"))); status != http.StatusOK {
		t.Errorf("the proof is enough, and the refresh gives %d %v", status, out)
	}
}

// A model that is withdrawn stops what stands on its keys, and what stands on
// them is good again when that was taken back.
func TestWithdrawnModelStopsRefreshAndCode(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	tokens := a.tokensOf(d, b, "openid offline_access", d.ada)
	code := b.authorize(a.ask()).back(t, callback).Get("code")
	d.withdrawn.Store(true)
	if got := b.authorize(a.ask("prompt", "none")); got.back(t, callback).Has("code") {
		t.Error("the session opens another app")
	}
	status, out := a.token(d, refreshForm(str(tokens, "refresh_token")))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", policy.CodeKey)
	status, out = a.token(d, a.redeem(code))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", policy.CodeKey)
	d.withdrawn.Store(false)
	if status, out := a.token(d, refreshForm(str(tokens, "refresh_token"))); status != http.StatusOK {
		t.Errorf("taken back, and the refresh gives %d %v", status, out)
	}
}

// What was proven stays proven: hardware-bound then is hardware-bound now, also
// after rotations, and what the request asked for goes on to count.
func TestRefreshKeepsWhatWasProven(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	heard := b.prove(b.authorize(a.ask("acr_values", "phrh")).shown(t).Handle, d.ada, idp.HardwareBound).back(t, callback)
	_, out := a.token(d, a.redeem(heard.Get("code")))
	d.update(a, func(c *client.Client) { c.ACR = "phr" })
	for range 3 {
		status, next := a.token(d, refreshForm(str(out, "refresh_token")))
		if acr := payload(t, str(next, "id_token"))["acr"]; status != http.StatusOK || acr != "phrh" {
			t.Fatalf("got %d, acr %v", status, acr)
		}
		out = next
	}
}

// POL01, POL02: a method that was switched off stops, also for grants that
// stand on it alone.
func TestSec_POL02_MethodOffStopsRefreshAndCode(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(nil)
	b := d.browser()
	tokens := a.tokensOf(d, b, "openid offline_access", d.ada)
	code := b.authorize(a.ask()).back(t, callback).Get("code")
	d.demand(func(p *policy.Policy) {
		p.Methods[policy.Passkey], p.Methods["phone"] = policy.MethodRules{}, policy.Everybody()
	})
	if got := b.authorize(a.ask("prompt", "none")); got.back(t, callback).Has("code") {
		t.Fatal("the method is still on")
	}
	status, out := a.token(d, a.redeem(code))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", policy.CodeMethod)
	status, out = a.token(d, refreshForm(str(tokens, "refresh_token")))
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", policy.CodeMethod)
}

// What an application is no longer registered for it gets no more.
func TestSec_OAU08_ScopeTakenFromTheRegistration(t *testing.T) {
	for name, c := range map[string]struct {
		scope  string
		left   []string // of the registration
		status int
		scopes string
	}{
		"one of two":       {"openid offline_access api://drawings/view api://drawings/edit", []string{"api://drawings/view"}, http.StatusOK, "openid offline_access api://drawings/view"},
		"its own API":      {"openid offline_access notes.read", nil, http.StatusOK, "openid offline_access"},
		"the whole API":    {"openid offline_access api://drawings/view", []string{"notes.read"}, http.StatusBadRequest, ""},
		"nothing of these": {"openid offline_access", nil, http.StatusOK, "openid offline_access"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			a := d.newApp(nil)
			b := d.browser()
			tokens := a.tokensOf(d, b, c.scope, d.ada)
			code := b.authorize(a.ask("scope", c.scope)).back(t, callback).Get("code")
			d.update(a, func(r *client.Client) { r.Scopes = c.left })
			for grant, form := range map[string]url.Values{"code": a.redeem(code), "refresh": refreshForm(str(tokens, "refresh_token"))} {
				if status, out := a.token(d, form); status != c.status || str(out, "scope") != c.scopes {
					t.Errorf("%s: %d, scope %q %v; want %d, %q", grant, status, str(out, "scope"), out["error_description"], c.status, c.scopes)
				}
			}
		})
	}
}
