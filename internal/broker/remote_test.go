package broker_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
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

// TestSec_T15_RemoteResistsNothing: what was approved in another place can be
// phished, whatever the person proved there. A PRT that comes of it opens no
// application that demands a proof which cannot be, states no such strength,
// and the browser session that it gives registers no passkey (security.md
// OAU12, T11; decisions 2.9).
func TestSec_T15_RemoteResistsNothing(t *testing.T) {
	w := lite(t)
	w.policy(func(p *policy.Policy) { p.Devices.Compat.DeviceCodeToPRT = true })
	code := w.signIn(w.ada, client.Broker, func(s *token.Subject) { s.Code = token.ByDeviceCode })
	m := w.join(0, joinedBy(t, code))
	h := m.receive(t, w.send(m.sign(byRefresh(w.nonce(), code))))

	strict := w.app(func(c *client.Client) { c.ACR = policy.ACRPhishingResistant })
	w.use(h, object{"client_id": string(strict.ID), "resource": nil}).refused(t, "phishing-resistant app", "invalid_grant", 50074, "basic_action")
	if a := w.authorize(ask(strict), prtHeader, h.cookie(w.nonce())); a.header.Get("X-Page") != string(signin.StepUp) {
		t.Errorf("phishing-resistant app by the browser: %d %q %s", a.status, a.header.Get("X-Page"), a.header.Get("Location"))
	}
	lax := w.app(nil)
	if got := claimsOf(t, h.open(t, w.use(h, object{"client_id": string(lax.ID), "resource": nil}))["access_token"])["acr"]; got != nil {
		t.Errorf("acr of a token: %v", got)
	}

	a := w.authorize(ask(lax), prtHeader, h.cookie(w.nonce()))
	a.code(t, lax.RedirectURIs[0])
	s := w.sessionBy(a)
	_, err := w.corridor.BeginRegister(context.Background(), s, policy.Passkey, signin.Peer{IP: "192.0.2.66", Browser: "the phisher's browser"})
	if !errors.Is(err, idp.Denied) {
		t.Errorf("a passkey on a sign-in that was approved elsewhere: %v", err)
	}
	if !s.ProofTime.IsZero() {
		t.Errorf("a gesture at this browser: %s", s.ProofTime)
	}
	key := w.register(w.ada, rpID, base)
	w.register(w.ada, rpID, base)
	all, err := w.corridor.Credentials(context.Background(), w.tenant.ID, w.ada.ID)
	if err != nil || len(all) < 2 || key == nil {
		t.Fatalf("%d credentials, %v", len(all), err)
	}
	err = w.corridor.Remove(context.Background(), s, policy.Passkey, all[0].ID, signin.Peer{})
	if !errors.Is(err, idp.Denied) || idp.AsError(err).Reason != "fresh_proof_needed" {
		t.Errorf("a passkey is taken away on it: %v", err)
	}
}

// sessionBy is the session whose cookie an answer set.
func (w *world) sessionBy(a answer) session.Session {
	w.t.Helper()
	r := request("/", nil)
	r.Header.Set("Cookie", sessionOf(a))
	all, err := w.sessions.FromRequest(context.Background(), r, w.tenant.ID)
	if err != nil || len(all) != 1 {
		w.t.Fatalf("sessions %v, %v", all, err)
	}
	return all[0]
}

// TestSec_DEV07_IssueAgainstRevoke: a PRT that ends while the refresh token which
// stands on it is turned into another one leaves none behind (DEV07, T03).
func TestSec_DEV07_IssueAgainstRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for what, end := range map[string]func(context.Context, *sqldb.Tx, *machine) error{
			"person": func(ctx context.Context, tx *sqldb.Tx, _ *machine) error {
				return w.prts.RevokeUser(ctx, tx, w.tenant.ID, w.ada.ID)
			},
			"device": func(ctx context.Context, tx *sqldb.Tx, m *machine) error {
				return w.devices.Remove(ctx, tx, w.tenant.ID, m.ID)
			},
		} {
			m, _, h := w.enrolled(0, w.ada)
			refresh := h.open(t, w.use(h, object{"scope": "openid offline_access", "resource": token.RegistrationAudience}))["refresh_token"].(string)
			w.clock.when("prt.(*Service).Prepare", func() {
				w.write(func(ctx context.Context, tx *sqldb.Tx) error { return end(ctx, tx, m) })
			})
			if a := w.send(m.sign(byRefresh(w.nonce(), refresh))); a.status != http.StatusBadRequest {
				t.Errorf("%s revoked meanwhile: %d %.80s", what, a.status, a.body)
			}
			if w.clock.asked.Load() != nil {
				t.Error("nobody was revoked")
			}
			if left, err := w.prts.OfUser(context.Background(), w.tenant.ID, w.ada.ID); err != nil || len(left) > 0 {
				t.Errorf("%s revoked meanwhile: %d PRTs left, %v", what, len(left), err)
			}
			if what == "person" {
				w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.devices.Remove(ctx, tx, w.tenant.ID, m.ID) })
			}
			w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				return w.hello.RemoveUser(ctx, tx, w.tenant.ID, w.ada.ID)
			})
		}
	})
}

// TestSec_NON06_OneBadNonceBurnsTheOther: what a device signed is judged, and
// with it all nonces of the request are spent, also when one of them is bad
// (decisions 1.3).
func TestSec_NON06_OneBadNonceBurnsTheOther(t *testing.T) {
	w := lite(t)
	m, k, _ := w.enrolled(0, w.ada)
	foreign := w.nonceAt(t, string(w.other.ID))
	for what, bad := range map[string]bool{"inner": true, "outer": false} {
		good := w.nonce()
		out, in := good, foreign
		if !bad {
			out, in = foreign, good
		}
		before := w.spent()
		w.send(m.sign(byHello(out, k.Assertion(w.ada.Name, in, w.clock.now())))).refused(t, what, "invalid_grant", 140000, "bad_token")
		if got := w.spent() - before; got != 1 {
			t.Errorf("%s nonce bad: %d nonces burnt, want 1", what, got)
		}
		w.send(m.sign(byHello(good, k.Assertion(w.ada.Name, w.nonce(), w.clock.now())))).refused(t, "again after "+what, "invalid_grant", 140000, "bad_token")
	}
}

// TestSec_LOG02_TextThatNoColumnTakes: what a device calls itself, its person or
// an application is refused or cleaned, and never an error of ours: on one
// database it would be, and its nonces would stay good (decisions 1.3).
func TestSec_LOG02_TextThatNoColumnTakes(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, k, h := w.enrolled(0, w.ada)
		for name, send := range map[string]func() answer{
			"User-Agent of a request": func() answer {
				r := request(w.at("/oauth2/token"), form(m.sign(byHello(w.nonce(), k.Assertion(w.ada.Name, w.nonce(), w.clock.now())))))
				r.Header.Set("User-Agent", "caf\xe9 "+strings.Repeat("x", 10_000))
				return w.do(r)
			},
			"issuer with a zero byte": func() answer {
				return w.send(m.sign(byHello(w.nonce(), k.Assertion("ada\x00@nordhafen.example", w.nonce(), w.clock.now()))))
			},
			"client with a zero byte": func() answer {
				p := byHello(w.nonce(), k.Assertion(w.ada.Name, w.nonce(), w.clock.now()))
				p["client_id"] = "29d9ed98\x00"
				return w.send(m.sign(p))
			},
			"client of a use": func() answer { return w.use(h, object{"client_id": "29d9ed98\x00"}) },
			"client of a renewal": func() answer {
				return w.use(h, object{"client_id": "29d9ed98\x00", "scope": "openid aza", "resource": nil})
			},
			"tenant of the path": func() answer { return w.post("/nord%00hafen/oauth2/token", form(m.sign(outer(w.nonce(), nil)))) },
		} {
			if a := send(); a.status >= 500 {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}
		all, err := w.prts.OfUser(context.Background(), w.tenant.ID, w.ada.ID)
		if err != nil || len(all) != 2 || len(all[0].Agent) > 300 {
			t.Errorf("%d PRTs, %v", len(all), err)
		}
	})
}

// TestSec_DEV07_AllowedByADevice: what somebody lets in elsewhere from a browser
// that stands on a device's token ends with that token, as what they open there
// does: whoever has a stolen desktop keeps nothing when it is switched off.
func TestSec_DEV07_AllowedByADevice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.policy(func(p *policy.Policy) { p.Devices.DeviceCode = true })
		m, _, h := w.enrolled(0, w.ada)
		a := w.authorize(ask(w.app(nil)), prtHeader, h.cookie(w.nonce()))
		s, peer := w.sessionBy(a), signin.Peer{IP: "192.0.2.1", Browser: "ada's browser"}

		tv := w.app(func(c *client.Client) { c.Grants = append(c.Grants, client.GrantDeviceCode) })
		poll := url.Values{"client_id": {string(tv.ID)}, "grant_type": {client.GrantDeviceCode}}
		asked := w.post(w.at("/oauth2/v2.0/devicecode"), url.Values{"client_id": {string(tv.ID)}, "scope": {"openid offline_access"}}).json(t)
		poll.Set("device_code", asked["device_code"].(string))
		ctx := context.Background()
		id, err := w.openID.ClaimDevice(ctx, s, asked["user_code"].(string), peer)
		if err != nil {
			t.Fatal(err)
		}
		w.post(w.at("/oauth2/v2.0/token"), poll)
		f, err := w.openID.RemoteFlow(ctx, s, id)
		if err != nil {
			t.Fatal(err)
		}
		step, err := w.corridor.Next(ctx, f, &s, peer)
		if err != nil || step.Kind != signin.Done {
			t.Fatalf("%s, %v", step.Kind, err)
		}
		if _, err := w.openID.SettleRemote(ctx, step.Flow, step, peer); err != nil {
			t.Fatal(err)
		}
		w.advance(6 * time.Second)
		out := w.post(w.at("/oauth2/v2.0/token"), poll).json(t)
		access := claimsOf(t, out["access_token"])
		if access["deviceid"] != nil {
			t.Errorf("the other machine is device %v", access["deviceid"])
		}
		refresh := func() answer {
			return w.post(w.at("/oauth2/v2.0/token"), url.Values{"client_id": {string(tv.ID)}, "grant_type": {"refresh_token"}, "refresh_token": {out["refresh_token"].(string)}})
		}
		if a := refresh(); a.status != http.StatusOK {
			t.Fatalf("before: %d %s", a.status, a.body)
		} else {
			out = a.json(t)
		}
		w.switchOn(m, false)
		if a := refresh(); a.status != http.StatusBadRequest {
			t.Errorf("device off: %d", a.status)
		}
		w.switchOn(m, true)
		if a := refresh(); a.status != http.StatusBadRequest {
			t.Errorf("device on again: %d", a.status)
		}
	})
}
