package userkey_test

import (
	"context"
	"crypto"
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/userkey"
)

// What the store does with rows its two rooms try, on both databases: see the
// tests of method/hello and method/platform. These are of what needs none.

func config() userkey.Config[string] {
	return userkey.Config[string]{
		DB: &sqldb.DB{}, Now: time.Now, Room: "x", Noun: "key", Keys: "x_key", Holders: "x_holder",
		Limit:      func(context.Context, idp.TenantID) (int, error) { return 1000, nil },
		Show:       func(userkey.Key, userkey.Machine, bool) string { return "" },
		Clean:      func(s string, _ int) string { return s },
		UserByName: func(context.Context, idp.TenantID, string) (idp.User, error) { return idp.User{}, nil },
		User:       func(context.Context, idp.TenantID, idp.UserID) (idp.User, error) { return idp.User{}, nil },
		Fold:       func(s string) string { return s },
		Device: func(context.Context, *sqldb.Tx, idp.TenantID, idp.DeviceID) (userkey.Machine, error) {
			return userkey.Machine{}, nil
		},
	}
}

// TestNew: a store is not made without what it needs.
func TestNew(t *testing.T) {
	if _, err := userkey.New(config()); err != nil {
		t.Fatal(err)
	}
	for name, drop := range map[string]func(*userkey.Config[string]){
		"database": func(c *userkey.Config[string]) { c.DB = nil }, "clock": func(c *userkey.Config[string]) { c.Now = nil },
		"word": func(c *userkey.Config[string]) { c.Room = "" }, "noun": func(c *userkey.Config[string]) { c.Noun = "" },
		"table of keys": func(c *userkey.Config[string]) { c.Keys = "" }, "table of holders": func(c *userkey.Config[string]) { c.Holders = "" },
		"limit": func(c *userkey.Config[string]) { c.Limit = nil }, "show": func(c *userkey.Config[string]) { c.Show = nil },
		"names": func(c *userkey.Config[string]) { c.Clean = nil }, "people by name": func(c *userkey.Config[string]) { c.UserByName = nil },
		"people": func(c *userkey.Config[string]) { c.User = nil }, "folding": func(c *userkey.Config[string]) { c.Fold = nil },
		"devices": func(c *userkey.Config[string]) { c.Device = nil },
		"half of the claims": func(c *userkey.Config[string]) {
			c.Release = func(context.Context, *sqldb.Tx, idp.TenantID, crypto.PublicKey) error { return nil }
		},
	} {
		c := config()
		drop(&c)
		if _, err := userkey.New(c); err == nil {
			t.Errorf("made without %s", name)
		}
	}
}

// TestLimit: no tenant's rule goes beyond the most that there may be (security.md
// DEV12).
func TestLimit(t *testing.T) {
	s, err := userkey.New(config())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.Limit(t.Context(), "t"); err != nil || n != userkey.MaxKeys {
		t.Errorf("limit %d, %v", n, err)
	}
}

// TestStands: a device that is off or gone does nothing; one that waits for its
// first key registers it, and signs nobody in.
func TestStands(t *testing.T) {
	for name, c := range map[string]struct {
		d                userkey.Machine
		gone             bool
		stands, register string
	}{
		"on":      {userkey.Machine{Enabled: true}, false, "", ""},
		"off":     {userkey.Machine{}, false, "device_disabled", "device_disabled"},
		"waiting": {userkey.Machine{Pending: true}, false, "device_disabled", ""},
		"gone":    {userkey.Machine{}, true, "device_missing", "device_missing"},
	} {
		reason := func(err error) string {
			if err == nil {
				return ""
			}
			if !errors.Is(err, idp.Denied) {
				t.Errorf("%s: %v, want denied", name, err)
			}
			return idp.AsError(err).Reason
		}
		if got := reason(userkey.Stands(c.d, c.gone, "d")); got != c.stands {
			t.Errorf("%s: stands %q, want %q", name, got, c.stands)
		}
		if got := reason(userkey.MayRegister(c.d, c.gone, "d")); got != c.register {
			t.Errorf("%s: registers %q, want %q", name, got, c.register)
		}
	}
}
