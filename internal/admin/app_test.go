package admin_test

import (
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
)

// An app whose tokens are signed with RS256 finds the key published before
// anybody signs in to it.
func TestSec_KEY03_KeyOfAnAppIsPublishedWithIt(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		keys := func() []string { return o.list("signing-key.list", fields{}, "alg") }
		uri := []string{"https://wiki.example/cb"}
		o.do("app.create", fields{"displayName": "Plain", "redirectUris": uri})
		o.refused("app.create", fields{"displayName": "Wrong", "alg": "none", "redirectUris": uri}, idp.Invalid)
		if got := keys(); slices.Contains(got, "RS256") {
			t.Fatalf("keys before any app asked for RS256: %v", got)
		}
		o.do("app.create", fields{"displayName": "Wiki", "alg": "RS256", "redirectUris": uri})
		if got := keys(); !slices.Contains(got, "RS256") {
			t.Errorf("keys after the app was made: %v", got)
		}
		if got := o.list("signing-key.list", fields{}, "state"); !slices.Contains(got, "active") {
			t.Errorf("states: %v", got)
		}
		before := o.list("signing-key.list", fields{}, "id")
		o.do("app.create", fields{"displayName": "Second", "alg": "RS256", "redirectUris": uri})
		if got := o.list("signing-key.list", fields{}, "id"); !slices.Equal(got, before) {
			t.Errorf("another key for a second app: %v, had %v", got, before)
		}

		o.do("tenant.create", fields{"name": "B", "domain": "b.example"})
		in := fields{"tenant": "b.example"}
		o.do("app.create", fields{"tenant": "b.example", "displayName": "Plain", "redirectUris": uri})
		if got := o.list("signing-key.list", in, "alg"); slices.Contains(got, "RS256") {
			t.Errorf("the other tenant has %v", got)
		}
		o.do("app.update", fields{"tenant": "b.example", "app": "Plain", "alg": "RS256"})
		if got := o.list("signing-key.list", in, "alg"); !slices.Contains(got, "RS256") {
			t.Errorf("keys after the app was changed to it: %v", got)
		}
	})
}
