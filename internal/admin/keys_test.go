package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
)

// TestKeysOfPeople: what is asked, and what is not taken.
func TestKeysOfPeople(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		ada := o.do("user.create", fields{"userPrincipalName": "ada@a.example"})
		o.do("user.create", fields{"userPrincipalName": "bo@a.example"})
		o.keys.user = idp.UserID(ada["id"].(string))
		first := o.do("key.list", fields{"limit": 1})
		if first["people"] != 1.0 || first["after"] == nil {
			t.Errorf("first part %v", first)
		}
		all := o.do("key.list", fields{"orphaned": true})
		if keys := all["keys"].([]any); len(keys) != 1 || keys[0].(map[string]any)["lastUsed"] != "" || fmt.Sprint(all["many"]) != "[map[keys:1 limit:20 method:hello userPrincipalName:ada@a.example]]" {
			t.Errorf("keys %v", all)
		}
		if csv := o.do("key.export", fields{"user": "ada@a.example"})["csv"].(string); strings.Count(csv, "\r\n") != 2 || !strings.Contains(csv, "ada@a.example,a.example,,NGC,k1,2026-11-23T09:00:00Z,False,True,\r\n") {
			t.Errorf("file %q", csv)
		}
		if csv, _ := o.do("key.export", fields{"after": first["after"]})["csv"].(string); strings.Contains(csv, "userPrincipalName") {
			t.Errorf("the second part has a header: %q", csv)
		}
		for name, in := range map[string]fields{
			"no rule": {}, "a person is no rule": {"user": "ada@a.example"}, "file and rule": {"csv": "x", "orphaned": true}, "file and person": {"csv": "x", "user": "ada@a.example"},
			"an age below zero": {"olderThanDays": -1}, "an age beyond reason": {"unusedSinceDays": 40_000}, "no CSV": {"csv": "x"},
		} {
			if _, err := o.try("key.clean", in); !errors.Is(err, idp.Invalid) || idp.AsError(err).Public == "" {
				t.Errorf("%s: %v, want invalid", name, err)
			}
		}
		if v := o.do("key.clean", fields{"orphaned": true, "olderThanDays": 1}); len(v["keys"].([]any)) != 0 || v["tried"] != true {
			t.Errorf("none is so old: %v", v)
		}
		if v := o.do("key.clean", fields{"orphaned": true}); len(v["keys"].([]any)) != 1 || v["tried"] != true || o.keys.removed {
			t.Errorf("tried: %v", v)
		}
		file := "userPrincipalName,Id\nada@a.example,k1\n"
		if v := o.do("key.clean", fields{"csv": file, "apply": true}); len(v["keys"].([]any)) != 1 || v["tried"] != false || !o.keys.removed {
			t.Errorf("cleared: %v", v)
		}
		if v := o.do("key.clean", fields{"csv": file, "apply": true}); fmt.Sprint(v["bad"]) != "[map[field:Id line:2 reason:this person has no such key]]" {
			t.Errorf("cleared again: %v", v)
		}
		if all := o.list("key.removed", fields{"user": "ada@a.example"}, "id"); fmt.Sprint(all) != "[k1]" {
			t.Errorf("removed: %v", all)
		}
		if all := o.list("key.removed", fields{"user": "bo@a.example"}, "id"); len(all) != 0 {
			t.Errorf("removed of Bo: %v", all)
		}
		if v := o.do("key.restore", fields{"csv": file}); len(v["keys"].([]any)) != 1 || !o.keys.removed {
			t.Errorf("restore tried: %v", v)
		}
		if v := o.do("key.restore", fields{"csv": file, "apply": true}); len(v["keys"].([]any)) != 1 || o.keys.removed {
			t.Errorf("restored: %v", v)
		}
	})
}

// TestDevices: devices are found by id and by name, and each answer says what
// stood on them.
func TestDevices(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		ada := o.do("user.create", fields{"userPrincipalName": "ada@a.example"})
		o.keys.user = idp.UserID(ada["id"].(string))
		in := idp.TenantID(tenant["id"].(string))
		first, second, odd := o.join(in, o.keys.user, "ws"), o.join(in, "10000000-0000-4000-8000-000000000001", "WS"), o.join(in, o.keys.user, "Bo's 100%")
		for _, ref := range []string{string(odd.ID), strings.ToUpper(string(odd.ID)), "bo's 100%"} {
			if d := o.do("device.show", fields{"device": ref}); d["id"] != string(odd.ID) || d["helloKeys"] != 1.0 || d["platformKeys"] != 3.0 || d["primaryRefreshTokens"] != 2.0 ||
				fmt.Sprint(d["onlyWayInOf"]) != "[ada@a.example]" || d["ownerUserPrincipalName"] != "ada@a.example" {
				t.Errorf("%s: %v", ref, d)
			}
		}
		if _, err := o.try("device.show", fields{"device": "ws"}); !errors.Is(err, idp.Invalid) || !strings.Contains(idp.AsError(err).Public, "Use the id") {
			t.Errorf("two of one name: %v", err)
		}
		for ref, kind := range map[string]idp.Kind{"": idp.Invalid, "nope": idp.NotFound, "' or 1 eq 1": idp.NotFound} {
			if _, err := o.try("device.remove", fields{"device": ref}); !errors.Is(err, kind) {
				t.Errorf("device %q: %v, want %s", ref, err, kind)
			}
		}
		if all := o.list("device.list", fields{"user": "ada@a.example"}, "id"); len(all) != 2 {
			t.Errorf("Ada's: %v", all)
		}
		part := o.list("device.list", fields{"limit": 2}, "id")
		rest := o.list("device.list", fields{"limit": 2, "after": part[1]}, "id")
		if len(part) != 2 || len(rest) != 1 {
			t.Errorf("in parts: %v, %v", part, rest)
		}
		if d := o.do("device.disable", fields{"device": string(first.ID)}); d["accountEnabled"] != false {
			t.Errorf("disabled: %v", d)
		}
		if d := o.do("device.remove", fields{"device": string(second.ID)}); d["ownerUserPrincipalName"] != "" || d["accountEnabled"] != false {
			t.Errorf("removed, of somebody who is gone: %v", d)
		}
		if _, err := o.try("device.list", fields{"after": string(second.ID)}); !errors.Is(err, idp.Conflict) {
			t.Errorf("behind one that is gone: %v", err)
		}
		if _, err := o.try("device.rename", fields{"device": string(first.ID), "displayName": " "}); !errors.Is(err, idp.Invalid) {
			t.Errorf("no name: %v", err)
		}
	})
}
