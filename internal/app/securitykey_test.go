package app_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/demo"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/securitykey"
	"github.com/signetid/signet/internal/securitykey/securitykeytest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// plugged is a security key with a PIN.
func plugged() securitykeytest.Key {
	return securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "271828", Model: [16]byte{1}}
}

// provision puts a passkey for somebody on the key that is plugged in, by the
// road of signet admin key provision.
func (s *site) provision(t *testing.T, who demo.PersonFact) {
	t.Helper()
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	raw, err := do(t.Context(), "key.beginProvision", map[string]string{"user": who.UserName}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var begun struct {
		Origin    string               `json:"origin"`
		PublicKey securitykey.Creation `json:"publicKey"`
	}
	if err := json.Unmarshal(raw, &begun); err != nil {
		t.Fatal(err)
	}
	key := must(securitykey.Find(t.Context(), ""))
	made, err := securitykey.Make(t.Context(), securitykey.Terminal{PIN: "271828"}, key, begun.Origin, begun.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := do(t.Context(), "key.finishProvision", map[string]any{"user": who.UserName, "publicKeyCredential": made}, nil); err != nil {
		t.Fatal(err)
	}
}

func (d *desk) byKey(t *testing.T, user, pin string) (agent.PRTResult, error) {
	t.Helper()
	return d.SignInByPasskey(t.Context(), agent.PasskeyOptions{
		User: user, Key: must(securitykey.Find(t.Context(), "")), Terminal: securitykey.Terminal{PIN: pin},
	})
}

// TestDesktopBySecurityKey: a passkey on a security key signs somebody in on a
// machine that another person joined, with the PIN of the key and no key on
// the machine; then they have tokens there like anybody.
func TestDesktopBySecurityKey(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { bySecurityKey(t, nil) })
	t.Run("postgres", func(t *testing.T) {
		if address := sqldbtest.NewPostgres(t); address != "" {
			bySecurityKey(t, func(c *app.Config) { c.Database = address })
		}
	})
}

func bySecurityKey(t *testing.T, change func(*app.Config)) {
	s := newSite(t, func(c *app.Config) {
		withTLS(c)
		if change != nil {
			change(c)
		}
	})
	devicesOn(t, s)
	d := newDesk(t, s)
	d.join(t)
	state, _ := securitykeytest.Plug(t, plugged())
	other := s.made.Users[2]
	s.provision(t, other)
	before := state().PINs

	got, err := d.byKey(t, other.UserName, "271828")
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	if got.Method != "passkey" || got.User != other.UserName {
		t.Errorf("signed in %+v", got)
	}
	if n := state().PINs - before; n != 2 {
		t.Errorf("the PIN was asked for %d times: once for the list, once for the signature", n)
	}
	if _, err := d.Token(t.Context(), agent.TokenOptions{User: other.UserName, Resource: "urn:ms-drs:enterpriseregistration.windows.net"}); err != nil {
		t.Errorf("token: %v", err)
	}
	if _, err := d.Renew(t.Context(), other.UserName); err != nil {
		t.Errorf("renew: %v", err)
	}
	var there bool
	for _, p := range must(d.Status(t.Context())).People {
		there = there || p.User == other.UserName && p.PRT && p.Method == "passkey" && !p.NgcSet
	}
	if !there {
		t.Errorf("status %+v", must(d.Status(t.Context())).People)
	}
	// The key is known now, and asked once.
	before = state().PINs
	if _, err := d.byKey(t, other.UserName, "271828"); err != nil || state().PINs-before != 1 {
		t.Errorf("the second time: %d PINs, %v", state().PINs-before, err)
	}
	// The fresh proof makes a key on the device, too.
	if _, err := d.Enrol(t.Context(), agent.EnrolOptions{User: other.UserName, PIN: deskPIN}); err != nil {
		t.Errorf("enrol after a security key: %v", err)
	}
}

// TestSec_DEV_SecurityKeyRefusals: each for its own reason, and afterwards
// nobody new is signed in.
func TestSec_DEV_SecurityKeyRefusals(t *testing.T) {
	s := newSite(t, withTLS)
	devicesOn(t, s)
	d := newDesk(t, s)
	d.join(t)
	state, set := securitykeytest.Plug(t, plugged())
	other := s.made.Users[2]
	s.provision(t, other)
	made := state()
	foreign := plugged() // with a passkey for this site that the server has never seen
	foreign.Passkeys = append(foreign.Passkeys, made.Passkeys[0])
	foreign.Passkeys[0].ID = "AAAA"
	for _, c := range []struct {
		name, user, pin string
		key             func(k *securitykeytest.Key)
		reason, says    string
	}{
		{"a wrong PIN", "", "314159", func(*securitykeytest.Key) {}, "security_key", "that PIN is wrong"},
		{"nothing for this site", "", "271828", func(k *securitykeytest.Key) { k.Passkeys[0].RPID = "elsewhere.example" }, "security_key", "has no passkey for this site"},
		{"nobody touches it", "", "271828", func(k *securitykeytest.Key) { k.Error = "FIDO_ERR_ACTION_TIMEOUT" }, "security_key", "nobody touched the key"},
		{"somebody else's", d.who.UserName, "271828", func(*securitykeytest.Key) {}, "another_person", other.UserName + "'s"},
		{"one that the server does not know", "", "271828", func(k *securitykeytest.Key) { *k = foreign }, "passkey_refused", "does not accept this passkey"},
		{"another's handle", "", "271828", func(k *securitykeytest.Key) { k.Passkeys[0].User = "QUFBQQ==" }, "passkey_refused", "does not accept this passkey"},
		{"presence only", "", "271828", func(k *securitykeytest.Key) { k.NoVerify = true }, "passkey_refused", "does not accept this passkey"},
		{"several", "", "271828", func(k *securitykeytest.Key) { k.Passkeys = append(k.Passkeys, k.Passkeys[0]) }, "which_passkey", "has 2 passkeys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := made
			k.Passkeys = append([]securitykeytest.Passkey(nil), made.Passkeys...)
			c.key(&k)
			set(k)
			_, err := d.byKey(t, c.user, c.pin)
			if e := idp.AsError(err); err == nil || e.Reason != c.reason || !strings.Contains(e.Public, c.says) {
				t.Errorf("got %v (%s: %s), want %s", err, e.Reason, e.Public, c.reason)
			}
			st := must(d.Status(t.Context()))
			for _, p := range st.People {
				if p.User == other.UserName {
					t.Errorf("%+v is on this device", p)
				}
			}
			if st.Last == nil || st.Last.Doing != "sign-in" || st.Last.Reason != c.reason {
				t.Errorf("the last error is %+v", st.Last)
			}
		})
	}
	set(made)
	if _, err := d.byKey(t, other.UserName, "271828"); err != nil {
		t.Fatalf("as it should be: %v", err)
	}
	if _, err := securitykey.Find(t.Context(), "/dev/hidraw1"); err == nil {
		t.Error("a key that is not there was found")
	}
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	if _, err := do(t.Context(), "device.disable", map[string]string{"device": must(d.Status(t.Context())).DeviceID}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.byKey(t, other.UserName, "271828"); !errors.Is(err, idp.Denied) || !agent.Is(err, 135011) {
		t.Errorf("on a device that is disabled: %v", err)
	}
	for _, p := range must(d.Status(t.Context())).People {
		if !p.Online.IsZero() {
			t.Errorf("%s may come in without the server on a device that was turned away", p.User)
		}
	}
}
