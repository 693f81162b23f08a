package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const deviceGrantType = "urn:ietf:params:oauth:grant-type:device_code"

func deviceCodeOn(r *policy.DeviceRules) { r.DeviceCode = true }

// television is a native app that is registered for the grant.
func (d *door) television(change func(*client.Client)) app {
	return d.newApp(func(c *client.Client) {
		c.Name, c.Kind, c.Auth, c.RedirectURIs, c.PostLogoutURIs = "Television", client.Native, client.AuthNone, []string{"http://127.0.0.1/cb"}, nil
		c.Grants = []string{client.GrantCode, client.GrantRefresh, client.GrantDeviceCode}
		if change != nil {
			change(c)
		}
	})
}

// ask asks for a device code at that address.
func (a app) askCode(d *door, path string, v url.Values) map[string]any {
	d.t.Helper()
	status, out := a.call(d, path, v)
	if status != http.StatusOK {
		d.t.Fatalf("device code: %d %v", status, out)
	}
	return out
}

// session is one of the person's, as a page finds it.
func (d *door) sessionOf(u idp.User) session.Session {
	d.t.Helper()
	var out session.Session
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		out, _, err = d.sessions.Open(ctx, tx, session.Session{Tenant: u.Tenant, User: u.ID, Proofs: []idp.Proof{{
			Tenant: u.Tenant, User: u.ID, Method: "passkey", Mode: idp.ModeFIDO2, Credential: "stub", AMR: []string{"fido", "mfa"}, Time: d.clock(),
			Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor}, Facts: idp.Facts{AAGUID: "a25342c0-3cdc-4414-8e46-f4807fca511c"},
		}}})
		return err
	})
	return out
}

func (d *door) claim(s session.Session, code string) string {
	d.t.Helper()
	id, err := d.server.ClaimDevice(d.t.Context(), s, code, signin.Peer{IP: "192.0.2.9"})
	if err != nil {
		d.t.Fatal(err)
	}
	return id
}

// allow is what the page does when the person says yes, as far as it goes.
func (d *door) allow(s session.Session, id string) (signin.Step, error) {
	d.t.Helper()
	ctx := d.t.Context()
	f, err := d.server.RemoteFlow(ctx, s, id)
	if err != nil {
		return signin.Step{}, err
	}
	peer := signin.Peer{IP: "192.0.2.9", Browser: "the browser of the test"}
	step, err := d.corridor.Next(ctx, f, &s, peer)
	if err != nil || step.Kind != signin.Done {
		return step, err
	}
	_, err = d.server.SettleRemote(ctx, step.Flow, step, peer)
	return step, err
}

func (a app) poll(d *door, code any) (int, map[string]any) {
	d.t.Helper()
	return a.token(d, url.Values{"grant_type": {deviceGrantType}, "device_code": {fmt.Sprint(code)}})
}

func TestDeviceCode(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tv := d.television(nil)
	asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid profile offline_access"}})
	code := str(asked, "user_code")
	if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{3}(-[BCDFGHJKLMNPQRSTVWXZ]{3}){2}$`).MatchString(code) ||
		asked["verification_uri"] != d.url+"/device" || asked["expires_in"] != float64(900) || asked["interval"] != float64(5) ||
		!strings.Contains(str(asked, "message"), code) || asked["verification_uri_complete"] != nil {
		t.Errorf("%v", asked)
	}
	status, out := tv.poll(d, asked["device_code"])
	wantError(t, status, out, http.StatusBadRequest, "authorization_pending", 70016)

	s := d.sessionOf(d.ada)
	id := d.claim(s, " "+strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	if again := d.claim(s, code); again != id {
		t.Errorf("typed twice: %s and %s", id, again)
	}
	if r, err := d.server.Remote(t.Context(), s, id); err != nil || r.State != oidc.RemoteWaiting || r.Client.ID != "" {
		t.Errorf("before the next poll: %+v, %v", r, err)
	}
	if _, err := d.allow(s, id); !errors.Is(err, idp.Expired) {
		t.Errorf("allowed what is not known: %v", err)
	}
	d.advance(6 * time.Second)
	status, out = tv.poll(d, asked["device_code"])
	wantError(t, status, out, http.StatusBadRequest, "authorization_pending", 70016)
	r, err := d.server.Remote(t.Context(), s, id)
	if err != nil || r.State != oidc.RemoteMet || r.Client.Name != "Television" || r.IP != "127.0.0.1" || !strings.HasPrefix(r.Agent, "Go-http-client") || r.Registers {
		t.Errorf("after it: %+v, %v", r, err)
	}
	d.advance(6 * time.Second)
	status, out = tv.poll(d, asked["device_code"])
	wantError(t, status, out, http.StatusBadRequest, "authorization_pending", 70016)
	if step, err := d.allow(s, id); err != nil || step.Kind != signin.Done {
		t.Fatalf("%v, %v", step.Kind, err)
	}
	d.advance(6 * time.Second)
	status, out = tv.poll(d, asked["device_code"])
	if status != http.StatusOK || payload(t, str(out, "id_token"))["oid"] != string(d.ada.ID) || out["refresh_token"] == nil || out["foci"] != nil {
		t.Fatalf("%d %v", status, out)
	}
	if amr := fmt.Sprint(payload(t, str(out, "access_token"))["amr"]); strings.Contains(amr, "ngcmfa") {
		t.Errorf("amr %s", amr)
	}
	if again, more := tv.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}}); again != http.StatusOK {
		t.Errorf("refresh: %d %v", again, more)
	}
	// Once.
	d.advance(6 * time.Second)
	status, more := tv.poll(d, asked["device_code"])
	wantError(t, status, more, http.StatusBadRequest, "invalid_grant", 54005)
	if got := d.userinfo(str(out, "access_token")); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("what came of it after the second use: %d", got.StatusCode)
	}
}

// The clients that exist: a built-in one on the addresses without v2.0, with
// resource, no content type, and the device code sent as code.
func TestDeviceCodeOfPublishedClients(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	shell := d.builtIn(client.Shell)
	asked := shell.askCode(d, "/oauth2/devicecode", url.Values{"resource": {"https://graph.windows.net"}})
	s := d.sessionOf(d.ada)
	id := d.claim(s, str(asked, "user_code"))
	poll := func() (int, map[string]any) {
		d.advance(6 * time.Second)
		form := url.Values{"client_id": {string(shell.ID)}, "grant_type": {deviceGrantType}, "code": {str(asked, "device_code")}}
		req, err := http.NewRequest("POST", d.at("/oauth2/token"), nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.send(req, form)
	}
	status, out := poll()
	wantError(t, status, out, http.StatusBadRequest, "authorization_pending", 70016)
	if _, err := d.allow(s, id); err != nil {
		t.Fatal(err)
	}
	status, out = poll()
	if status != http.StatusOK || out["expires_in"] != "3600" || out["resource"] != "https://graph.windows.net" || out["refresh_token"] == nil {
		t.Errorf("%d %v", status, out)
	}
	rec := httptest.NewRecorder()
	req := httptest.NewRequest("POST", d.at("/oauth2/v2.0/devicecode"), strings.NewReader("client_id="+string(client.LinuxBroker)+"&scope=openid profile offline_access"))
	delete(req.Header, "Content-Type")
	d.handler.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		t.Errorf("without a content type: %d %s", rec.Code, rec.Body)
	}
}

// TestSec_OAU12_Off: off by default, off for a client that is not registered
// for it, and off at every step once it is switched off.
func TestSec_OAU12_Off(t *testing.T) {
	d := newDoor(t)
	d.devices(nil)
	tv := d.television(nil)
	form := url.Values{"scope": {"openid"}}
	status, out := tv.call(d, "/oauth2/v2.0/devicecode", form)
	wantError(t, status, out, http.StatusBadRequest, "unauthorized_client", 70001)
	if s := d.sessionOf(d.ada); true {
		if _, err := d.server.ClaimDevice(t.Context(), s, "BCD-FGH-JKL", signin.Peer{}); !errors.Is(err, idp.Denied) {
			t.Errorf("a code typed while off: %v", err)
		}
	}
	d.devices(deviceCodeOn)
	plain := d.newApp(func(c *client.Client) { c.Name = "Plain" })
	status, out = plain.call(d, "/oauth2/v2.0/devicecode", form)
	wantError(t, status, out, http.StatusBadRequest, "unauthorized_client", 70001)

	asked := tv.askCode(d, "/oauth2/v2.0/devicecode", form)
	s := d.sessionOf(d.ada)
	id := d.claim(s, str(asked, "user_code"))
	tv.poll(d, asked["device_code"])
	d.devices(func(r *policy.DeviceRules) { r.DeviceCode = false })
	if _, err := d.allow(s, id); !errors.Is(err, idp.Denied) {
		t.Errorf("allowed after it was switched off: %v", err)
	}
	d.advance(6 * time.Second)
	status, out = tv.poll(d, asked["device_code"])
	wantError(t, status, out, http.StatusBadRequest, "unauthorized_client", 70001)
}

// TestSec_T15_PhishingResistant: an application that demands what cannot be
// phished is not opened by a code that somebody was talked into typing; not
// when it asks, nor when the demand comes later.
func TestSec_T15_PhishingResistant(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	for _, acr := range []string{"phr", "phrh"} {
		strict := d.television(func(c *client.Client) { c.Name, c.ACR = "Strict "+acr, acr })
		status, out := strict.call(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
		wantError(t, status, out, http.StatusBadRequest, "access_denied", 53003)
	}
	tv := d.television(nil)
	for _, when := range []string{"before the yes", "before the tokens"} {
		d.update(tv, func(c *client.Client) { c.ACR = "" })
		asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
		s := d.sessionOf(d.ada)
		id := d.claim(s, str(asked, "user_code"))
		tv.poll(d, asked["device_code"])
		if when == "before the tokens" {
			if _, err := d.allow(s, id); err != nil {
				t.Fatal(err)
			}
		}
		d.update(tv, func(c *client.Client) { c.ACR = "phr" })
		if when == "before the yes" {
			if _, err := d.allow(s, id); !errors.Is(err, idp.Denied) {
				t.Errorf("%s: %v", when, err)
			}
		}
		d.advance(6 * time.Second)
		status, out := tv.poll(d, asked["device_code"])
		wantError(t, status, out, http.StatusBadRequest, "access_denied", 53003)
	}
}

func TestDeviceCodeDeclined(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tv := d.television(nil)
	for _, met := range []bool{true, false} {
		asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
		s := d.sessionOf(d.ada)
		id := d.claim(s, str(asked, "user_code"))
		if met {
			tv.poll(d, asked["device_code"])
		}
		if err := d.server.DenyRemote(t.Context(), s, id, signin.Peer{}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.allow(s, id); !errors.Is(err, idp.Expired) {
			t.Errorf("a yes after the no: %v", err)
		}
		d.advance(6 * time.Second)
		status, out := tv.poll(d, asked["device_code"])
		wantError(t, status, out, http.StatusBadRequest, "authorization_declined", 65004)
	}
}

// What is wrong with a device code, each for that reason alone.
func TestDeviceCodeRefuses(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tv, other := d.television(nil), d.television(func(c *client.Client) { c.Name = "Other" })
	asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
	code := str(asked, "device_code")

	status, out := other.poll(d, code)
	wantError(t, status, out, http.StatusBadRequest, "bad_verification_code", 70018)
	for _, bad := range []string{"x", code + "A", code[:len(code)-4], strings.Repeat("A", 20000), "\x00"} {
		status, out := tv.poll(d, bad)
		wantError(t, status, out, http.StatusBadRequest, "bad_verification_code", 70018)
	}
	status, out = tv.token(d, url.Values{"grant_type": {deviceGrantType}})
	wantError(t, status, out, http.StatusBadRequest, "invalid_request", 900144)
	// An authorization code is none, nor the other way round.
	heard := d.browser().signIn(tv.ask(), d.ada)
	status, out = tv.poll(d, heard.Get("code"))
	wantError(t, status, out, http.StatusBadRequest, "bad_verification_code", 70018)
	form := tv.redeem(code)
	status, out = tv.token(d, form)
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 70008)
	// Another tenant's machine.
	away := d.newTenant("Away", "away.example")
	req, err := http.NewRequest("POST", d.url+"/"+string(away.ID)+"/oauth2/v2.0/token", nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, out := d.send(req, url.Values{"client_id": {string(tv.ID)}, "grant_type": {deviceGrantType}, "device_code": {code}}); status == http.StatusOK {
		t.Errorf("in another tenant: %v", out)
	}
	// Too fast, and too late.
	tv.poll(d, code)
	tv.poll(d, code)
	status, out = tv.poll(d, code)
	wantError(t, status, out, http.StatusBadRequest, "slow_down", 70016)
	d.advance(15*time.Minute + time.Second)
	status, out = tv.poll(d, code)
	wantError(t, status, out, http.StatusBadRequest, "expired_token", 70019)
	// An unknown scope, and a resource beyond the registration.
	status, out = tv.call(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"no.such"}})
	wantError(t, status, out, http.StatusBadRequest, "invalid_scope", 70011)
}

// A no, a yes and the machine belong to the person who typed the code.
func TestSec_OAU12_OtherPerson(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tv := d.television(nil)
	asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
	mine, theirs := d.sessionOf(d.ada), d.sessionOf(d.bob)
	id := d.claim(mine, str(asked, "user_code"))
	tv.poll(d, asked["device_code"])
	if _, err := d.server.Remote(t.Context(), theirs, id); !errors.Is(err, idp.NotFound) {
		t.Errorf("seen by another: %v", err)
	}
	if _, err := d.allow(theirs, id); !errors.Is(err, idp.NotFound) {
		t.Errorf("allowed by another: %v", err)
	}
	if err := d.server.DenyRemote(t.Context(), theirs, id, signin.Peer{}); !errors.Is(err, idp.NotFound) {
		t.Errorf("denied by another: %v", err)
	}
	if _, err := d.server.ClaimDevice(t.Context(), theirs, str(asked, "user_code"), signin.Peer{}); !errors.Is(err, idp.Conflict) {
		t.Errorf("typed by another: %v", err)
	}
	// Who is switched off meanwhile gets nothing.
	if _, err := d.allow(mine, id); err != nil {
		t.Fatal(err)
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		return d.directory.SetEnabled(ctx, tx, d.tenant.ID, d.ada.ID, false)
	})
	d.advance(6 * time.Second)
	status, out := tv.poll(d, asked["device_code"])
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50057)
}

// What a device may become of needs a gesture made for it.
func TestSec_OAU12_FreshForDevices(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	broker := d.builtIn(client.Broker)
	s := d.sessionOf(d.ada)
	d.advance(6 * time.Minute)
	asked := broker.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {drs + "/.default"}})
	id := d.claim(s, str(asked, "user_code"))
	broker.poll(d, asked["device_code"])
	if r, err := d.server.Remote(t.Context(), s, id); err != nil || !r.Registers {
		t.Errorf("%+v, %v", r, err)
	}
	if step, err := d.allow(s, id); err != nil || step.Kind != signin.StepUp {
		t.Errorf("a gesture of six minutes ago: %v, %v", step.Kind, err)
	}
	if step, err := d.allow(d.sessionOf(d.ada), id); err != nil || step.Kind != signin.Done {
		t.Errorf("a new one: %v, %v", step.Kind, err)
	}
	// However fresh: what was approved elsewhere is not a gesture made at the
	// machine (device-protocol.md §15). One made there is.
	d.advance(6 * time.Second)
	status, out := broker.poll(d, asked["device_code"])
	if amr := fmt.Sprint(payload(t, str(out, "access_token"))["amr"]); status != http.StatusOK || strings.Contains(amr, "ngcmfa") || !strings.Contains(amr, "mfa") {
		t.Errorf("by a code: %d, amr %s", status, amr)
	}
	status, out = broker.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}, "scope": {drs + "/.default"}})
	if amr := fmt.Sprint(payload(t, str(out, "access_token"))["amr"]); status != http.StatusOK || strings.Contains(amr, "ngcmfa") {
		t.Errorf("by its refresh token: %d, amr %s", status, amr)
	}
	if amr := fmt.Sprint(payload(t, str(broker.tokens(d, drs+"/.default"), "access_token"))["amr"]); !strings.Contains(amr, "ngcmfa") {
		t.Errorf("by an address on the machine: amr %s", amr)
	}
}

// TestSec_T15_BruteForce: somebody who guesses gets ten tries in fifteen
// minutes, over all nodes, and 10^5 codes find nothing.
func TestSec_T15_BruteForce(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		d.devices(deviceCodeOn)
		s, ok := d.sessionOf(d.ada), 0
		letters := "BCDFGHJKLMNPQRSTVWXZ"
		for i := range 40 {
			code := strings.Repeat("B", 7) + string(letters[i/20]) + string(letters[i%20])
			_, err := d.server.ClaimDevice(t.Context(), s, code, signin.Peer{})
			switch {
			case err == nil:
				ok++
			case !errors.Is(err, idp.Limited):
				t.Fatal(err)
			}
		}
		if ok != 10 {
			t.Errorf("%d tries went through", ok)
		}
		d.advance(16 * time.Minute)
		if _, err := d.server.ClaimDevice(t.Context(), s, "ZZZZZZZZZ", signin.Peer{}); err != nil {
			t.Errorf("later: %v", err)
		}
		for _, bad := range []string{"", "BCDFGHJK", "BCDFGHJKLM", "BCDFGHJKA", "BCDFGHJK1", strings.Repeat("B", 100)} {
			if _, err := d.server.ClaimDevice(t.Context(), s, bad, signin.Peer{}); !errors.Is(err, idp.Invalid) {
				t.Errorf("%q: %v", bad, err)
			}
		}
	})
}

// Nothing of a code is in the database, and asking for one writes nothing.
func TestSec_OAU12_NothingStored(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		d.devices(deviceCodeOn)
		tv := d.television(nil)
		asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
		tv.poll(d, asked["device_code"])
		rows := func() (n int64) {
			if err := db.QueryRow(t.Context(), `select count(*) from device_approval where tenant_id = $1`, d.tenant.ID).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := rows(); n != 0 {
			t.Errorf("%d rows before anybody proved anything", n)
		}
		d.claim(d.sessionOf(d.ada), str(asked, "user_code"))
		var kept []byte
		if err := db.QueryRow(t.Context(), `select code from device_approval where tenant_id = $1`, d.tenant.ID).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if len(kept) != 32 || strings.Contains(string(kept), strings.ReplaceAll(str(asked, "user_code"), "-", "")[:4]) {
			t.Errorf("kept %x", kept)
		}
		for _, j := range oidc.Jobs(db) {
			if err := j.Run(t.Context(), d.clock().Add(2*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if n := rows(); n != 0 {
			t.Errorf("%d rows after two hours", n)
		}
	})
}

// Of parallel polls one gets tokens; of a yes and a no one stands; two
// machines with the same letters are never mixed up.
func TestSec_OAU12_Races(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		d.devices(deviceCodeOn)
		tv := d.television(nil)
		asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
		s := d.sessionOf(d.ada)
		id := d.claim(s, str(asked, "user_code"))
		tv.poll(d, asked["device_code"])
		var group sync.WaitGroup
		answers := make([]error, 8)
		for i := range answers {
			group.Go(func() {
				if i%2 == 0 {
					_, answers[i] = d.allow(s, id)
				} else {
					answers[i] = d.server.DenyRemote(t.Context(), s, id, signin.Peer{})
				}
			})
		}
		group.Wait()
		won := 0
		for _, err := range answers {
			if err == nil {
				won++
			} else if !errors.Is(err, idp.Expired) {
				t.Errorf("%v", err)
			}
		}
		if won != 1 {
			t.Errorf("%d answers stand", won)
		}

		asked = tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid"}})
		id = d.claim(s, str(asked, "user_code"))
		d.advance(6 * time.Second)
		tv.poll(d, asked["device_code"])
		if _, err := d.allow(s, id); err != nil {
			t.Fatal(err)
		}
		d.advance(time.Minute)
		got := make([]int, 2) // more are too fast
		for i := range got {
			group.Go(func() { got[i], _ = tv.poll(d, asked["device_code"]) })
		}
		group.Wait()
		if got[0]+got[1] != http.StatusOK+http.StatusBadRequest {
			t.Errorf("parallel polls: %v", got)
		}
	})
}

func FuzzUserCode(f *testing.F) {
	for _, s := range []string{"BCD-FGH-JKL", "bcdfghjkl", " b c d f g h j k l ", "BCDFGHJKLM", "", "ÄÖÜ", "BCD\u2013FGH\u2013JKL", "BCDFGHJK\u212a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code := oidc.TypedCode(typed)
		if code == "" {
			return
		}
		if !regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{9}$`).MatchString(code) {
			t.Fatalf("%q is read as %q", typed, code)
		}
		if again := oidc.TypedCode(oidc.ShownCode(code)); again != code {
			t.Fatalf("%q is shown and read as %q", code, again)
		}
	})
}

func TestUserCodesDiffer(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 2000 {
		code := oidc.NewUserCode()
		if seen[code] || oidc.TypedCode(code) != code {
			t.Fatalf("code %q", code)
		}
		seen[code] = true
		for _, r := range code {
			letters[r]++
		}
	}
	for r, n := range letters { // 900 each, give or take
		if n < 700 || n > 1100 {
			t.Errorf("letter %c %d times of 18000", r, n)
		}
	}
}

// TestSec_T15_RemoteStates: tokens that somebody allowed for another machine
// state no strength that a phished person could not have been asked for, and
// their refresh ends when the application comes to demand one (security.md
// OAU12, T11).
func TestSec_T15_RemoteStates(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tv := d.television(nil)
	asked := tv.askCode(d, "/oauth2/v2.0/devicecode", url.Values{"scope": {"openid offline_access"}})
	s := d.sessionOf(d.ada)
	id := d.claim(s, str(asked, "user_code"))
	tv.poll(d, asked["device_code"])
	if _, err := d.allow(s, id); err != nil {
		t.Fatal(err)
	}
	d.advance(6 * time.Second)
	status, out := tv.poll(d, asked["device_code"])
	if status != http.StatusOK {
		t.Fatalf("%d %v", status, out)
	}
	for _, name := range []string{"access_token", "id_token"} {
		if acr := payload(t, str(out, name))["acr"]; acr != nil {
			t.Errorf("acr of the %s: %v", name, acr)
		}
	}
	if amr := fmt.Sprint(payload(t, str(out, "access_token"))["amr"]); amr != "[fido mfa]" {
		t.Errorf("amr %s", amr)
	}
	d.update(tv, func(c *client.Client) { c.ACR = "phr" })
	status, out = tv.token(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(out, "refresh_token")}})
	wantError(t, status, out, http.StatusBadRequest, "invalid_grant", 50074)
}

// A machine whose name is no text, or cut in the middle of a letter, gets its
// tokens all the same.
func TestDeviceCodeOfOddMachines(t *testing.T) {
	d := newDoor(t)
	d.devices(deviceCodeOn)
	tv := d.television(nil)
	for _, agent := range []string{"caf\xe9", strings.Repeat("x", 255) + "é", strings.Repeat("\u00e9", 4000)} {
		form := url.Values{"client_id": {string(tv.ID)}, "scope": {"openid"}}
		r, err := http.NewRequest("POST", d.at("/oauth2/v2.0/devicecode"), strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("User-Agent", agent)
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var asked map[string]any
		if err := json.NewDecoder(reply.Body).Decode(&asked); err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		status, out := tv.poll(d, asked["device_code"])
		wantError(t, status, out, http.StatusBadRequest, "authorization_pending", 70016)
	}
}

// TestSec_T49_ParallelGuesses: who types codes side by side gets no more tries
// than one after the other.
func TestSec_T49_ParallelGuesses(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		d := newDoorOn(t, db)
		d.devices(deviceCodeOn)
		s := d.sessionOf(d.ada)
		letters := "BCDFGHJKLMNPQRSTVWXZ"
		var group sync.WaitGroup
		start := make(chan struct{})
		results := make([]error, 60)
		for i := range results {
			group.Go(func() {
				<-start
				code := strings.Repeat("B", 7) + string(letters[i/20]) + string(letters[i%20])
				_, results[i] = d.server.ClaimDevice(t.Context(), s, code, signin.Peer{})
			})
		}
		close(start)
		group.Wait()
		ok := 0
		for _, err := range results {
			switch {
			case err == nil:
				ok++
			case !errors.Is(err, idp.Limited):
				t.Error(err)
			}
		}
		if ok != 10 {
			t.Errorf("%d tries went through", ok)
		}
	})
}
