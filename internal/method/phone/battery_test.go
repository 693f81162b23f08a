package phone

import (
	"encoding/json"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/signin/signintest"
)

// TestBattery runs what every room runs, through the real corridor. The page
// sends nothing: an answer is what a phone does meanwhile.
func TestBattery(t *testing.T) {
	signintest.Run(t, sources, batteryRoom)
}

// FuzzAnswer feeds the corridor what a page might send: it is not read.
func FuzzAnswer(f *testing.F) { signintest.Fuzz(f, sources, batteryRoom) }

func batteryRoom(t testing.TB, h *signintest.House) signintest.Room {
	w := &world{House: h}
	w.room = newRoom(t, h, w)
	return signintest.Room{
		Method: w.room,
		Enrol: func(t testing.TB, u idp.User) signintest.Held {
			t.Helper()
			p := w.enrol(t, u)
			typed := func(t testing.TB, show json.RawMessage, wrong bool) []byte {
				t.Helper()
				a := w.shown(t, method.Challenge{Show: show})
				if wrong {
					a.Number = other(a.Number)
				}
				// Of another person's, or another tenant's, the phone never hears.
				if _, err := w.approve(t, p, a.Request, a.Number); err != nil && reason(err) != "request_unknown" {
					t.Fatalf("approve: %v", err)
				}
				return nil
			}
			return signintest.Held{
				ID:     p.id,
				Answer: func(t testing.TB, show json.RawMessage) []byte { return typed(t, show, false) },
				Spoil:  func(t testing.TB, show json.RawMessage, _ int) []byte { return typed(t, show, true) },
			}
		},
	}
}
