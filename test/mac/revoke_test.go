package mac

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/macagent"
)

// event is a line of the audit.
type event struct {
	Category, Activity, Outcome, Reason, Actor, User string
}

// What is taken away takes effect at the next login, refresh and key exchange,
// and is on record (apple-platform-sso.md §18.7). 400 is of the device, 401 of
// the person (§7.6).
func TestRevocation(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	for name, c := range map[string]struct {
		take     func(t *testing.T, o *owner, m *macagent.Mac, d macagent.Device)
		activity string // on record of what was taken
		login    int
		reason   string // on record of the login
	}{
		"the person is disabled": {func(t *testing.T, o *owner, _ *macagent.Mac, _ macagent.Device) {
			o.site.admin(nil, "user", "disable", o.upn)
		}, "user.disable", http.StatusUnauthorized, "user_disabled"},
		"the device is disabled": {func(t *testing.T, o *owner, _ *macagent.Mac, d macagent.Device) {
			o.site.admin(nil, "device", "disable", d.ID)
		}, "device.disable", http.StatusBadRequest, "device_disabled"},
		"the device is removed": {func(t *testing.T, o *owner, _ *macagent.Mac, d macagent.Device) {
			o.site.admin(nil, "device", "remove", d.ID)
		}, "device.remove", http.StatusBadRequest, "device_unknown"},
		"the key is removed by an administrator": {func(t *testing.T, o *owner, m *macagent.Mac, _ macagent.Device) {
			o.removeKey(t)
		}, "platform.remove", http.StatusUnauthorized, "key_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.in(t)
			o := s.somebody()
			m, d := o.enrolled(t, macagent.Form{})
			login(t, m)
			if _, err := m.RequestKey(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.take(t, o, m, d)
			if _, err := m.Login(t.Context(), macagent.LoginOptions{}); macagent.AsRefusal(err).Status != c.login {
				t.Errorf("login: %v, want %d", err, c.login)
			}
			for what, do := range map[string]func() error{
				"refresh":      func() error { _, err := m.Refresh(t.Context()); return err },
				"key request":  func() error { _, err := m.RequestKey(t.Context()); return err },
				"key exchange": func() error { _, err := m.ExchangeKeys(t.Context(), 1); return err },
			} {
				err := do()
				if said := macagent.AsRefusal(err); said.Status != 400 && said.Status != 401 || !said.JSON {
					t.Errorf("%s: %v", what, err)
				}
			}
			v, err := m.Open(t.Context(), s.base+"/"+s.tenant+"/oauth2/v2.0/authorize?client_id=x&response_type=code&scope=openid&redirect_uri=http://127.0.0.1/")
			if err == nil && len(v.Claims) > 0 {
				t.Errorf("single sign-on: %+v", v)
			}
			s.onRecord(t, c.activity, "success", "")
			s.onRecord(t, "", "failure", c.reason)
		})
	}
}

// onRecord fails the test unless the audit has an activity (any, without one)
// with this outcome and reason.
func (s *site) onRecord(t *testing.T, activity, outcome, reason string) {
	t.Helper()
	var all []event
	s.admin(&all, "audit", "--limit", "40")
	if !slices.ContainsFunc(all, func(e event) bool {
		return (activity == "" || e.Activity == activity) && e.Outcome == outcome && (reason == "" || e.Reason == reason)
	}) {
		t.Errorf("%s (%s %s) is not on record: %+v", activity, outcome, reason, all)
	}
}

// A Mac says itself that its person's key is gone, and that it goes.
func TestRemovalByTheMac(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	o := s.somebody()
	folder := t.TempDir() + "/mac"
	m := s.blankIn(t, folder, macagent.Form{}, nil)
	d := o.register(t, m)
	login(t, m)
	n, err := m.Nonce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	late, err := m.PrepareLogin(n, macagent.LoginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RemoveUser(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Send(t.Context(), late); !errors.Is(err, idp.Unproven) {
		t.Errorf("a login by a removed key: %v", err)
	}
	if id, err := m.Remove(t.Context(), false); err != nil || id != d.ID {
		t.Fatalf("%s, %v", id, err)
	}
	var all []struct{ ID string }
	if s.admin(&all, "device", "list"); len(all) != 0 {
		t.Errorf("left: %+v", all)
	}
}

// Other keys: both good until a login has shown the new ones, then those alone.
func TestRotation(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	for name, r := range map[string]macagent.RotateOptions{
		"signing": {Signing: true}, "encryption": {Encryption: true}, "both": {Signing: true, Encryption: true},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.in(t).somebody()
			m, _ := o.enrolled(t, macagent.Form{})
			login(t, m)
			old := [3]*macagent.Request{}
			for i := range old {
				n, err := m.Nonce(t.Context())
				if err == nil {
					old[i], err = m.PrepareLogin(n, macagent.LoginOptions{})
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			d, err := m.Rotate(t.Context(), r)
			if err != nil || d.Rotates.Before(time.Now().Add(23*time.Hour)) {
				t.Fatalf("%+v, %v", d, err)
			}
			if _, err := m.Send(t.Context(), old[0]); err != nil {
				t.Errorf("by the keys before, while both are good: %v", err)
			}
			login(t, m)
			if _, err := m.Send(t.Context(), old[1]); macagent.AsRefusal(err).Status != http.StatusBadRequest {
				t.Errorf("by the keys before, after a login by the new ones: %v", err)
			}
			login(t, m)
			if _, err := m.RotateUserKey(t.Context()); err != nil {
				t.Fatal(err)
			}
			login(t, m)
		})
	}
}

// Repair: what was registered is registered again, with other keys and by the
// same person; the device before stays what it was until somebody removes it.
func TestRegisteredAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	o := s.somebody()
	one, d1 := o.enrolled(t, macagent.Form{})
	login(t, one)
	two, d2 := o.enrolled(t, macagent.Form{})
	login(t, two)
	if d1.ID == d2.ID {
		t.Errorf("one device for two sets of keys: %s", d1.ID)
	}
	login(t, one)
}
