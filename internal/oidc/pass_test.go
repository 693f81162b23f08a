package oidc_test

import (
	"context"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// TestSec_POL04_PassEnlistsOnly: a pass opens the registration of devices to a
// built-in application, as a token that ends with the pass and that nothing
// refreshes, and nothing else.
func TestSec_POL04_PassEnlistsOnly(t *testing.T) {
	for name, open := range map[string]bool{"as it comes": false, "passes open apps": true} {
		t.Run(name, func(t *testing.T) {
			d := newDoor(t)
			d.devices(nil)
			d.passesOpenApps(open)
			agent, b := d.builtIn(client.Agent), d.browser()
			ask := agent.ask("scope", drs+"/.default", "prompt", "login", "amr_values", "ngcmfa")
			handle := b.authorize(ask).shown(t).Handle
			heard := b.provePass(handle, d.ada).back(t, agent.RedirectURIs[0])
			status, out := agent.token(d, agent.redeem(heard.Get("code")))
			if status != http.StatusOK || out["refresh_token"] != nil || out["expires_in"].(float64) > 600 || out["expires_in"].(float64) < 590 {
				t.Fatalf("%d %v", status, out)
			}
			access := str(out, "access_token")
			c, err := d.tokens.VerifyAccess(t.Context(), d.tenant.ID, access)
			if err != nil || c.Code != token.ByAccessPass || c.Audience != drs || c.Device != "" || len(c.AMR) > 0 {
				t.Errorf("%+v, %v", c, err)
			}
			if got := d.userinfo(access); got.StatusCode != http.StatusUnauthorized {
				t.Errorf("userinfo: %d %s", got.StatusCode, got.body)
			}
			d.refreshesNothing(t, agent, c.Family)
			// The browser has a session that finishes nothing, silently or not.
			for what, v := range map[string]url.Values{
				"another device": agent.ask("scope", drs+"/.default"),
				"the wiki":       d.newApp(nil).ask(),
			} {
				if kind := b.authorize(v).shown(t).Kind; kind == signin.Done {
					t.Errorf("%s: %s", what, kind)
				}
				v.Set("prompt", "none")
				if heard := b.authorize(v).back(t, v.Get("redirect_uri")); heard.Get("code") != "" || heard.Get("error") == "" {
					t.Errorf("%s, silently: %v", what, heard)
				}
			}
			d.advance(10 * time.Minute)
			if _, err := d.tokens.VerifyAccess(t.Context(), d.tenant.ID, access); idp.AsError(err).Reason != "pass_over" {
				t.Errorf("after the pass: %v", err)
			}
		})
	}
}

// refreshesNothing tries the refresh token that the grant would have.
func (d *door) refreshesNothing(t *testing.T, a app, family idp.FamilyID) {
	t.Helper()
	refresh, err := d.tokens.FirstRefresh(t.Context(), d.tenant.ID, family)
	if err != nil {
		t.Fatal(err)
	}
	for _, resource := range []string{"", drs} {
		status, out := a.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "resource": {resource}})
		wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 70008)
	}
}

func (d *door) passesOpenApps(on bool) {
	d.t.Helper()
	d.policy(func(p *policy.Policy) { p.AccessPass.AppSignIn = on })
}

func (d *door) policy(change func(*policy.Policy)) {
	d.t.Helper()
	p, err := d.policies.Get(d.t.Context(), d.tenant.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	p = p.Clone()
	change(&p)
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.policies.Put(ctx, tx, d.tenant.ID, p)
	})
}

// TestSec_POL04_PassOpensNoOtherResource: what is not the registration of
// devices, or is not asked for by a built-in application, is not opened by a
// pass.
func TestSec_POL04_PassOpensNoOtherResource(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	broker := d.builtIn(client.Broker)
	foreign := d.newApp(func(c *client.Client) { c.Scopes = append(c.Scopes, drs+"/user_impersonation") })
	for what, ask := range map[string]url.Values{
		"the directory":          broker.ask("scope", "", "resource", "https://graph.windows.net"),
		"the person's own data":  broker.ask(),
		"renewing what there is": broker.ask("scope", "", "resource", "urn:aad:tb:update:prt"),
		"a stronger proof":       broker.ask("scope", "", "resource", drs, "acr_values", "phr"),
	} {
		b := d.browser()
		a := b.provePass(b.authorize(ask).shown(t).Handle, d.ada)
		if kind := a.shown(t).Kind; kind != signin.Register && kind != signin.StepUp {
			t.Errorf("%s: %s", what, kind)
		}
	}
	// An application of anybody's is not even asked who it is for.
	heard := d.browser().authorize(foreign.ask("scope", "openid "+drs+"/user_impersonation")).back(t, callback+"?")
	if heard.Get("error") != "invalid_target" {
		t.Errorf("registration by any app: %v", heard)
	}
}

// TestSec_POL04_PassEndsMeanwhile: between the sign-in and the token the pass
// may be taken back, or passes switched off.
func TestSec_POL04_PassEndsMeanwhile(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	agent := d.builtIn(client.Agent)
	for what, c := range map[string]struct {
		change func()
		code   float64
	}{
		"passes are off": {func() { d.policy(func(p *policy.Policy) { p.Switch("passkey", false) }) }, 130500},
		"it is taken back": {func() {
			d.write(func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := d.sessions.EndStanding(ctx, tx, d.tenant.ID, d.ada.ID, "passkey", "pass", "")
				return err
			})
		}, 50133},
	} {
		b := d.browser()
		heard := b.provePass(b.authorize(agent.ask("scope", drs+"/.default")).shown(t).Handle, d.ada).back(t, agent.RedirectURIs[0])
		c.change()
		status, out := agent.token(d, agent.redeem(heard.Get("code")))
		if status != http.StatusBadRequest || out["error"] != "invalid_grant" || out["error_codes"].([]any)[0] != c.code {
			t.Errorf("%s: %d %v", what, status, out)
		}
		d.policy(func(p *policy.Policy) { p.Switch("passkey", true) })
	}
}

// TestSec_T15_PassElsewhere: what somebody who came by a pass allows on another
// machine is a sign-in by device code, and never one by a pass.
func TestSec_T15_PassElsewhere(t *testing.T) {
	for open, want := range map[bool]signin.StepKind{false: signin.Register, true: signin.Done} {
		d := newDoor(t)
		d.devices(deviceCodeOn)
		d.passesOpenApps(open)
		agent := d.builtIn(client.Agent)
		asked := agent.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {drs + "/.default"}})
		var s session.Session
		d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			s, _, err = d.sessions.Open(ctx, tx, session.Session{Tenant: d.tenant.ID, User: d.ada.ID, Proofs: []idp.Proof{{
				Tenant: d.tenant.ID, User: d.ada.ID, Method: "passkey", Mode: idp.ModeAccessPassOnce, Credential: "pass", Time: d.clock(),
			}}})
			return err
		})
		id := d.claim(s, str(asked, "user_code"))
		agent.poll(d, asked["device_code"])
		step, err := d.allow(s, id)
		if err != nil || step.Kind != want {
			t.Errorf("passes open apps %v: %s, %v", open, step.Kind, err)
		}
		if !open {
			continue
		}
		d.advance(time.Minute)
		status, out := agent.poll(d, asked["device_code"])
		if status != http.StatusOK || out["refresh_token"] != nil {
			t.Fatalf("%d %v", status, out)
		}
		if c, err := d.tokens.VerifyAccess(t.Context(), d.tenant.ID, str(out, "access_token")); err != nil || c.Code != token.ByDeviceCode {
			t.Errorf("%+v, %v", c, err)
		}
	}
}
