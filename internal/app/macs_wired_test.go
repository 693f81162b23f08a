package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// macDesk is a Mac in the house, with what one person has on it.
type macDesk struct {
	s       *site
	t       *testing.T
	u       idp.User
	mac     mac.Mac
	key     idp.CredentialID
	unlock  mac.Provisioned
	refresh string
}

func (d *macDesk) write(fn func(context.Context, *sqldb.Tx) error) {
	d.t.Helper()
	if err := d.s.DB.Write(d.t.Context(), fn); err != nil {
		d.t.Fatal(err)
	}
}

func macRegistration(t *testing.T, of idp.TenantID) mac.Registration {
	return mac.Registration{
		Tenant: of, Source: mac.ByPerson, Serial: "C02A",
		Signing: mac.NewKey{Public: &curveKey(t).PublicKey}, Encryption: mac.NewKey{Public: &curveKey(t).PublicKey},
	}
}

// newMacDesk joins a Mac.
func newMacDesk(t *testing.T, s *site, u idp.User) *macDesk {
	t.Helper()
	d := &macDesk{s: s, t: t, u: u}
	q := macRegistration(t, u.Tenant)
	c := device.Candidate{
		Tenant: u.Tenant, Name: "mac", OS: mac.OS, Join: device.Joined, Owner: u.ID, Assurance: device.Unattested,
		Key: q.Signing.Public, Transport: q.Encryption.Public, Quota: 9,
	}
	made, _, err := s.Devices.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	q.Device = made.ID
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.Devices.Add(ctx, tx, made, c); err != nil {
			return err
		}
		d.mac, err = s.Macs.Add(ctx, tx, q)
		return err
	})
	return d
}

// settle gives the person a key on the Mac, a login by it, and what unlocks it.
func (d *macDesk) settle() {
	d.t.Helper()
	s, t := d.s, d.t
	value := must(s.Box.Seal(t.Context(), d.u.Tenant, nonce.ServerNonce, time.Minute, nil))
	sealed := must(s.Box.Open(t.Context(), d.u.Tenant, nonce.ServerNonce, value))
	k := platformtest.New()
	e := platform.Expected{Audience: "https://here/user", Nonce: value, Device: d.mac.Keys[0].ID}
	c, err := s.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{
			Tenant: d.u.Tenant, Method: platform.ID, Nonce: e.Keep(), Nonces: []nonce.Sealed{sealed}, Payload: k.Offer(e, time.Now()).Payload(), User: d.u, Device: d.mac.Device,
		},
		ProofTime: time.Now(), Within: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	d.key = c.ID
	i, err := s.PRTs.Prepare(t.Context(), prt.PRT{
		Tenant: d.u.Tenant, User: d.u.ID, Device: d.mac.Device, Protocol: prt.Mac,
		Proofs: []idp.Proof{{Tenant: d.u.Tenant, User: d.u.ID, Method: platform.ID, Credential: d.key, Device: d.mac.Device, Time: time.Now()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := s.Macs.Unlock.Prepare(t.Context(), d.holder())
	if err != nil {
		t.Fatal(err)
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		in, err := s.PRTs.Login(ctx, tx, i)
		if err != nil {
			return err
		}
		d.refresh = in.Value
		d.unlock, _, err = s.Macs.Unlock.Provision(ctx, tx, prepared)
		return err
	})
	if !d.stands() || !d.unlocks() {
		t.Fatal("what was just given is not good")
	}
}

func (d *macDesk) holder() mac.Holder {
	return mac.Holder{Tenant: d.u.Tenant, Device: d.mac.Device, User: d.u.ID, Purpose: mac.UserUnlock}
}

// stands says whether the refresh token is good.
func (d *macDesk) stands() bool {
	_, err := d.s.PRTs.Find(d.t.Context(), d.u.Tenant, d.refresh)
	return err == nil
}

// unlocks says whether the unlock key is there.
func (d *macDesk) unlocks() bool {
	d.t.Helper()
	_, err := d.s.Macs.Unlock.Exchange(d.t.Context(), d.holder(), d.unlock.Context, pssowire.Point(&curveKey(d.t).PublicKey))
	return err == nil
}

// TestSec_DEV07_WhatEndsOnMacs: what a person has on a Mac ends with their key
// there, with the Mac, with its keys, and with them; what is switched off rests.
func TestSec_DEV07_WhatEndsOnMacs(t *testing.T) {
	s := newSite(t, nil)
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	for name, value := range map[string]string{"devices.on": "true", "method.platform": "true"} {
		if _, err := a.Do(t.Context(), "policy.set", map[string]any{"name": name, "value": value}, nil); err != nil {
			t.Fatal(err)
		}
	}
	u := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), s.made.Users[1].UserName))
	d := newMacDesk(t, s, u)
	do := func(op string) func() {
		return func() {
			t.Helper()
			if _, err := a.Do(t.Context(), op, map[string]any{"device": string(d.mac.Device)}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		name    string
		end     func()
		unlocks bool // afterwards
	}{
		{"its key is removed", func() {
			if err := s.Corridor.RemoveFor(t.Context(), u.Tenant, u.ID, platform.ID, d.key, "cli:test", signin.Peer{}); err != nil {
				t.Fatal(err)
			}
		}, false},
		// The key itself needs the Mac to be on: that is asked at each exchange.
		{"the Mac is switched off", do("device.disable"), true},
		{"the Mac is switched on again", do("device.enable"), true},
		{"its keys are replaced", func() {
			q := macRegistration(t, u.Tenant)
			q.Device = d.mac.Device
			d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
				d.mac, err = s.Macs.Replace(ctx, tx, q)
				return err
			})
		}, false},
		{"the Mac is removed", do("device.remove"), false},
	} {
		if step.name != "the Mac is switched on again" {
			d.settle()
		}
		step.end()
		if d.stands() {
			t.Errorf("%s: the refresh token is good", step.name)
		}
		if d.unlocks() != step.unlocks {
			t.Errorf("%s: the unlock key is there: %v", step.name, !step.unlocks)
		}
	}
	d = newMacDesk(t, s, u)
	d.settle()
	var value string
	d.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		_, value, err = s.Macs.Tokens.Issue(ctx, tx, mac.TokenRequest{Tenant: u.Tenant, By: u.ID})
		return err
	})
	d.write(func(ctx context.Context, tx *sqldb.Tx) error { return s.Directory.DeleteUser(ctx, tx, u.Tenant, u.ID) })
	if d.stands() || d.unlocks() {
		t.Error("the person is deleted, and what they had is good")
	}
	if _, err := s.Macs.Tokens.Find(t.Context(), u.Tenant, value, ""); reasonOf(err) != "token_unknown" {
		t.Errorf("their registration token: %v", err)
	}
	for _, table := range []string{"mac", "mac_key", "mac_unlock", "mac_token"} {
		var n int64
		if err := s.DB.QueryRow(t.Context(), `select count(*) from `+table+` where tenant_id = $1`, u.Tenant).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows in %s, %v", n, table, err)
		}
	}
}
