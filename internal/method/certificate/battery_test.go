package certificate_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/certificate/certificatetest"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestBattery runs what every room runs, through the real corridor.
func TestBattery(t *testing.T) {
	signintest.Run(t, sources, func(t testing.TB, h *signintest.House) signintest.Room {
		w := fill(t, h)
		return signintest.Room{
			Method: w.room,
			Enrol:  func(t testing.TB, u idp.User) signintest.Held { return w.enrol(t, u) },
			Flip: func(answer []byte, n int) []byte {
				out := bytes.Clone(answer)
				at := len(`{"code":"`) + n%40
				out[at] ^= 1
				return out
			},
		}
	})
}

// enrol gives a person a card, with which they have been seen once: a
// certificate that nobody has come with is nobody's to remove.
func (w *world) enrol(t testing.TB, u idp.User) signintest.Held {
	t.Helper()
	card := w.card(t, u.Name)
	ch, err := w.room.Challenge(t.Context(), method.Request{Tenant: u.Tenant, Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.room.Verify(t.Context(), method.Answer{Tenant: u.Tenant, Keep: ch.Keep, Payload: w.answer(t, ch.Show, card), Now: w.Now()})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return v.Settle(ctx, tx) })
	stranger := pkixtest.Root(t, "Nordhafen Root", w.Now()) // the same name, another key
	forged := certificatetest.Card{Key: card.Key, Chain: []*x509.Certificate{stranger.Leaf(card.Key.Public(), "Somebody", u.Name, w.Now())}}
	return signintest.Held{
		ID:     certificate.CredentialID(card.Leaf()),
		Answer: func(t testing.TB, show json.RawMessage) []byte { return w.answer(t, show, card) },
		Wrong:  func(t testing.TB, show json.RawMessage) []byte { return w.answer(t, show, forged) },
		Once:   func(t testing.TB, n []byte) []byte { return card.Message(u.Name, string(n), w.Now()) },
		OnceWrong: func(t testing.TB, n []byte) []byte {
			good, other := card.Message(u.Name, string(n), w.Now()), card.Message(u.Name, string(n)+"x", w.Now())
			return append(bytes.Clone(good[:bytes.LastIndexByte(good, '.')+1]), other[bytes.LastIndexByte(other, '.')+1:]...)
		},
	}
}
