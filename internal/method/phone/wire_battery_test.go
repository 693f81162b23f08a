package phone_test

import (
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/phone/phonetest"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestBatteryOnTheWire runs what every room runs with phones that speak the
// protocol, registration among it.
func TestBatteryOnTheWire(t *testing.T) {
	signintest.Run(t, more, func(t testing.TB, h *signintest.House) signintest.Room {
		w := &house{House: h, post: &postman{result: push.Result{Outcome: push.Delivered}}}
		w.keys = w.passkeys(t, h)
		w.phones = w.room(t, h)
		mux := http.NewServeMux()
		w.phones.Mount(mux)
		w.mux = mux
		return signintest.Room{
			Method: w.phones,
			Enrol: func(t testing.TB, u idp.User) signintest.Held {
				t.Helper()
				p := w.alone(t, u)
				return signintest.Held{
					ID:     idp.CredentialID(p.ID),
					Answer: func(t testing.TB, show json.RawMessage) []byte { return w.typed(t, p, show, false) },
					Spoil:  func(t testing.TB, show json.RawMessage, _ int) []byte { return w.typed(t, p, show, true) },
				}
			},
			NewDevice: func(testing.TB) signintest.Device {
				p := w.device()
				return signintest.Device{
					Register: func(t testing.TB, show json.RawMessage) []byte {
						t.Helper()
						var s phone.Show
						if err := json.Unmarshal(show, &s); err != nil {
							t.Fatal(err)
						}
						if _, err := p.Enrol(s.Typed); err != nil {
							t.Fatal(err)
						}
						return []byte(`{"confirm":true}`)
					},
					Answer: func(t testing.TB, show json.RawMessage) []byte { return w.typed(t, p, show, false) },
				}
			},
		}
	})
}

// alone enrols a phone without the corridor.
func (w *house) alone(t testing.TB, u idp.User) *phonetest.Phone {
	t.Helper()
	c, err := w.phones.BeginRegister(t.Context(), method.Request{Tenant: u.Tenant, User: u, Session: "alone", Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, c.Settle)
	var s phone.Show
	if err := json.Unmarshal(c.Show, &s); err != nil {
		t.Fatal(err)
	}
	p := w.device()
	if _, err := p.Enrol(s.Link); err != nil {
		t.Fatal(err)
	}
	reg, err := w.phones.FinishRegister(t.Context(), method.Answer{Tenant: u.Tenant, User: u, Keep: c.Keep, Payload: []byte(`{"confirm":true}`), Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return reg.Settle(ctx, tx) })
	return p
}

// typed answers what a page shows, on the phone; what the phone does not hear of
// it does not answer.
func (w *house) typed(t testing.TB, p *phonetest.Phone, show json.RawMessage, wrong bool) []byte {
	t.Helper()
	w.Advance(6 * time.Second) // a phone answers ten times a minute
	var shown phone.Shown
	if err := json.Unmarshal(show, &shown); err != nil {
		t.Fatal(err)
	}
	all, err := p.Requests()
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		if q.ID != shown.Request {
			continue
		}
		number, want := shown.Number, phonewire.Approved
		if wrong {
			number, want = other(number), phonewire.WrongNumber
		}
		if got, err := p.Approve(q, number); err != nil || got != want {
			t.Fatalf("approve: %q, %v", got, err)
		}
	}
	return nil
}
