package signin_test

import (
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// TestSec_POL04_PassEnlistsOnce: a pass finishes a flow that leads to the
// registration of a device, by its own gesture alone; the session that it opens
// opens nothing, also where passes open apps and where a rule asks people for a
// method.
func TestSec_POL04_PassEnlistsOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.pass.lives = time.Hour
		pass, key := w.pass.room(t).Enrol(t, w.Ada), w.page.room(t).Enrol(t, w.Ada)
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On = true })
		enlist := signin.Flow{Client: "agent", Door: "oidc", Enlists: true}
		w.wantNext(t, "an empty hand", w.Flow(t, enlist, w.peer), nil, signin.StepUp)
		for what, change := range map[string]func(*policy.Policy){
			"as it comes":        func(*policy.Policy) {},
			"passes open apps":   func(p *policy.Policy) { p.AccessPass.AppSignIn = true },
			"people are asked":   func(p *policy.Policy) { p.Campaign.On, p.Campaign.Method, p.Campaign.Snoozes = true, "second", 3 },
			"a rule requires it": func(p *policy.Policy) { r := policy.Everybody(); r.Include[0].Required = true; p.Methods["second"] = r },
		} {
			w.Policy(t, w.Tenant.ID, change)
			f := w.Flow(t, enlist, w.peer)
			step := w.must(t, f, w.pass, pass, nil, signin.Done)
			if e := w.last(t); e.Activity != "signin.done" || e.Rule != policy.RuleEnlist {
				t.Errorf("%s: recorded %s by %s", what, e.Activity, e.Rule)
			}
			s := w.Found(t, w.Tenant.ID, step.Bearer)
			if !s.Restricted || !s.Expires.Equal(w.Now().Add(time.Hour)) {
				t.Errorf("%s: session restricted %v until %s", what, s.Restricted, s.Expires)
			}
			for where, f := range map[string]signin.Flow{"the same flow": f, "another device": w.Flow(t, enlist, w.peer), "an app": w.Flow(t, signin.Flow{Client: "app"}, w.peer), "our pages": w.Flow(t, signin.Flow{}, w.peer)} {
				if again := w.next(t, f, &s); again.Kind == signin.Done || again.Kind == signin.Nudge || again.Kind == signin.Consent {
					t.Errorf("%s: the session opens %s: %s", what, where, again.Kind)
				}
			}
			if _, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer); err != nil {
				t.Errorf("%s: adding a method: %v", what, err)
			}
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			p.Campaign.On, p.Methods["second"], p.AccessPass.AppSignIn = false, policy.Everybody(), true
		})
		// A session that a pass opened for an app registers no device, either.
		before := w.Flow(t, enlist, w.peer)
		app := w.must(t, w.Flow(t, signin.Flow{Client: "app"}, w.peer), w.pass, pass, nil, signin.Done)
		s := w.Found(t, w.Tenant.ID, app.Bearer)
		w.wantNext(t, "on the session of a pass", before, &s, signin.StepUp)
		step := w.must(t, w.Flow(t, enlist, w.peer), w.page, key, &s, signin.Done)
		if full := w.Found(t, w.Tenant.ID, step.Bearer); full.Restricted || len(full.Proofs) != 1 || full.Proofs[0].Method != "passkey" {
			t.Errorf("by a passkey: restricted %v, on %+v", full.Restricted, full.Proofs)
		}
		// The session that was there goes, as when somebody has to register first.
		full := w.Found(t, w.Tenant.ID, step.Bearer)
		step = w.must(t, w.Flow(t, signin.Flow{Client: "agent", Enlists: true, Prompt: []string{"login"}}, w.peer), w.pass, pass, &full, signin.Done)
		if s := w.Found(t, w.Tenant.ID, step.Bearer); !s.Restricted || len(s.Proofs) != 1 {
			t.Errorf("over a full session: restricted %v, on %+v", s.Restricted, s.Proofs)
		}
		if _, err := w.Sessions.Find(t.Context(), w.Tenant.ID, full.Bearer()); !errors.Is(err, idp.NotFound) {
			t.Errorf("the full session: %v", err)
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On, p.AccessPass.AppSignIn = false, false })
		w.must(t, w.Flow(t, enlist, w.peer), w.pass, pass, nil, signin.Register)
		if !signin.Tell(w.last(t)).Enlists {
			t.Error("the record does not say what it was for")
		}
	})
}
