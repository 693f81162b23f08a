package signin_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

// The other host of these tests is handoverStub.arrive: it gets the ceremony
// and what was shown, never the flow, and gives a code.

// goAway asks in a new flow of the browser and gives the flow that waits.
func (w *world) goAway(t testing.TB, peer signin.Peer) signin.Flow {
	t.Helper()
	return w.Ask(t, w.Flow(t, signin.Flow{}, peer), "handover", "", peer)
}

// codeFor is what the other host gives somebody who shows a key.
func (w *world) codeFor(t testing.TB, f signin.Flow, id idp.CredentialID, key []byte) []byte {
	t.Helper()
	c := challengeIn(f.Waiting.Show)
	return []byte(w.handover.arrive(t, w.Tenant.ID, c, encode(id, mac(key, c))))
}

func (w *world) redeem(t testing.TB, f signin.Flow, ceremony string, code []byte, peer signin.Peer) (signin.Step, error) {
	t.Helper()
	return w.Corridor.Answer(t.Context(), f, "handover", ceremony, code, nil, peer)
}

// What is fetched elsewhere leaves the flow in a row and nothing else, and is
// not watched, told again or begun on a page.
func TestAway(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.handover.enrol(t, w.Ada)
		sealed := w.Flow(t, signin.Flow{}, w.peer)
		if _, err := w.Corridor.Begin(t.Context(), sealed, "handover", ""); !errors.Is(err, idp.Invalid) {
			t.Errorf("begun on a page: %v, want invalid", err)
		}
		f := w.Ask(t, sealed, "handover", w.Ada.Name, w.peer)
		if !f.Stored() || f.Waiting.Method != "handover" || f.Waiting.UserName != w.Ada.Name {
			t.Fatalf("the flow waits for %+v, stored %v", f.Waiting, f.Stored())
		}
		if n := w.Count(t, "flow", w.Tenant.ID) + w.Count(t, "spent", w.Tenant.ID) + w.Count(t, "stub_road", w.Tenant.ID); n != 1 {
			t.Errorf("%d rows, want the flow's", n)
		}
		if _, _, _, err := w.Corridor.Watch(t.Context(), f); !errors.Is(err, idp.Invalid) {
			t.Errorf("watched: %v, want invalid", err)
		}
		if err := w.Corridor.AskAgain(t.Context(), f); !errors.Is(err, idp.Invalid) {
			t.Errorf("told again: %v, want invalid", err)
		}
		offers, err := w.Corridor.Offers(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range offers {
			if o.Away {
				t.Errorf("%s is away, and has no page", o.ID)
			}
		}
		// The page is loaded meanwhile: everything is as it was.
		next, err := w.Corridor.Next(t.Context(), w.resumed(t, f), nil, w.peer)
		if err != nil || next.Kind != signin.Wait {
			t.Errorf("loaded meanwhile: step %q, %v", next.Kind, err)
		}
		step, err := w.redeem(t, w.resumed(t, f), f.Waiting.Ceremony, w.codeFor(t, f, id, key), w.peer)
		if err != nil || step.Kind != signin.Done {
			t.Fatalf("step %q, %v", step.Kind, err)
		}
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, f.Handle(), w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("the finished flow: %v, want expired", err)
		}
	})
}

// A refused answer leaves a flow that waits for nothing and has every other way:
// it is asked for nothing by itself (security.md CBA14).
func TestSec_CBA14_RefusedDoesNotLoop(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, _ := w.handover.enrol(t, w.Ada)
		f := w.goAway(t, w.peer)
		_, err := w.redeem(t, f, f.Waiting.Ceremony, w.codeFor(t, f, id, []byte("other")), w.peer)
		wantUnproven(t, "a wrong key", err)
		f = w.resumed(t, f)
		if f.Waiting != nil {
			t.Fatalf("the flow still waits for %+v", f.Waiting)
		}
		next, err := w.Corridor.Next(t.Context(), f, nil, w.peer)
		if err != nil || next.Kind != signin.StepUp {
			t.Errorf("step %q, %v, want step-up with every way", next.Kind, err)
		}
		// Another way, and the same once more.
		kid, kkey := w.page.enrol(t, w.Ada)
		again := w.Ask(t, f, "handover", "", w.peer)
		wid, wkey := w.handover.enrol(t, w.Ada)
		if step, err := w.redeem(t, again, again.Waiting.Ceremony, w.codeFor(t, again, wid, wkey), w.peer); err != nil || step.Kind != signin.Done {
			t.Errorf("the same way once more: %q, %v", step.Kind, err)
		}
		f2 := w.goAway(t, w.peer)
		b := w.Begin(t, f2, "passkey", "")
		if step, err := w.Corridor.Answer(t.Context(), f2, "passkey", b.Ceremony, encode(kid, mac(kkey, challengeIn(b.Show))), nil, w.peer); err != nil || step.Kind != signin.Done {
			t.Errorf("another way while it is away: %q, %v", step.Kind, err)
		}
	})
}

// The answer belongs to one ceremony of one flow of one browser, once, in time.
func TestSec_CBA10_HandoverIsBound(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.handover.enrol(t, w.Ada)
		mallory := w.Peer("mallory")

		// B made the handshake for the flow of A and holds the code.
		f := w.goAway(t, w.peer)
		code := w.codeFor(t, f, id, key)
		if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, f.Handle(), mallory); !errors.Is(err, idp.Unproven) || idp.AsError(err).Reason != "other_browser" {
			t.Errorf("the flow in another browser: %v, want other_browser", err)
		}
		// In a flow of B's own it is of another flow, and of another ceremony.
		own := w.goAway(t, mallory)
		_, err := w.redeem(t, own, f.Waiting.Ceremony, code, mallory)
		wantUnproven(t, "ceremony of another flow", err)
		_, err = w.redeem(t, own, own.Waiting.Ceremony, code, mallory)
		wantUnproven(t, "code of another ceremony", err)
		if n := w.Count(t, "session", w.Tenant.ID); n != 0 {
			t.Fatalf("%d sessions", n)
		}
		// A itself may still come with it, once.
		if step, err := w.redeem(t, f, f.Waiting.Ceremony, code, w.peer); err != nil || step.Kind != signin.Done {
			t.Fatalf("its own browser: %q, %v", step.Kind, err)
		}
		if _, err := w.redeem(t, f, f.Waiting.Ceremony, code, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("answered twice: %v, want expired", err)
		}

		f = w.goAway(t, w.peer)
		code = w.codeFor(t, f, id, key)
		w.Advance(f.Waiting.Expires.Sub(w.Now()))
		if _, err := w.redeem(t, f, f.Waiting.Ceremony, code, w.peer); !errors.Is(err, idp.Expired) {
			t.Errorf("late: %v, want expired", err)
		}
		if n := w.Count(t, "session", w.Tenant.ID); n != 1 {
			t.Errorf("%d sessions, want 1", n)
		}
	})
}

// Of many who come with one code at once, one gets in.
func TestSec_CBA10_HandoverRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.handover.enrol(t, w.Ada)
		f := w.goAway(t, w.peer)
		code := w.codeFor(t, f, id, key)
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for range 8 {
			wg.Go(func() {
				step, err := w.Corridor.Answer(t.Context(), f, "handover", f.Waiting.Ceremony, code, nil, w.peer)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && step.Kind == signin.Done:
					won++
				case !errors.Is(err, idp.Expired) && !errors.Is(err, idp.Unproven):
					t.Errorf("step %q, %v", step.Kind, err)
				}
			})
		}
		wg.Wait()
		if n := w.Count(t, "session", w.Tenant.ID); won != 1 || n != 1 {
			t.Errorf("%d got in, with %d sessions", won, n)
		}
	})
}

// An answer to an earlier question says nothing about the present one.
func TestAwayAskedAnew(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id, key := w.handover.enrol(t, w.Ada)
		first := w.goAway(t, w.peer)
		second := w.Ask(t, first, "handover", "", w.peer)
		_, err := w.redeem(t, second, first.Waiting.Ceremony, w.codeFor(t, second, id, key), w.peer)
		wantUnproven(t, "the second's code for the first", err)
		now := w.resumed(t, second)
		if now.Waiting == nil || now.Waiting.Ceremony != second.Waiting.Ceremony {
			t.Fatalf("the second is not waited for any more: %+v", now.Waiting)
		}
		if step, err := w.redeem(t, now, second.Waiting.Ceremony, w.codeFor(t, second, id, key), w.peer); err != nil || step.Kind != signin.Done {
			t.Errorf("the second: %q, %v", step.Kind, err)
		}
		// Who goes away while a phone is asked takes that back.
		f := w.Ask(t, w.Flow(t, signin.Flow{}, w.peer), "wait", w.Ada.Name, w.peer)
		asked := w.Count(t, "stub_road", w.Tenant.ID)
		f = w.Ask(t, f, "handover", "", w.peer)
		if n := w.Count(t, "stub_road", w.Tenant.ID); n != asked-1 || f.Waiting.Method != "handover" {
			t.Errorf("%d asked before, %d after; the flow waits for %s", asked, n, f.Waiting.Method)
		}
		// Withdrawn, nothing is left but the flow.
		f, err = w.Corridor.Withdraw(t.Context(), f)
		if err != nil || f.Waiting != nil {
			t.Errorf("withdrawn: %+v, %v", f.Waiting, err)
		}
	})
}

// What a room says of an answer stands in the record of a success and of a
// refusal, comes back to the door, and is bounded, whatever it is.
func TestSec_LOG02_DetailOfAnswers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.handover.detail = map[string]string{
			"handoverSubject": "CN=Ada\nInjected: line\u202e", "handoverEmpty": "", "handover": strings.Repeat("ä", 5000),
			"missing": "fido2", "key": `{"aaguid":"x"}`,
		}
		for n := range 40 {
			w.handover.detail["handoverUmore"+strings.Repeat("x", n)] = "y"
		}
		check := func(what string, d map[string]string) {
			t.Helper()
			if len(d) == 0 || len(d) > 20 || d["handoverSubject"] != `CN=Ada\u{a}Injected: line\u{202e}` || len([]rune(d["handover"])) > 1025 {
				t.Errorf("%s: %d details, subject %q", what, len(d), d["handoverSubject"])
			}
			if _, ok := d["handoverEmpty"]; ok || d["key"] == `{"aaguid":"x"}` || d["missing"] == "fido2" {
				t.Errorf("%s: the room has said what is not its own: %q, %q", what, d["key"], d["missing"])
			}
		}
		recorded := func(activity string) map[string]string {
			t.Helper()
			list, err := w.Audit.List(t.Context(), w.DB, w.Tenant.ID, audit.Filter{Limit: 500})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range list {
				if e.Activity == activity && e.Method == "handover" {
					return e.Detail
				}
			}
			t.Fatalf("no record %s", activity)
			return nil
		}
		id, key := w.handover.enrol(t, w.Ada)
		f := w.goAway(t, w.peer)
		step, err := w.redeem(t, f, f.Waiting.Ceremony, w.codeFor(t, f, id, key), w.peer)
		if err != nil || step.Kind != signin.Done {
			t.Fatalf("step %q, %v", step.Kind, err)
		}
		check("step of a success", step.Detail)
		check("record of a success", recorded("signin.done"))

		f = w.goAway(t, w.peer)
		step, err = w.redeem(t, f, f.Waiting.Ceremony, w.codeFor(t, f, id, []byte("other")), w.peer)
		wantUnproven(t, "a wrong key", err)
		check("beside a refusal", step.Detail)
		if step.Kind != "" || step.Bearer != "" || step.Session.ID != "" {
			t.Errorf("a refusal came with %+v", step)
		}
		check("record of a refusal", recorded("signin.refused"))
	})
}

func wantUnproven(t testing.TB, what string, err error) {
	t.Helper()
	if !errors.Is(err, idp.Unproven) {
		t.Errorf("%s: %v, want unproven", what, err)
	}
}
