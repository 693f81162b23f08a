package directory_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var (
	sources = []fs.FS{directory.Migrations}
	now     = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// house is a directory with a tenant and what tests do to it.
type house struct {
	*directory.Directory
	t  *testing.T
	db *sqldb.DB
}

func newHouse(t *testing.T, db *sqldb.DB) *house {
	return &house{directory.New(directory.Config{DB: db, Now: func() time.Time { return now }}), t, db}
}

func each(t *testing.T, fn func(t *testing.T, h *house)) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) { fn(t, newHouse(t, db)) })
}

func (h *house) write(fn func(context.Context, *sqldb.Tx) error) error {
	h.t.Helper()
	return h.db.Write(h.t.Context(), fn)
}

func (h *house) must(fn func(context.Context, *sqldb.Tx) error) {
	h.t.Helper()
	if err := h.write(fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) tenant(domain string) idp.Tenant {
	h.t.Helper()
	var made idp.Tenant
	h.must(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, err = h.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: domain})
		return err
	})
	return made
}

func (h *house) user(t idp.TenantID, name string) idp.User {
	h.t.Helper()
	var made idp.User
	h.must(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, err = h.CreateUser(ctx, tx, idp.User{Tenant: t, Name: name, Enabled: true})
		return err
	})
	return made
}

func (h *house) admin(t idp.TenantID, name string) idp.User {
	h.t.Helper()
	u := h.user(t, name)
	h.must(func(ctx context.Context, tx *sqldb.Tx) error {
		return h.SetRole(ctx, tx, t, u.ID, directory.Administrator)
	})
	return u
}

func (h *house) group(t idp.TenantID, name string) directory.Group {
	h.t.Helper()
	var made directory.Group
	h.must(func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, err = h.CreateGroup(ctx, tx, directory.Group{Tenant: t, Name: name})
		return err
	})
	return made
}

func wantKind(t *testing.T, what string, err error, want idp.Kind) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %s", what, err, want)
	} else if idp.AsError(err).Public == "" {
		t.Errorf("%s: nothing to say to a person: %v", what, err)
	}
}

func TestTenants(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		a := h.tenant("Nordhafen.Example")
		if a.Domain != "nordhafen.example" || len(a.ID) != 36 {
			t.Errorf("made %+v", a)
		}
		for _, ref := range []string{string(a.ID), strings.ToUpper(string(a.ID)), "nordhafen.example", "NORDHAFEN.example", " nordhafen.example "} {
			if got, err := h.Resolve(ctx, ref); err != nil || cmp.Diff(a, got) != "" {
				t.Errorf("resolve %q: %+v, %v", ref, got, err)
			}
		}
		for _, ref := range []string{"", "common", "Organizations", "consumers", "other.example", "nordhafen.example.", "x\x00y", "a b", "ä.example",
			"' or 1=1 --", strings.Repeat("a", 300), "%"} {
			_, err := h.Resolve(ctx, ref)
			wantKind(t, fmt.Sprintf("resolve %q", ref), err, idp.NotFound)
		}
		if _, err := h.Tenant(ctx, "nordhafen.example"); !errors.Is(err, idp.NotFound) {
			t.Errorf("a domain name passed for an id: %v", err)
		}
		err := h.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.CreateTenant(ctx, tx, idp.Tenant{Name: "Thief", Domain: "nordhafen.EXAMPLE"})
			return err
		})
		wantKind(t, "domain twice", err, idp.Conflict)
		if all, err := h.Tenants(ctx); err != nil || len(all) != 1 {
			t.Errorf("tenants: %v, %v", all, err)
		}
	})
}

func TestAddDomain(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		add := func(t idp.TenantID, domain string) error {
			return h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.AddDomain(ctx, tx, t, domain) })
		}
		if err := add(a.ID, "A2.example"); err != nil {
			t.Fatal(err)
		}
		if got, err := h.Resolve(t.Context(), "a2.example"); err != nil || got.ID != a.ID || got.Domain != "a.example" {
			t.Errorf("by its second domain: %+v, %v", got, err)
		}
		if got, err := h.Domains(t.Context(), a.ID); err != nil || cmp.Diff([]string{"a.example", "a2.example"}, got) != "" {
			t.Errorf("domains: %v, %v", got, err)
		}
		wantKind(t, "another tenant's domain", add(b.ID, "a2.example"), idp.Conflict)
		wantKind(t, "unknown tenant", add("nobody", "c.example"), idp.NotFound)
		h.user(a.ID, "ada@a2.example")
		for _, bad := range []string{"", "example", ".example", "a..example", "-a.example", "a-.example", "a_b.example", "ä.example", "10.0.0.1",
			"a.example/x", "a.example:80", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example"} {
			wantKind(t, bad, add(a.ID, bad), idp.Invalid)
		}
	})
}

// A tenant with a bus answers from memory and still sees what changed.
func TestResolveCached(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	h := newHouse(t, db)
	h.Directory = directory.New(directory.Config{DB: db, Now: func() time.Time { return now }, Bus: &fakeBus{}})
	a := h.tenant("a.example")
	for range 2 {
		if got, err := h.Resolve(t.Context(), "a.example"); err != nil || got.ID != a.ID {
			t.Fatal(got, err)
		}
	}
	if _, err := h.Resolve(t.Context(), "b.example"); !errors.Is(err, idp.NotFound) {
		t.Fatal(err)
	}
	h.must(func(ctx context.Context, tx *sqldb.Tx) error { return h.AddDomain(ctx, tx, a.ID, "b.example") })
	if got, err := h.Resolve(t.Context(), "b.example"); err != nil || got.ID != a.ID {
		t.Errorf("the new domain: %+v, %v", got, err)
	}
}

// fakeBus delivers after the commit, in this process.
type fakeBus struct{ fn func(string) }

func (b *fakeBus) Publish(_ context.Context, tx *sqldb.Tx, _, key string) error {
	tx.OnCommit(func() { b.fn(key) })
	return nil
}
func (b *fakeBus) Subscribe(_ string, fn func(string)) { b.fn = fn }
