package platform_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
)

// TestBattery runs what every room runs, through the real corridor.
func TestBattery(t *testing.T) {
	signintest.Run(t, sources, func(t testing.TB, h *signintest.House) signintest.Room {
		w := &world{House: h, macs: &macs{all: map[idp.DeviceID]platform.Machine{}}, limit: 20}
		w.room = newRoom(t, h, w)
		return signintest.Room{
			Method: w.room,
			Enrol: func(t testing.TB, u idp.User) signintest.Held {
				t.Helper()
				k, d := platformtest.New(), w.join("MacBook")
				e := w.expected(u.Tenant, d, "nonce of the battery")
				reg, err := w.room.RegisterOnce(t.Context(), method.Answer{
					Tenant: u.Tenant, User: u, Device: d, Keep: e.Keep(), Payload: k.Offer(e, h.Now()).Payload(), Now: h.Now(),
				})
				if err != nil {
					t.Fatal(err)
				}
				h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return reg.Settle(ctx, tx) })
				said := func(n []byte) platformtest.Said {
					return platformtest.Login(u.Name, audience(u.Tenant), string(n), h.Now())
				}
				return signintest.Held{
					ID: reg.Credential.ID, Device: d,
					Door: func(n []byte) []byte { return said(n).Keep() },
					Once: func(t testing.TB, n []byte) []byte { return k.Assertion(said(n)) },
					OnceWrong: func(t testing.TB, keep []byte) []byte {
						e, fault := assertion.FromKeep(keep)
						if fault != nil {
							t.Fatal(fault)
						}
						good := k.Assertion(said([]byte(e.RequestNonce)))
						bad := k.Assertion(said([]byte(e.RequestNonce + "x")))
						return append(bytes.Clone(good[:bytes.LastIndexByte(good, '.')+1]), bad[bytes.LastIndexByte(bad, '.')+1:]...)
					},
				}
			},
		}
	})
}

// TestFirstSteps: a key is registered, signs its person in on its Mac, and says
// what it is.
func TestFirstSteps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		k, d := platformtest.New(), w.join("Ada's MacBook")
		c := w.register(t, w.Ada, d, k)
		if c.Name != "Ada's MacBook" || c.Method != platform.ID || !c.Usable() {
			t.Errorf("registered %+v", c)
		}
		p, err := w.signIn(t, w.Ada, d, k)
		if err != nil {
			t.Fatal(err)
		}
		if p.Credential != c.ID || p.User != w.Ada.ID || p.Device != d || p.Mode != idp.ModeHello || !p.Has(idp.PhishingResistant) {
			t.Errorf("proof %+v of %+v", p, c)
		}
		w.wants(t, "platform.register success", 1)
		w.wants(t, "signin.done success", 1)
	})
}
