package signin_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// answerWait answers what f waits for with what came by its road.
func (w *world) answerWait(t testing.TB, f signin.Flow) (signin.Step, error) {
	t.Helper()
	return w.Corridor.Answer(t.Context(), f, "wait", f.Waiting.Ceremony, nil, nil, w.peer)
}

// resumed is f as it is stored now.
func (w *world) resumed(t testing.TB, f signin.Flow) signin.Flow {
	t.Helper()
	return w.Resume(t, f.Tenant, f.Handle(), w.peer)
}

func TestAsk(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		f := w.Flow(t, signin.Flow{Client: "app", ClientName: "Drawings", Ask: []byte(`{"to":"x"}`)}, w.peer)
		sealed := f.Handle()
		f = w.Ask(t, f, "wait", w.Ada.Name, w.peer)
		got := w.wait.hub.asked[0]
		if got.UserName != w.Ada.Name || got.User.Known() || got.Scene.Client != "app" || got.Scene.App != "Drawings" ||
			got.Scene.IP != w.peer.IP || got.Scene.Agent != w.peer.Agent || string(got.Scene.Browser) != string(f.Browser) ||
			!slices.Contains(got.Scene.Knows, w.Ada.ID) {
			t.Errorf("the room was asked %+v", got)
		}
		step := w.wantNext(t, "asked", w.resumed(t, f), nil, signin.Wait)
		if string(step.Flow.Waiting.Show) != string(f.Waiting.Show) || step.Flow.Waiting.UserName != w.Ada.Name {
			t.Errorf("the page would show %+v", step.Flow.Waiting)
		}
		// The value from before, of a page that somebody went back to, asks in
		// the same flow.
		again := w.Ask(t, w.Resume(t, w.Tenant.ID, sealed, w.peer), "wait", w.Ada.Name, w.peer)
		if again.ID != f.ID || again.Waiting.Ceremony == f.Waiting.Ceremony || w.Count(t, "flow", w.Tenant.ID) != 1 {
			t.Errorf("asked again: flow %s, want %s and a ceremony of its own", again.ID, f.ID)
		}
		// What was asked first is not waited for: its refusal says nothing.
		first := challengeIn(f.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, first, encode(id, mac(key, []byte("no"))))
		if _, err := w.Corridor.Answer(t.Context(), again, "wait", f.Waiting.Ceremony, nil, nil, w.peer); !errors.Is(err, idp.Unproven) {
			t.Errorf("the first: %v, want unproven", err)
		}
		w.wantNext(t, "the first was refused", w.resumed(t, again), nil, signin.Wait)

		c := challengeIn(again.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		done, err := w.answerWait(t, w.resumed(t, again))
		if err != nil || done.Kind != signin.Done || done.Session.User != w.Ada.ID || string(done.Flow.Ask) != `{"to":"x"}` {
			t.Fatalf("approved: step %q, %v", done.Kind, err)
		}
		if n := w.Count(t, "flow", w.Tenant.ID); n != 0 {
			t.Errorf("%d flows afterwards", n)
		}
		if _, err := w.answerWait(t, again); !errors.Is(err, idp.Expired) {
			t.Errorf("again: %v, want expired", err)
		}
	})
}

// A refusal by the other road ends the wait, and the page offers every way in.
func TestAskRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		w.wait.approve(t, w.Tenant.ID, challengeIn(f.Waiting.Show), encode(id, mac(key, []byte("no"))))
		if _, err := w.answerWait(t, f); !errors.Is(err, idp.Unproven) {
			t.Fatalf("refused: %v, want unproven", err)
		}
		g := w.resumed(t, f)
		if g.Waiting != nil {
			t.Error("the flow waits on")
		}
		w.wantNext(t, "refused", g, nil, signin.StepUp)
		if _, _, _, err := w.Corridor.Watch(t.Context(), g); !errors.Is(err, idp.Expired) {
			t.Errorf("watch: %v, want expired", err)
		}
		if err := w.Corridor.AskAgain(t.Context(), g); !errors.Is(err, idp.Expired) {
			t.Errorf("ask again: %v, want expired", err)
		}
		// And anew, in the same flow.
		f = w.Ask(t, g, "wait", w.Ada.Name, w.peer)
		c := challengeIn(f.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		if step, err := w.answerWait(t, f); err != nil || step.Kind != signin.Done {
			t.Errorf("step %q, %v", step.Kind, err)
		}
	})
}

// Another way in ends the wait, and takes back what was asked.
func TestAskThenOtherWay(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		for what, answer := range map[string]func(signin.Begun) []byte{
			"right": func(b signin.Begun) []byte { return held.Answer(t, b.Show) },
			"wrong": func(b signin.Begun) []byte { return held.Wrong(t, b.Show) },
		} {
			f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
			if n := w.Count(t, "stub_road", w.Tenant.ID); n != 1 {
				t.Fatalf("%s: %d asked", what, n)
			}
			b := w.Begin(t, f, "passkey", "")
			_, err := w.Corridor.Answer(t.Context(), f, "passkey", b.Ceremony, answer(b), nil, w.peer)
			if (err == nil) != (what == "right") {
				t.Errorf("%s: %v", what, err)
			}
			if n := w.Count(t, "stub_road", w.Tenant.ID); n != 0 {
				t.Errorf("%s: %d still asked", what, n)
			}
			if what == "wrong" && w.resumed(t, f).Waiting != nil {
				t.Error("the flow waits on")
			}
		}
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		f, err := w.Corridor.Withdraw(t.Context(), f)
		if err != nil || f.Waiting != nil || w.resumed(t, f).Waiting != nil || w.Count(t, "stub_road", w.Tenant.ID) != 0 {
			t.Errorf("withdrawn: %v, waiting for %v", err, f.Waiting)
		}
		if f, err = w.Corridor.Withdraw(t.Context(), f); err != nil || f.Waiting != nil {
			t.Errorf("withdrawn again: %v", err)
		}
	})
}

// A flow that knows its person asks that one's phone, whatever was typed.
func TestAskStepUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.Stored(t, signin.Flow{}, w.Ada, w.peer)
		f = w.Ask(t, f, "wait", w.Bob.Name, w.peer)
		if got := w.wait.hub.asked[0].User.ID; got != w.Ada.ID {
			t.Errorf("the request is of %q, want Ada", got)
		}
		id, key := w.wait.enrol(t, w.Bob)
		c := challengeIn(f.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		if _, err := w.answerWait(t, f); !errors.Is(err, idp.Denied) {
			t.Errorf("Bob's answer: %v, want denied", err)
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, f.Handle(), w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("the flow afterwards: %v, want expired", err)
		}
	})
}

// Whoever has signed in meanwhile waits for nothing; nor does one who may not.
func TestWaitEndsBySession(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		s := w.Session(t, w.Ada)
		w.wantNext(t, "signed in elsewhere", f, &s, signin.Done)
	})
}

func TestWaitExpires(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		c := challengeIn(f.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		w.Advance(2*time.Minute - time.Millisecond)
		w.wantNext(t, "in the last moment", f, nil, signin.Wait)
		w.Advance(time.Millisecond)
		w.wantNext(t, "late", f, nil, signin.StepUp)
		if _, _, _, err := w.Corridor.Watch(t.Context(), f); !errors.Is(err, idp.Expired) {
			t.Errorf("watch: %v, want expired", err)
		}
		if _, err := w.answerWait(t, f); !errors.Is(err, idp.Expired) {
			t.Errorf("answer: %v, want expired", err)
		}
		sweep := func() int {
			if err := w.Corridor.Jobs()[0].Run(t.Context(), w.Now()); err != nil {
				t.Fatal(err)
			}
			return w.Count(t, "flow", w.Tenant.ID)
		}
		w.Advance(14 * time.Minute)
		if sweep() != 1 {
			t.Fatal("the flow is gone before somebody could ask for a new number")
		}
		again := w.Ask(t, w.resumed(t, f), "wait", w.Ada.Name, w.peer)
		w.Advance(17*time.Minute + time.Millisecond)
		if sweep() != 0 {
			t.Errorf("a flow in which nothing is proven stays")
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, again.Handle(), w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("afterwards: %v, want expired", err)
		}
		// One in which something is proven lives as long as it may.
		w.Ask(t, w.Stored(t, signin.Flow{}, w.Ada, w.peer), "wait", "", w.peer)
		w.Advance(50 * time.Minute)
		if sweep() != 1 {
			t.Error("a flow with a proof was swept")
		}
	})
}

func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		ready, changed, stop, err := w.Corridor.Watch(t.Context(), f)
		if err != nil || ready {
			t.Fatalf("ready %v, %v", ready, err)
		}
		_, _, other, err := w.Corridor.Watch(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		other()
		c := challengeIn(f.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		<-changed
		stop()
		ready, _, stop, err = w.Corridor.Watch(t.Context(), f)
		if err != nil || !ready {
			t.Errorf("approved: ready %v, %v", ready, err)
		}
		stop()
		if n := w.Count(t, "spent", w.Tenant.ID); n != 0 {
			t.Errorf("watching burnt %d ceremonies", n)
		}
		for n, want := range []bool{true, true, false} {
			if err := w.Corridor.AskAgain(t.Context(), f); (err == nil) != want || err != nil && !errors.Is(err, idp.Limited) {
				t.Errorf("asked again, %d: %v", n, err)
			}
		}
		w.Switch(t, w.Tenant.ID, "wait", false)
		if _, _, _, err := w.Corridor.Watch(t.Context(), f); !errors.Is(err, idp.Denied) {
			t.Errorf("switched off: %v, want denied", err)
		}
	})
}

func TestAskRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.Flow(t, signin.Flow{}, w.peer)
		ask := func(m idp.MethodID) error {
			_, err := w.Corridor.Ask(t.Context(), f, m, w.Ada.Name, method.Scene{}, w.peer)
			return err
		}
		if err := ask("passkey"); !errors.Is(err, idp.Invalid) {
			t.Errorf("a method that answers on the page: %v", err)
		}
		if _, err := w.Corridor.Begin(t.Context(), f, "wait", w.Ada.Name); !errors.Is(err, idp.Invalid) {
			t.Errorf("begin: %v, want invalid", err)
		}
		w.wait.settle = func() error { return idp.Limitedf("stub_limit", "enough") }
		if err := ask("wait"); !errors.Is(err, idp.Limited) {
			t.Errorf("limit: %v", err)
		}
		if n := w.Count(t, "flow", w.Tenant.ID) + w.Count(t, "stub_road", w.Tenant.ID); n != 0 {
			t.Errorf("%d rows of what was refused", n)
		}
		w.wait.settle = nil
		w.Switch(t, w.Tenant.ID, "wait", false)
		if err := ask("wait"); !errors.Is(err, idp.Denied) {
			t.Errorf("switched off: %v, want denied", err)
		}
		if n := w.Count(t, "flow", w.Tenant.ID); n != 0 {
			t.Errorf("%d flows stored", n)
		}
	})
}

// Of many who ask at once in one flow one is asked, and all wait for it.
func TestAskRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		f := w.Flow(t, signin.Flow{}, w.peer)
		var mu sync.Mutex
		seen := map[string]bool{}
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 40 {
			wg.Go(func() {
				<-start
				step, err := w.Corridor.Ask(t.Context(), f, "wait", w.Ada.Name, method.Scene{}, w.peer)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[step.Flow.Waiting.Ceremony] = true
			})
		}
		close(start)
		wg.Wait()
		stored := w.Resume(t, w.Tenant.ID, string(f.ID), w.peer)
		if !stored.Waits(w.Now()) || !seen[stored.Waiting.Ceremony] {
			t.Error("nobody was told what the flow waits for")
		}
		// One that came when another was stored already has asked anew.
		if n := w.Count(t, "stub_road", w.Tenant.ID); n != len(seen) {
			t.Errorf("%d asked, and %d told of", n, len(seen))
		}
	})
}

// An answer and a new question at once: the one or the other, never a session
// with a flow that waits on.
func TestAskAnswerRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		for range 20 {
			f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
			c := challengeIn(f.Waiting.Show)
			w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
			sessions := w.Count(t, "session", w.Tenant.ID)
			var wg sync.WaitGroup
			var answered, asked error
			wg.Go(func() { _, answered = w.answerWait(t, f) })
			wg.Go(func() { _, asked = w.Corridor.Ask(t.Context(), f, "wait", w.Ada.Name, method.Scene{}, w.peer) })
			wg.Wait()
			opened := w.Count(t, "session", w.Tenant.ID) - sessions
			if (answered == nil) == (asked == nil) || opened != 0 && asked == nil {
				t.Fatalf("answered %v, asked %v, %d sessions", answered, asked, opened)
			}
			for _, err := range []error{answered, asked} {
				if err != nil && !errors.Is(err, idp.Expired) {
					t.Errorf("the one that lost: %v, want expired", err)
				}
			}
		}
	})
}

// TestSec_PHN07_OtherBrowser: another browser with the flow's id gets nothing,
// neither what is waited for nor the session.
func TestSec_PHN07_OtherBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.wait.enrol(t, w.Ada)
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		c := challengeIn(f.Waiting.Show)
		w.wait.approve(t, w.Tenant.ID, c, encode(id, mac(key, c)))
		mallory := w.Peer("mallory")
		for what, peer := range map[string]signin.Peer{"another": mallory, "one without a cookie": {IP: w.peer.IP, Agent: w.peer.Agent}} {
			if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, f.Handle(), peer); !errors.Is(err, idp.Unproven) {
				t.Errorf("%s: %v, want unproven", what, err)
			}
		}
		// With the ceremony, too: it is of that flow only.
		own := w.Ask(t, w.Flow(t, signin.Flow{}, mallory), "wait", w.Ada.Name, mallory)
		if _, err := w.Corridor.Answer(t.Context(), own, "wait", f.Waiting.Ceremony, nil, nil, mallory); !errors.Is(err, idp.Unproven) {
			t.Errorf("in a flow of its own: %v, want unproven", err)
		}
		own.Waiting = f.Waiting
		if ready, _, _, err := w.Corridor.Watch(t.Context(), own); !errors.Is(err, idp.Unproven) || ready {
			t.Errorf("watched in a flow of its own: %v, %v, want unproven", ready, err)
		}
		if n := w.Count(t, "session", w.Tenant.ID); n != 0 {
			t.Errorf("%d sessions", n)
		}
		if step, err := w.answerWait(t, f); err != nil || step.Kind != signin.Done {
			t.Errorf("the one that asked: %q, %v", step.Kind, err)
		}
	})
}

// What a registration must write to be found by its other road is written with
// its challenge, and only for who may register.
func TestRegisterBegins(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var refuse error
		w.page.begins = func(ctx context.Context, tx *sqldb.Tx) error {
			if _, err := tx.Exec(ctx, `insert into stub_road (tenant_id, id, ceremony, answer, expires) values ($1, $2, $2, '', 0)`,
				w.Tenant.ID, secret.Bytes(16)); err != nil {
				return err
			}
			return refuse
		}
		s := w.Session(t, w.Ada)
		b, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
		if err != nil || w.Count(t, "stub_road", w.Tenant.ID) != 1 {
			t.Fatalf("begin: %v, %d rows", err, w.Count(t, "stub_road", w.Tenant.ID))
		}
		d := w.page.room(t).NewDevice(t)
		if _, err := w.Corridor.FinishRegister(t.Context(), s, b.Ceremony, d.Register(t, b.Show), w.peer); err != nil {
			t.Error(err)
		}
		refuse = idp.Limitedf("stub_limit", "enough")
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer); !errors.Is(err, idp.Limited) {
			t.Errorf("refused: %v, want limited", err)
		}
		refuse = nil
		w.Advance(6 * time.Minute)
		if _, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer); !errors.Is(err, idp.Denied) {
			t.Errorf("with an old proof: %v, want denied", err)
		}
		p := signin.Provisioning{Tenant: w.Tenant.ID, Target: w.Ada.ID, Actor: string(w.Bob.ID), Method: "passkey"}
		if _, err := w.Corridor.BeginProvision(t.Context(), p, time.Hour, method.ChallengeShown, w.peer); !errors.Is(err, idp.Invalid) {
			t.Errorf("by somebody else: %v, want invalid", err)
		}
		if n := w.Count(t, "stub_road", w.Tenant.ID); n != 1 {
			t.Errorf("%d rows, want the first one only", n)
		}
	})
}
