package signin_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// do begins a ceremony of a page method in f and answers it.
func (w *world) do(t testing.TB, f signin.Flow, m pageStub, held signintest.Held, current *session.Session) (signin.Step, error) {
	t.Helper()
	b := w.Begin(t, f, m.ID(), "")
	return w.Corridor.Answer(t.Context(), f, m.ID(), b.Ceremony, held.Answer(t, b.Show), current, w.peer)
}

func (w *world) must(t testing.TB, f signin.Flow, m pageStub, held signintest.Held, current *session.Session, kind signin.StepKind) signin.Step {
	t.Helper()
	step, err := w.do(t, f, m, held, current)
	if err != nil || step.Kind != kind {
		t.Fatalf("answer: step %q (%s), %v, want %s", step.Kind, step.Decision.Reason, err, kind)
	}
	return step
}

func (w *world) next(t testing.TB, f signin.Flow, current *session.Session) signin.Step {
	t.Helper()
	step, err := w.Corridor.Next(t.Context(), f, current, w.peer)
	if err != nil {
		t.Fatal(err)
	}
	return step
}

func (w *world) wantNext(t testing.TB, what string, f signin.Flow, current *session.Session, kind signin.StepKind) signin.Step {
	t.Helper()
	step := w.next(t, f, current)
	if step.Kind != kind {
		t.Errorf("%s: next step %q (%s), want %s", what, step.Kind, step.Decision.Reason, kind)
	}
	return step
}

// pass → register → try it once → done, in one flow of an app.
func TestPassLifecycle(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.page.enrol(t, w.Ada) // an older key, which she has lost
		w.Advance(time.Hour)
		w.pass.lives = time.Hour
		pass := w.pass.room(t).Enrol(t, w.Ada)
		f := w.Flow(t, signin.Flow{Client: "app", Door: "oidc"}, w.peer)
		step := w.must(t, f, w.pass, pass, nil, signin.Register)
		if step.Handle == f.Handle() || len(step.Handle) != 36 || w.Count(t, "flow", w.Tenant.ID) != 1 {
			t.Errorf("handle %q: want the id of a stored flow", step.Handle)
		}
		restricted := w.Found(t, w.Tenant.ID, step.Bearer)
		if !restricted.Restricted || !restricted.Expires.Equal(w.Now().Add(time.Hour)) {
			t.Errorf("session restricted %v until %s", restricted.Restricted, restricted.Expires)
		}
		f = w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
		w.wantNext(t, "after the pass", f, &restricted, signin.Register)
		w.wantNext(t, "another flow with that session", w.Flow(t, signin.Flow{}, w.peer), &restricted, signin.Register)

		d := w.page.room(t).NewDevice(t)
		b, err := w.Corridor.BeginRegister(t.Context(), restricted, "passkey", w.peer)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Corridor.FinishRegister(t.Context(), restricted, b.Ceremony, d.Register(t, b.Show), w.peer); err != nil {
			t.Fatal(err)
		}
		w.wantNext(t, "after registering: try it once", f, &restricted, signin.StepUp)

		c := w.Begin(t, f, "passkey", "")
		done, err := w.Corridor.Answer(t.Context(), f, "passkey", c.Ceremony, d.Answer(t, c.Show), &restricted, w.peer)
		if err != nil || done.Kind != signin.Done {
			t.Fatalf("tried: step %q, %v, want done", done.Kind, err)
		}
		full := w.Found(t, w.Tenant.ID, done.Bearer)
		if full.Restricted || full.ID == restricted.ID || done.Replaces != restricted.Bearer() ||
			len(full.Proofs) != 1 || full.Proofs[0].Method != "passkey" {
			t.Errorf("full session %+v stands on %+v", full, full.Proofs)
		}
		if _, err := w.Sessions.ByID(t.Context(), w.DB, w.Tenant.ID, restricted.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("restricted session afterwards: %v, want it ended", err)
		}
		if n := w.Count(t, "flow", w.Tenant.ID); n != 0 {
			t.Errorf("%d flows stored afterwards, want none", n)
		}
		w.wantNext(t, "finished", w.Flow(t, signin.Flow{}, w.peer), &full, signin.Done)
		want := []string{
			"signin.interrupted interrupted only_a_pass",
			"passkey.register success ",
			"signin.done success strength_met",
		}
		if diff := cmp.Diff(want, w.Events(t, w.Tenant.ID)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

func TestPassSessionDoesOneThing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, _ := w.page.enrol(t, w.Ada)
		s := w.SessionOn(t, w.Ada, idp.Proof{Method: "accessPass", Mode: idp.ModeAccessPassOnce, Credential: "p"}, true)
		for what, err := range map[string]error{
			"rename": w.Corridor.Rename(t.Context(), s, "passkey", id, "mine", w.peer),
			"remove": w.Corridor.Remove(t.Context(), s, "passkey", id, w.peer),
		} {
			if !errors.Is(err, idp.Denied) {
				t.Errorf("%s: %v, want denied", what, err)
			}
		}
		if step := w.next(t, signin.Flow{Tenant: w.Tenant.ID, Client: "app"}, &s); step.Kind == signin.Done {
			t.Error("a pass session opened an app")
		}
	})
}

func (w *world) app(t testing.TB, first bool) idp.ClientID {
	t.Helper()
	var id idp.ClientID
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		c, _, err := w.Clients.Create(ctx, tx, client.Client{
			Tenant: w.Tenant.ID, Name: "Drawings " + secret.NewUUID4()[:8], Kind: "web", Auth: "none", Enabled: true, FirstParty: first,
			RedirectURIs: []string{"https://drawings.example/cb"}, Grants: []string{"authorization_code"}, Scopes: []string{"openid", "profile", "email"},
		})
		id = c.ID
		return err
	})
	return id
}

func TestConsent(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		app := w.app(t, false)
		held := w.page.room(t).Enrol(t, w.Ada)
		ask := signin.Flow{Client: app, Door: "oidc", Scopes: []string{"openid", "profile"}}
		step := w.must(t, w.Flow(t, ask, w.peer), w.page, held, nil, signin.Consent)
		if diff := cmp.Diff(ask.Scopes, step.NewScopes); diff != "" {
			t.Errorf("new scopes (-want +got):\n%s", diff)
		}
		s := w.Found(t, w.Tenant.ID, step.Bearer)
		f := w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
		w.wantNext(t, "before the answer", f, &s, signin.Consent)

		denied, err := w.Corridor.Consent(t.Context(), f, s, false, w.peer)
		if err != nil || denied.Kind != signin.Deny || denied.Decision.Code != 65001 {
			t.Fatalf("not allowed: step %q, %v, want deny", denied.Kind, err)
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, step.Handle, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("flow after a no: %v, want expired", err)
		}
		f = w.Flow(t, ask, w.peer)
		w.wantNext(t, "a no is not kept", f, &s, signin.Consent)
		done, err := w.Corridor.Consent(t.Context(), f, s, true, w.peer)
		if err != nil || done.Kind != signin.Done || done.Session.ID != s.ID {
			t.Fatalf("allowed: step %q, %v, want done", done.Kind, err)
		}
		w.wantNext(t, "allowed once", w.Flow(t, ask, w.peer), &s, signin.Done)
		again := ask
		again.Prompt = []string{"consent"}
		f = w.Flow(t, again, w.peer)
		w.wantNext(t, "prompt=consent", f, &s, signin.Consent)
		if done, err = w.Corridor.Consent(t.Context(), f, s, true, w.peer); err != nil || done.Kind != signin.Done {
			t.Errorf("prompt=consent, allowed: step %q, %v", done.Kind, err)
		}
		more := ask
		more.Scopes = []string{"openid", "email"}
		got := w.wantNext(t, "one more scope", w.Flow(t, more, w.peer), &s, signin.Consent)
		if diff := cmp.Diff([]string{"email"}, got.NewScopes); diff != "" {
			t.Errorf("new scopes (-want +got):\n%s", diff)
		}
		own := ask
		own.Client = w.app(t, true)
		w.wantNext(t, "our own app", w.Flow(t, own, w.peer), &s, signin.Done)

		bob := w.Session(t, w.Bob)
		w.wantNext(t, "another person", w.Flow(t, ask, w.peer), &bob, signin.Consent)
		// Consent is no way around what else is needed.
		old := int64(0)
		strict := more
		strict.MaxAge = &old
		w.Advance(time.Minute)
		if step, err := w.Corridor.Consent(t.Context(), w.Flow(t, strict, w.peer), s, true, w.peer); err != nil || step.Kind != signin.StepUp {
			t.Errorf("allowed by an old session: step %q, %v, want step-up", step.Kind, err)
		}
	})
}

func TestFreshness(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		s := w.Session(t, w.Ada)
		w.Advance(10 * time.Minute)
		five, hour := int64(300), int64(3600)
		for what, c := range map[string]struct {
			f    signin.Flow
			want signin.StepKind
		}{
			"nothing asked":        {signin.Flow{}, signin.Done},
			"max_age 1 h":          {signin.Flow{MaxAge: &hour}, signin.Done},
			"max_age 5 min":        {signin.Flow{MaxAge: &five}, signin.StepUp},
			"prompt=login":         {signin.Flow{Prompt: []string{"login"}}, signin.StepUp},
			"hint at her":          {signin.Flow{HintUser: w.Ada.ID}, signin.Done},
			"hint at Bob":          {signin.Flow{HintUser: w.Bob.ID}, signin.StepUp},
			"met strength":         {signin.Flow{ACR: []string{"phr"}}, signin.Done},
			"unmet strength":       {signin.Flow{ACR: []string{"phrh"}}, signin.StepUp},
			"either strength":      {signin.Flow{ACR: []string{"phrh", "phr"}}, signin.Done},
			"another tenant's":     {signin.Flow{Tenant: w.Other.ID}, signin.StepUp},
			"somebody has begun":   {w.Stored(t, signin.Flow{}, w.Bob, w.peer), signin.StepUp},
			"she has begun":        {w.Stored(t, signin.Flow{}, w.Ada, w.peer), signin.Done},
			"the unknown strength": {signin.Flow{ACR: []string{"nope"}}, signin.Deny},
		} {
			f := c.f
			if f.ID == "" {
				f = w.Flow(t, f, w.peer)
			}
			w.wantNext(t, what, f, &s, c.want)
		}
		f := w.Flow(t, signin.Flow{Prompt: []string{"login"}}, w.peer)
		step := w.must(t, f, w.page, held, &s, signin.Done)
		s = w.Found(t, w.Tenant.ID, step.Bearer)
		w.wantNext(t, "signed in again", f, &s, signin.Done)
		w.Enable(t, w.Ada, false)
		w.wantNext(t, "disabled, with a good session", w.Flow(t, signin.Flow{}, w.peer), &s, signin.Deny)
	})
}

func TestStepUpRenews(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		weak, strong := w.second.room(t).Enrol(t, w.Ada), w.page.room(t).Enrol(t, w.Ada)
		first := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.second, weak, nil, signin.Done)
		s := w.Found(t, w.Tenant.ID, first.Bearer)
		w.Advance(time.Minute)
		f := w.Flow(t, signin.Flow{ACR: []string{"phr"}}, w.peer)
		w.wantNext(t, "stronger asked", f, &s, signin.StepUp)
		step := w.must(t, f, w.page, strong, &s, signin.Done)
		if step.Session.ID != s.ID || step.Bearer == s.Bearer() || step.Replaces != s.Bearer() {
			t.Errorf("session %s → %s, replaces the old bearer: %v", s.ID, step.Session.ID, step.Replaces == s.Bearer())
		}
		if _, err := w.Sessions.Find(t.Context(), w.Tenant.ID, first.Bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("old bearer: %v, want not found", err)
		}
		if got := w.Found(t, w.Tenant.ID, step.Bearer); len(got.Proofs) != 2 || !got.ProofTime.Equal(w.Now()) {
			t.Errorf("stands on %d proofs since %s", len(got.Proofs), got.ProofTime)
		}
		// Somebody else at the same browser gets a session of their own.
		bobs := w.page.room(t).Enrol(t, w.Bob)
		s = w.Found(t, w.Tenant.ID, step.Bearer)
		other := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, bobs, &s, signin.Done)
		if other.Session.ID == s.ID || other.Replaces != "" {
			t.Errorf("Bob's session is %s and replaces %q", other.Session.ID, other.Replaces)
		}
		w.Found(t, w.Tenant.ID, step.Bearer)
	})
}

// two demands a proof by each of two methods.
func (w *world) two(t testing.TB) {
	w.second.mode = idp.ModePhone
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
		p.Strengths = append(p.Strengths, policy.Strength{ID: "two", Name: "two", Combinations: [][]idp.Mode{{idp.ModeFIDO2, idp.ModePhone}}})
	})
}

func TestTwoProofs(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.two(t)
		first, second := w.page.room(t).Enrol(t, w.Ada), w.second.room(t).Enrol(t, w.Ada)
		sealed := w.Flow(t, signin.Flow{ACR: []string{"two"}}, w.peer)
		step := w.must(t, sealed, w.page, first, nil, signin.StepUp)
		if step.Bearer != "" || w.Count(t, "session", w.Tenant.ID) != 0 {
			t.Error("half of what is asked opened a session")
		}
		f := w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
		if f.User != w.Ada.ID || len(f.Proofs) != 1 {
			t.Errorf("flow of %q with %d proofs", f.User, len(f.Proofs))
		}
		w.wantNext(t, "in the middle", f, nil, signin.StepUp)
		// The sealed handle of the beginning cannot take the flow back.
		if _, err := w.do(t, sealed, w.page, first, nil); !errors.Is(err, idp.Expired) {
			t.Errorf("the same step again: %v, want expired", err)
		}
		done := w.must(t, f, w.second, second, nil, signin.Done)
		if n := len(w.Found(t, w.Tenant.ID, done.Bearer).Proofs); n != 2 {
			t.Errorf("session stands on %d proofs, want 2", n)
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, step.Handle, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("flow afterwards: %v, want expired", err)
		}
	})
}

// Two tabs finish one stored flow, each with a ceremony of its own.
func TestStoredFlowRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		f := w.Stored(t, signin.Flow{}, w.Ada, w.peer)
		type tab struct {
			b       signin.Begun
			payload []byte
		}
		var tabs []tab
		for range 100 {
			b := w.Begin(t, f, "passkey", "")
			tabs = append(tabs, tab{b, held.Answer(t, b.Show)})
		}
		var wg sync.WaitGroup
		won := make(chan string, len(tabs))
		for _, one := range tabs {
			wg.Go(func() {
				step, err := w.Corridor.Answer(t.Context(), f, "passkey", one.b.Ceremony, one.payload, nil, w.peer)
				switch {
				case err == nil:
					won <- step.Bearer
				case !errors.Is(err, idp.Expired):
					t.Errorf("%v, want expired", err)
				}
			})
		}
		wg.Wait()
		if n := w.Count(t, "session", w.Tenant.ID); len(won) != 1 || n != 1 {
			t.Errorf("%d won and %d sessions, want one of each", len(won), n)
		}
	})
}

// A page that is behind its flow cannot take it back, whether what it has to
// say moves the flow on or finishes it.
func TestStaleFlow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.two(t)
		first, second := w.page.room(t).Enrol(t, w.Ada), w.second.room(t).Enrol(t, w.Ada)
		stale := w.Stored(t, signin.Flow{ACR: []string{"two"}}, w.Ada, w.peer)
		w.must(t, stale, w.page, first, nil, signin.StepUp)
		if _, err := w.do(t, stale, w.second, second, nil); !errors.Is(err, idp.Expired) {
			t.Errorf("moved on from behind: %v, want expired", err)
		}
		s := w.Session(t, w.Ada) // has what the stale page lacks
		if step, err := w.do(t, stale, w.second, second, &s); !errors.Is(err, idp.Expired) {
			t.Errorf("finished from behind: step %q, %v, want expired", step.Kind, err)
		}
		if f := w.Resume(t, w.Tenant.ID, stale.Handle(), w.peer); len(f.Proofs) != 2 {
			t.Errorf("the flow has %d proofs, want 2", len(f.Proofs))
		}
	})
}

// A ceremony that was begun before anybody was known, answered by Bob after
// Ada has proven something in the same flow.
func TestCeremonyOlderThanPerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.two(t)
		adas, bobs := w.page.room(t).Enrol(t, w.Ada), w.second.room(t).Enrol(t, w.Bob)
		f := w.Flow(t, signin.Flow{ACR: []string{"two"}}, w.peer)
		old := w.Begin(t, f, "second", "")
		step := w.must(t, f, w.page, adas, nil, signin.StepUp)
		f = w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
		_, err := w.Corridor.Answer(t.Context(), f, "second", old.Ceremony, bobs.Answer(t, old.Show), nil, w.peer)
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Reason != "proof_of_other" {
			t.Errorf("%v, want denied proof_of_other", err)
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, step.Handle, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("the flow afterwards: %v, want it ended", err)
		}
	})
}

// What goes wrong on our side says nothing about the proof: nothing is burnt,
// and the same answer works when we are well again.
func TestOwnTroubleBurnsNothing(t *testing.T) {
	broken := errors.New("the room is on fire")
	for what, set := range map[string]func(s *stub, err error){
		"verify": func(s *stub, err error) {
			s.onVerify = func() error { return err }
		},
		"settle": func(s *stub, err error) {
			s.settle = func() error { return err }
		},
	} {
		t.Run(what, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				held := w.page.room(t).Enrol(t, w.Ada)
				f := w.Flow(t, signin.Flow{}, w.peer)
				b := w.Begin(t, f, "passkey", "")
				payload := held.Answer(t, b.Show)
				for _, err := range []error{broken, idp.Unavailablef("down", "database is down")} {
					set(w.page.stub, err)
					if _, got := w.Corridor.Answer(t.Context(), f, "passkey", b.Ceremony, payload, nil, w.peer); !errors.Is(got, err) {
						t.Errorf("got %v, want %v", got, err)
					}
				}
				if n := w.Count(t, "spent", w.Tenant.ID) + w.Count(t, "session", w.Tenant.ID) + len(w.Events(t, w.Tenant.ID)); n != 0 {
					t.Errorf("%d rows written, want none", n)
				}
				set(w.page.stub, nil)
				if step, err := w.Corridor.Answer(t.Context(), f, "passkey", b.Ceremony, payload, nil, w.peer); err != nil || step.Kind != signin.Done {
					t.Errorf("afterwards: step %q, %v, want done", step.Kind, err)
				}
			})
		})
	}
}

// A refusal inside the transaction undoes what it did, and only that: the burn
// and the record stay.
func TestRefusedInTransaction(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		w.page.settle = func() error { return idp.Unprovenf("counter_rollback", "counter went back") }
		if _, err := w.do(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil); !errors.Is(err, idp.Unproven) || idp.AsError(err).Code != 130005 {
			t.Errorf("got %v, want unproven 130005", err)
		}
		var used int
		if err := w.DB.QueryRow(t.Context(), `select used from stub where tenant_id = $1 and id = $2`, w.Tenant.ID, held.ID).Scan(&used); err != nil || used != 0 {
			t.Errorf("used %d times, %v: what the room wrote has stayed", used, err)
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 1 {
			t.Errorf("%d burnt, want 1", n)
		}
		if diff := cmp.Diff([]string{"signin.refused failure counter_rollback"}, w.Events(t, w.Tenant.ID)); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// The person is disabled after the answer was verified and before it settles.
func TestDisabledUnderWay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		// The corridor looks at the clock once after it has read the person:
		// that is when it happens.
		w.page.onVerify = func() error {
			var once sync.Once
			w.OnNow(func() { once.Do(func() { w.Enable(t, w.Ada, false) }) })
			return nil
		}
		step, err := w.do(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil)
		if e := idp.AsError(err); !errors.Is(err, idp.Denied) || e.Code != 50057 {
			t.Errorf("step %q, %v, want denied 50057", step.Kind, err)
		}
		if ev := w.Events(t, w.Tenant.ID); len(ev) != 1 || ev[0] != "signin.refused failure user_disabled" {
			t.Errorf("events %q", ev)
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 1 {
			t.Errorf("%d burnt, want 1", n)
		}
		if n := w.Count(t, "session", w.Tenant.ID); n != 0 {
			t.Errorf("%d sessions, want none", n)
		}
	})
}

func TestOtherBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.Flow(t, signin.Flow{}, w.peer)
		stored := w.Stored(t, signin.Flow{}, w.Ada, w.peer)
		for _, handle := range []string{f.Handle(), stored.Handle()} {
			for what, peer := range map[string]signin.Peer{"another": w.Peer("mallory"), "none": {IP: "192.0.2.9"}} {
				_, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, handle, peer)
				if e := idp.AsError(err); !errors.Is(err, idp.Unproven) || e.Reason != "other_browser" {
					t.Errorf("%s browser: %v, want unproven other_browser", what, err)
				}
			}
		}
		if n := len(w.Events(t, w.Tenant.ID)); n != 4 {
			t.Errorf("%d events, want 4", n)
		}
		if _, err := w.Corridor.Start(t.Context(), signin.Flow{Tenant: w.Tenant.ID}); err == nil {
			t.Error("a flow was started without a browser")
		}
	})
}

func TestFlowExpires(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f, stored := w.Flow(t, signin.Flow{}, w.peer), w.Stored(t, signin.Flow{}, w.Ada, w.peer)
		w.Advance(time.Hour)
		for _, handle := range []string{f.Handle(), stored.Handle(), "", strings.Repeat("0", 36), strings.Repeat("A", 500)} {
			if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, handle, w.peer); !errors.Is(err, idp.Expired) || idp.AsError(err).Code != 50089 {
				t.Errorf("handle %.20q: %v, want expired 50089", handle, err)
			}
		}
		w.Advance(time.Second)
		for _, j := range w.Corridor.Jobs() {
			if err := j.Run(t.Context(), w.Now()); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.Count(t, "flow", w.Tenant.ID); n != 0 {
			t.Errorf("%d flows left, want none", n)
		}
	})
}

func TestOffers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ids := func() (out []idp.MethodID) {
			offers, err := w.Corridor.Offers(t.Context(), w.Flow(t, signin.Flow{LoginHint: w.Ada.Name}, w.peer))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range offers {
				out = append(out, o.ID)
			}
			return out
		}
		want := []idp.MethodID{"passkey", "second", "accessPass"}
		if diff := cmp.Diff(want, ids()); diff != "" {
			t.Errorf("offers (-want +got):\n%s", diff)
		}
		w.page.enrol(t, w.Ada)
		if diff := cmp.Diff(want, ids()); diff != "" {
			t.Errorf("offers depend on the person (-want +got):\n%s", diff)
		}
		w.Switch(t, w.Tenant.ID, "second", false)
		if diff := cmp.Diff([]idp.MethodID{"passkey", "accessPass"}, ids()); diff != "" {
			t.Errorf("offers (-want +got):\n%s", diff)
		}
	})
}

// Nothing anonymous writes a row.
func TestStrangersWriteNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 10 {
			step := w.next(t, signin.Flow{Tenant: w.Tenant.ID}, nil)
			f := w.Resume(t, w.Tenant.ID, step.Handle, w.peer)
			w.Begin(t, f, "passkey", "nobody@nordhafen.example")
			w.Begin(t, f, "passkey", strings.Repeat("x", 100_000))
		}
		for _, table := range []string{"flow", "spent", "session", "audit_event"} {
			if n := w.Count(t, table, w.Tenant.ID); n != 0 {
				t.Errorf("%d rows in %s, want none", n, table)
			}
		}
	})
}

func TestRecord(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		app := w.app(t, true)
		step := w.must(t, w.Flow(t, signin.Flow{Client: app}, w.peer), w.page, held, nil, signin.Done)
		list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 10})
		if err != nil || len(list) != 1 {
			t.Fatalf("%d events, %v", len(list), err)
		}
		got := list[0]
		got.ID, got.At = "", time.Time{}
		want := audit.Event{
			Tenant: w.Tenant.ID, Category: audit.SignIn, Activity: "signin.done", Outcome: audit.Success,
			Actor: string(w.Ada.ID), User: w.Ada.ID, UserName: w.Ada.Name, Client: app, Session: step.Session.ID,
			Method: "passkey", Credential: held.ID, Rule: "strength.default", Reason: "strength_met",
			IP: "192.0.2.7", Agent: "Firefox", Trace: "trace-browser", Times: 1,
		}
		got.Times = 1
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	})
}

// A sign-in is one commit of few statements: burn, is the person still there,
// the room's, session, record. Begin, savepoint, release and commit are
// counted too.
func TestStatements(t *testing.T) {
	db, statements := signintest.Counted(t, stubs...)
	if db == nil {
		return
	}
	w := newWorld(t, db)
	held := w.page.room(t).Enrol(t, w.Ada)
	var cost []int64
	for range 3 {
		f := w.Flow(t, signin.Flow{}, w.peer)
		b := w.Begin(t, f, "passkey", "")
		payload := held.Answer(t, b.Show)
		before := statements()
		if step, err := w.Corridor.Answer(t.Context(), f, "passkey", b.Ceremony, payload, nil, w.peer); err != nil || step.Kind != signin.Done {
			t.Fatalf("step %q, %v", step.Kind, err)
		}
		cost = append(cost, statements()-before)
	}
	t.Logf("statements of a sign-in: %v", cost)
	// 5 writes and reads in the transaction and 4 around it, 2 reads before
	// it (credential, person), and here 3 of policy, which nothing caches.
	if got := slices.Min(cost); got > 14 {
		t.Errorf("%d statements, want 14 at most", got)
	}
}

func TestNewRefuses(t *testing.T) {
	h := &signintest.House{}
	for what, ms := range map[string][]method.Method{
		"two of one id": {pageStub{newStub(h, "a")}, newWait(h, "a")},
		"no id":         {pageStub{newStub(h, "")}},
	} {
		if _, err := signin.New(signin.Config{Methods: ms}); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// FuzzResume feeds handles and ceremonies from outside: nothing opens.
func FuzzResume(f *testing.F) {
	w := newWorld(f, sqldbtest.Open(f, signintest.Sources(stubs...)))
	flow := w.Flow(f, signin.Flow{}, w.peer)
	f.Add(flow.Handle()[:100])
	f.Add("")
	f.Add("00000000-0000-0000-0000-000000000000")
	f.Fuzz(func(t *testing.T, value string) {
		if value == flow.Handle() {
			return
		}
		if got, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, value, w.peer); !errors.Is(err, idp.Expired) {
			t.Fatalf("%q: flow %s, %v", value, got.ID, err)
		}
		if _, err := w.Corridor.Answer(t.Context(), flow, "passkey", value, nil, nil, w.peer); !errors.Is(err, idp.Expired) {
			t.Fatalf("%q as a ceremony: %v", value, err)
		}
	})
}
