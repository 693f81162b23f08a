package passkey_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/signin/signintest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// macHouse is a house with the rooms of passkeys and of the keys of Macs.
type macHouse struct {
	household
	macs *platform.Room

	mu  sync.Mutex
	all map[idp.DeviceID]platform.Machine
}

func (h *macHouse) set(d idp.DeviceID, m *platform.Machine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.all, d); m != nil {
		h.all[d] = *m
	}
}

func inMacHouse(t *testing.T, fn func(t *testing.T, h *macHouse)) {
	sqldbtest.Each(t, signintest.Sources(passkey.Migrations, platform.Migrations), func(t *testing.T, db *sqldb.DB) {
		h := &macHouse{all: map[idp.DeviceID]platform.Machine{"mac": {Name: "MacBook", Enabled: true}, "other": {Name: "Mac mini", Enabled: true}}}
		h.House = signintest.New(t, db, func(in *signintest.House) []method.Method {
			var err error
			h.macs, err = platform.New(platform.Config{
				DB: in.DB, Now: in.Now, User: in.User, UserByName: in.UserByName, Limit: func(context.Context, idp.TenantID) (int, error) { return 20, nil },
				Device: func(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, id idp.DeviceID) (platform.Machine, error) {
					h.mu.Lock()
					defer h.mu.Unlock()
					d, ok := h.all[id]
					if !ok {
						return d, idp.NotFoundf("device_missing", "device %s", id)
					}
					return d, nil
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			h.room = roomIn(t, in, func(c *passkey.Config) { c.Platform = h.macs.Holds })
			return []method.Method{h.room, h.macs}
		})
		fn(t, h)
	})
}

// keep gives a Mac a key of somebody's.
func (h *macHouse) keep(t testing.TB, u idp.User, d idp.DeviceID, k *platformtest.Key) idp.CredentialID {
	t.Helper()
	e := platform.Expected{Audience: "https://id.example/user", Nonce: "nonce"}
	reg, err := h.macs.RegisterOnce(t.Context(), method.Answer{Tenant: u.Tenant, User: u, Device: d, Keep: e.Keep(), Payload: k.Offer(e, h.Now()).Payload(), Now: h.Now()})
	if err != nil {
		t.Fatal(err)
	}
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return reg.Settle(ctx, tx) })
	return reg.Credential.ID
}

// asPasskey is a Mac's key as its password manager shows it to a browser.
func asPasskey(t testing.TB, k *platformtest.Key, model string) *passkeytest.Authenticator {
	t.Helper()
	d := passkeytest.New(rpID, origin)
	d.Private = k.Private()
	raw, err := hex.DecodeString(strings.ReplaceAll(model, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	copy(d.AAGUID[:], raw)
	return d
}

// register is a registration as a page does it, as far as the room is concerned.
func (h *macHouse) register(t testing.TB, u idp.User, d *passkeytest.Authenticator) method.Registration {
	t.Helper()
	c, err := h.room.BeginRegister(t.Context(), method.Request{Tenant: u.Tenant, User: u, Now: h.Now()})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := d.Create(c.Show)
	if err != nil {
		t.Fatal(err)
	}
	reg, err := h.room.FinishRegister(t.Context(), method.Answer{Tenant: u.Tenant, User: u, Keep: c.Keep, Payload: payload, Now: h.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return reg
}

func (h *macHouse) add(t testing.TB, u idp.User, d *passkeytest.Authenticator) method.Credential {
	t.Helper()
	reg := h.register(t, u, d)
	h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error { return reg.Settle(ctx, tx) })
	return reg.Credential
}

func (h *macHouse) passkey(t testing.TB, u idp.User, id idp.CredentialID) method.Credential {
	t.Helper()
	list, err := h.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.ID == id {
			return c
		}
	}
	t.Fatalf("no passkey %s in %+v", id, list)
	return method.Credential{}
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// only lets in the passkeys of Macs alone.
func (h *macHouse) only(t testing.TB) {
	t.Helper()
	h.Policy(t, h.Tenant.ID, func(p *policy.Policy) {
		p.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{policy.PlatformAAGUID}}
	})
}

// TestPlatformModel: the model of the Platform Credential counts when the key is
// one that a Mac has registered for this very person, and is a claim otherwise
// (decisions 5.1).
func TestPlatformModel(t *testing.T) {
	inMacHouse(t, func(t *testing.T, h *macHouse) {
		k := platformtest.New()
		id := h.keep(t, h.Ada, "mac", k)
		const other = "08987058-cadc-4b81-b6e1-30de50dcbe96"
		for name, c := range map[string]struct {
			user  idp.User
			key   *platformtest.Key
			model string
			want  bool
		}{
			"hers":               {h.Ada, k, policy.PlatformAAGUID, true},
			"a key of no Mac's":  {h.Ada, platformtest.New(), policy.PlatformAAGUID, false},
			"hers, as Bob":       {h.Bob, k, policy.PlatformAAGUID, false},
			"hers, in another":   {h.Eve, k, policy.PlatformAAGUID, false},
			"hers, another name": {h.Ada, k, other, false},
		} {
			got := h.register(t, c.user, asPasskey(t, c.key, c.model)).Credential
			if got.Facts.PlatformKey != c.want || (got.Needs == id) != c.want || got.Disabled || got.Facts.Attested {
				t.Errorf("%s: %+v", name, got)
			}
		}
		// By policy: where only Macs' passkeys are let in, it is, and a claim is not.
		good, claim := asPasskey(t, k, policy.PlatformAAGUID), asPasskey(t, platformtest.New(), policy.PlatformAAGUID)
		h.add(t, h.Ada, good)
		h.add(t, h.Bob, claim)
		h.only(t)
		if err := h.answer(t, h.Flow(t, signin.Flow{}, h.Peer("browser")), good); err != nil {
			t.Errorf("the Mac's: %v", err)
		}
		if err := h.answer(t, h.Flow(t, signin.Flow{}, h.Peer("browser")), claim); !errors.Is(err, idp.Denied) {
			t.Errorf("a claim: %v, want denied", err)
		}
	})
}

// TestSec_PSO02_PasskeyGoesWithItsKey: a passkey that is a Mac's key proves nobody
// when that key is removed or its Mac is gone or off, does so again when it comes
// back, and is no way in meanwhile. One that was only called so stands alone.
func TestSec_PSO02_PasskeyGoesWithItsKey(t *testing.T) {
	inMacHouse(t, func(t *testing.T, h *macHouse) {
		k := platformtest.New()
		mac := h.keep(t, h.Ada, "mac", k)
		d, claim := asPasskey(t, k, policy.PlatformAAGUID), asPasskey(t, platformtest.New(), policy.PlatformAAGUID)
		id := h.add(t, h.Ada, d).ID
		h.add(t, h.Bob, claim)
		signIn := func(d *passkeytest.Authenticator) string {
			t.Helper()
			return reasonOf(h.answer(t, h.Flow(t, signin.Flow{}, h.Peer("browser")), d))
		}
		stands := func(when string, want bool) {
			t.Helper()
			reason := ""
			if !want {
				reason = "credential_disabled"
			}
			if got := signIn(d); got != reason {
				t.Errorf("%s: sign-in %q, want %q", when, got, reason)
			}
			c := h.passkey(t, h.Ada, id)
			if c.Usable() != want || c.Facts.PlatformKey != want || (c.Needs == mac) != want {
				t.Errorf("%s: listed %+v", when, c)
			}
			n, held := 0, false
			h.Write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
				if n, err = h.room.Count(ctx, tx, h.Tenant.ID, h.Ada.ID); err != nil {
					return err
				}
				_, held, err = h.room.Held(ctx, tx, h.Tenant.ID, h.Ada.ID, id)
				return err
			})
			if (n == 1) != want || held != want {
				t.Errorf("%s: %d ways in, held %t", when, n, held)
			}
			if got := signIn(claim); got != "" {
				t.Errorf("%s: a claim: %q", when, got)
			}
		}
		write := func(fn func(context.Context, *sqldb.Tx) error) { t.Helper(); h.Write(t, fn) }
		stands("at first", true)
		h.set("mac", &platform.Machine{Name: "MacBook"})
		stands("Mac off", false)
		h.set("mac", &platform.Machine{Name: "MacBook", Enabled: true})
		stands("Mac on", true)
		write(func(ctx context.Context, tx *sqldb.Tx) error {
			return h.macs.Remove(ctx, tx, h.Tenant.ID, h.Ada.ID, mac)
		})
		stands("key removed", false)
		write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.macs.Restore(ctx, tx, h.Tenant.ID, h.Ada.ID, mac)
			return err
		})
		stands("key restored", true)
		h.set("mac", nil)
		write(func(ctx context.Context, tx *sqldb.Tx) error {
			return h.macs.OnDeviceRemoved(ctx, tx, h.Tenant.ID, "mac")
		})
		stands("Mac gone", false)
		h.Advance(platform.Kept)
		if err := h.macs.Sweep(t.Context(), h.Now()); err != nil {
			t.Fatal(err)
		}
		stands("key deleted", false) // not a mere claim since then
		// The Mac is registered anew, with the same key.
		h.set("mac", &platform.Machine{Name: "MacBook", Enabled: true})
		mac = h.keep(t, h.Ada, "mac", k)
		stands("registered anew", true)
		h.keep(t, h.Ada, "mac", platformtest.New())
		stands("another key in its place", false)
	})
}

// TestSec_PSO02_PasskeyGoesMeanwhile: what was there when an answer was verified
// must still be when it settles.
func TestSec_PSO02_PasskeyGoesMeanwhile(t *testing.T) {
	inMacHouse(t, func(t *testing.T, h *macHouse) {
		k := platformtest.New()
		mac := h.keep(t, h.Ada, "mac", k)
		d := asPasskey(t, k, policy.PlatformAAGUID)
		reg := h.register(t, h.Ada, d)
		h.add(t, h.Ada, d)
		c, err := h.room.Challenge(t.Context(), method.Request{Tenant: h.Tenant.ID, Now: h.Now()})
		if err != nil {
			t.Fatal(err)
		}
		v, err := h.room.Verify(t.Context(), method.Answer{Tenant: h.Tenant.ID, Keep: c.Keep, Payload: getter(d)(t, c.Show), Now: h.Now()})
		if err != nil || !v.Proof.Facts.PlatformKey {
			t.Fatalf("%+v, %v", v, err)
		}
		for name, settle := range map[string]method.Settle{"sign-in": v.Settle, "registration": reg.Settle} {
			err := h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				if err := h.macs.Remove(ctx, tx, h.Tenant.ID, h.Ada.ID, mac); err != nil {
					return err
				}
				return settle(ctx, tx)
			})
			if reasonOf(err) != "credential_gone" {
				t.Errorf("%s: %v, want credential_gone", name, err)
			}
		}
		// Not by a phone either.
		h.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return h.macs.Remove(ctx, tx, h.Tenant.ID, h.Ada.ID, mac)
		})
		challenge := []byte("a challenge of another room, 32 b")
		show, err := h.room.Assertion(t.Context(), h.Tenant.ID, h.Ada.ID, "", challenge)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.room.VerifyAssertion(t.Context(), h.Tenant.ID, h.Ada.ID, "", challenge, getter(d)(t, show), time.Now()); reasonOf(err) != "credential_disabled" {
			t.Errorf("over another room's challenge: %v", err)
		}
	})
}

// TestSec_WAN12_OneKeyInTwoGuises: a Mac's key and the passkey that it is are not
// two ways in, of which one stays.
func TestSec_WAN12_OneKeyInTwoGuises(t *testing.T) {
	inMacHouse(t, func(t *testing.T, h *macHouse) {
		k := platformtest.New()
		mac := h.keep(t, h.Ada, "mac", k)
		h.add(t, h.Ada, asPasskey(t, k, policy.PlatformAAGUID))
		s := h.Session(t, h.Ada)
		if err := h.Corridor.Remove(t.Context(), s, platform.ID, mac, h.Peer("browser")); reasonOf(err) != "last_method" {
			t.Errorf("the key behind both: %v, want last_method", err)
		}
		stranded, err := h.Corridor.Stranded(t.Context(), h.Tenant.ID, []method.Credential{h.passkey(t, h.Ada, mac)})
		if err != nil || len(stranded) != 1 {
			t.Errorf("without it stranded: %v, %v", stranded, err)
		}
		h.keep(t, h.Ada, "other", platformtest.New())
		if err := h.Corridor.Remove(t.Context(), s, platform.ID, mac, h.Peer("browser")); err != nil {
			t.Errorf("with another way in: %v", err)
		}
	})
}
