package directory_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// TestTenantWalk asks everything of tenant A with the ids of tenant B, where
// the names are the same, and gets NotFound (security.md ADM01, T46). A new
// method without a row here fails.
func TestTenantWalk(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada, theirs := h.user(a.ID, "ada@a.example"), h.user(b.ID, "ada@b.example")
		ours, their := h.group(a.ID, "Drawing office"), h.group(b.ID, "Drawing office")
		h.must(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.AddMember(ctx, tx, b.ID, their.ID, theirs.ID)
			return err
		})
		if err := h.setIDs(b.ID, theirs.ID, "X509:<PN>ada@b.example"); err != nil {
			t.Fatal(err)
		}
		rename := "eve@a.example"
		const noID = "has no id to give"
		type row struct {
			read  func(ctx context.Context) error
			write func(ctx context.Context, tx *sqldb.Tx) error
			skip  string
		}
		rows := map[string]row{
			"New": {skip: noID}, "OnRemoveUser": {skip: noID}, "OnRegroup": {skip: noID}, "OnPromote": {skip: noID}, "OnDemote": {skip: noID}, "Tenants": {skip: "is for operators and lists all"},
			"CreateTenant": {skip: noID}, "Resolve": {skip: "is the locator"}, "ImportUsers": {skip: noID}, "Domains": {skip: noID},
			"Tenant": {skip: noID}, "AddDomain": {skip: noID}, "CreateUser": {skip: noID}, "CreateGroup": {skip: noID},
			"Users": {read: func(ctx context.Context) error {
				people, _, err := h.Users(ctx, a.ID, directory.Page{})
				return noneOf(err, people, func(p directory.Person) bool { return p.ID == theirs.ID })
			}},
			"WithRole": {read: func(ctx context.Context) error {
				people, err := h.WithRole(ctx, a.ID)
				return noneOf(err, people, func(p directory.Person) bool { return p.ID == theirs.ID })
			}},
			"Groups": {read: func(ctx context.Context) error {
				groups, _, err := h.Groups(ctx, a.ID, directory.Page{})
				return noneOf(err, groups, func(g directory.Group) bool { return g.ID == their.ID })
			}},
			"CountUsers": {read: func(ctx context.Context) error {
				where, err := filter.Parse("id eq '"+string(theirs.ID)+"'", directory.UserFields)
				if err != nil {
					return err
				}
				return none(h.CountUsers(ctx, a.ID, where))
			}},
			"CountGroups": {read: func(ctx context.Context) error {
				where, err := filter.Parse("id eq '"+string(their.ID)+"'", directory.GroupFields)
				if err != nil {
					return err
				}
				return none(h.CountGroups(ctx, a.ID, where))
			}},
			"User": {read: func(ctx context.Context) error { _, err := h.User(ctx, h.db, a.ID, theirs.ID); return err }},
			"Enabled": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := h.Enabled(ctx, tx, a.ID, theirs.ID)
				return err
			}},
			"UserByName": {read: func(ctx context.Context) error {
				_, err := h.UserByName(ctx, h.db, a.ID, "ada@b.example")
				return err
			}},
			"UsersBy": {read: func(ctx context.Context) error {
				users, err := h.UsersBy(ctx, h.db, a.ID, "userPrincipalName", []string{"ada@b.example"})
				return noneOf(err, users, func(u idp.User) bool { return true })
			}},
			"Person": {read: func(ctx context.Context) error { _, err := h.Person(ctx, h.db, a.ID, theirs.ID); return err }},
			"CertificateIDs": {read: func(ctx context.Context) error {
				ids, err := h.CertificateIDs(ctx, h.db, a.ID, theirs.ID)
				return noneOf(err, ids, func(string) bool { return true })
			}},
			"CertificateIDsOf": {read: func(ctx context.Context) error {
				all, err := h.CertificateIDsOf(ctx, h.db, a.ID, []idp.UserID{theirs.ID})
				return noneOf(err, all[theirs.ID], func(string) bool { return true })
			}},
			"SetCertificateIDs": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				return h.SetCertificateIDs(ctx, tx, a.ID, theirs.ID, []string{"X509:<PN>eve@a.example"})
			}},
			"Map": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				return h.Map(ctx, tx, idp.User{Tenant: a.ID, ID: theirs.ID}, []string{"X509:<PN>eve@a.example"}, &audit.Event{})
			}},
			"Roles": {read: func(ctx context.Context) error { _, err := h.Roles(ctx, a.ID, theirs.ID); return err }},
			"LockWithRole": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := h.LockWithRole(ctx, tx, a.ID, theirs.ID)
				return err
			}},
			"RoleIn": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := h.RoleIn(ctx, tx, a.ID, theirs.ID)
				return err
			}},
			"GroupsOf": {read: func(ctx context.Context) error { _, err := h.GroupsOf(ctx, a.ID, theirs.ID); return err }},
			"InGroups": {read: func(ctx context.Context) error {
				in, err := h.InGroups(ctx, a.ID, theirs.ID, []string{"Drawing office"})
				if err == nil && in == nil {
					return idp.NotFound // they are in none of ours
				}
				return err
			}},
			"Group": {read: func(ctx context.Context) error { _, err := h.Group(ctx, h.db, a.ID, their.ID); return err }},
			"GroupByName": {read: func(ctx context.Context) error {
				g, err := h.GroupByName(ctx, h.db, a.ID, "Drawing office")
				if err == nil && g.ID == ours.ID {
					return idp.NotFound // theirs was not found: ours has the same name
				}
				return err
			}},
			"Members": {read: func(ctx context.Context) error {
				_, _, err := h.Members(ctx, a.ID, their.ID, directory.Page{})
				return err
			}},
			"Lock": {write: func(ctx context.Context, tx *sqldb.Tx) error { return h.Lock(ctx, tx, a.ID, theirs.ID) }},
			"Update": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := h.Update(ctx, tx, a.ID, theirs.ID, directory.Changes{Name: &rename})
				return err
			}},
			"SetEnabled": {write: func(ctx context.Context, tx *sqldb.Tx) error { return h.SetEnabled(ctx, tx, a.ID, theirs.ID, false) }},
			"SetRole": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				return h.SetRole(ctx, tx, a.ID, theirs.ID, directory.Administrator)
			}},
			"ChangeRole": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				return h.ChangeRole(ctx, tx, a.ID, theirs.ID, "", directory.Helpdesk)
			}},
			"Administrators": {read: func(ctx context.Context) error {
				boss := h.user(b.ID, "boss@b.example")
				h.must(func(ctx context.Context, tx *sqldb.Tx) error {
					return h.SetRole(ctx, tx, b.ID, boss.ID, directory.Administrator)
				})
				var all []idp.UserID
				h.must(func(ctx context.Context, tx *sqldb.Tx) (err error) {
					all, err = h.Administrators(ctx, tx, a.ID)
					return err
				})
				return noneOf(nil, all, func(id idp.UserID) bool { return id == boss.ID })
			}},
			"Holders": {read: func(ctx context.Context) error {
				h.must(func(ctx context.Context, tx *sqldb.Tx) error {
					return h.SetRole(ctx, tx, b.ID, theirs.ID, directory.Helpdesk)
				})
				people, err := h.Holders(ctx, a.ID, filter.Expr{})
				return noneOf(err, people, func(p directory.Person) bool { return p.ID == theirs.ID })
			}},
			"DeleteUser": {write: func(ctx context.Context, tx *sqldb.Tx) error { return h.DeleteUser(ctx, tx, a.ID, theirs.ID) }},
			"UpdateGroup": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				_, err := h.UpdateGroup(ctx, tx, a.ID, their.ID, directory.GroupChanges{Name: &rename})
				return err
			}},
			"DeleteGroup": {write: func(ctx context.Context, tx *sqldb.Tx) error { return h.DeleteGroup(ctx, tx, a.ID, their.ID) }},
			"AddMember": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				if _, err := h.AddMember(ctx, tx, a.ID, their.ID, ada.ID); !errors.Is(err, idp.NotFound) {
					t.Errorf("our user in their group: %v", err)
				}
				_, err := h.AddMember(ctx, tx, a.ID, ours.ID, theirs.ID)
				return err
			}},
			"RemoveMember": {write: func(ctx context.Context, tx *sqldb.Tx) error {
				return h.RemoveMember(ctx, tx, a.ID, their.ID, theirs.ID)
			}},
		}
		methods := reflect.TypeOf(h.Directory)
		for i := range methods.NumMethod() {
			name := methods.Method(i).Name
			r, ok := rows[name]
			if !ok {
				t.Errorf("%s has no row: say what it answers to an id of another tenant", name)
				continue
			}
			var err error
			switch {
			case r.skip != "":
				continue
			case r.read != nil:
				err = r.read(t.Context())
			default:
				err = h.write(r.write)
			}
			if !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: got %v, want NotFound", name, err)
			} else if strings.Contains(idp.AsError(err).Public, "example") {
				t.Errorf("%s tells %q", name, idp.AsError(err).Public)
			}
		}
		// Nothing of theirs has changed.
		if u, err := h.User(t.Context(), h.db, b.ID, theirs.ID); err != nil || u.Name != theirs.Name || !u.Enabled {
			t.Errorf("their user after the walk: %+v, %v", u, err)
		}
		if m, _, err := h.Members(t.Context(), b.ID, their.ID, directory.Page{}); err != nil || len(m) != 1 {
			t.Errorf("their members after the walk: %v, %v", m, err)
		}
	})
}

// noneOf is NotFound when nothing in a list is theirs.
func noneOf[T any](err error, list []T, theirs func(T) bool) error {
	if err != nil {
		return err
	}
	for _, one := range list {
		if theirs(one) {
			return errors.New("the list has one of another tenant")
		}
	}
	return idp.NotFound
}

// none turns a count of nothing into the NotFound that the walk wants.
func none(n int64, err error) error {
	if err == nil && n == 0 {
		return idp.NotFound
	}
	return err
}
