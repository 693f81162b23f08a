package signin_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// meanwhile runs fn in a transaction beside one that is under way, and returns
// when it has committed or waits for the other; join waits for its end. On
// SQLite there is one writer, so there it always waits.
func (w *world) meanwhile(t testing.TB, fn func(context.Context, *sqldb.Tx) error) (join func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- w.DB.Write(t.Context(), fn) }()
	join = func() {
		t.Helper()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if w.DB.Dialect() == sqldb.SQLite {
		return join
	}
	for {
		select {
		case err := <-done:
			done <- err
			return join
		case <-time.After(5 * time.Millisecond):
		}
		var waiting int
		if err := w.DB.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0`).Scan(&waiting); err != nil {
			t.Fatal(err)
		}
		if waiting > 0 {
			return join
		}
	}
}

// disable is what an administrator does to somebody who must be out at once.
func (w *world) disable(ctx context.Context, tx *sqldb.Tx) error {
	if err := w.Directory.SetEnabled(ctx, tx, w.Tenant.ID, w.Ada.ID, false); err != nil {
		return err
	}
	_, err := w.Sessions.EndAll(ctx, tx, w.Tenant.ID, w.Ada.ID, "")
	return err
}

func (w *world) delete(ctx context.Context, tx *sqldb.Tx) error {
	return w.Directory.DeleteUser(ctx, tx, w.Tenant.ID, w.Ada.ID)
}

// leavesNothing has deletions take sessions and credentials along, as app does.
func (w *world) leavesNothing() {
	w.Directory.OnRemoveUser(func(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, u idp.UserID) error {
		_, err := tx.Exec(ctx, `delete from stub where tenant_id = $1 and user_id = $2`, tenant, u)
		return err
	})
	w.Directory.OnRemoveUser(w.Sessions.RemoveUser)
}

// TestSec_SES03_GoneBeforeTheCommit: somebody is disabled or deleted when their
// answer was found good and nothing is written yet: they are not let in.
func TestSec_SES03_GoneBeforeTheCommit(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.leavesNothing()
		held := w.page.room(t).Enrol(t, w.Ada)
		for _, one := range []struct {
			what string
			deed func(context.Context, *sqldb.Tx) error
		}{{"disabled", w.disable}, {"deleted", w.delete}} {
			w.Enable(t, w.Ada, true)
			f := w.Flow(t, signin.Flow{}, w.peer)
			b := w.Begin(t, f, "passkey", "")
			payload := held.Answer(t, b.Show)
			// The clock is read for the last time when policy has decided.
			asked := 0
			w.OnNow(func() {
				if asked++; asked == 3 {
					w.OnNow(nil)
					w.Write(t, one.deed)
				}
			})
			step, err := w.Corridor.Answer(t.Context(), f, "passkey", b.Ceremony, payload, nil, w.peer)
			w.OnNow(nil)
			if asked < 3 {
				t.Fatalf("%s: %d looks at the clock: it did not come in between", one.what, asked)
			}
			if err == nil || w.Count(t, "session", w.Tenant.ID) != 0 {
				t.Errorf("%s: step %q, %v, %d sessions", one.what, step.Kind, err, w.Count(t, "session", w.Tenant.ID))
			}
		}
	})
}

// TestSec_SES03_DisabledWhileSettling: an administrator disables Ada and ends
// all she has open while a session of hers is between "is she enabled?" and the
// commit. Whichever is first, no session outlives the deed, to be as good as new
// when she is enabled again.
func TestSec_SES03_DisabledWhileSettling(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		join := func() {}
		w.page.settle = func() error {
			join = w.meanwhile(t, w.disable)
			return nil
		}
		step, err := w.do(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil)
		join()
		if err != nil && !errors.Is(err, idp.Denied) {
			t.Fatal(err)
		}
		w.Enable(t, w.Ada, true)
		if s, err := w.Sessions.Find(t.Context(), w.Tenant.ID, step.Bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("%s outlives its person's being disabled: %v", s, err)
		}
	})
}

// TestSec_SES03_DeletedWhileRegistering: the same with a deletion: no credential
// stays behind without its owner.
func TestSec_SES03_DeletedWhileRegistering(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.leavesNothing()
		s := w.Session(t, w.Ada)
		b, err := w.Corridor.BeginRegister(t.Context(), s, "passkey", w.peer)
		if err != nil {
			t.Fatal(err)
		}
		payload := w.page.room(t).NewDevice(t).Register(t, b.Show)
		join := func() {}
		var once sync.Once
		w.page.stub.register = func() error {
			once.Do(func() { join = w.meanwhile(t, w.delete) })
			return nil
		}
		_, err = w.Corridor.FinishRegister(t.Context(), s, b.Ceremony, payload, w.peer)
		join()
		if _, gone := w.Directory.User(t.Context(), w.DB, w.Tenant.ID, w.Ada.ID); !errors.Is(gone, idp.NotFound) {
			t.Fatalf("Ada is still there: %v", gone)
		}
		if n := w.Count(t, "stub", w.Tenant.ID); n != 0 {
			t.Errorf("registration: %v; %d credentials of somebody who was deleted", err, n)
		}
	})
}
