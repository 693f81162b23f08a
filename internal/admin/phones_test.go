package admin_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// pocket has two phones of one person, and a block.
type pocket struct {
	user    idp.UserID
	phones  []phone.Phone
	blocked bool
	tested  []idp.CredentialID
}

func (p *pocket) List(_ context.Context, t idp.TenantID, u idp.UserID) (out []method.Credential, _ error) {
	if u != p.user {
		return nil, nil
	}
	for _, one := range p.phones {
		out = append(out, method.Credential{ID: one.ID, Tenant: t, User: u, Method: policy.Phone, Name: "Phone " + string(one.ID), Model: one.App, Disabled: one.Gone, Created: now})
	}
	return out, nil
}
func (p *pocket) Phones(_ context.Context, _ idp.TenantID, u idp.UserID) ([]phone.Phone, error) {
	if u != p.user {
		return nil, nil
	}
	return p.phones, nil
}
func (p *pocket) Test(_ context.Context, _ idp.TenantID, _ idp.UserID, id idp.CredentialID) (phonewire.Tested, error) {
	p.tested = append(p.tested, id)
	return phonewire.Tested{Result: "none", Text: "It has not allowed messages."}, nil
}
func (p *pocket) Blocks(_ context.Context, _ idp.TenantID, u idp.UserID) ([]phone.Block, error) {
	if u != p.user || !p.blocked {
		return nil, nil
	}
	return []phone.Block{{Since: now}, {Address: "203.0.113.9", Since: now, Until: now.Add(24 * time.Hour)}}, nil
}
func (p *pocket) Unblock(_ context.Context, tx *sqldb.Tx, _ idp.TenantID, u idp.UserID) error {
	if u != p.user || !p.blocked {
		return idp.NotFoundf("phone_not_blocked", "%s", u)
	}
	tx.OnCommit(func() { p.blocked = false })
	return nil
}

// remove is what RemoveMethod does.
func (p *pocket) remove(_ context.Context, _ idp.TenantID, u idp.UserID, m idp.MethodID, id idp.CredentialID, _ string) error {
	if m != policy.Phone || u != p.user {
		return idp.NotFoundf("phone_missing", "%s of %s", id, u)
	}
	p.phones = slices.DeleteFunc(p.phones, func(one phone.Phone) bool { return one.ID == id })
	return nil
}

func TestPhones(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		a := idp.TenantID(o.do("tenant.create", fields{"name": "A", "domain": "a.example"})["id"].(string))
		ada := idp.UserID(o.do("user.create", fields{"userPrincipalName": "ada@a.example"})["id"].(string))
		o.do("user.create", fields{"userPrincipalName": "bob@a.example"})
		o.phones.user = ada
		o.phones.phones = []phone.Phone{{ID: "p1", App: "Signet 1.2", Platform: "Android", Push: "webpush", Seen: now}, {ID: "p2", Gone: true}}
		o.phones.blocked = true
		do := func(op string, in fields) (out map[string]any, all []map[string]any, reason string) {
			got, err := o.try(op, in)
			if err != nil {
				return nil, nil, idp.AsError(err).Reason
			}
			if got[0] == '[' {
				err = json.Unmarshal(got, &all)
			} else {
				err = json.Unmarshal(got, &out)
			}
			if err != nil {
				t.Fatal(err)
			}
			return out, all, ""
		}
		_, all, _ := do("phone.list", fields{"user": "ada@a.example"})
		if len(all) != 2 || all[0]["operatingSystem"] != "Android" || all[0]["push"] != "webpush" || all[0]["isUsable"] != true || all[0]["lastSeenDateTime"] == "" ||
			all[1]["push"] != "none" || all[1]["passkeyGone"] != true || all[1]["isUsable"] != false || all[1]["lastUsedDateTime"] != "" {
			t.Errorf("phones %v", all)
		}
		if _, all, _ := do("phone.list", fields{"user": "bob@a.example"}); len(all) != 0 {
			t.Errorf("Bob's %v", all)
		}
		for _, c := range []struct {
			op, user, phone, want string
		}{
			{"phone.show", "ada@a.example", "", "which_phone"}, {"phone.show", "ada@a.example", "p9", "phone_missing"},
			{"phone.test", "bob@a.example", "", "phone_missing"}, {"phone.remove", "nobody@a.example", "p1", "user_unknown"},
			{"phone.unblock", "bob@a.example", "", "phone_not_blocked"},
		} {
			in := fields{"user": c.user}
			if c.phone != "" {
				in["phone"] = c.phone
			}
			if _, _, got := do(c.op, in); got != c.want {
				t.Errorf("%s of %s %s: %q, want %q", c.op, c.user, c.phone, got, c.want)
			}
		}
		one, _, _ := do("phone.show", fields{"user": "ada@a.example", "phone": "phone P1"})
		blocks, _ := one["blocks"].([]any)
		if one["id"] != "p1" || len(blocks) != 2 || blocks[0].(map[string]any)["until"] != "" || blocks[1].(map[string]any)["ipAddress"] != "203.0.113.9" {
			t.Errorf("one phone %v", one)
		}
		if got, _, _ := do("phone.test", fields{"user": "ada@a.example", "phone": "p1"}); got["result"] != "none" || got["text"] != "It has not allowed messages." || got["id"] != "p1" {
			t.Errorf("tested %v", got)
		}
		if got, _, _ := do("phone.remove", fields{"user": "ada@a.example", "phone": "p2"}); got["id"] != "p2" || len(o.phones.phones) != 1 {
			t.Errorf("removed %v", got)
		}
		if got, _, _ := do("phone.unblock", fields{"user": "ada@a.example"}); got["userPrincipalName"] != "ada@a.example" || o.phones.blocked {
			t.Errorf("lifted %v", got)
		}
		events, err := o.log.List(t.Context(), o.db, a, audit.Filter{Of: audit.Changes, Limit: 1})
		if err != nil || len(events) != 1 || events[0].Activity != "phone.unblock" || events[0].User != ada || events[0].Actor != "cli:root" {
			t.Errorf("recorded %+v, %v", events, err)
		}
	})
}

// The help desk's token does nothing to the phones of people with a role.
func TestSec_ADM04_PhonesByToken(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		a := idp.TenantID(o.do("tenant.create", fields{"name": "A", "domain": "a.example"})["id"].(string))
		boss := idp.UserID(o.do("user.create", fields{"userPrincipalName": "boss@a.example", "role": "administrator"})["id"].(string))
		o.phones.user, o.phones.phones, o.phones.blocked = boss, []phone.Phone{{ID: "p1"}}, true
		reach := o.reach(a)
		call := func(role, op string) string {
			_, err := reach(role).Do(t.Context(), "", op, json.RawMessage(`{"user":"boss@a.example"}`), nil)
			if err == nil {
				return ""
			}
			return idp.AsError(err).Reason
		}
		for _, op := range []string{"phone.test", "phone.remove", "phone.unblock"} {
			if got := call("helpdesk", op); got != "target_is_administrator" {
				t.Errorf("%s by the help desk: %q", op, got)
			}
			if got := call("reader", op); got != "role_missing" {
				t.Errorf("%s by a reader: %q", op, got)
			}
		}
		if len(o.phones.tested) != 0 || len(o.phones.phones) != 1 || !o.phones.blocked {
			t.Error("something was done all the same")
		}
		for _, op := range []string{"phone.unblock", "phone.test", "phone.remove"} {
			if got := call("administrator", op); got != "" {
				t.Errorf("%s by an administrator: %q", op, got)
			}
		}
	})
}

// A plan tells whose phones fewer browsers could ask, and a group in a rule on
// phones that nobody is.
func TestPlanOfPhones(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		o.do("policy.set", fields{"name": "method.phone", "value": "true"})
		who := func(name string, methods ...idp.MethodID) {
			s := policy.Subject{Who: policy.Who{User: idp.User{ID: idp.UserID(name), Tenant: "t", Name: name + "@a.example", Enabled: true}}}
			for _, m := range methods {
				s.Keys = append(s.Keys, policy.Held{ID: "k", Method: m})
			}
			o.subjects = append(o.subjects, s)
		}
		who("both", policy.Phone, policy.Passkey)
		who("only", policy.Phone)
		who("none", policy.Passkey)
		raw, err := o.try("policy.plan", fields{"policy": "methods: {phone: {on: true, include: [{all: true}]}}\nphone:\n  from: known\n  showPlace: {include: {group: 22222222-2222-4222-8222-222222222222}}\n"})
		var p struct {
			Warnings []string
			Changes  []struct{ At string }
			Preview  struct {
				PeopleWithFewerBrowsers, PeopleWithOnlyAPhone, KeysThatStop int
				FewerBrowsers                                               []struct{ UserPrincipalName string }
			}
		}
		if err != nil || json.Unmarshal(raw, &p) != nil {
			t.Fatalf("%s, %v", raw, err)
		}
		v := p.Preview
		if v.PeopleWithFewerBrowsers != 2 || v.PeopleWithOnlyAPhone != 1 || v.KeysThatStop != 0 || len(v.FewerBrowsers) != 2 || v.FewerBrowsers[0].UserPrincipalName != "only@a.example" {
			t.Errorf("preview %+v", v)
		}
		if len(p.Changes) != 3 || p.Changes[0].At != "phone.from" || len(p.Warnings) != 1 || p.Warnings[0] != "There is no group 22222222-2222-4222-8222-222222222222 here." {
			t.Errorf("changes %v, warnings %q", p.Changes, p.Warnings)
		}
	})
}
