package hello_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestBattery runs what every room runs, through the real corridor.
func TestBattery(t *testing.T) {
	signintest.Run(t, sources, func(t testing.TB, h *signintest.House) signintest.Room {
		w := &world{House: h, machines: &machines{all: map[idp.DeviceID]hello.Machine{}}}
		w.room = newRoom(t, h, w)
		return signintest.Room{
			Method: w.room,
			Enrol: func(t testing.TB, u idp.User) signintest.Held {
				t.Helper()
				k, d := hellotest.EC(), w.join("Laptop")
				reg, err := w.room.RegisterOnce(t.Context(), method.Answer{Tenant: u.Tenant, User: u, Device: d, Payload: k.Public(), Now: h.Now()})
				if err != nil {
					t.Fatal(err)
				}
				h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return reg.Settle(ctx, tx) })
				return signintest.Held{
					ID: reg.Credential.ID, Device: d,
					Once: func(t testing.TB, n []byte) []byte { return k.Assertion(u.Name, string(n), h.Now()) },
					OnceWrong: func(t testing.TB, n []byte) []byte {
						good := k.Assertion(u.Name, string(n), h.Now())
						bad := k.Assertion(u.Name, string(n)+"x", h.Now())
						return append(bytes.Clone(good[:bytes.LastIndexByte(good, '.')+1]), bad[bytes.LastIndexByte(bad, '.')+1:]...)
					},
				}
			},
		}
	})
}

// TestFirstSteps: a key is registered by a token, signs its person in on its
// device, and says what it is.
func TestFirstSteps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, k := range []*hellotest.Key{rsaKey(0), hellotest.EC()} {
			d := w.join("Laptop")
			c := w.register(t, w.Ada, d, k)
			p, err := w.signIn(t, w.Ada, d, k)
			if err != nil {
				t.Fatal(err)
			}
			if p.Credential != c.ID || p.User != w.Ada.ID || p.Device != d || p.Mode != idp.ModeHello || !p.Has(idp.PhishingResistant) {
				t.Errorf("proof %+v of %+v", p, c)
			}
		}
	})
}
