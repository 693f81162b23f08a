package signin_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

func (w *world) holds(t testing.TB, u idp.User) int {
	t.Helper()
	all, err := w.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestRename(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, _ := w.page.enrol(t, w.Ada)
		s, bobs := w.Session(t, w.Ada), w.Session(t, w.Bob)
		if err := w.Corridor.Rename(t.Context(), s, "passkey", id, "Blue key", w.peer); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"another's":      w.Corridor.Rename(t.Context(), bobs, "passkey", id, "mine", w.peer),
			"other method":   w.Corridor.Rename(t.Context(), s, "second", id, "x", w.peer),
			"unknown method": w.Corridor.Rename(t.Context(), s, "nope", id, "x", w.peer),
		} {
			if !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: %v, want not found", what, err)
			}
		}
		all, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(all) != 1 || all[0].Name != "Blue key" {
			t.Errorf("credentials %+v, %v", all, err)
		}
		if ev := w.Events(t, w.Tenant.ID); ev[0] != "passkey.rename success " || len(ev) != 4 {
			t.Errorf("events %q", ev)
		}
	})
}

func TestRemove(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		w.second.enrol(t, w.Ada)
		elsewhere := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		here := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		s := w.Found(t, w.Tenant.ID, here.Bearer)
		for what, c := range map[string]struct {
			s    session.Session
			m    idp.MethodID
			kind idp.Kind
		}{
			"another's":      {w.Session(t, w.Bob), "passkey", idp.NotFound},
			"other method":   {s, "second", idp.NotFound},
			"unknown method": {s, "nope", idp.NotFound},
		} {
			if err := w.Corridor.Remove(t.Context(), c.s, c.m, held.ID, w.peer); !errors.Is(err, c.kind) {
				t.Errorf("%s: %v, want %s", what, err, c.kind)
			}
		}
		w.Advance(5*time.Minute + time.Millisecond)
		if err := w.Corridor.Remove(t.Context(), s, "passkey", held.ID, w.peer); !errors.Is(err, idp.Denied) || idp.AsError(err).Reason != "fresh_proof_needed" {
			t.Errorf("with an old proof: %v, want denied fresh_proof_needed", err)
		}
		w.Advance(-time.Minute)
		if err := w.Corridor.Remove(t.Context(), s, "passkey", held.ID, w.peer); err != nil {
			t.Fatal(err)
		}
		if n := w.holds(t, w.Ada); n != 1 {
			t.Errorf("%d credentials left, want 1", n)
		}
		w.Found(t, w.Tenant.ID, here.Bearer) // who removed it stays signed in
		if _, err := w.Sessions.Find(t.Context(), w.Tenant.ID, elsewhere.Bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("another session on the removed credential: %v, want not found", err)
		}
	})
}

// TestSec_SES06_PassLeavesTheSession: where passes open apps
// (accessPass.appSignIn), a step-up by a real method leaves the pass behind. Its
// proof would register at any later time, without a fresh gesture.
func TestSec_SES06_PassLeavesTheSession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			p.AccessPass.AppSignIn, p.AccessPass.Once = true, false
			p.Session.Idle = 12 * time.Hour
		})
		w.pass.mode, w.pass.lives = idp.ModeAccessPassMany, time.Hour
		pass, key := w.pass.room(t).Enrol(t, w.Ada), w.page.room(t).Enrol(t, w.Ada)
		first := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.pass, pass, nil, signin.Done)
		onPass := w.Found(t, w.Tenant.ID, first.Bearer)
		again := w.must(t, w.Flow(t, signin.Flow{Prompt: []string{"login"}}, w.peer), w.page, key, &onPass, signin.Done)
		s := w.Found(t, w.Tenant.ID, again.Bearer)
		if len(s.Proofs) != 1 || s.Proofs[0].Method != "passkey" || s.ID == onPass.ID || again.Replaces != first.Bearer {
			t.Errorf("session %s after %s stands on %+v", s.ID, onPass.ID, s.Proofs)
		}
		if _, err := w.Sessions.ByID(t.Context(), w.DB, w.Tenant.ID, onPass.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("the session of the pass: %v, want it ended", err)
		}
		w.Advance(6 * time.Hour) // five hours after the end of the pass
		s = w.Found(t, w.Tenant.ID, again.Bearer)
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer); idp.AsError(err) == nil || idp.AsError(err).Reason != "fresh_proof_needed" {
			t.Errorf("a method is added by a pass that was over for 5 hours: %v", err)
		}
	})
}

// TestSec_SES06_PassChangesNothing: also where a pass opens apps it serves to
// add a method, and neither renames nor removes one (decisions 2.8). A gesture
// that is as old as the rules allow does not become fresh by a pass.
func TestSec_SES06_PassChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.AccessPass.AppSignIn = true })
		w.pass.lives = time.Hour
		pass, key := w.pass.room(t).Enrol(t, w.Ada), w.page.room(t).Enrol(t, w.Ada)
		w.second.enrol(t, w.Ada)
		step := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.pass, pass, nil, signin.Done)
		s := w.Found(t, w.Tenant.ID, step.Bearer)
		for what, err := range map[string]error{
			"remove": w.Corridor.Remove(t.Context(), s, "passkey", key.ID, w.peer),
			"rename": w.Corridor.Rename(t.Context(), s, "passkey", key.ID, "mine", w.peer),
		} {
			if e := idp.AsError(err); e == nil || e.Kind != idp.Denied || e.Reason != "pass_session" {
				t.Errorf("%s by a pass: %v, want denied pass_session", what, err)
			}
		}
		mixed := w.Session(t, w.Ada)
		w.Advance(6 * time.Minute)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			mixed, _, err = w.Sessions.Renew(ctx, tx, mixed, []idp.Proof{
				{Tenant: w.Ada.Tenant, User: w.Ada.ID, Method: "accessPass", Mode: idp.ModeAccessPassMany, Credential: "p", Time: w.Now()},
			})
			return err
		})
		if err := w.Corridor.Remove(t.Context(), mixed, "passkey", key.ID, w.peer); idp.AsError(err) == nil || idp.AsError(err).Reason != "fresh_proof_needed" {
			t.Errorf("remove by an old gesture and a fresh pass: %v, want fresh_proof_needed", err)
		}
		if n := w.holds(t, w.Ada); n != 3 {
			t.Errorf("%d credentials, want all 3", n)
		}
	})
}

func TestRemoveLast(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, _ := w.page.enrol(t, w.Ada)
		passID, _ := w.pass.enrol(t, w.Ada)
		s := w.Session(t, w.Ada)
		err := w.Corridor.Remove(t.Context(), s, "passkey", id, w.peer)
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != "last_method" || e.Public == "" {
			t.Errorf("the last one, a pass beside it: %v, want denied last_method", err)
		}
		if n := w.holds(t, w.Ada); n != 2 {
			t.Errorf("%d credentials, want both", n)
		}
		if err := w.Corridor.Remove(t.Context(), s, "accessPass", passID, w.peer); err != nil {
			t.Errorf("the pass: %v", err)
		}
		// A pass goes even when there is nothing else.
		bobs, _ := w.pass.enrol(t, w.Bob)
		if err := w.Corridor.Remove(t.Context(), w.Session(t, w.Bob), "accessPass", bobs, w.peer); err != nil {
			t.Errorf("a pass alone: %v", err)
		}
		// The help desk may take the last one.
		if err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, "passkey", id, "cli:root", w.peer); err != nil {
			t.Errorf("by an administrator: %v", err)
		}
	})
}

// T48: parallel removals in two rooms; one credential always remains.
func TestRemoveLastRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.Session(t, w.Ada)
		for round := range 30 {
			a, _ := w.page.enrol(t, w.Ada)
			b, _ := w.second.enrol(t, w.Ada)
			var wg sync.WaitGroup
			errs := make([]error, 6)
			for n := range errs {
				wg.Go(func() {
					if n%2 == 0 {
						errs[n] = w.Corridor.Remove(t.Context(), s, "passkey", a, w.peer)
					} else {
						errs[n] = w.Corridor.Remove(t.Context(), s, "second", b, w.peer)
					}
				})
			}
			wg.Wait()
			gone := 0
			for _, err := range errs {
				switch {
				case err == nil:
					gone++
				case !errors.Is(err, idp.Denied) && !errors.Is(err, idp.NotFound):
					t.Errorf("round %d: %v, want denied or not found", round, err)
				}
			}
			if n := w.holds(t, w.Ada); gone != 1 || n != 1 {
				t.Fatalf("round %d: %d removed, %d left, want one of each", round, gone, n)
			}
			for m, id := range map[idp.MethodID]idp.CredentialID{"passkey": a, "second": b} {
				err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, m, id, "cli:test", w.peer)
				if err != nil && !errors.Is(err, idp.NotFound) {
					t.Fatal(err)
				}
			}
		}
	})
}

// Decisions 2.9: who may add a method.
func TestMayRegister(t *testing.T) {
	strong := idp.Proof{Method: "passkey", Mode: idp.ModeFIDO2, Credential: "k", Properties: []idp.Property{idp.PhishingResistant, idp.MultiFactor}}
	mfa := idp.Proof{Method: "second", Mode: "second", Credential: "s", Properties: []idp.Property{idp.MultiFactor}}
	single := idp.Proof{Method: "second", Mode: "second", Credential: "s"}
	oneTime := idp.Proof{Method: "accessPass", Mode: idp.ModeAccessPassOnce, Credential: "p"}
	many := idp.Proof{Method: "accessPass", Mode: idp.ModeAccessPassMany, Credential: "p"}
	for _, c := range []struct {
		name       string
		proof      idp.Proof
		restricted bool
		holds      bool // a phishing-resistant credential already
		known      bool // browser
		age        time.Duration
		ok         bool
	}{
		{"phishing-resistant", strong, false, true, false, 5 * time.Minute, true},
		{"phishing-resistant, too old", strong, false, true, true, 5*time.Minute + time.Millisecond, false},
		{"MFA from a known browser", mfa, false, false, true, 5 * time.Minute, true},
		{"MFA from a known browser, too old", mfa, false, false, true, 5*time.Minute + time.Millisecond, false},
		{"MFA from an unknown browser", mfa, false, false, false, 0, false},
		{"MFA of one who holds a passkey", mfa, false, true, true, 0, false},
		{"single factor from a known browser", single, false, false, true, 0, false},
		{"one-time pass", oneTime, true, false, false, 10 * time.Minute, true},
		{"one-time pass of one who holds a passkey", oneTime, true, true, false, 0, true},
		{"one-time pass, after its window", oneTime, true, false, false, 10*time.Minute + time.Millisecond, false},
		{"pass of many uses", many, true, false, false, 50 * time.Minute, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				if c.holds {
					w.page.enrol(t, w.Ada)
				}
				if c.known {
					held := w.second.room(t).Enrol(t, w.Ada)
					w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.second, held, nil, signin.Done)
				}
				s := w.SessionOn(t, w.Ada, c.proof, c.restricted)
				w.Advance(c.age)
				_, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
				if c.ok && err != nil {
					t.Errorf("%v, want it allowed", err)
				}
				if !c.ok && (!errors.Is(err, idp.Denied) || idp.AsError(err).Reason != "fresh_proof_needed") {
					t.Errorf("%v, want denied fresh_proof_needed", err)
				}
			})
		})
	}
}

func TestRegisterRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := w.Session(t, w.Ada)
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "handover", w.peer); !errors.Is(err, idp.Invalid) {
			t.Errorf("a method that nobody registers for: %v, want invalid", err)
		}
		b, err := w.Corridor.BeginRegister(t.Context(), s, "second", w.peer)
		if err != nil {
			t.Fatal(err)
		}
		payload := w.second.room(t).NewDevice(t).Register(t, b.Show)
		w.Switch(t, w.Tenant.ID, "second", false)
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "second", w.peer); !errors.Is(err, idp.Denied) {
			t.Errorf("a method that is off: %v, want denied", err)
		}
		if _, err := w.Corridor.FinishRegister(t.Context(), s, b.Ceremony, payload, w.peer); !errors.Is(err, idp.Denied) {
			t.Errorf("switched off under way: %v, want denied", err)
		}
		w.Switch(t, w.Tenant.ID, "second", true)
		w.Enable(t, w.Ada, false)
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "second", w.peer); !errors.Is(err, idp.Denied) {
			t.Errorf("disabled: %v, want denied", err)
		}
		if _, err := w.Corridor.FinishRegister(t.Context(), s, b.Ceremony, payload, w.peer); !errors.Is(err, idp.Denied) {
			t.Errorf("disabled under way: %v, want denied", err)
		}
		if n := w.holds(t, w.Ada); n != 0 {
			t.Errorf("%d registered, want none", n)
		}
	})
}

func TestRegisterOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		request := func() signin.RegisterOnceRequest {
			value, sealed := w.Nonce(t, w.Tenant.ID)
			show := []byte(`{"challenge":"` + encode64(w.message.KeepFrom([]byte(value))) + `"}`)
			return signin.RegisterOnceRequest{
				OnceRequest: signin.OnceRequest{
					Tenant: w.Tenant.ID, Method: "message", Nonce: []byte(value), Nonces: []nonce.Sealed{sealed},
					Payload: w.page.room(t).NewDevice(t).Register(t, show), User: w.Ada, Peer: w.peer,
				},
				ProofTime: w.Now(), Within: 10 * time.Minute,
			}
		}
		r := request()
		if c, err := w.Corridor.RegisterOnce(t.Context(), r); err != nil || c.User != w.Ada.ID {
			t.Fatalf("registered %+v, %v", c, err)
		}
		if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("second use: %v, want expired", err)
		}
		r = request()
		r.ProofTime = w.Now().Add(-10*time.Minute - time.Millisecond)
		if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, idp.Denied) {
			t.Errorf("old proof: %v, want denied", err)
		}
		r = request()
		good := r.Payload
		r.Payload = []byte("{}")
		if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, idp.Unproven) {
			t.Errorf("garbage: %v, want unproven", err)
		}
		r.Payload = good
		if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("after garbage: %v, want expired", err)
		}
		r = request()
		r.Method = "passkey"
		if _, err := w.Corridor.RegisterOnce(t.Context(), r); !errors.Is(err, idp.Invalid) {
			t.Errorf("a method of pages: %v, want invalid", err)
		}
		if n := w.holds(t, w.Ada); n != 1 {
			t.Errorf("%d registered, want 1", n)
		}
	})
}
