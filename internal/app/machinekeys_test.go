package app

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// shelf is a room of keys that machines keep, in the order of owners and ids.
type shelf struct {
	keys []method.Credential
	err  error // after them
}

func (s shelf) List(_ context.Context, _ idp.TenantID, u idp.UserID) (out []method.Credential, err error) {
	for _, k := range s.keys {
		if k.User == u {
			out = append(out, k)
		}
	}
	return out, s.err
}

func (s shelf) OnDevice(_ context.Context, _ idp.TenantID, d idp.DeviceID) (out []method.Credential, err error) {
	for _, k := range s.keys {
		if k.Facts.Device == d {
			out = append(out, k)
		}
	}
	return out, s.err
}

func (s shelf) Walk(_ context.Context, _ idp.TenantID, fn func(method.Credential) error) error {
	for _, k := range s.keys {
		if err := fn(k); err != nil {
			return err
		}
	}
	return s.err
}

func shelved(names ...string) (out []method.Credential) {
	for _, n := range names {
		out = append(out, method.Credential{User: idp.UserID(n[:1]), ID: idp.CredentialID(n[1:]), Facts: idp.Facts{Device: "mac"}})
	}
	return out
}

// Keys of both kinds are walked over in one order, and none is left out or comes
// twice; an error ends it, on whichever side.
func TestKeyRooms(t *testing.T) {
	both := keyRooms{shelf{keys: shelved("a1", "a4", "c1")}, shelf{keys: shelved("a2", "b1", "c0", "d9")}}
	var got []string
	see := func(k method.Credential) error { got = append(got, string(k.User)+string(k.ID)); return nil }
	if err := both.Walk(t.Context(), "t", see); err != nil || !slices.Equal(got, []string{"a1", "a2", "a4", "b1", "c0", "c1", "d9"}) {
		t.Errorf("walked over %v, %v", got, err)
	}
	got = nil
	if err := (keyRooms{shelf{}, shelf{keys: shelved("a1")}}).Walk(t.Context(), "t", see); err != nil || !slices.Equal(got, []string{"a1"}) {
		t.Errorf("with an empty room %v, %v", got, err)
	}
	stop := errors.New("stop")
	if err := both.Walk(t.Context(), "t", func(method.Credential) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("stopped: %v", err)
	}
	for _, broken := range []keyRooms{{shelf{err: stop}, both[1]}, {both[0], shelf{keys: shelved("b1"), err: stop}}} {
		if err := broken.Walk(t.Context(), "t", see); !errors.Is(err, stop) {
			t.Errorf("walk over a room that fails: %v", err)
		}
		if _, err := broken.List(t.Context(), "t", "a"); !errors.Is(err, stop) {
			t.Errorf("list of a room that fails: %v", err)
		}
		if _, err := broken.OnDevice(t.Context(), "t", "mac"); !errors.Is(err, stop) {
			t.Errorf("device in a room that fails: %v", err)
		}
	}
	if list, err := both.List(t.Context(), "t", "a"); err != nil || len(list) != 3 {
		t.Errorf("of a: %v, %v", list, err)
	}
	if list, err := both.OnDevice(t.Context(), "t", "mac"); err != nil || len(list) != 7 {
		t.Errorf("on the Mac: %v, %v", list, err)
	}
}
