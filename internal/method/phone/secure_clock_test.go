package phone

import (
	"testing"
	"time"

	"github.com/signetid/signet/internal/method"
)

// TestSec_REL07_NodesWithOtherClocks: the node that took the approval may be
// seconds ahead of the one that the page talks to. The proof is of a time that
// has been there already, or the corridor would not take it.
func TestSec_REL07_NodesWithOtherClocks(t *testing.T) {
	w := sqliteWorld(t)
	p := w.enrol(t, w.Ada)
	q := w.ask(t, w.Ada.Name, from("desk"))
	a := w.answer(p, q.Request)
	a.number, a.now = q.Number, a.now.Add(5*time.Second)
	if _, err := w.room.approve(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	v, err := w.room.Verify(t.Context(), method.Answer{Tenant: w.Tenant.ID, Keep: q.Keep, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if v.Proof.Time.After(w.Now()) || v.Proof.Time.Before(w.Now()) {
		t.Errorf("proof of %s at %s", v.Proof.Time, w.Now())
	}
}
