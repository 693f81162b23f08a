package signin_test

import (
	"context"
	"errors"
	"slices"
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

// before is a proof of Ada that was made some time ago.
func (w *world) before(t testing.TB) idp.Proof {
	t.Helper()
	id, _ := w.page.enrol(t, w.Ada)
	return idp.Proof{
		Tenant: w.Tenant.ID, User: w.Ada.ID, Method: w.page.ID(), Mode: w.page.mode, Credential: id,
		Properties: w.page.properties, Time: w.Now(),
	}
}

// message is one that carries the proof, on new nonces, one of each scope.
func (w *world) carrying(t testing.TB, p idp.Proof) signin.CarriedRequest {
	t.Helper()
	_, a := w.Nonce(t, w.Tenant.ID)
	_, b := w.Nonce(t, "common")
	return signin.CarriedRequest{
		Tenant: w.Tenant.ID, User: w.Ada, Proofs: []idp.Proof{p}, Nonces: []nonce.Sealed{a, b, a},
		Activity: "prt.issue", Device: "device", Peer: w.peer,
	}
}

func TestCarried(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		settled := 0
		r := w.carrying(t, p)
		r.Settle = func(context.Context, *sqldb.Tx) error { settled++; return nil }
		if _, err := w.Corridor.Carried(t.Context(), r); err != nil || settled != 1 {
			t.Fatalf("%v, settled %d times", err, settled)
		}
		if n := w.Count(t, "spent", w.Tenant.ID) + w.Count(t, "spent", "common"); n != 2 {
			t.Errorf("%d nonces burnt, want both of the set", n)
		}
		// One of the set was used: all is lost, whatever the others are.
		again := w.carrying(t, p)
		again.Nonces[1] = r.Nonces[1]
		again.Settle = r.Settle
		if _, err := w.Corridor.Carried(t.Context(), again); !errors.Is(err, idp.Expired) || settled != 1 {
			t.Errorf("a spent nonce among them: %v, settled %d times", err, settled)
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 1 {
			t.Errorf("%d burnt by the loser", n)
		}
		w.wantEvents(t, "prt.issue success ", "prt.issue failure spent")
	})
}

// Whatever is wrong after the signature burns, is recorded, and settles nothing.
func TestCarriedRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		mine := idp.Deniedf("mine", "the door says no").Coded(4711)
		undone := 0
		for name, c := range map[string]struct {
			change func(*signin.CarriedRequest)
			reason string
		}{
			"the door's": {func(r *signin.CarriedRequest) {
				r.Failed = mine
				r.Undone = func(context.Context, *sqldb.Tx) error { undone++; return nil }
			}, "mine"},
			"the maker's":       {func(r *signin.CarriedRequest) { r.Ready = func(context.Context, policy.Decision) error { return mine } }, "mine"},
			"the effect's":      {func(r *signin.CarriedRequest) { r.Settle = func(context.Context, *sqldb.Tx) error { return mine } }, "mine"},
			"a strength":        {func(r *signin.CarriedRequest) { r.Required = policy.ACRHardwareBound }, "strength_unmet"},
			"an older gesture":  {func(r *signin.CarriedRequest) { r.NotBefore = w.Now().Add(time.Second) }, "proof_before_prompt"},
			"nothing proven":    {func(r *signin.CarriedRequest) { r.Proofs = nil }, "nothing_proven"},
			"another's proof":   {func(r *signin.CarriedRequest) { r.Proofs[0].User = w.Bob.ID }, "proof_of_other_user"},
			"a disabled person": {func(r *signin.CarriedRequest) { r.User.Enabled = false }, "user_disabled"},
		} {
			r := w.carrying(t, p)
			settled := false
			r.Settle = func(context.Context, *sqldb.Tx) error { settled = true; return nil }
			before := w.Count(t, "spent", w.Tenant.ID) + w.Count(t, "spent", "common")
			c.change(&r)
			_, err := w.Corridor.Carried(t.Context(), r)
			if idp.AsError(err) == nil || idp.AsError(err).Reason != c.reason || settled {
				t.Errorf("%s: %v, settled: %v", name, err, settled)
			}
			if n := w.Count(t, "spent", w.Tenant.ID) + w.Count(t, "spent", "common") - before; n != 2 {
				t.Errorf("%s: %d nonces burnt", name, n)
			}
			if events := w.Events(t, w.Tenant.ID); len(events) == 0 || events[len(events)-1] != "prt.issue failure "+c.reason {
				t.Errorf("%s: events %v", name, events)
			}
		}
		if undone != 1 {
			t.Errorf("undone %d times", undone)
		}
		// Nothing that is ours alone burns.
		r := w.carrying(t, p)
		r.Ready = func(context.Context, policy.Decision) error { return errors.New("the disk is full") }
		before := w.Count(t, "spent", w.Tenant.ID)
		if _, err := w.Corridor.Carried(t.Context(), r); err == nil || w.Count(t, "spent", w.Tenant.ID) != before {
			t.Errorf("a trouble of our own: %v", err)
		}
		r = w.carrying(t, p)
		r.Nonces = nil
		if _, err := w.Corridor.Carried(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("no nonce: %v", err)
		}
		_, foreign := w.Nonce(t, w.Other.ID)
		r = w.carrying(t, p)
		r.Nonces = append(r.Nonces, foreign)
		if _, err := w.Corridor.Carried(t.Context(), r); !errors.Is(err, idp.Expired) {
			t.Errorf("a nonce of another tenant: %v", err)
		}
	})
}

// TestSec_DEV07_CarriedDisabled disables a person between the door's look and
// the transaction: unless the door takes the cached one for good, the row
// decides.
func TestSec_DEV07_CarriedDisabled(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		w.Enable(t, w.Ada, false)
		r := w.carrying(t, p) // w.Ada is as she was
		if _, err := w.Corridor.Carried(t.Context(), r); idp.AsError(err) == nil || idp.AsError(err).Reason != "user_disabled" {
			t.Errorf("%v", err)
		}
		r = w.carrying(t, p)
		r.Cached = true
		if _, err := w.Corridor.Carried(t.Context(), r); err != nil {
			t.Errorf("cached: %v", err)
		}
	})
}

// TestSec_NON01_CarriedRace sends one set of nonces many times at once: one
// settles.
func TestSec_NON01_CarriedRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.carrying(t, w.before(t))
		var mu sync.Mutex
		won, lost := 0, 0
		var all sync.WaitGroup
		start := make(chan struct{})
		for range 100 {
			all.Go(func() {
				<-start
				_, err := w.Corridor.Carried(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case errors.Is(err, idp.Expired):
					lost++
				default:
					t.Error(err)
				}
			})
		}
		close(start)
		all.Wait()
		if won != 1 || lost != 99 {
			t.Errorf("%d won, %d lost", won, lost)
		}
	})
}

// brought is what Ada's device brings.
func (w *world) brought(t testing.TB, p idp.Proof, ends time.Duration) signin.Brought {
	t.Helper()
	_, n := w.Nonce(t, w.Tenant.ID)
	return signin.Brought{
		Standing: signin.Standing{User: w.Ada.ID, PRT: "prt-1", Device: "device", Ends: w.Now().Add(ends)},
		Proofs:   []idp.Proof{p}, Nonces: []nonce.Sealed{n},
	}
}

func (w *world) bring(t testing.TB, f signin.Flow, current *session.Session, b signin.Brought) signin.Step {
	t.Helper()
	f.Tenant, f.Door = w.Tenant.ID, "oidc"
	step, err := w.Corridor.Bring(t.Context(), f, current, b, w.peer)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func TestBring(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		w.Advance(time.Hour)
		b := w.brought(t, p, 2*time.Hour)
		step := w.bring(t, signin.Flow{Client: "app"}, nil, b)
		s := step.Session
		if step.Kind != signin.Done || !step.Recorded || s.PRT != "prt-1" || s.Device != "device" || s.User != w.Ada.ID {
			t.Fatalf("step %+v", step)
		}
		if !s.Expires.Equal(w.Now().Add(2 * time.Hour)) {
			t.Errorf("ends %s, want the PRT's end", s.Expires)
		}
		found := w.Found(t, w.Tenant.ID, step.Bearer)
		if len(found.Proofs) != 1 || !found.ProofTime.Equal(p.Time) {
			t.Errorf("session stands on %+v", found.Proofs)
		}
		// The same nonce again: whoever comes second gets nothing.
		if _, err := w.Corridor.Bring(t.Context(), signin.Flow{Tenant: w.Tenant.ID, Client: "app"}, nil, b, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("the same nonce: %v", err)
		}
		// A session that stands on it goes on; one that does not is left behind.
		step = w.bring(t, signin.Flow{Client: "app"}, &found, w.brought(t, p, time.Hour))
		if step.Kind != signin.Done || step.Session.ID != found.ID || step.Bearer != "" {
			t.Errorf("in its own session: %+v", step)
		}
		other := w.SessionOn(t, w.Ada, p, false)
		step = w.bring(t, signin.Flow{Client: "app"}, &other, w.brought(t, p, time.Hour))
		if step.Kind != signin.Done || step.Session.ID == other.ID || step.Replaces != other.Bearer() || step.Session.PRT != "prt-1" {
			t.Errorf("in another session of hers: %+v", step)
		}
		// Bob's stays as it is.
		bob := w.Session(t, w.Bob)
		step = w.bring(t, signin.Flow{Client: "app"}, &bob, w.brought(t, p, time.Hour))
		if step.Kind != signin.Done || step.Session.User != w.Ada.ID || step.Replaces != "" {
			t.Errorf("beside Bob: %+v", step)
		}
		w.Found(t, w.Tenant.ID, bob.Bearer())
	})
}

// TestSec_POL01_BringNewerProofs: the PRT of a Mac moves on with each login, and
// a session that stands on it does not. What is given out because of the newer
// proofs stands on them, and ends with them.
func TestSec_POL01_BringNewerProofs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		step := w.bring(t, signin.Flow{Client: "app"}, nil, w.brought(t, p, time.Hour))
		found := w.Found(t, w.Tenant.ID, step.Bearer)
		w.Advance(20 * time.Minute)
		again, card := p, p
		again.Time, card.Time, card.Credential = w.Now(), w.Now(), "card"
		for name, newer := range map[string]idp.Proof{"the same key later": again, "another one": card} {
			step := w.bring(t, signin.Flow{Client: "app"}, &found, w.brought(t, newer, time.Hour))
			if step.Kind != signin.Done || step.Session.ID != found.ID {
				t.Fatalf("%s: %+v", name, step)
			}
			stands := func(q idp.Proof) bool { return q.Credential == newer.Credential && q.Time.Equal(newer.Time) }
			if n := len(step.Session.Proofs); !slices.ContainsFunc(step.Session.Proofs, stands) || n != map[bool]int{true: 1, false: 2}[newer.Credential == p.Credential] {
				t.Errorf("%s: stands on %+v", name, step.Session.Proofs)
			}
		}
	})
}

// A session that stands on a PRT has an end of its own: it counts from its
// opening, not from a gesture that may be weeks old (SES02).
func TestBringOldProof(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		w.Advance(20 * 24 * time.Hour)
		step := w.bring(t, signin.Flow{Client: "app"}, nil, w.brought(t, p, 90*24*time.Hour))
		if step.Kind != signin.Done {
			t.Fatalf("step %s", step.Kind)
		}
		w.Found(t, w.Tenant.ID, step.Bearer)
		limit := w.policy(t).Session.Absolute
		for n := time.Duration(0); n < limit; n += w.policy(t).Session.Idle / 2 {
			w.Advance(w.policy(t).Session.Idle / 2)
			if s, err := w.Sessions.Find(t.Context(), w.Tenant.ID, step.Bearer); err == nil {
				if err := w.Sessions.Touch(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := w.Sessions.Find(t.Context(), w.Tenant.ID, step.Bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("after %s: %v", limit, err)
		}
	})
}

// An interrupt that grants nothing burns nothing, and the flow knows the device
// when the person goes on by hand.
func TestBringInterrupted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		w.Advance(time.Hour)
		age := int64(60)
		b := w.brought(t, p, 30*time.Minute)
		for name, f := range map[string]signin.Flow{
			"an age": {Client: "app", MaxAge: &age}, "a new proof": {Client: "app", Prompt: []string{"login"}}, "another person": {Client: "app", HintUser: w.Bob.ID},
		} {
			step := w.bring(t, f, nil, b)
			if step.Kind != signin.StepUp || step.Handle == "" {
				t.Errorf("%s: %s", name, step.Kind)
			}
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 0 {
			t.Errorf("%d nonces burnt", n)
		}
		held := w.page.room(t).Enrol(t, w.Ada)
		step := w.bring(t, signin.Flow{Client: "app", MaxAge: &age}, nil, b)
		done := w.must(t, w.Resume(t, w.Tenant.ID, step.Handle, w.peer), w.page, held, nil, signin.Done)
		if done.Session.PRT != "prt-1" || done.Session.Device != "device" || !done.Session.Expires.Equal(b.Ends) {
			t.Errorf("session %+v", done.Session)
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 2 { // the ceremony, and the nonce
			t.Errorf("%d burnt", n)
		}
		// What it brought is spent now; another flow that was entered with it
		// opens nothing.
		step = w.bring(t, signin.Flow{Client: "app", MaxAge: &age}, nil, b)
		if _, err := w.do(t, w.Resume(t, w.Tenant.ID, step.Handle, w.peer), w.page, held, nil); !errors.Is(err, idp.Expired) {
			t.Errorf("a second session by one nonce: %v", err)
		}
		// Bob is not Ada: her PRT does not carry his session.
		bob := w.page.room(t).Enrol(t, w.Bob)
		step = w.bring(t, signin.Flow{Client: "app", MaxAge: &age}, nil, w.brought(t, p, time.Hour))
		done = w.must(t, w.Resume(t, w.Tenant.ID, step.Handle, w.peer), w.page, bob, nil, signin.Done)
		if done.Session.PRT != "" || done.Session.Device != "" {
			t.Errorf("Bob's session %+v", done.Session)
		}
	})
}

// What is still to be allowed is asked in a session, which the nonce was spent for.
func TestBringConsent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.before(t)
		f := signin.Flow{Client: w.app(t, false), Scopes: []string{"notes.read"}}
		step := w.bring(t, f, nil, w.brought(t, p, time.Hour))
		if step.Kind != signin.Consent || step.Bearer == "" || !slices.Equal(step.NewScopes, f.Scopes) {
			t.Fatalf("step %+v", step)
		}
		s := w.Found(t, w.Tenant.ID, step.Bearer)
		step, err := w.Corridor.Consent(t.Context(), w.Resume(t, w.Tenant.ID, step.Handle, w.peer), s, true, w.peer)
		if err != nil || step.Kind != signin.Done {
			t.Errorf("step %s, %v", step.Kind, err)
		}
	})
}
