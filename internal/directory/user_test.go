package directory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func TestCreateUser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		h.tenant("b.example")
		create := func(u idp.User) (made idp.User, err error) {
			err = h.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
				u.Tenant = a.ID
				made, err = h.CreateUser(ctx, tx, u)
				return err
			})
			return made, err
		}
		u, err := create(idp.User{Name: "Ada.Lovelace@A.example", DisplayName: " Ada \u202eLovelace\u200b\x07 \n", Enabled: true})
		if err != nil {
			t.Fatal(err)
		}
		want := idp.User{ID: u.ID, Tenant: a.ID, Name: "Ada.Lovelace@A.example", DisplayName: "Ada Lovelace", Enabled: true, Type: idp.Member, Created: now}
		if diff := cmp.Diff(want, u); diff != "" || len(u.ID) != 36 {
			t.Errorf("made (-want +got):\n%s", diff)
		}
		for _, name := range []string{"Ada.Lovelace@A.example", "ada.lovelace@a.example", " ADA.LOVELACE@A.EXAMPLE "} {
			if got, err := h.UserByName(t.Context(), h.db, a.ID, name); err != nil || cmp.Diff(want, got) != "" {
				t.Errorf("by name %q: %+v, %v", name, got, err)
			}
		}
		if got, err := h.User(t.Context(), h.db, a.ID, u.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("by id: %+v, %v", got, err)
		}
		_, err = create(idp.User{Name: "ADA.lovelace@a.example"})
		wantKind(t, "name in another case", err, idp.Conflict)
		if plain, err := create(idp.User{Name: "bob@a.example"}); err != nil || plain.DisplayName != "bob" {
			t.Errorf("without a display name: %+v, %v", plain, err)
		}
		for name, u := range map[string]idp.User{
			"no @": {Name: "ada"}, "no local part": {Name: "@a.example"}, "no domain": {Name: "ada@"}, "empty": {},
			"another tenant's domain": {Name: "ada@b.example"}, "nobody's domain": {Name: "ada@c.example"}, "domain with more": {Name: "ada@a.example.evil"},
			"two @":        {Name: "ada@a.example@a.example"},
			"dot at front": {Name: ".ada@a.example"}, "dot at end": {Name: "ada.@a.example"}, "two dots": {Name: "a..b@a.example"},
			"space": {Name: "a b@a.example"}, "letter outside ASCII": {Name: "ädä@a.example"}, "homograph": {Name: "аda@a.example"},
			"control": {Name: "a\x00@a.example"}, "newline": {Name: "a\n@a.example"}, "markup": {Name: "<b>@a.example"},
			"long local part": {Name: strings.Repeat("a", 65) + "@a.example"}, "long name": {Name: strings.Repeat("a", 105) + "@a.example"},
			"long display name": {Name: "x@a.example", DisplayName: strings.Repeat("é", 257)}, "display name of nothing": {Name: "x@a.example", DisplayName: "\u200b\u202e"},
			"type": {Name: "x@a.example", Type: "root"},
		} {
			_, err := create(u)
			wantKind(t, name, err, idp.Invalid)
		}
	})
}

// Whatever is typed as a name costs one query and never an error of the
// database.
func TestUserByNameHostile(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		h.user(a.ID, "kate@a.example")
		for _, name := range []string{"", "nobody@a.example", "x\x00y@a.example", "\xff\xfe", strings.Repeat("é", 5000), "' or '1'='1", "%", "_ate@a.example",
			"\u212aate@a.example", "kate@a.example\x00"} {
			_, err := h.UserByName(t.Context(), h.db, a.ID, name)
			wantKind(t, fmt.Sprintf("%.20q", name), err, idp.NotFound)
		}
	})
}

func TestUpdateUser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		ada, bob := h.user(a.ID, "ada@a.example"), h.user(a.ID, "bob@a.example")
		update := func(id idp.UserID, c directory.Changes) error {
			return h.write(func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := h.Update(ctx, tx, a.ID, id, c)
				return err
			})
		}
		name, display := "Ada.L@a.example", "Ada L"
		if err := update(ada.ID, directory.Changes{Name: &name, DisplayName: &display}); err != nil {
			t.Fatal(err)
		}
		got, err := h.UserByName(t.Context(), h.db, a.ID, "ada.l@a.example")
		if err != nil || got.ID != ada.ID || got.DisplayName != display {
			t.Errorf("after the change: %+v, %v", got, err)
		}
		upper := "ADA.L@a.example"
		if err := update(ada.ID, directory.Changes{Name: &upper}); err != nil {
			t.Errorf("another case of one's own name: %v", err)
		}
		wantKind(t, "taken name", update(bob.ID, directory.Changes{Name: &name}), idp.Conflict)
		foreign := "bob@b.example"
		wantKind(t, "foreign domain", update(bob.ID, directory.Changes{Name: &foreign}), idp.Invalid)
		wantKind(t, "nobody", update("nobody", directory.Changes{Name: &foreign}), idp.NotFound)
	})
}

func TestDeleteUser(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		u := h.user(a.ID, "ada@a.example")
		g := h.group(a.ID, "Drawing office")
		h.must(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.AddMember(ctx, tx, a.ID, g.ID, u.ID)
			return err
		})
		var told []idp.UserID
		h.OnRemoveUser(func(_ context.Context, _ *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
			if tenant == a.ID {
				told = append(told, user)
			}
			return nil
		})
		del := func() error {
			return h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.DeleteUser(ctx, tx, a.ID, u.ID) })
		}
		if err := del(); err != nil {
			t.Fatal(err)
		}
		if len(told) != 1 || told[0] != u.ID {
			t.Errorf("the hook heard %v", told)
		}
		if members, _, err := h.Members(t.Context(), a.ID, g.ID, directory.Page{}); err != nil || len(members) != 0 {
			t.Errorf("members left: %v, %v", members, err)
		}
		wantKind(t, "again", del(), idp.NotFound)
		if again := h.user(a.ID, "ada@a.example"); again.ID == u.ID {
			t.Error("an id was given again: sub is never reassigned")
		}
	})
}

// When a hook fails, the user and everything stays.
func TestDeleteUserHookFails(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		u := h.user(a.ID, "ada@a.example")
		h.OnRemoveUser(func(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error { return errors.New("no") })
		if err := h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.DeleteUser(ctx, tx, a.ID, u.ID) }); err == nil {
			t.Fatal("deleted")
		}
		if _, err := h.User(t.Context(), h.db, a.ID, u.ID); err != nil {
			t.Errorf("the user is gone: %v", err)
		}
	})
}

func TestUsersPaging(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		want := make(map[idp.UserID]bool)
		for i := range 23 { // all made in the same millisecond
			want[h.user(a.ID, fmt.Sprintf("u%d@a.example", i)).ID] = true
		}
		h.user(b.ID, "x@b.example")
		got := make(map[idp.UserID]bool)
		page := directory.Page{Limit: 5}
		for range 10 {
			people, next, err := h.Users(t.Context(), a.ID, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range people {
				if got[p.ID] {
					t.Errorf("%s comes twice", p.Name)
				}
				got[p.ID] = true
			}
			if page.After = next; next == "" {
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("walked (-want +got):\n%s", diff)
		}
		for _, bad := range []string{"x", "1", "!.x", "zzzzzzzzzzzzzzzzzzzzz.x", "1." + strings.Repeat("x", 100)} {
			_, _, err := h.Users(t.Context(), a.ID, directory.Page{After: bad})
			wantKind(t, bad, err, idp.Invalid)
		}
	})
}

// security.md POL07: the last enabled administrator stays.
func TestLastAdministrator(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada, bob := h.admin(a.ID, "ada@a.example"), h.admin(a.ID, "bob@a.example")
		h.admin(b.ID, "eve@b.example")
		ways := map[string]func(context.Context, *sqldb.Tx, idp.UserID) error{
			"disable": func(ctx context.Context, tx *sqldb.Tx, u idp.UserID) error {
				return h.SetEnabled(ctx, tx, a.ID, u, false)
			},
			"delete": func(ctx context.Context, tx *sqldb.Tx, u idp.UserID) error { return h.DeleteUser(ctx, tx, a.ID, u) },
			"demote": func(ctx context.Context, tx *sqldb.Tx, u idp.UserID) error { return h.SetRole(ctx, tx, a.ID, u, "") },
			"helpdesk": func(ctx context.Context, tx *sqldb.Tx, u idp.UserID) error {
				return h.SetRole(ctx, tx, a.ID, u, directory.Helpdesk)
			},
		}
		if err := h.write(func(ctx context.Context, tx *sqldb.Tx) error { return ways["disable"](ctx, tx, bob.ID) }); err != nil {
			t.Fatal(err)
		}
		for name, way := range ways {
			err := h.write(func(ctx context.Context, tx *sqldb.Tx) error { return way(ctx, tx, ada.ID) })
			wantKind(t, name+" the last one", err, idp.Denied)
			if idp.AsError(err).Reason != "last_administrator" {
				t.Errorf("%s: reason %q", name, idp.AsError(err).Reason)
			}
		}
		h.must(func(ctx context.Context, tx *sqldb.Tx) error { return ways["delete"](ctx, tx, bob.ID) }) // disabled: not one who counts
		bert := h.admin(a.ID, "bert@a.example")
		for _, way := range []string{"helpdesk", "disable"} {
			if err := h.write(func(ctx context.Context, tx *sqldb.Tx) error { return ways[way](ctx, tx, ada.ID) }); err != nil {
				t.Errorf("%s with another administrator left: %v", way, err)
			}
		}
		if roles, err := h.Roles(t.Context(), a.ID, bert.ID); err != nil || cmp.Diff([]string{directory.Administrator}, roles) != "" {
			t.Errorf("roles of bert: %v, %v", roles, err)
		}
		wantKind(t, "role unknown", h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.SetRole(ctx, tx, a.ID, bert.ID, "root") }), idp.Invalid)
	})
}

// T48: of parallel requests that would each leave the other's administrator,
// one wins.
func TestLastAdministratorRace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		rounds := 20
		for round := range rounds {
			tenant := h.tenant(fmt.Sprintf("r%d.example", round))
			admins := []idp.User{h.admin(tenant.ID, fmt.Sprintf("a@r%d.example", round)), h.admin(tenant.ID, fmt.Sprintf("b@r%d.example", round))}
			var done, denied atomic.Int64
			var all sync.WaitGroup
			for i, u := range admins {
				all.Go(func() {
					err := h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
						switch (round + i) % 3 {
						case 0:
							return h.DeleteUser(ctx, tx, tenant.ID, u.ID)
						case 1:
							return h.SetEnabled(ctx, tx, tenant.ID, u.ID, false)
						}
						return h.SetRole(ctx, tx, tenant.ID, u.ID, "")
					})
					switch {
					case err == nil:
						done.Add(1)
					case errors.Is(err, idp.Denied):
						denied.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			all.Wait()
			if done.Load() != 1 || denied.Load() != 1 {
				t.Fatalf("round %d: %d done, %d denied", round, done.Load(), denied.Load())
			}
		}
	})
}

// One name in parallel: one user.
func TestCreateUserRace(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		var done atomic.Int64
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				err := h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
					_, err := h.CreateUser(ctx, tx, idp.User{Tenant: a.ID, Name: "ada@a.example"})
					return err
				})
				if err == nil {
					done.Add(1)
				} else if !errors.Is(err, idp.Conflict) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if done.Load() != 1 {
			t.Errorf("%d users of one name", done.Load())
		}
	})
}

// FuzzUserName: what passes as a name is found again under it, whatever its
// letter case.
func FuzzUserName(f *testing.F) {
	for _, s := range []string{"ada@a.example", "A'b-c_d!#^~@x.y", "@", "a@b@c.d", "é@a.example", "a\x00@a.example", strings.Repeat("a", 200) + "@a.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		local, domain, err := directory.SplitUserName(s)
		if err != nil {
			if !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if local+"@"+domain != s || len(s) > 113 || strings.ContainsAny(local, "@ \x00<>&\"") {
			t.Errorf("%q is taken as %q and %q", s, local, domain)
		}
	})
}

// TestEnabled: what a sign-in asks in its transaction is what the row says in
// that transaction.
func TestEnabled(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		u := h.user(a.ID, "ada@a.example")
		h.must(func(ctx context.Context, tx *sqldb.Tx) error {
			for _, want := range []bool{true, false, true} {
				if err := h.SetEnabled(ctx, tx, a.ID, u.ID, want); err != nil {
					return err
				}
				if got, err := h.Enabled(ctx, tx, a.ID, u.ID); err != nil || got != want {
					t.Errorf("enabled %v: %v, %v", want, got, err)
				}
			}
			return nil
		})
	})
}

// Decisions about the last way in of one person come one after the other: each
// transaction runs once, since none waits for a lock that another waits to
// share.
func TestLockWithRole(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		tenant := h.tenant("locks.example")
		admin, ada := h.admin(tenant.ID, "admin@locks.example"), h.user(tenant.ID, "ada@locks.example")
		for _, c := range []struct {
			user idp.User
			want []idp.UserID
		}{{admin, []idp.UserID{admin.ID}}, {ada, nil}} {
			const callers = 24
			var runs atomic.Int64
			var all sync.WaitGroup
			for range callers {
				all.Go(func() {
					err := h.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
						runs.Add(1)
						got, err := h.LockWithRole(ctx, tx, tenant.ID, c.user.ID)
						if err == nil && !slices.Equal(got, c.want) {
							t.Errorf("administrators beside %s: %v", c.user.Name, got)
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if n := runs.Load(); n != callers {
				t.Errorf("%s: %d runs of %d transactions", c.user.Name, n, callers)
			}
		}
		wantKind(t, "nobody", h.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.LockWithRole(ctx, tx, tenant.ID, "11111111-1111-4111-8111-111111111111")
			return err
		}), idp.NotFound)
	})
}
