package phone

import (
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
)

// TestFirstSteps: somebody is asked, approves, and is let in, once.
func TestFirstSteps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.enrol(t, w.Ada)
		a := w.ask(t, w.Ada.Name, from("desk"))
		if w.post.count() != 1 || w.post.sent[0].ref.Phone != p.id || w.post.sent[0].to.Endpoint != "https://push.example/"+string(p.id) {
			t.Errorf("phones were told %+v", w.post.sent)
		}
		if w.ready(t, a) {
			t.Error("ready before anybody answered")
		}
		changed, stop := w.room.Changed(a.Answer)
		defer stop()
		waits, err := w.room.waitingFor(t.Context(), p, w.Now())
		if err != nil || len(waits) != 1 || waits[0].id != a.Request {
			t.Fatalf("waiting: %+v, %v", waits, err)
		}
		got, err := w.approve(t, p, a.Request, a.Number)
		if err != nil || got != approved {
			t.Fatalf("approve: %s, %v", got, err)
		}
		<-changed
		if !w.ready(t, a) {
			t.Fatal("not ready")
		}
		proof, err := w.redeem(t, a)
		if err != nil {
			t.Fatal(err)
		}
		if proof.User != w.Ada.ID || proof.Credential != p.id || proof.Mode != idp.ModePhone || !slices.Equal(proof.AMR, []string{"swk", "user", "mfa"}) ||
			!proof.Has(idp.MultiFactor) || !proof.Has(idp.Possession) || !proof.Has(idp.UserVerified) || !proof.Time.Equal(w.Now()) {
			t.Errorf("proof %+v", proof)
		}
		list, err := w.room.List(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(list) != 1 || !list[0].LastUsed.Equal(w.Now()) || !list[0].Usable() {
			t.Errorf("list %+v, %v", list, err)
		}
		_, err = w.redeem(t, a)
		wantReason(t, "again", err, idp.Unproven, "phone_spent")
	})
}
