package drs_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

const keyPath = "/EnrollmentServer/key/?api-version=1.0"

// byPass makes a token of a sign-in by an access pass out of one by a passkey.
func (w *world) byPass(u idp.User, change func(*token.Subject)) string {
	w.t.Helper()
	return w.token(u, func(s *token.Subject) {
		s.Code, s.Until, s.AMR = token.ByAccessPass, w.Now().Add(10*time.Minute), nil
		s.Basis = []token.Basis{{Method: policy.AccessPass, Credential: "pass", Mode: idp.ModeAccessPassOnce, Time: w.Now().UnixMilli()}}
		if change != nil {
			change(s)
		}
	})
}

func (w *world) keeps(u idp.User) int {
	w.t.Helper()
	all, err := w.Corridor.Credentials(w.t.Context(), u.Tenant, u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(all)
}

// TestSec_DEV01_PassJoinsOnce: a sign-in by a pass joins one device and has one
// user key registered there, and then is over.
func TestSec_DEV01_PassJoinsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer := w.byPass(w.Ada, nil)
		key := func(n int) map[string]string { return map[string]string{"kngc": blob(&rsaKeys()[n].PublicKey)} }
		refused := func(what string, r reply, reason string) {
			t.Helper()
			if r.status != http.StatusUnauthorized || r.text("subcode") != reason {
				t.Errorf("%s: %d %s, want %s", what, r.status, r.raw, reason)
			}
		}
		refused("a key before the join", w.send("POST", keyPath, bearer, key(0), nil), "token_of_no_device")
		bodies := make([]map[string]any, 20)
		for n := range bodies {
			bodies[n] = w.joinBody(ecKey(t), ecKey(t))
		}
		got := w.together(len(bodies), func(n int) reply { return w.send("POST", joinPath, bearer, bodies[n], nil) })
		if got["200 "] != 1 || got["401 token_used"]+got["403 token_of_device"] != 19 || w.held(w.Tenant.ID) != 1 {
			t.Errorf("joins: %v, %d devices", got, w.held(w.Tenant.ID))
		}
		w.refused("a second device", w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil), 403, "token_of_device")

		keys := w.together(4, func(n int) reply {
			r := w.send("POST", keyPath, bearer, key(n), nil)
			r.body = map[string]any{"Reason": r.text("subcode")}
			return r
		})
		if keys["200 "] != 1 || keys["401 token_used"]+keys["401 token_revoked"] != 3 || w.keeps(w.Ada) != 1 {
			t.Errorf("keys: %v, %d kept", keys, w.keeps(w.Ada))
		}
		refused("a second key", w.send("POST", keyPath, bearer, key(1), nil), "token_revoked")
		if n := w.keeps(w.Ada); n != 1 {
			t.Errorf("%d keys", n)
		}
	})
}

// A device that says itself which one it is gets a key by a pass, and joins no
// other.
func TestPassOnADevice(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		j := w.join(w.Ada)
		bearer := w.byPass(w.Ada, func(s *token.Subject) { s.Device = j.ID })
		w.refused("another device", w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil), 403, "token_of_device")
		if r := w.send("POST", keyPath, bearer, map[string]string{"kngc": blob(&rsaKeys()[0].PublicKey)}, nil); r.status != 200 || w.keeps(w.Ada) != 1 {
			t.Errorf("%d %s", r.status, r.raw)
		}
	})
}

// TestSec_POL04_PassesThatDoNotJoin: each is refused for one reason, and what
// holds for everybody holds for a pass.
func TestSec_POL04_PassesThatDoNotJoin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		join := func(bearer string) reply {
			return w.send("POST", joinPath, bearer, w.joinBody(ecKey(t), ecKey(t)), nil)
		}
		before, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		w.join(w.Ada)
		bearer := w.byPass(w.Ada, nil)
		for reason, change := range map[string]func(*policy.Policy){
			"devices_off":  func(p *policy.Policy) { p.Devices.On = false },
			"not_included": func(p *policy.Policy) { p.Devices.Include = []policy.Target{{User: w.Bob.ID}} },
			"method_off":   func(p *policy.Policy) { p.Switch(policy.AccessPass, false) },
			"device_quota": func(p *policy.Policy) { p.Devices.Quota = 1 },
		} {
			w.Policy(t, w.Tenant.ID, change)
			w.refused(reason, join(bearer), 403, reason)
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { again := before.Clone(); p.Devices, p.Methods = again.Devices, again.Methods })
		}
		w.refused("no mark of a pass", join(w.byPass(w.Ada, func(s *token.Subject) { s.Code = "" })), 403, "mfa_missing")
		w.refused("16 minutes old", join(w.byPass(w.Ada, func(s *token.Subject) { s.AuthTime = s.AuthTime.Add(-16 * time.Minute) })), 401, "proof_too_old")
		w.refused("another resource", join(w.byPass(w.Ada, func(s *token.Subject) { s.Audience = "https://graph.microsoft.com" })), 401, "token_audience")
		taken := w.byPass(w.Ada, nil)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.tokens.RevokeStanding(ctx, tx, w.Tenant.ID, w.Ada.ID, policy.AccessPass, "pass")
		})
		w.refused("taken back", join(taken), 401, "token_revoked")
		over := w.byPass(w.Ada, func(s *token.Subject) { s.Until = w.Now().Add(time.Minute) })
		joined := w.byPass(w.Ada, func(s *token.Subject) { s.Until = w.Now().Add(time.Minute) })
		if r := join(joined); r.status != 200 {
			t.Fatalf("join: %d %s", r.status, r.raw)
		}
		w.Advance(time.Minute)
		w.refused("over", join(over), 401, "pass_over")
		if r := w.send("POST", keyPath, joined, map[string]string{"kngc": blob(&rsaKeys()[0].PublicKey)}, nil); r.text("subcode") != "pass_over" {
			t.Errorf("a key after the pass: %d %s", r.status, r.raw)
		}
		if w.keeps(w.Ada) != 0 || w.held(w.Tenant.ID) != 2 {
			t.Errorf("%d keys, %d devices", w.keeps(w.Ada), w.held(w.Tenant.ID))
		}
	})
}

// A pass that is taken back while a join is on its way ends that join.
func TestSec_POL04_TakenBackMeanwhile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bearer, body := w.byPass(w.Ada, nil), w.joinBody(ecKey(t), ecKey(t))
		done := false
		w.sealing = func() { // the certificate is made, nothing is written yet
			if done {
				return
			}
			done = true
			w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				return w.tokens.RevokeStanding(ctx, tx, w.Tenant.ID, w.Ada.ID, policy.AccessPass, "pass")
			})
		}
		r := w.send("POST", joinPath, bearer, body, nil)
		w.sealing = nil
		w.refused("join", r, 401, "token_used")
		if !done || w.held(w.Tenant.ID) != 0 {
			t.Errorf("%v, %d devices", done, w.held(w.Tenant.ID))
		}
	})
}
