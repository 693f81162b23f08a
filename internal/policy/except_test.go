package policy_test

import (
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// TestExcept: a profile does not bind whom it excepts; every other one still
// does, and who may use the method at all is not touched.
func TestExcept(t *testing.T) {
	old := idp.Facts{AAGUID: other, Attested: true}
	only := policy.KeyRules{Attestation: policy.AttestationAlways, Synced: policy.SyncedDeny,
		AAGUIDs: policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{nitro}}}
	excepting := func(targets ...policy.Target) func(*policy.Policy) {
		return func(p *policy.Policy) {
			p.Passkey.KeyRules = only
			p.Passkey.Except = targets
		}
	}
	both := func(p *policy.Policy) {
		excepting(policy.Target{User: ada.ID})(p)
		p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "Strict", KeyRules: only}}
		p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true}}, group(staff, strict)}}
	}
	for _, tt := range []struct {
		name   string
		p      *policy.Policy
		who    policy.Who
		reason string
	}{
		{"nobody is excepted", governed(excepting()), member(ada), "model_not_allowed"},
		{"by name", governed(excepting(policy.Target{User: ada.ID})), member(ada), ""},
		{"somebody else", governed(excepting(policy.Target{User: idp.UserID(leavers)})), member(ada), "model_not_allowed"},
		{"by group", governed(excepting(policy.Target{Group: staff})), member(ada, staff), ""},
		{"by a group of others", governed(excepting(policy.Target{Group: staff})), member(ada, admins), "model_not_allowed"},
		{"another profile binds all the same", governed(both), member(ada, staff), "model_not_allowed"},
		{"the other one binds others", governed(both), member(ada, admins), ""},
		{"a withdrawn model is above all profiles", governed(func(p *policy.Policy) {
			excepting(policy.Target{User: ada.ID})(p)
		}), member(ada), "model_withdrawn"},
		{"the method is off", governed(func(p *policy.Policy) {
			excepting(policy.Target{User: ada.ID})(p)
			p.Switch(policy.Passkey, false)
		}), member(ada), "method_off"},
	} {
		key := old
		if tt.reason == "model_withdrawn" {
			key.Status = idp.ModelRefuse
		}
		if got := tt.p.Judge(tt.who, policy.Use, policy.Passkey, &key).Reason; got != tt.reason {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.reason)
		}
	}

	p := governed(both)
	p.Passkey.Profiles[0].Except = []policy.Target{{Group: leavers}}
	if !slices.Contains(p.NamedGroups(), leavers) {
		t.Error("the groups that a profile excepts are not among those that matter")
	}
	c := p.Clone()
	c.Passkey.Except[0], c.Passkey.Profiles[0].Except[0] = policy.Target{All: true}, policy.Target{All: true}
	if p.Passkey.Except[0].All || p.Passkey.Profiles[0].Except[0].All {
		t.Error("a clone shares the exceptions")
	}
	p.Passkey.Except[0] = policy.Target{User: idp.UserID(loose)} // a form has GUIDs only
	form, err := policy.Format(*p)
	if err != nil {
		t.Fatal(err)
	}
	back, err := policy.Parse(form, nil)
	if err != nil || len(back.Passkey.Except) != 1 || len(back.Passkey.Profiles[0].Except) != 1 {
		t.Errorf("exceptions do not survive the form: %v\n%s", err, form)
	}
}
