package phone_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// A phone approves with a passkey, which its person sees among their passkeys
// and can take away: then the phone is no way in any more.

// pairs are the phones of a person, each with its passkey.
func (w *house) pairs(t testing.TB, u idp.User) (phones []method.Credential) {
	t.Helper()
	all, err := w.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Method == phone.ID {
			phones = append(phones, c)
		}
	}
	return phones
}

func (w *house) drop(t testing.TB, u idp.User, m idp.MethodID, id idp.CredentialID) error {
	t.Helper()
	return w.Corridor.Remove(t.Context(), w.Session(t, u), m, id, w.peer)
}

func (w *house) clean(t testing.TB, u idp.User, m idp.MethodID, id idp.CredentialID) error {
	t.Helper()
	errs, err := w.Corridor.Clean(t.Context(), u.Tenant, []signin.Named{{User: u.ID, Method: m, Credential: id}}, signin.Cleaning{Actor: "cli:test", Peer: w.peer})
	if err != nil {
		t.Fatal(err)
	}
	return errs[0]
}

// TestSec_T48_PhoneGoesWithItsPasskey: both ways to remove see that a phone
// whose passkey goes is a way in no more.
func TestSec_T48_PhoneGoesWithItsPasskey(t *testing.T) {
	type remove func(testing.TB, idp.User, idp.MethodID, idp.CredentialID) error
	for name, by := range map[string]func(*house) remove{
		"remove": func(w *house) remove { return w.drop },
		"clean":  func(w *house) remove { return w.clean },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *house) {
				drop := by(w)
				w.enrol(t, w.Ada)
				first := w.pairs(t, w.Ada)[0]
				if err := drop(t, w.Ada, passkey.ID, first.Needs); reasonOf(err) != "last_method" {
					t.Errorf("the passkey of the only phone: %v, want last_method", err)
				}
				if !w.pairs(t, w.Ada)[0].Usable() {
					t.Error("what was refused is gone all the same")
				}
				// Where passkeys are off the phone alone is a way in, and its
				// passkey, refused as such, is what it stands on.
				w.Switch(t, w.Tenant.ID, passkey.ID, false)
				if err := drop(t, w.Ada, passkey.ID, first.Needs); reasonOf(err) != "last_method" {
					t.Errorf("where passkeys are off: %v, want last_method", err)
				}
				w.Switch(t, w.Tenant.ID, passkey.ID, true)
				// Where phones are off they are nothing to lose, and nothing left.
				w.Advance(time.Second)
				w.enrol(t, w.Ada)
				w.Switch(t, w.Tenant.ID, phone.ID, false)
				if err := drop(t, w.Ada, passkey.ID, first.Needs); err != nil {
					t.Errorf("one of two passkeys, where phones are off: %v", err)
				}
				left := w.pairs(t, w.Ada)
				if len(left) != 2 || !left[0].Disabled || left[1].Disabled {
					t.Fatalf("phones %+v", left)
				}
				if err := drop(t, w.Ada, passkey.ID, left[1].Needs); reasonOf(err) != "last_method" {
					t.Errorf("the last passkey, where phones are off: %v, want last_method", err)
				}
				w.Switch(t, w.Tenant.ID, phone.ID, true)
				// What is no way in may always go.
				if err := drop(t, w.Ada, phone.ID, left[0].ID); err != nil {
					t.Errorf("a phone without its passkey: %v", err)
				}
				if err := drop(t, w.Ada, phone.ID, left[1].ID); err != nil {
					t.Errorf("a phone whose passkey stays: %v", err)
				}
			})
		})
	}
}

// TestSec_T48_PhoneAndPasskeyRace: who takes the two pairs of a person apart,
// many at once, leaves one way in.
func TestSec_T48_PhoneAndPasskeyRace(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		w.enrol(t, w.Ada)
		w.enrol(t, w.Ada)
		s := w.Session(t, w.Ada)
		start := make(chan struct{})
		var wg sync.WaitGroup
		for _, p := range w.pairs(t, w.Ada) {
			for _, one := range []signin.Named{{Method: passkey.ID, Credential: p.Needs}, {Method: phone.ID, Credential: p.ID}} {
				wg.Go(func() {
					<-start
					err := w.Corridor.Remove(t.Context(), s, one.Method, one.Credential, w.peer)
					if err != nil && reasonOf(err) != "last_method" {
						t.Errorf("remove %s: %v", one.Method, err)
					}
				})
			}
		}
		close(start)
		wg.Wait()
		all, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil {
			t.Fatal(err)
		}
		usable := 0
		for _, c := range all {
			if c.Usable() {
				usable++
			}
		}
		if usable == 0 {
			t.Errorf("no way in is left: %+v", all)
		}
	})
}

// TestSec_POL07_LastAdministratorsPhone: an administrator's phone counts, and so
// does what it stands on.
func TestSec_POL07_LastAdministratorsPhone(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		w.enrol(t, w.Ada)
		w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.Ada.ID, directory.Administrator)
		})
		p := w.pairs(t, w.Ada)[0]
		remove := func(m idp.MethodID, id idp.CredentialID) error {
			return w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, m, id, "cli:test", w.peer)
		}
		if err := remove(passkey.ID, p.Needs); reasonOf(err) != "locks_out_administrators" {
			t.Errorf("the passkey of the last administrator's phone: %v", err)
		}
		w.Switch(t, w.Tenant.ID, passkey.ID, false)
		for _, c := range []signin.Named{{Method: passkey.ID, Credential: p.Needs}, {Method: phone.ID, Credential: p.ID}} {
			if err := remove(c.Method, c.Credential); reasonOf(err) != "locks_out_administrators" {
				t.Errorf("where passkeys are off, the %s: %v", c.Method, err)
			}
		}
		// Nor may a policy do it.
		old, err := w.Policies.Get(t.Context(), w.Tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		next := old.Clone()
		next.Switch(policy.Phone, false)
		if err := w.Corridor.CheckSave(t.Context(), w.Tenant.ID, old, next, ""); !errors.Is(err, idp.Denied) {
			t.Errorf("a policy without phones: %v", err)
		}
		next.Switch(policy.Passkey, true)
		if err := w.Corridor.CheckSave(t.Context(), w.Tenant.ID, old, next, ""); err != nil {
			t.Errorf("a policy with passkeys instead: %v", err)
		}
	})
}
