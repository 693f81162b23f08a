package directory_test

import (
	"context"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func TestHolders(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		a, b := h.tenant("a.example"), h.tenant("b.example")
		ada := h.admin(a.ID, "ada@a.example")
		h.admin(b.ID, "eve@b.example")
		bob := h.user(a.ID, "bob@a.example")
		h.user(a.ID, "finn@a.example")
		change := func(from, to string) error {
			return h.write(func(ctx context.Context, tx *sqldb.Tx) error { return h.ChangeRole(ctx, tx, a.ID, bob.ID, from, to) })
		}
		if err := change("", directory.Helpdesk); err != nil {
			t.Fatal(err)
		}
		names := func(where string) (out []string) {
			e, err := filter.Parse(where, directory.RoleFields(map[string]any{"H": directory.Helpdesk}))
			if err != nil {
				t.Fatal(err)
			}
			people, err := h.Holders(t.Context(), a.ID, e)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range people {
				out = append(out, p.Name+" "+p.Role)
			}
			slices.Sort(out)
			return out
		}
		if diff := cmp.Diff([]string{"ada@a.example administrator", "bob@a.example helpdesk"}, names("")); diff != "" {
			t.Errorf("holders (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"bob@a.example helpdesk"}, names("roleDefinitionId eq 'h' and principalId ne '"+string(ada.ID)+"'")); diff != "" {
			t.Errorf("holders (-want +got):\n%s", diff)
		}
		wantKind(t, "a role that somebody has not", change(directory.Administrator, ""), idp.Conflict)
		wantKind(t, "one more role", change("", directory.Administrator), idp.Conflict)
		if err := change(directory.Helpdesk, ""); err != nil {
			t.Error(err)
		}
		wantKind(t, "the last administrator", h.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return h.ChangeRole(ctx, tx, a.ID, ada.ID, directory.Administrator, "")
		}), idp.Denied)
		wantKind(t, "nobody", h.write(func(ctx context.Context, tx *sqldb.Tx) error {
			return h.ChangeRole(ctx, tx, b.ID, ada.ID, directory.Administrator, "")
		}), idp.NotFound)
	})
}
