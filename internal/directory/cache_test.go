package directory_test

import (
	"context"
	"errors"
	"testing"

	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"io/fs"
	"log/slog"
	"time"
)

// TestCachedUserFollowsEveryChange reads a user through the cache, changes the
// row in each way there is, and reads again.
func TestCachedUserFollowsEveryChange(t *testing.T) {
	db := sqldbtest.Open(t, []fs.FS{directory.Migrations, bus.Migrations})
	d := directory.New(directory.Config{DB: db, Now: time.Now, Bus: bus.New(db, slog.New(slog.DiscardHandler))})
	write := func(fn func(ctx context.Context, tx *sqldb.Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	var tenant idp.Tenant
	var ada idp.User
	write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		tenant, err = d.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: "nordhafen.example"})
		return err
	})
	write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		ada, err = d.CreateUser(ctx, tx, idp.User{Tenant: tenant.ID, Name: "ada@nordhafen.example", DisplayName: "Ada", Enabled: true, Type: idp.Member})
		return err
	})
	read := func() (idp.User, error) { return d.User(t.Context(), db, tenant.ID, ada.ID) }
	if u, err := read(); err != nil || !u.Enabled {
		t.Fatal(u, err)
	}
	write(func(ctx context.Context, tx *sqldb.Tx) error { return d.SetEnabled(ctx, tx, tenant.ID, ada.ID, false) })
	if u, err := read(); err != nil || u.Enabled {
		t.Errorf("after switching off: %+v, %v", u, err)
	}
	// Another tenant's id finds nothing, cached or not.
	if _, err := d.User(t.Context(), db, "22222222-2222-4222-8222-222222222222", ada.ID); !errors.Is(err, idp.NotFound) {
		t.Errorf("another tenant reads the cached user: %v", err)
	}
	write(func(ctx context.Context, tx *sqldb.Tx) error { return d.DeleteUser(ctx, tx, tenant.ID, ada.ID) })
	if _, err := read(); !errors.Is(err, idp.NotFound) {
		t.Errorf("after deleting: %v", err)
	}
}
