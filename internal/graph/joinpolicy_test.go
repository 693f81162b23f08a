package graph_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const joinPolicy = "/v1.0/policies/deviceRegistrationPolicy"

// joins is a body that lets whom a membership names join.
func joins(quota int, m map[string]any) map[string]any {
	return map[string]any{
		"userDeviceQuota": quota, "multiFactorAuthConfiguration": "required",
		"azureADRegistration": map[string]any{"isAdminConfigurable": true, "allowedToRegister": m}, "azureADJoin": map[string]any{"isAdminConfigurable": true, "allowedToJoin": m},
	}
}

func members(kind string, lists ...string) map[string]any {
	m := map[string]any{"@odata.type": "#microsoft.graph." + kind + "DeviceRegistrationMembership"}
	for _, l := range lists {
		name, id, _ := strings.Cut(l, "=")
		all, _ := m[name].([]string)
		m[name] = append(all, id)
	}
	return m
}

func TestJoinPolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		g := w.newGroup("Workshop")
		read := w.ask(ada, "GET", joinPolicy, nil).want(t, http.StatusOK, "")
		if read.Header().Get("ETag") != `W/"0"` || read.at(t, "azureADJoin", "allowedToJoin", "@odata.type") != "#microsoft.graph.noDeviceRegistrationMembership" || read.body["@signet.state"] != "disabled" {
			t.Errorf("of a new tenant: %s", read.Body)
		}
		some := members("enumerated", "users="+strings.ToUpper(string(w.eve.ID)), "groups="+string(g.ID))
		saved := w.ask(ada, "PUT", joinPolicy, joins(5, some), "If-Match", read.Header().Get("ETag")).want(t, http.StatusOK, "")
		if saved.Header().Get("ETag") != `W/"1"` || saved.body["userDeviceQuota"] != 5.0 || saved.body["@signet.state"] != "enabled" ||
			saved.at(t, "azureADRegistration", "allowedToRegister", "users", 0) != string(w.eve.ID) || saved.at(t, "azureADJoin", "allowedToJoin", "groups", 0) != string(g.ID) {
			t.Errorf("saved %s", saved.Body)
		}
		if got := w.ask(ada, "GET", "/beta/policies/deviceRegistrationPolicy", nil).want(t, http.StatusOK, ""); got.at(t, "azureADJoin", "allowedToJoin", "users", 0) != string(w.eve.ID) {
			t.Errorf("read %s", got.Body)
		}
		w.ask(ada, "PUT", joinPolicy, joins(5, members("all")), "If-Match", `W/"0"`).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		w.ask(ada, "PATCH", joinPolicy, map[string]any{"@odata.etag": `W/"0"`, "userDeviceQuota": 6}).want(t, http.StatusPreconditionFailed, "PreconditionFailed")
		w.ask(ada, "PATCH", joinPolicy, map[string]any{"userDeviceQuota": 6, "@signet.excludeTargets": []any{map[string]any{"id": string(w.bob.ID), "targetType": "user"}}}).want(t, http.StatusOK, "")
		got := w.ask(ada, "GET", joinPolicy, nil)
		if got.body["userDeviceQuota"] != 6.0 || got.at(t, "@signet.excludeTargets", 0, "id") != string(w.bob.ID) || got.at(t, "azureADJoin", "allowedToJoin", "groups", 0) != string(g.ID) {
			t.Errorf("patched %s", got.Body)
		}
		// What is read and sent back changes nothing.
		w.ask(ada, "PUT", joinPolicy, got.body).want(t, http.StatusOK, "")
		if again := w.ask(ada, "GET", joinPolicy, nil); again.Header().Get("ETag") != got.Header().Get("ETag") {
			t.Errorf("sent back: %s", again.Body)
		}
		if e := w.lastChange(t, "policy.update"); e.Actor != string(w.ada.ID) || e.Detail["devices.quota"] != "5 → 6" {
			t.Errorf("event %+v", e)
		}
		w.ask(ada, "PUT", joinPolicy, joins(6, members("enumerated", "groups=00000000-0000-4000-8000-000000000000"))).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "no group or user")
		w.ask(ada, "PUT", joinPolicy, joins(6, members("enumerated", "users="+string(w.bob.ID)))).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "@signet.excludeTargets")
		w.ask(ada, "PUT", joinPolicy, joins(0, members("all"))).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "userDeviceQuota")
		w.ask(w.bearer(w.bob), "PUT", joinPolicy, joins(6, members("all"))).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	})
}

func TestJoinPolicyRefused(t *testing.T) {
	all := `{"@odata.type":"#microsoft.graph.allDeviceRegistrationMembership"}`
	for body, says := range map[string]string{
		`{"multiFactorAuthConfiguration":"notRequired"}`:                                                                                                              "always asks",
		`{"localAdminPassword":{"isEnabled":true}}`:                                                                                                                   "no passwords",
		`{"azureADJoin":{"isAdminConfigurable":false}}`:                                                                                                               "'azureADJoin/isAdminConfigurable' cannot be changed",
		`{"azureADRegistration":{"isAdminConfigurable":false}}`:                                                                                                       "'azureADRegistration/isAdminConfigurable' cannot be changed",
		`{"azureADJoin":{"localAdmins":{"enableGlobalAdmins":true}}}`:                                                                                                 "'azureADJoin/localAdmins/enableGlobalAdmins' cannot be changed",
		`{"azureADJoin":{"localAdmins":{"registeringUsers":{"@odata.type":"microsoft.graph.noDeviceRegistrationMembership"}}}}`:                                       "is its administrator",
		`{"azureADJoin":{"allowedToJoin":{}}}`:                                                                                                                        "required for property 'azureADJoin/allowedToJoin/@odata.type'",
		`{"azureADJoin":{"allowedToJoin":{"@odata.type":"#microsoft.graph.someMembership"}}}`:                                                                         "'azureADJoin/allowedToJoin/@odata.type' is",
		`{"azureADJoin":{"allowedToJoin":{"@odata.type":"#microsoft.graph.enumeratedDeviceRegistrationMembership"}}}`:                                                 "lists nobody",
		`{"azureADJoin":{"allowedToJoin":{"@odata.type":"#microsoft.graph.enumeratedDeviceRegistrationMembership","users":["eve"]}}}`:                                 "'azureADJoin/allowedToJoin/users[0]'",
		`{"azureADJoin":{"allowedToJoin":{"@odata.type":"#microsoft.graph.allDeviceRegistrationMembership","groups":["` + guidOf(3) + `"]}}}`:                         "Only enumeratedDeviceRegistrationMembership",
		`{"azureADJoin":{"allowedToJoin":` + all + `},"azureADRegistration":{"allowedToRegister":{"@odata.type":"#microsoft.graph.noDeviceRegistrationMembership"}}}`: "may register, and nobody else",
		`{"azureADJoin":{"allowedToJoin":` + all + `},"@signet.state":"disabled"}`:                                                                                    "nobody can join while devices are off",
		`{"@signet.state":"on"}`:                  "'@signet.state' has no member 'on'",
		`{"@signet.attestation":"always"}`:        "'@signet.attestation' has no member",
		`{"id":"x"}`:                              "'id' cannot be changed",
		`{"quota":5}`:                             "'quota' does not exist",
		`{"userDeviceQuota":null}`:                "cannot be null",
		`{"@odata.type":"#microsoft.graph.user"}`: "deviceRegistrationPolicy",
	} {
		p := policy.Default()
		err := graph.PatchJoinPolicy([]byte(body), &p, false)
		if e := idp.AsError(err); err == nil || e.Kind != idp.Invalid || !strings.Contains(e.Public, says) {
			t.Errorf("%s: %v", body, err)
		}
	}
	whole := joins(5, members("all"))
	for _, name := range []string{"userDeviceQuota", "multiFactorAuthConfiguration", "azureADRegistration", "azureADJoin"} {
		less := map[string]any{}
		for k, v := range whole {
			if k != name {
				less[k] = v
			}
		}
		raw, _ := json.Marshal(less)
		p := policy.Default()
		if e := idp.AsError(graph.PatchJoinPolicy(raw, &p, true)); e == nil || !strings.Contains(e.Public, "required for property '"+name) {
			t.Errorf("PUT without %s: %v", name, e)
		}
		if err := graph.PatchJoinPolicy(raw, &p, false); err != nil {
			t.Errorf("PATCH without %s: %v", name, err)
		}
	}
}

// Off and nobody are two things, that Graph has one word for.
func TestJoinPolicyOff(t *testing.T) {
	group := []policy.Target{{Group: idp.GroupID(guidOf(5))}}
	no, all := `{"allowedToJoin":{"@odata.type":"#microsoft.graph.noDeviceRegistrationMembership"}}`, `{"allowedToJoin":{"@odata.type":"#microsoft.graph.allDeviceRegistrationMembership"}}`
	for name, tt := range map[string]struct {
		on      bool
		body    string
		wantOn  bool
		include []policy.Target
	}{
		"nothing":                   {true, `{}`, true, group},
		"nobody":                    {true, `{"azureADJoin":` + no + `}`, true, nil},
		"everybody":                 {true, `{"azureADJoin":` + all + `}`, true, []policy.Target{{All: true}}},
		"off":                       {true, `{"@signet.state":"disabled"}`, false, group},
		"off, as it is shown":       {true, `{"@signet.state":"disabled","azureADJoin":` + no + `}`, false, group},
		"off already":               {false, `{"azureADJoin":` + no + `}`, false, group},
		"on":                        {false, `{"@signet.state":"enabled"}`, true, group},
		"on for nobody":             {false, `{"@signet.state":"enabled","azureADJoin":` + no + `}`, true, nil},
		"everybody switches it on":  {false, `{"azureADJoin":` + all + `}`, true, []policy.Target{{All: true}}},
		"the quota does not":        {false, `{"userDeviceQuota":3}`, false, group},
		"on, and one of registered": {false, `{"azureADRegistration":` + strings.Replace(all, "Join", "Register", 1) + `}`, true, []policy.Target{{All: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.Default()
			p.Devices.On, p.Devices.Include = tt.on, group
			if err := graph.PatchJoinPolicy([]byte(tt.body), &p, false); err != nil {
				t.Fatal(idp.AsError(err).Public)
			}
			if diff := cmp.Diff(tt.include, p.Devices.Include); p.Devices.On != tt.wantOn || diff != "" {
				t.Errorf("on %v (-want +got):\n%s", p.Devices.On, diff)
			}
		})
	}
}

// What Graph cannot say of a policy survives that it is read and sent back.
func TestJoinPolicyRoundTrip(t *testing.T) {
	for name, change := range map[string]func(*policy.DeviceRules){
		"new":       func(*policy.DeviceRules) {},
		"on":        func(d *policy.DeviceRules) { d.On = true },
		"nobody":    func(d *policy.DeviceRules) { d.On, d.Include = true, nil },
		"off, some": func(d *policy.DeviceRules) { d.Include = []policy.Target{{Group: idp.GroupID(guidOf(2))}} },
		"mixed": func(d *policy.DeviceRules) {
			d.On, d.Include = true, []policy.Target{{Group: idp.GroupID(guidOf(2))}, {User: idp.UserID(guidOf(3))}, {Group: idp.GroupID(guidOf(4))}}
		},
		"all and more": func(d *policy.DeviceRules) {
			d.On, d.Include = true, []policy.Target{{Group: idp.GroupID(guidOf(2))}, {All: true}}
		},
		"excluded": func(d *policy.DeviceRules) {
			d.Exclude, d.Attestation, d.Quota = []policy.Target{{User: idp.UserID(guidOf(9))}}, policy.AttestationRequired, 3
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := policy.Default()
			change(&p.Devices)
			shown, err := graph.ShowJoinPolicy(p)
			if err != nil {
				t.Fatal(err)
			}
			next := p.Clone()
			if err := graph.PatchJoinPolicy(shown, &next, true); err != nil {
				t.Fatalf("%s: %s", idp.AsError(err).Public, shown)
			}
			if differ, err := policy.Differences(p, next); err != nil || len(differ) > 0 {
				t.Errorf("%v, %v", differ, err)
			}
		})
	}
}

// Hello is governed beside the other methods.
func TestHelloConfiguration(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	at := methodsPolicy + "/authenticationMethodConfigurations/"
	got := w.ask(ada, "GET", at+"windowshelloforbusiness", nil).want(t, http.StatusOK, "")
	if got.body["state"] != "disabled" || got.body["id"] != "WindowsHelloForBusiness" || got.body["@signet.limit"] != 20.0 || got.body["@signet.warnAt"] != 15.0 {
		t.Errorf("of a new tenant: %s", got.Body)
	}
	w.ask(ada, "PATCH", at+"WindowsHelloForBusiness", map[string]any{"state": "enabled", "@signet.limit": 5, "@signet.warnAt": 4,
		"includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group"}}}).want(t, http.StatusNoContent, "")
	if got := w.ask(ada, "GET", at+"WindowsHelloForBusiness", nil); got.body["state"] != "enabled" || got.body["@signet.limit"] != 5.0 || got.at(t, "includeTargets", 0, "id") != "all_users" {
		t.Errorf("changed: %s", got.Body)
	}
	w.ask(ada, "PATCH", at+"WindowsHelloForBusiness", map[string]any{"@signet.limit": 51}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "WindowsHelloForBusiness/@signet.limit")
	w.ask(ada, "PATCH", at+"WindowsHelloForBusiness", map[string]any{"securityKeyForSignIn": "enabled"}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "'securityKeyForSignIn'")
	w.ask(ada, "DELETE", at+"WindowsHelloForBusiness", nil).want(t, http.StatusNoContent, "")
	if got := w.ask(ada, "GET", at+"WindowsHelloForBusiness", nil); got.body["state"] != "disabled" || got.body["@signet.limit"] != 20.0 {
		t.Errorf("put back: %s", got.Body)
	}
}
