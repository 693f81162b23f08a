package app_test

import (
	"testing"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
)

// TestAttack3_PassBeforeTheRole: a pass that the help desk gave to somebody
// without a role is no way into the account once it has one (ADM04).
func TestAttack3_PassBeforeTheRole(t *testing.T) {
	s := newSite(t, nil)
	do := func(op string, in map[string]any) {
		t.Helper()
		if _, err := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do(t.Context(), op, in, nil); err != nil {
			t.Fatal(err)
		}
	}
	bela := s.made.Users[1]
	person := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), bela.UserName))
	held := func() (n int) {
		for _, c := range must(s.Corridor.Credentials(t.Context(), person.Tenant, person.ID)) {
			if c.Bootstrap && !c.Disabled {
				n++
			}
		}
		return n
	}
	do("tap.issue", map[string]any{"user": bela.UserName})
	if n := held(); n != 1 {
		t.Fatalf("%d passes", n)
	}
	do("user.setRole", map[string]any{"user": bela.UserName, "role": "helpdesk"})
	if n := held(); n != 0 {
		t.Error("the pass of before opens the account of the help desk")
	}
	// Who has a role already keeps the pass that an administrator gave.
	do("tap.issue", map[string]any{"user": bela.UserName})
	do("user.setRole", map[string]any{"user": bela.UserName, "role": "administrator"})
	if n := held(); n != 1 {
		t.Error("the pass that an administrator gave is gone")
	}
}
