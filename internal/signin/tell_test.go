package signin_test

import (
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// A sign-in that did not finish leaves in the record what was asked, proven
// and missing; the records of its steps belong together.
func TestTold(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.two(t)
		w.page.facts = idp.Facts{AAGUID: "a25342c0-3cdc-4414-8e46-f4807fca511c", Attested: true, Name: "Ada's own key"}
		first, second := w.page.room(t).Enrol(t, w.Ada), w.second.room(t).Enrol(t, w.Ada)
		age := int64(3600)
		f := w.Flow(t, signin.Flow{Required: "two", ACR: []string{"phr", "two"}, MaxAge: &age, Prompt: []string{"consent", "login"}}, w.peer)
		step := w.must(t, f, w.page, first, nil, signin.StepUp)
		p, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		told := signin.Tell(w.last(t))
		if told.Flow != string(f.ID) || !told.Started.Equal(f.Started.Truncate(time.Millisecond)) || told.Required != "two" ||
			!slices.Equal(told.ACR, []string{"phr", "two"}) || told.MaxAge != time.Hour || !told.Login {
			t.Errorf("asked: %+v", told)
		}
		if !told.Judged || told.Policy != p.Version || told.Mode != idp.ModeFIDO2 || !slices.Contains(told.Properties, idp.PhishingResistant) ||
			told.Facts != (idp.Facts{AAGUID: w.page.facts.AAGUID, Attested: true}) {
			t.Errorf("proven: %+v", told)
		}
		if len(told.Missing) != 1 || !slices.Equal(told.Missing[0], []idp.Mode{idp.ModePhone}) {
			t.Errorf("missing %v", told.Missing)
		}
		w.must(t, w.Resume(t, w.Tenant.ID, step.Handle, w.peer), w.second, second, nil, signin.Done)
		if e := w.last(t); e.Outcome != audit.Success || len(e.Detail) != 1 || signin.Tell(e).Flow != told.Flow {
			t.Errorf("the second step left %v", e.Detail)
		}
		w.page.facts = idp.Facts{}
	})
}

// What succeeds at once adds nothing to the record, and what strangers send
// says nothing of anybody.
func TestToldOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		if e := w.last(t); e.Detail != nil {
			t.Errorf("a success left %v", e.Detail)
		}
		f := w.Flow(t, signin.Flow{}, w.peer)
		b := w.Begin(t, f, "passkey", "")
		if _, err := w.Corridor.Answer(t.Context(), f, "passkey", b.Ceremony, []byte(`{}`), nil, w.peer); err == nil {
			t.Fatal("garbage signed in")
		}
		told := signin.Tell(w.last(t))
		if told.Flow != string(f.ID) || told.Judged || told.Policy != 0 || told.MaxAge != -1 {
			t.Errorf("of a stranger: %+v", told)
		}
		// A key that a rule refuses is genuine: the record says what it was.
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			p.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{"a25342c0-3cdc-4414-8e46-f4807fca511c"}}
		})
		if _, err := w.do(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil); err == nil {
			t.Fatal("a key that is not listed signed in")
		}
		if told := signin.Tell(w.last(t)); !told.Judged || told.Mode != idp.ModeFIDO2 {
			t.Errorf("of a refused key: %+v", told)
		}
	})
}

// Tell bears whatever stands in a record.
func TestTellOld(t *testing.T) {
	for _, d := range []map[string]string{nil, {}, {"started": "yesterday", "maxAge": "x", "policy": "-", "key": "{", "missing": "+ +"}} {
		got := signin.Tell(audit.Event{Detail: d})
		if !got.Started.IsZero() || got.MaxAge != -1 || got.Policy != 0 || got.Facts != (idp.Facts{}) || got.Judged {
			t.Errorf("%v: %+v", d, got)
		}
	}
}
