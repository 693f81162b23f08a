package admin_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

func TestConsents(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		ada := o.do("user.create", fields{"userPrincipalName": "ada@a.example"})
		o.do("user.create", fields{"userPrincipalName": "bo@a.example"})
		app := o.do("app.create", fields{"displayName": "Drawings", "auth": "none", "kind": "native", "redirectUris": []string{"http://127.0.0.1/"}})
		id := func(o fields) string { return fmt.Sprint(o["id"]) }
		if err := o.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return o.clients.GrantConsent(ctx, tx, idp.TenantID(id(tenant)), idp.UserID(id(ada)), idp.ClientID(id(app)), []string{"openid", "profile"})
		}); err != nil {
			t.Fatal(err)
		}
		in := fields{"user": "ada@a.example"}
		before := len(o.events(tenant["id"]))
		for field, want := range map[string]string{"appId": id(app), "appDisplayName": "Drawings", "scopes": "[openid profile]", "since": "2026-11-23T09:00:00Z"} {
			if got := o.list("user.consents", in, field); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %v, want %s", field, got, want)
			}
		}
		if got := o.list("user.consents", fields{"user": "bo@a.example"}, "appId"); len(got) != 0 {
			t.Errorf("bo allowed %v", got)
		}
		o.refused("user.consents", fields{"user": "nobody@a.example"}, idp.NotFound)
		o.refused("user.revokeConsent", fields{"user": "bo@a.example", "app": "Drawings"}, idp.NotFound)
		o.refused("user.revokeConsent", fields{"user": "ada@a.example", "app": "Other"}, idp.NotFound)
		o.refused("user.revokeConsent", fields{"user": "ada@a.example"}, idp.Invalid)
		if got := o.events(tenant["id"])[before:]; len(got) != 0 || len(o.taken) != 0 {
			t.Errorf("looks and refusals left %v and ended %v", got, o.taken)
		}

		got := o.do("user.revokeConsent", fields{"user": "ada@a.example", "app": "drawings"})
		if got["appDisplayName"] != "Drawings" || fmt.Sprint(got["scopes"]) != "[openid profile]" {
			t.Errorf("took back %v", got)
		}
		if want := []string{id(ada) + " " + id(app)}; !slices.Equal(o.taken, want) {
			t.Errorf("ended %v, want %v", o.taken, want)
		}
		if got := o.list("user.consents", in, "appId"); len(got) != 0 {
			t.Errorf("still allowed: %v", got)
		}
		if got := o.events(tenant["id"])[before:]; !slices.Equal(got, []string{"user.revokeConsent ada@a.example"}) {
			t.Errorf("events %v", got)
		}
		o.refused("user.revokeConsent", fields{"user": "ada@a.example", "app": "Drawings"}, idp.NotFound)
	})
}
