package admin_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
)

// What says that a certificate is somebody's is set, shown, recorded and taken
// away.
func TestCertificateUserIDs(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "Nordhafen", "domain": "nordhafen.example"})
		ada := o.do("user.create", fields{"userPrincipalName": "ada@nordhafen.example"})
		o.do("user.create", fields{"userPrincipalName": "bob@nordhafen.example"})
		const pn, ski = "X509:<PN>ada@corp.local", "X509:<SKI>0102"
		got := o.do("user.update", fields{"user": ada["id"], "certificateUserIds": []string{pn, ski}, "onPremisesUserPrincipalName": "ada@corp.local"})
		if fmt.Sprint(got["certificateUserIds"]) != "["+pn+" "+ski+"]" || got["onPremisesUserPrincipalName"] != "ada@corp.local" {
			t.Errorf("changed: %v", got)
		}
		if got := o.do("user.update", fields{"user": ada["id"], "displayName": "Ada"}); len(got["certificateUserIds"].([]any)) != 2 || got["onPremisesUserPrincipalName"] != "ada@corp.local" {
			t.Errorf("another change took them: %v", got)
		}
		before := len(o.events(tenant["id"]))
		for what, in := range map[string]fields{
			"a taken value":      {"certificateUserIds": []string{"X509:<PN>bob@corp.local", ski}},
			"a taken name":       {"onPremisesUserPrincipalName": "ADA@corp.local"},
			"a value of no form": {"certificateUserIds": []string{"ada"}},
			"a name of no form":  {"onPremisesUserPrincipalName": "ada"},
			"a value, and more":  {"displayName": "Robert", "certificateUserIds": []string{ski}},
		} {
			want := idp.Conflict
			if strings.Contains(what, "no form") {
				want = idp.Invalid
			}
			in["user"] = "bob@nordhafen.example"
			o.refused("user.update", in, want)
		}
		bob := o.do("user.show", fields{"user": "bob@nordhafen.example"})
		if bob["certificateUserIds"] != nil || bob["onPremisesUserPrincipalName"] != nil || bob["displayName"] != "bob" || len(o.events(tenant["id"])) != before {
			t.Errorf("after refusals: %v", bob)
		}
		if got := o.do("user.update", fields{"user": ada["id"], "certificateUserIds": []string{ski}}); fmt.Sprint(got["certificateUserIds"]) != "["+ski+"]" {
			t.Errorf("fewer: %v", got)
		}
		if got := o.do("user.update", fields{"user": ada["id"], "certificateUserIds": []string{}, "onPremisesUserPrincipalName": ""}); got["certificateUserIds"] != nil || got["onPremisesUserPrincipalName"] != nil {
			t.Errorf("none: %v", got)
		}
		events, err := o.log.List(t.Context(), o.db, idp.TenantID(tenant["id"].(string)), audit.Filter{Of: audit.Changes, Limit: 3})
		if err != nil {
			t.Fatal(err)
		}
		// The newest first.
		if d := events[0].Detail; d["certificateUserIds.removed[0]"] != ski || d["onPremisesUserPrincipalName"] != "" {
			t.Errorf("recorded: %v", d)
		}
		if d := events[1].Detail; d["certificateUserIds.removed[0]"] != pn || d["certificateUserIds.added[0]"] != "" {
			t.Errorf("recorded: %v", d)
		}
	})
}
