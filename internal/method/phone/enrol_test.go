package phone_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/push"
)

// TestEnrol is the whole of it, through the corridor, by link and by the typed
// code; then a sign-in.
func TestEnrol(t *testing.T) {
	for _, how := range []string{"link", "typed"} {
		t.Run(how, func(t *testing.T) {
			each(t, func(t *testing.T, w *house) {
				s := w.Session(t, w.Ada)
				b := w.begin(t, s)
				code := b.Link
				if how == "typed" {
					code = b.Typed
				}
				if e := w.state(t, w.Ada, b); e.State != phone.EnrolmentOpen || len(e.Words) != 0 {
					t.Errorf("begun: %+v", e)
				}
				changed, stop := w.phones.Enrolled(t.Context(), w.Tenant.ID, w.Ada.ID, b.Enrolment)
				defer stop()
				p := w.device()
				p.Push = &phonewire.Push{Kind: push.WebPush, Endpoint: "https://push.example/1", P256DH: "AA", Auth: "AA"}
				done, err := p.Enrol(code)
				if err != nil {
					t.Fatal(err)
				}
				<-changed
				if a := p.Account; a.User.Name != w.Ada.Name || a.User.ID != string(w.Ada.ID) || a.Tenant.ID != string(w.Tenant.ID) ||
					a.Tenant.Domain != w.Tenant.Domain || a.Push.VAPID != "BPublicKey" || len(a.Push.Kinds) != 1 || a.Reuse != nil {
					t.Errorf("opened: %+v", a)
				}
				e := w.state(t, w.Ada, b)
				if e.State != phone.EnrolmentAnswered || e.Phone != p.Name || e.System != "Android" ||
					!slices.Equal(e.Words, done.Words) || !slices.Equal(done.Words, p.Words(code)) {
					t.Errorf("answered: page has %+v, phone %v and was told %v", e, p.Words(code), done.Words)
				}
				self, err := p.Self()
				if err != nil || self.State != phonewire.Waiting || self.Usable {
					t.Errorf("before it is compared: %+v, %v", self, err)
				}
				_, err = p.Requests()
				wantWord(t, "requests before it is compared", err, http.StatusForbidden, "phone_waiting")
				changed, stop = w.phones.Enrolled(t.Context(), w.Tenant.ID, w.Ada.ID, b.Enrolment)
				defer stop()
				c, err := w.confirm(t, b)
				if err != nil || c.Name != p.Name || c.Method != phone.ID || c.Mode != idp.ModePhone {
					t.Fatalf("confirm: %+v, %v", c, err)
				}
				<-changed
				if e := w.state(t, w.Ada, b); e.State != phone.EnrolmentDone {
					t.Errorf("confirmed: %+v", e)
				}
				self, err = p.Self()
				if err != nil || self.State != phonewire.Active || !self.Usable || self.Passkey != p.Passkey || self.RPID != "id.nordhafen.example" || self.Push != push.WebPush {
					t.Errorf("self: %+v, %v", self, err)
				}
				w.signsIn(t, w.Ada, p)
				if n := len(w.post.told()); n != 0 {
					t.Errorf("%d messages, and there was no older phone", n)
				}
			})
		})
	}
}

// signsIn has a person sign in by this phone.
func (w *house) signsIn(t testing.TB, u idp.User, p phonesAnswer) {
	t.Helper()
	shown, c := w.ask(t, u)
	all, err := p.Requests()
	if err != nil || len(all) != 1 {
		t.Fatalf("requests: %+v, %v", all, err)
	}
	if got, err := p.Approve(all[0], shown.Number); err != nil || got != phonewire.Approved {
		t.Fatalf("approve: %q, %v", got, err)
	}
	proof, err := w.redeem(t, u, c)
	if err != nil || proof.User != u.ID || proof.Mode != idp.ModePhone || proof.Has(idp.PhishingResistant) {
		t.Fatalf("proof %+v, %v", proof, err)
	}
}

type phonesAnswer interface {
	Requests() ([]phonewire.Request, error)
	Approve(phonewire.Request, string) (string, error)
}
