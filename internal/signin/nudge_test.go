package signin_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// campaign asks everybody for a passkey; it may be put off so often, for days.
func (w *world) campaign(t testing.TB, snoozes, days int) {
	t.Helper()
	w.strong()
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
		p.Campaign.On, p.Campaign.Method, p.Campaign.Snoozes, p.Campaign.SnoozeDays = true, "passkey", snoozes, days
	})
}

// required lets a rule require a passkey of everybody.
func (w *world) required(t testing.TB) {
	t.Helper()
	w.strong()
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
		r := policy.Everybody()
		r.Include[0].Required = true
		p.Methods["passkey"] = r
	})
}

// strong makes of the second method one by which a method may be added.
func (w *world) strong() {
	w.second.properties = []idp.Property{idp.Possession, idp.MultiFactor, idp.PhishingResistant}
}

// nudged signs in and is asked; it gives the flow as the page has it, and the
// session.
func (w *world) nudged(t testing.TB, ask signin.Flow, held signintest.Held, current *session.Session) (signin.Flow, session.Session) {
	t.Helper()
	step := w.must(t, w.Flow(t, ask, w.peer), w.second, held, current, signin.Nudge)
	return w.Resume(t, w.Tenant.ID, step.Handle, w.peer), w.Found(t, w.Tenant.ID, step.Bearer)
}

func (w *world) later(t testing.TB, f signin.Flow, s session.Session, kind signin.StepKind) signin.Step {
	t.Helper()
	step, err := w.Corridor.Later(t.Context(), f, s, w.peer)
	if err != nil || step.Kind != kind {
		t.Fatalf("not now: step %q, %v, want %s", step.Kind, err, kind)
	}
	return step
}

// registers adds a passkey in a session and gives the device.
func (w *world) registers(t testing.TB, s session.Session) signintest.Device {
	t.Helper()
	d := w.page.room(t).NewDevice(t)
	b, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Corridor.FinishRegister(t.Context(), s, b.Ceremony, d.Register(t, b.Show), w.peer); err != nil {
		t.Fatal(err)
	}
	return d
}

func (w *world) snoozes(t testing.TB) (times int) {
	t.Helper()
	if err := w.DB.QueryRow(t.Context(), `select cast(coalesce(sum(times), 0) as bigint) from snooze where tenant_id = $1`, w.Tenant.ID).Scan(&times); err != nil {
		t.Fatal(err)
	}
	return times
}

func (w *world) wantEvents(t testing.TB, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, w.Events(t, w.Tenant.ID)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// asked, put off, asked again after the days, and registered.
func TestNudge(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.campaign(t, 2, 3)
		held := w.second.room(t).Enrol(t, w.Ada)
		step := w.must(t, w.Flow(t, signin.Flow{Client: "app", Door: "oidc"}, w.peer), w.second, held, nil, signin.Nudge)
		if want := (policy.Nudge{Rule: "campaign", Method: "passkey", Days: 3, Left: 2}); step.Nudge != want || step.Recorded || len(step.Handle) != 36 {
			t.Errorf("asked for %+v, recorded %v, handle %q", step.Nudge, step.Recorded, step.Handle)
		}
		s := w.Found(t, w.Tenant.ID, step.Bearer)
		if s.Restricted {
			t.Error("what may be put off restricts the session")
		}
		f := w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
		if again := w.wantNext(t, "the page once more", f, &s, signin.Nudge); again.Nudge != step.Nudge {
			t.Errorf("once more: %+v", again.Nudge)
		}
		// Whatever else this session opens silently is not held up.
		w.wantNext(t, "another flow", w.Flow(t, signin.Flow{Client: "other", Door: "oidc"}, w.peer), &s, signin.Done)
		w.wantNext(t, "another flow, unsealed", signin.Flow{Tenant: w.Tenant.ID, Client: "other"}, &s, signin.Done)

		done := w.later(t, f, s, signin.Done)
		if !done.Recorded || done.Session.ID != s.ID || w.snoozes(t) != 1 || w.Count(t, "flow", w.Tenant.ID) != 0 {
			t.Errorf("not now: recorded %v, session %s, %d times, %d flows", done.Recorded, done.Session.ID, w.snoozes(t), w.Count(t, "flow", w.Tenant.ID))
		}
		if e := w.last(t); e.Activity != "passkey.later" || e.Category != audit.Change || e.Rule != "campaign" || e.User != w.Ada.ID || e.Actor != string(w.Ada.ID) || e.Client != "app" || e.Session != s.ID {
			t.Errorf("record %+v", e)
		}
		w.Advance(72*time.Hour - time.Second)
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.second, held, nil, signin.Done)
		w.Advance(time.Second)
		f, s = w.nudged(t, signin.Flow{Client: "app", Door: "oidc"}, held, nil)
		if n := w.next(t, f, &s).Nudge; n.Left != 1 {
			t.Errorf("after the days: %+v", n)
		}
		w.registers(t, s)
		if step := w.wantNext(t, "registered", f, &s, signin.Done); !step.Recorded {
			t.Error("the sign-in would be recorded twice")
		}
		if n := w.snoozes(t); n != 0 {
			t.Errorf("%d times still counted", n)
		}
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.second, held, nil, signin.Done)
		w.wantEvents(t, "signin.done success strength_met", "passkey.later success ", "signin.done success strength_met",
			"signin.done success strength_met", "passkey.register success ", "signin.done success strength_met")
	})
}

// What was put off too often, or is required, comes first: the session serves
// nothing else, in no flow, until it is done.
func TestNudgeForced(t *testing.T) {
	for name, forcedBy := range map[string]func(*world, testing.TB, signintest.Held) string{
		"put off too often": func(w *world, t testing.TB, held signintest.Held) string {
			w.campaign(t, 1, 1)
			f, s := w.nudged(t, signin.Flow{}, held, nil)
			w.later(t, f, s, signin.Done)
			w.Advance(24 * time.Hour)
			return "campaign"
		},
		"required": func(w *world, t testing.TB, _ signintest.Held) string {
			w.required(t)
			return "methods.passkey.include[0].required"
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				held := w.second.room(t).Enrol(t, w.Ada)
				rule := forcedBy(w, t, held)
				step := w.must(t, w.Flow(t, signin.Flow{Client: "app", Door: "oidc"}, w.peer), w.second, held, nil, signin.Register)
				if d := step.Decision; d.Rule != rule || d.Reason != "registration_required" || len(d.Help.Methods) != 1 || d.Help.Methods[0] != "passkey" || d.Code == 0 {
					t.Errorf("decision %+v", d)
				}
				if e := w.last(t); e.Activity != "signin.interrupted" || e.Outcome != audit.Interrupted || e.Rule != rule || e.Reason != "registration_required" {
					t.Errorf("record %+v", e)
				}
				s := w.Found(t, w.Tenant.ID, step.Bearer)
				f := w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
				if !s.Restricted {
					t.Fatal("the session would do without")
				}
				before := w.snoozes(t)
				w.wantNext(t, "the same flow", f, &s, signin.Register)
				w.wantNext(t, "another flow", w.Flow(t, signin.Flow{Client: "other"}, w.peer), &s, signin.Register)
				w.wantNext(t, "the account", w.Flow(t, signin.Flow{}, w.peer), &s, signin.Register)
				w.later(t, f, s, signin.Register)
				if w.snoozes(t) != before {
					t.Error("what may not be put off was")
				}
				// Too late to register with that gesture: another one, and not a
				// page that refuses it.
				w.Advance(6 * time.Minute)
				w.wantNext(t, "with an old gesture", f, &s, signin.StepUp)
				again := w.must(t, f, w.second, held, &s, signin.Register)
				s, f = w.Found(t, w.Tenant.ID, again.Bearer), w.Resume(t, w.Tenant.ID, again.Handle, w.peer)

				d := w.registers(t, s)
				w.wantNext(t, "registered: try it once", f, &s, signin.StepUp)
				c := w.Begin(t, f, "passkey", "")
				done, err := w.Corridor.Answer(t.Context(), f, "passkey", c.Ceremony, d.Answer(t, c.Show), &s, w.peer)
				if err != nil || done.Kind != signin.Done || !done.Recorded {
					t.Fatalf("tried: %s, %v", done.Kind, err)
				}
				full := w.Found(t, w.Tenant.ID, done.Bearer)
				if full.Restricted || w.Count(t, "snooze", w.Tenant.ID) != 0 {
					t.Errorf("restricted %v, %d snoozes", full.Restricted, w.Count(t, "snooze", w.Tenant.ID))
				}
				w.wantNext(t, "another flow afterwards", w.Flow(t, signin.Flow{Client: "other"}, w.peer), &full, signin.Done)
			})
		})
	}
}

// A rule that comes to require it takes the full session away at the next
// gesture, not from what is open already.
func TestNudgeForcedLater(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.second.room(t).Enrol(t, w.Ada)
		w.campaign(t, 0, 1)
		f, s := w.nudged(t, signin.Flow{}, held, nil)
		w.required(t)
		if step := w.wantNext(t, "required meanwhile", f, &s, signin.Nudge); !step.Nudge.Forced {
			t.Errorf("%+v", step.Nudge)
		}
		_, err := w.Corridor.Later(t.Context(), f, s, w.peer)
		w.wantRefused(t, "not now", err, "registration_required", "methods.passkey.include[0].required")
		w.wantNext(t, "silently", w.Flow(t, signin.Flow{Client: "app"}, w.peer), &s, signin.Done)
		step := w.must(t, w.Flow(t, signin.Flow{Prompt: []string{"login"}}, w.peer), w.second, held, &s, signin.Register)
		if step.Replaces != s.Bearer() {
			t.Errorf("the cookie of the full session stays: replaces %q", step.Replaces)
		}
		if alive, err := w.Sessions.Alive(t.Context(), w.DB, w.Tenant.ID, s.ID); err != nil || alive {
			t.Errorf("the full session lives on: %v, %v", alive, err)
		}
	})
}

// Consent comes after, and the sign-in is recorded when it is given.
func TestNudgeAndConsent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.campaign(t, 3, 1)
		held := w.second.room(t).Enrol(t, w.Ada)
		ask := signin.Flow{Client: w.app(t, false), Door: "oidc", Scopes: []string{"openid"}}
		f, s := w.nudged(t, ask, held, nil)
		if step, err := w.Corridor.Consent(t.Context(), f, s, true, w.peer); err != nil || step.Kind != signin.Nudge {
			t.Errorf("consent before the answer: %s, %v", step.Kind, err)
		}
		step := w.later(t, f, s, signin.Consent)
		w.later(t, f, s, signin.Consent) // once more says nothing new
		f = w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
		w.wantNext(t, "the page once more", f, &s, signin.Consent)
		w.later(t, f, s, signin.Consent) // there is nothing to put off any more
		done, err := w.Corridor.Consent(t.Context(), f, s, true, w.peer)
		if err != nil || done.Kind != signin.Done || done.Recorded {
			t.Errorf("allowed: %s, recorded %v, %v", done.Kind, done.Recorded, err)
		}
		if n := w.snoozes(t); n != 1 {
			t.Errorf("%d times counted", n)
		}
		w.wantEvents(t, "signin.interrupted interrupted consent_needed", "passkey.later success ", "consent.allow success ")
	})
}

// Of answers that come together one counts for a flow; and of two windows with
// one question one, too, whatever the database.
func TestNudgeRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.second.room(t).Enrol(t, w.Ada)
		race := func(answers ...func() error) (ok int) {
			errs := make([]error, len(answers))
			var wg sync.WaitGroup
			for i, answer := range answers {
				wg.Go(func() { errs[i] = answer() })
			}
			wg.Wait()
			for _, err := range errs {
				if err == nil {
					ok++
				} else if !errors.Is(err, idp.Expired) && !errors.Is(err, idp.Denied) {
					t.Errorf("%v, want expired or denied", err)
				}
			}
			return ok
		}
		later := func(f signin.Flow, s session.Session) func() error {
			return func() error {
				_, err := w.Corridor.Later(t.Context(), f, s, w.peer)
				return err
			}
		}
		for round := range 5 {
			w.campaign(t, 100, 1)
			f, s := w.nudged(t, signin.Flow{}, held, nil)
			if ok := race(later(f, s), later(f, s), later(f, s)); ok < 1 || w.snoozes(t) != 2*round+1 {
				t.Fatalf("round %d, one window: %d answers, %d counted", round, ok, w.snoozes(t))
			}
			w.Advance(24 * time.Hour)
			f, s = w.nudged(t, signin.Flow{}, held, nil)
			g, u := w.nudged(t, signin.Flow{}, held, nil)
			if ok := race(later(f, s), later(g, u)); ok != 2 || w.snoozes(t) != 2*round+2 {
				t.Fatalf("round %d, two windows: %d answers, %d counted", round, ok, w.snoozes(t))
			}
			w.Advance(24 * time.Hour)
		}
		// Asked at every sign-in, and once more only: of two windows one may.
		w.campaign(t, 11, 0)
		f, s := w.nudged(t, signin.Flow{}, held, nil)
		g, u := w.nudged(t, signin.Flow{}, held, nil)
		if ok := race(later(f, s), later(g, u)); ok != 1 || w.snoozes(t) != 11 {
			t.Errorf("the last time: %d answers, %d counted", ok, w.snoozes(t))
		}
	})
}

// TestNudgeNobody: each lacks one thing that asking needs.
func TestNudgeNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.campaign(t, 3, 1)
		held := w.second.room(t).Enrol(t, w.Ada)
		done := func(what string) {
			t.Helper()
			if step, err := w.do(t, w.Flow(t, signin.Flow{}, w.peer), w.second, held, nil); err != nil || step.Kind != signin.Done {
				t.Errorf("%s: %s, %v, want done", what, step.Kind, err)
			}
		}
		change := func(what string, change func(*policy.Policy)) {
			t.Helper()
			before := w.policy(t)
			w.Policy(t, w.Tenant.ID, change)
			done(what)
			w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
				version := p.Version
				*p = before.Clone()
				p.Version = version
			})
		}
		change("a method of devices", func(p *policy.Policy) { p.Campaign.Method = "message" })
		change("a method that nobody registers for", func(p *policy.Policy) { p.Campaign.Method = "handover" })
		change("the campaign is over", func(p *policy.Policy) { p.Campaign.On = false })
		change("excepted", func(p *policy.Policy) { p.Campaign.Exclude = []policy.Target{{User: w.Ada.ID}} })
		change("kept from the method", func(p *policy.Policy) {
			r := p.Methods["passkey"]
			r.Exclude = []policy.Target{{User: w.Ada.ID}}
			p.Methods["passkey"] = r
		})
		// Required, and not to be had here: who comes next is asked.
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			r := policy.Everybody()
			r.Include[0].Required = true
			p.Methods["handover"] = r
		})
		f, s := w.nudged(t, signin.Flow{}, held, nil)
		w.later(t, f, s, signin.Done)
		w.Advance(24 * time.Hour)

		// Who could not register now is not sent to where it is refused.
		w.second.properties = []idp.Property{idp.Possession, idp.MultiFactor}
		stranger := w.Peer("a browser that nobody knows")
		f = w.Flow(t, signin.Flow{}, stranger)
		b := w.Begin(t, f, "second", "")
		step, err := w.Corridor.Answer(t.Context(), f, "second", b.Ceremony, held.Answer(t, b.Show), nil, stranger)
		if err != nil || step.Kind != signin.Done {
			t.Errorf("in a new browser: %s, %v", step.Kind, err)
		}
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.second, held, nil, signin.Nudge)
		w.second.properties = []idp.Property{idp.Possession}
		done("by a single factor")
		w.strong()

		w.page.enrol(t, w.Ada)
		done("has one")
		w.page.facts = idp.Facts{Synced: true}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Synced = policy.SyncedDeny })
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.second, held, nil, signin.Nudge) // and it does not work
	})
}

// A message of a device waits for nobody.
func TestNudgeNoMessage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.required(t)
		held := w.message.room(t).Enrol(t, w.Ada)
		value, sealed := w.Nonce(t, w.Tenant.ID)
		_, d, err := w.Corridor.Once(t.Context(), signin.OnceRequest{
			Tenant: w.Tenant.ID, Method: "message", Nonce: []byte(value), Nonces: []nonce.Sealed{sealed},
			Payload: held.Once(t, []byte(value)), User: w.Ada, Peer: w.peer,
		})
		if err != nil || d.Outcome != policy.Allow {
			t.Errorf("%s, %v", d.Outcome, err)
		}
	})
}

// What is wrong about an answer counts nothing.
func TestNudgeLaterRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.campaign(t, 3, 0)
		held := w.second.room(t).Enrol(t, w.Ada)
		ask := func() (signin.Flow, session.Session) { return w.nudged(t, signin.Flow{}, held, nil) }

		f, _ := ask()
		w.later(t, f, w.Session(t, w.Bob), signin.StepUp) // somebody else's session
		fresh := w.Flow(t, signin.Flow{}, w.peer)
		w.later(t, fresh, w.Session(t, w.Ada), signin.Done) // was not asked
		f, s := ask()
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Sessions.End(ctx, tx, w.Tenant.ID, s.ID) })
		if _, err := w.Corridor.Later(t.Context(), f, s, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("of a session that has ended: %v, want expired", err)
		}
		f, s = ask()
		w.Enable(t, w.Ada, false)
		w.later(t, f, s, signin.Deny)
		w.Enable(t, w.Ada, true)
		f, s = ask()
		w.OnNow(func() { w.OnNow(nil); w.Enable(t, w.Ada, false) })
		if step, err := w.Corridor.Later(t.Context(), f, s, w.peer); err == nil && step.Kind == signin.Done {
			t.Error("of somebody who was switched off meanwhile")
		}
		w.OnNow(nil)
		w.Enable(t, w.Ada, true)
		if n := w.snoozes(t); n != 0 {
			t.Errorf("%d times counted", n)
		}
		// A flow of another tenant is not to be had at all.
		if _, err := w.Corridor.Resume(t.Context(), w.Other.ID, f.Handle(), w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("by another tenant: %v", err)
		}
	})
}

// What somebody has put off goes with them, and nobody else's does.
func TestNudgeGoesWithTheUser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.campaign(t, 3, 1)
		for _, u := range []idp.User{w.Ada, w.Bob} {
			f, s := w.nudged(t, signin.Flow{}, w.second.room(t).Enrol(t, u), nil)
			w.later(t, f, s, signin.Done)
		}
		w.Write(t, w.delete)
		if n := w.Count(t, "snooze", w.Tenant.ID); n != 1 {
			t.Errorf("%d left, want Bob's", n)
		}
	})
}

// A model that is withdrawn stops its keys at once, wherever they stand.
func TestWithdrawnModel(t *testing.T) {
	const model = "a25342c0-3cdc-4414-8e46-f4807fca511c"
	each(t, func(t *testing.T, w *world) {
		w.page.facts = idp.Facts{AAGUID: model, Attested: true}
		held := w.page.room(t).Enrol(t, w.Ada)
		other := w.second.room(t).Enrol(t, w.Ada)
		step := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		s := w.Found(t, w.Tenant.ID, step.Bearer)
		reg, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
		if err != nil {
			t.Fatal(err)
		}
		withdraw := func(status idp.ModelStatus) {
			w.Status = map[string]idp.ModelStatus{model: status}
			w.page.facts.Status = status
		}
		withdraw(idp.ModelRefuse)
		const rule = "passkey.withdrawn"
		f := w.Flow(t, signin.Flow{}, w.peer)
		_, err = w.do(t, f, w.page, held, nil)
		w.wantRefused(t, "sign-in", err, "model_withdrawn", rule)
		if say := idp.AsError(err).Public; !strings.Contains(say, "security fault") {
			t.Errorf("the person reads %q", say)
		}
		if d := w.wantNext(t, "the session that stands on it", w.Flow(t, signin.Flow{}, w.peer), &s, signin.StepUp).Decision; d.Rule != rule || !d.Help.OtherModel {
			t.Errorf("decision %+v", d)
		}
		_, err = w.Corridor.FinishRegister(t.Context(), s, reg.Ceremony, w.page.room(t).NewDevice(t).Register(t, reg.Show), w.peer)
		w.wantRefused(t, "a registration under way", err, "model_withdrawn", rule)
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "second", w.peer); !errors.Is(err, idp.Denied) {
			t.Errorf("another method, by a gesture with it: %v", err)
		}
		all, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(all) != 2 || all[0].Usable() || all[0].Refusal.Rule != rule || !all[1].Usable() {
			t.Errorf("credentials %+v, %v", all, err)
		}
		now := w.policy(t)
		takes := now.Clone()
		takes.Passkey.Withdrawn = policy.WithdrawnAllow
		if i, err := w.Corridor.Preview(t.Context(), w.Tenant.ID, takes, policy.PreviewOptions{}); err != nil || i.Starts != 1 || i.Stops != 0 {
			t.Errorf("preview of taking them: %+v, %v", i, err)
		}
		w.must(t, f, w.second, other, nil, signin.Done) // another way in the same flow

		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Restrictions = policy.EnforceAudit })
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		if e := w.last(t); e.Detail["wouldRefuse"] != rule || e.Detail["wouldReason"] != "model_withdrawn" {
			t.Errorf("on trial: detail %v", e.Detail)
		}
		if i, err := w.Corridor.Preview(t.Context(), w.Tenant.ID, now, policy.PreviewOptions{}); err != nil || i.Stops != 1 || i.NoWayIn != 0 || i.Reasons[policy.Because{Rule: rule, Reason: "model_withdrawn"}] != 1 {
			t.Errorf("preview of refusing them: %+v, %v", i, err)
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Restrictions = policy.Enforce })
		withdraw(idp.ModelWarn)
		w.wantNext(t, "after it was cleared", w.Flow(t, signin.Flow{}, w.peer), &s, signin.Done)
	})
}

// The one road to a policy names the model that was meant.
func TestSavePolicyTypo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Known = map[string]string{"a25342c0-3cdc-4414-8e46-f4807fca511c": "YubiKey 5 NFC"}
		old := w.policy(t)
		next := old.Clone()
		next.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListDeny, List: []string{"a25342c0-3cdc-4414-8e46-f4807fca511d"}}
		_, err := w.Corridor.SavePolicy(t.Context(), w.Tenant.ID, old, next, "", audit.Event{Activity: "policy.set"})
		if e := idp.AsError(err); !errors.Is(err, idp.Invalid) || e.Reason != "aaguid_typo" || !strings.Contains(e.Public, "YubiKey 5 NFC") {
			t.Errorf("%v", err)
		}
		w.Known = nil
		if _, err := w.Corridor.SavePolicy(t.Context(), w.Tenant.ID, old, next, "", audit.Event{Activity: "policy.set"}); err != nil {
			t.Errorf("where no model is known: %v", err)
		}
	})
}

// A change that would leave the administrator a withdrawn key only is one that
// locks them out.
func TestSavePolicyWithdrawn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.page.enrol(t, w.Ada)
		w.page.facts = idp.Facts{AAGUID: "a25342c0-3cdc-4414-8e46-f4807fca511c", Status: idp.ModelRefuse}
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.Ada.ID, directory.Administrator)
		})
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Passkey.Withdrawn = policy.WithdrawnRegistration })
		old := w.policy(t)
		next := old.Clone()
		next.Passkey.Withdrawn = policy.WithdrawnRefuse
		if err := w.Corridor.CheckSave(t.Context(), w.Tenant.ID, old, next, w.Ada.ID); err == nil || idp.AsError(err).Reason != "locks_out_actor" {
			t.Errorf("%v, want locks_out_actor", err)
		}
	})
}
