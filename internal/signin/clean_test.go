package signin_test

import (
	"context"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

func reasonsOf(errs []error) []string {
	out := make([]string, len(errs))
	for i, err := range errs {
		out[i] = reasonOf(err)
	}
	return out
}

func named(u idp.User, m idp.MethodID, id idp.CredentialID) signin.Named {
	return signin.Named{User: u.ID, Method: m, Credential: id}
}

// TestClean: many go at once; what somebody needs stays, whatever is asked in
// which order, and each is on record.
func TestClean(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		second, _ := w.second.enrol(t, w.Ada)
		bobs, _ := w.page.enrol(t, w.Bob)
		step := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
		list := []signin.Named{
			named(w.Bob, "passkey", bobs), named(w.Ada, "passkey", held.ID), named(w.Bob, "passkey", held.ID), named(w.Ada, "second", second),
			named(w.Ada, "nope", second), named(idp.User{ID: "nobody"}, "passkey", bobs),
		}
		want := []string{"last_method", "", "stub_unknown", "last_method", "method_unknown", "user_unknown"}
		before := len(w.Events(t, w.Tenant.ID))
		seen := 0
		tried, err := w.Corridor.Clean(t.Context(), w.Tenant.ID, list, signin.Cleaning{Actor: "cli:test", Try: true, Progress: func(n int) { seen = n }})
		if got := reasonsOf(tried); err != nil || !slices.Equal(got, want) || seen != len(list) {
			t.Errorf("tried: %q, %v, told %d; want %q", got, err, seen, want)
		}
		if n := w.holds(t, w.Ada); n != 2 || len(w.Events(t, w.Tenant.ID)) != before {
			t.Errorf("%d credentials after a try, or something on record", n)
		}
		done, err := w.Corridor.Clean(t.Context(), w.Tenant.ID, list, signin.Cleaning{Actor: "cli:test", Peer: w.peer})
		if got := reasonsOf(done); err != nil || !slices.Equal(got, want) {
			t.Errorf("done: %q, %v; want %q", got, err, want)
		}
		if n, m := w.holds(t, w.Ada), w.holds(t, w.Bob); n != 1 || m != 1 {
			t.Errorf("%d and %d credentials, want 1 and 1", n, m)
		}
		if _, err := w.Sessions.Find(t.Context(), w.Tenant.ID, step.Bearer); err == nil {
			t.Error("the session on a removed key lives")
		}
		events := slices.Sorted(slices.Values(w.Events(t, w.Tenant.ID)[before:]))
		if len(events) != len(list) || !slices.Contains(events, "passkey.remove success ") || !slices.Contains(events, "second.remove failure last_method") {
			t.Errorf("on record: %q", events)
		}
	})
}

// TestCleanWhatPolicyRefuses: what policy refuses is no way in: it may always
// go, and is none that would be left.
func TestCleanWhatPolicyRefuses(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key, _ := w.page.enrol(t, w.Ada)
		off, _ := w.second.enrol(t, w.Ada)
		third, _ := w.second.enrol(t, w.Ada)
		w.Switch(t, w.Tenant.ID, "second", false)
		clean := func(list ...signin.Named) []string {
			t.Helper()
			fates, err := w.Corridor.Clean(t.Context(), w.Tenant.ID, list, signin.Cleaning{Actor: "cli:test"})
			if err != nil {
				t.Fatal(err)
			}
			return reasonsOf(fates)
		}
		if got := clean(named(w.Ada, "passkey", key)); got[0] != "last_method" {
			t.Errorf("the only one that policy allows: %q", got)
		}
		if got := clean(named(w.Ada, "second", off), named(w.Ada, "passkey", key), named(w.Ada, "second", third)); !slices.Equal(got, []string{"", "last_method", ""}) {
			t.Errorf("with those that it refuses: %q", got)
		}
	})
}

// TestCleanAllOrNothing: trouble of our own takes everything back.
func TestCleanAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.page.enrol(t, w.Ada)
		second, _ := w.second.enrol(t, w.Ada)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		fates, err := w.Corridor.Clean(ctx, w.Tenant.ID, []signin.Named{named(w.Ada, "second", second), named(w.Bob, "second", second)},
			signin.Cleaning{Actor: "cli:test", Progress: func(n int) {
				if n == 1 {
					cancel()
				}
			}})
		if err == nil || fates != nil {
			t.Errorf("cut short: %v, %v", fates, err)
		}
		if n := w.holds(t, w.Ada); n != 2 {
			t.Errorf("%d credentials, want both", n)
		}
	})
}

// TestRestoreKeepsNothing: a method that keeps nothing gives nothing back.
func TestRestoreKeepsNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key, _ := w.page.enrol(t, w.Ada)
		fates, err := w.Corridor.Restore(t.Context(), w.Tenant.ID, []signin.Named{named(w.Ada, "passkey", key), named(w.Ada, "nope", key)}, signin.Cleaning{Actor: "cli:test"})
		if got := reasonsOf(fates); err != nil || !slices.Equal(got, []string{"method_not_restored", "method_unknown"}) {
			t.Errorf("restored: %q, %v", got, err)
		}
	})
}
