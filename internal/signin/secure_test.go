package signin_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

func (w *world) administrators(t testing.TB, users ...idp.User) {
	t.Helper()
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		for _, u := range users {
			if err := w.Directory.SetRole(ctx, tx, u.Tenant, u.ID, directory.Administrator); err != nil {
				return err
			}
		}
		return nil
	})
}

func reasonOf(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// TestSec_POL07_LastWayInOfAdministrators: by the administrators' door nobody
// takes their own last key (WAN12), nor the last one that any administrator
// could come in by (POL07).
func TestSec_POL07_LastWayInOfAdministrators(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.administrators(t, w.Ada)
		adas := w.page.room(t).Enrol(t, w.Ada)
		remove := func(u idp.User, id idp.CredentialID, actor string) string {
			return reasonOf(w.Corridor.RemoveFor(t.Context(), u.Tenant, u.ID, "passkey", id, actor, w.peer))
		}
		if got := remove(w.Ada, adas.ID, string(w.Ada.ID)); got != "last_method" {
			t.Errorf("one's own last key: %q", got)
		}
		// Bob is an administrator who has nothing to come in by.
		w.administrators(t, w.Bob)
		if got := remove(w.Ada, adas.ID, string(w.Bob.ID)); got != "locks_out_administrators" {
			t.Errorf("the last key of all administrators: %q", got)
		}
		bobs := w.page.room(t).Enrol(t, w.Bob)
		if got := remove(w.Ada, adas.ID, string(w.Bob.ID)); got != "" {
			t.Errorf("a key of one of two: %q", got)
		}
		if got := remove(w.Bob, bobs.ID, "cli:root"); got != "locks_out_administrators" {
			t.Errorf("the last key, by the command line: %q", got)
		}
	})
}

// TestSec_T48_AdministratorsRemoveEachOther: of two who take each other's last
// key at once, one wins (T48).
func TestSec_T48_AdministratorsRemoveEachOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.administrators(t, w.Ada, w.Bob)
		for round := range 20 {
			keys := map[idp.UserID]idp.CredentialID{}
			for _, u := range []idp.User{w.Ada, w.Bob} {
				if w.holds(t, u) == 0 {
					w.page.room(t).Enrol(t, u)
				}
				all, err := w.Corridor.Credentials(t.Context(), u.Tenant, u.ID)
				if err != nil {
					t.Fatal(err)
				}
				keys[u.ID] = all[0].ID
			}
			var wg sync.WaitGroup
			for victim, actor := range map[idp.UserID]idp.UserID{w.Ada.ID: w.Bob.ID, w.Bob.ID: w.Ada.ID} {
				wg.Go(func() {
					err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, victim, "passkey", keys[victim], string(actor), w.peer)
					if got := reasonOf(err); got != "" && got != "locks_out_administrators" {
						t.Errorf("round %d: %v", round, err)
					}
				})
			}
			wg.Wait()
			if n := w.holds(t, w.Ada) + w.holds(t, w.Bob); n != 1 {
				t.Fatalf("round %d: %d keys are left, want one", round, n)
			}
		}
	})
}

// TestSec_POL07_GroupsLockOut: what a policy may not do to the last
// administrator, a change of groups may not either.
func TestSec_POL07_GroupsLockOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Directory.OnRegroup(w.Corridor.CheckRegroup)
		w.administrators(t, w.Ada)
		w.page.room(t).Enrol(t, w.Ada)
		without, other := w.group(t, "Without passkeys"), w.group(t, "Others")
		w.exclude(t, "passkey", policy.Target{Group: without})
		change := func(fn func(context.Context, *sqldb.Tx) error) string {
			return reasonOf(w.DB.Write(t.Context(), fn))
		}
		add := func(g idp.GroupID, u idp.User) string {
			return change(func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := w.Directory.AddMember(ctx, tx, w.Tenant.ID, g, u.ID)
				return err
			})
		}
		if got := add(without, w.Ada); got != "locks_out_administrators" {
			t.Errorf("the last administrator into the group: %q", got)
		}
		if got := add(without, w.Bob) + add(other, w.Ada); got != "" {
			t.Errorf("others, and other groups: %q", got)
		}
		w.administrators(t, w.Bob)
		w.page.room(t).Enrol(t, w.Bob)
		if got := add(without, w.Ada); got != "locks_out_administrators" {
			t.Errorf("the one of two who had a way in: %q", got)
		}
		// Turned round: who is in the group may, and so nobody may leave.
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) {
			r := p.Methods["passkey"]
			r.Exclude, r.Include = nil, []policy.Include{{Target: policy.Target{Group: other}}}
			p.Methods["passkey"] = r
		})
		if got := change(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.RemoveMember(ctx, tx, w.Tenant.ID, other, w.Ada.ID)
		}); got != "locks_out_administrators" {
			t.Errorf("out of the group: %q", got)
		}
		if got := change(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.DeleteGroup(ctx, tx, w.Tenant.ID, other)
		}); got != "locks_out_administrators" {
			t.Errorf("the group itself: %q", got)
		}
		if got := add(other, w.Bob); got != "" {
			t.Errorf("another one in: %q", got)
		}
		if got := change(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Directory.RemoveMember(ctx, tx, w.Tenant.ID, other, w.Ada.ID)
		}); got != "" {
			t.Errorf("one of two out: %q", got)
		}
	})
}

// TestSec_POL07_DemoteLocksOut: an administrator who has nothing to sign in with
// is none who could take over.
func TestSec_POL07_DemoteLocksOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.Directory.OnDemote(w.Corridor.CheckDemote)
		w.administrators(t, w.Ada, w.Bob)
		w.page.room(t).Enrol(t, w.Ada)
		for what, fn := range map[string]func(context.Context, *sqldb.Tx) error{
			"role": func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.SetRole(ctx, tx, w.Tenant.ID, w.Ada.ID, directory.Helpdesk)
			},
			"disable": func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.SetEnabled(ctx, tx, w.Tenant.ID, w.Ada.ID, false)
			},
			"delete": func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.DeleteUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
			},
		} {
			if got := reasonOf(w.DB.Write(t.Context(), fn)); got != "locks_out_administrators" {
				t.Errorf("%s: %q", what, got)
			}
		}
		set := func(u idp.User, role string) string {
			return reasonOf(w.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return w.Directory.SetRole(ctx, tx, w.Tenant.ID, u.ID, role)
			}))
		}
		if got := set(w.Bob, "") + set(w.Bob, directory.Administrator); got != "" {
			t.Errorf("the one who could not sign in anyway: %q", got)
		}
		w.page.room(t).Enrol(t, w.Bob)
		if got := set(w.Ada, ""); got != "" {
			t.Errorf("with another one who can sign in: %q", got)
		}
	})
}

// TestSec_SES06_OneFactorRemovesNoOther: whoever has come by one factor may take
// that away, and nothing that is more: or a copied certificate would strip its
// owner of their passkeys, and the next method were added by less (decisions
// 2.9).
func TestSec_SES06_OneFactorRemovesNoOther(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.page.enrol(t, w.Ada)
		key, _ := w.page.enrol(t, w.Ada)
		other, _ := w.second.enrol(t, w.Ada)
		more, _ := w.second.enrol(t, w.Ada)
		weak := idp.Proof{Method: "second", Mode: "second", Credential: other, Properties: []idp.Property{idp.PhishingResistant, idp.Possession}}
		s := w.SessionOn(t, w.Ada, weak, false)
		refused := func(what string, err error) {
			t.Helper()
			if !errors.Is(err, idp.Denied) || idp.AsError(err).Reason != "stronger_proof_needed" {
				t.Errorf("%s: %v, want denied stronger_proof_needed", what, err)
			}
		}
		refused("a passkey", w.Corridor.Remove(t.Context(), s, "passkey", key, w.peer))
		refused("a machine", w.Corridor.GiveUp(t.Context(), s, "d", "device.remove", nil, w.peer, func(context.Context, *sqldb.Tx) error { return nil }))
		if err := w.Corridor.Remove(t.Context(), s, "second", more, w.peer); err != nil {
			t.Errorf("what is no more than was shown: %v", err)
		}
		w.Advance(6 * time.Minute)
		if err := w.Corridor.Remove(t.Context(), s, "second", other, w.peer); !errors.Is(err, idp.Denied) || idp.AsError(err).Reason != "fresh_proof_needed" {
			t.Errorf("too late: %v", err)
		}
	})
}
