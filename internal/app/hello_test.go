package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// machine is a device of somebody in a house, without a client.
type machine struct {
	device.Device
	key *ecdsa.PrivateKey
}

func curveKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

func (s *site) joins(t *testing.T, u idp.User, key *ecdsa.PrivateKey) (machine, error) {
	t.Helper()
	c := device.Candidate{Tenant: u.Tenant, Name: "ws", OS: "Linux", Join: device.Joined, Owner: u.ID, Assurance: device.Unattested, Key: &key.PublicKey, Quota: 9}
	d, _, err := s.Devices.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return machine{d, key}, s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return s.Devices.Add(ctx, tx, d, c) })
}

func (s *site) enrols(t *testing.T, u idp.User, d machine, public []byte) (idp.CredentialID, error) {
	t.Helper()
	c, err := s.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{Tenant: u.Tenant, Method: hello.ID, Payload: public, User: u, Device: d.ID},
		ProofTime:   time.Now(), Within: time.Minute, ByToken: true,
	})
	return c.ID, err
}

func (s *site) provesBy(t *testing.T, u idp.User, d machine, k *hellotest.Key) error {
	t.Helper()
	value := must(s.Box.Seal(t.Context(), u.Tenant, nonce.ServerNonce, time.Minute, nil))
	sealed := must(s.Box.Open(t.Context(), u.Tenant, nonce.ServerNonce, value))
	_, _, err := s.Corridor.Once(t.Context(), signin.OnceRequest{
		Tenant: u.Tenant, Method: hello.ID, Nonce: []byte(value), Nonces: []nonce.Sealed{sealed},
		Payload: k.Assertion(u.Name, value, time.Now()), Device: d.ID,
	})
	return err
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// A key on a device is good as long as the device is there and switched on, and
// no key is registered twice, on whichever side (security.md DEV03, DEV07).
func TestSec_DEV07_HelloKeysOfDevices(t *testing.T) {
	s := newSite(t, nil)
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	do := func(op string, in map[string]any) error {
		t.Helper()
		_, err := a.Do(t.Context(), op, in, nil)
		return err
	}
	if err := do("policy.set", map[string]any{"name": "method.hello", "value": "true"}); err != nil {
		t.Fatal(err)
	}
	u := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), s.made.Users[1].UserName))
	d := must(s.joins(t, u, curveKey(t)))
	if _, err := s.enrols(t, u, d, must(x509.MarshalPKIXPublicKey(&d.key.PublicKey))); reasonOf(err) != "key_registered" {
		t.Errorf("the device's own key as the user's: %v", err)
	}
	userKey := curveKey(t)
	if _, err := s.enrols(t, u, d, must(x509.MarshalPKIXPublicKey(&userKey.PublicKey))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.joins(t, u, userKey); reasonOf(err) != "key_registered" {
		t.Errorf("a user's key as a device's: %v", err)
	}
	k := hellotest.EC()
	id, err := s.enrols(t, u, d, k.Public())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.provesBy(t, u, d, k); err != nil {
		t.Fatalf("the key that took its place: %v", err)
	}
	for _, step := range []struct{ op, want string }{
		{"device.disable", "device_disabled"}, {"device.enable", ""}, {"device.remove", "device_missing"},
	} {
		if err := do(step.op, map[string]any{"device": string(d.ID)}); err != nil {
			t.Fatalf("%s: %v", step.op, err)
		}
		if err := s.provesBy(t, u, d, k); reasonOf(err) != step.want {
			t.Errorf("after %s: %v, want %q", step.op, err, step.want)
		}
	}
	all := must(s.Hello.List(t.Context(), u.Tenant, u.ID))
	if len(all) != 1 || all[0].ID != id || !all[0].Orphaned {
		t.Errorf("held %+v, want one orphan", all)
	}
	if err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return s.Directory.DeleteUser(ctx, tx, u.Tenant, u.ID) }); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.DB.QueryRow(t.Context(), `select count(*) from hello_key where tenant_id = $1`, u.Tenant).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d keys of somebody who is gone, %v", n, err)
	}
}

// The device that keeps the only way in of all administrators stays, switched
// on (security.md POL07).
func TestSec_POL07_DeviceOfTheLastAdministrator(t *testing.T) {
	s := newSite(t, nil)
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	if _, err := a.Do(t.Context(), "policy.set", map[string]any{"name": "method.hello", "value": "true"}, nil); err != nil {
		t.Fatal(err)
	}
	var admin idp.User
	for _, p := range must(s.Directory.WithRole(t.Context(), idp.TenantID(s.made.TenantID))) {
		if p.Role == "administrator" {
			admin = p.User
		}
	}
	d := must(s.joins(t, admin, curveKey(t)))
	k := hellotest.EC()
	if _, err := s.enrols(t, admin, d, k.Public()); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{"device.disable", "device.remove"} {
		if _, err := a.Do(t.Context(), op, map[string]any{"device": string(d.ID)}, nil); !errors.Is(err, idp.Denied) || !strings.Contains(idp.AsError(err).Public, "No administrator") {
			t.Errorf("%s: %v, want it refused", op, err)
		}
	}
	if err := s.provesBy(t, admin, d, k); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestSec_DEV07_NothingRevives: what belongs to a device that is switched off
// stays over when it is switched on again: also a session and a refresh token that
// came by the device alone, without a PRT (decisions 4.8).
func TestSec_DEV07_NothingRevives(t *testing.T) {
	s := newSite(t, nil)
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	u := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), s.made.Users[1].UserName))
	d, other := must(s.joins(t, u, curveKey(t))), must(s.joins(t, u, curveKey(t)))
	type held struct {
		session idp.SessionID
		refresh string
	}
	of := make(map[idp.DeviceID]held)
	for n, id := range []idp.DeviceID{d.ID, other.ID} {
		var h held
		var family idp.FamilyID
		err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			one, _, err := s.Sessions.Open(ctx, tx, session.Session{Tenant: u.Tenant, User: u.ID, Device: id,
				Proofs: []idp.Proof{{Tenant: u.Tenant, User: u.ID, Method: "passkey", Credential: "k", Time: time.Now()}}})
			if err != nil {
				return err
			}
			h.session = one.ID
			family, err = s.Tokens.OpenFamily(ctx, tx, token.Subject{Tenant: u.Tenant, User: u, Session: one.ID, Device: id, Client: broker(u.Tenant)},
				token.CodeID{0x7f, byte(n + 1)})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		h.refresh = must(s.Tokens.FirstRefresh(t.Context(), u.Tenant, family))
		of[id] = h
	}
	alive := func(id idp.DeviceID) (bool, bool) {
		ok := must(s.Sessions.Alive(t.Context(), s.DB, u.Tenant, of[id].session))
		_, err := s.Tokens.Refresh(t.Context(), of[id].refresh, broker(u.Tenant), token.Presenter{})
		return ok, err == nil
	}
	for _, op := range []string{"device.disable", "device.enable"} {
		if _, err := a.Do(t.Context(), op, map[string]any{"device": string(d.ID)}, nil); err != nil {
			t.Fatal(err)
		}
		if one, two := alive(d.ID); one || two {
			t.Errorf("after %s: session %v, refresh token %v", op, one, two)
		}
	}
	if one, two := alive(other.ID); !one || !two {
		t.Errorf("of another device: session %v, refresh token %v", one, two)
	}
}
