package directory_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func TestGroups(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		ctx := t.Context()
		a := h.tenant("a.example")
		ada, bob := h.user(a.ID, "ada@a.example"), h.user(a.ID, "bob@a.example")
		g := h.group(a.ID, " Zeichenbüro\u202e ")
		if g.Name != "Zeichenbüro" {
			t.Errorf("name %q", g.Name)
		}
		if got, err := h.GroupByName(ctx, h.db, a.ID, "ZEICHENBÜRO"); err != nil || cmp.Diff(g, got) != "" {
			t.Errorf("by name: %+v, %v", got, err)
		}
		err := h.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.CreateGroup(ctx, tx, directory.Group{Tenant: a.ID, Name: "zeichenbüro"})
			return err
		})
		wantKind(t, "name in another case", err, idp.Conflict)
		err = h.write(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := h.CreateGroup(ctx, tx, directory.Group{Tenant: "nobody", Name: "x"})
			return err
		})
		wantKind(t, "group of no tenant", err, idp.NotFound)
		add := func(u idp.UserID) (added bool) {
			h.must(func(ctx context.Context, tx *sqldb.Tx) (err error) {
				added, err = h.AddMember(ctx, tx, a.ID, g.ID, u)
				return err
			})
			return added
		}
		if !add(ada.ID) || !add(bob.ID) || add(ada.ID) {
			t.Error("adding members: the first time is new, the second is not")
		}
		if of, err := h.GroupsOf(ctx, a.ID, ada.ID); err != nil || cmp.Diff([]idp.GroupID{g.ID}, of) != "" {
			t.Errorf("groups of ada: %v, %v", of, err)
		}
		asked := []string{"nobody's", "ZEICHENBÜRO", "zeichenbüro", " Zeichenbüro", ""}
		if in, err := h.InGroups(ctx, a.ID, ada.ID, asked); err != nil || cmp.Diff(asked[1:4], in) != "" {
			t.Errorf("asked groups that ada is in: %q, %v", in, err)
		}
		if in, err := h.InGroups(ctx, "other", ada.ID, asked); err != nil || in != nil {
			t.Errorf("in another tenant: %q, %v", in, err)
		}
		if members, _, err := h.Members(ctx, a.ID, g.ID, directory.Page{}); err != nil || len(members) != 2 {
			t.Errorf("members: %v, %v", members, err)
		}
		remove := func() error {
			return h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.RemoveMember(ctx, tx, a.ID, g.ID, ada.ID) })
		}
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		wantKind(t, "removing twice", remove(), idp.NotFound)
		h.must(func(ctx context.Context, tx *sqldb.Tx) error { return h.DeleteGroup(ctx, tx, a.ID, g.ID) })
		if of, err := h.GroupsOf(ctx, a.ID, bob.ID); err != nil || len(of) != 0 {
			t.Errorf("groups of bob after the group went: %v, %v", of, err)
		}
		if _, err := h.User(ctx, h.db, a.ID, bob.ID); err != nil {
			t.Errorf("a member went with the group: %v", err)
		}
	})
}

func TestUpdateGroup(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a := h.tenant("a.example")
		g, other := h.group(a.ID, "Drawings"), h.group(a.ID, "Other")
		change := func(c directory.GroupChanges) (got directory.Group, err error) {
			err = h.write(func(ctx context.Context, tx *sqldb.Tx) error {
				got, err = h.UpdateGroup(ctx, tx, a.ID, g.ID, c)
				return err
			})
			return got, err
		}
		name, about := " DRAWINGS ", "What is\n drawn\u202e"
		want := g
		want.Name, want.Description = "DRAWINGS", "What is drawn"
		if got, err := change(directory.GroupChanges{Name: &name, Description: &about}); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("changed to %+v, %v", got, err)
		}
		if got, err := h.Group(t.Context(), h.db, a.ID, g.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("then %+v, %v", got, err)
		}
		if got, err := h.GroupByName(t.Context(), h.db, a.ID, "drawings"); err != nil || got.ID != g.ID {
			t.Errorf("by its name %+v, %v", got, err)
		}
		none := ""
		if got, err := change(directory.GroupChanges{Description: &none}); err != nil || got.Description != "" || got.Name != "DRAWINGS" {
			t.Errorf("without a description %+v, %v", got, err)
		}
		_, err := change(directory.GroupChanges{Name: &none})
		wantKind(t, "no name", err, idp.Invalid)
		taken := "oTHER"
		_, err = change(directory.GroupChanges{Name: &taken})
		wantKind(t, "another group's name", err, idp.Conflict)
		long := strings.Repeat("x", 1025)
		_, err = change(directory.GroupChanges{Description: &long})
		wantKind(t, "a long description", err, idp.Invalid)
		g = other
		g.ID = "00000000-0000-4000-8000-000000000000"
		_, err = change(directory.GroupChanges{Description: &none})
		wantKind(t, "no such group", err, idp.NotFound)
	})
}
