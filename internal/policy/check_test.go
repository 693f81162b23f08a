package policy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func models() map[string]string {
	return map[string]string{nitro: "YubiKey 5 NFC", other: "YubiKey 5.2", "cb69481e-8ff7-4039-93ec-0a2729a154a8": "YubiKey 5"}
}

func allowList(list ...string) policy.KeyRules {
	r := policy.Default().Passkey.KeyRules
	r.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: list}
	return r
}

// TestContradictions: each policy is wrong in one way, and both places are
// named.
func TestContradictions(t *testing.T) {
	all := policy.Target{All: true}
	passkeys := func(p *policy.Policy, r policy.MethodRules) { p.Methods[policy.Passkey] = r }
	fido := [][]idp.Mode{{idp.ModeFIDO2}}
	for _, tt := range []struct {
		name, at, other string
		change          func(*policy.Policy)
	}{
		{"warning above the limit", "passkey.warnAt", "passkey.limit", func(p *policy.Policy) { p.Passkey.WarnAt = 30 }},
		{"limit too high", "passkey.limit", "", func(p *policy.Policy) { p.Passkey.Limit = 1000 }},
		{"a word that is none", "passkey.synced", "", func(p *policy.Policy) { p.Passkey.Synced = "maybe" }},
		{"on for nobody", "methods.passkey.on", "methods.passkey.include", func(p *policy.Policy) { passkeys(p, policy.MethodRules{On: true}) }},
		{"included and excluded", "methods.passkey.include[1]", "methods.passkey.exclude[0]", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{{Target: all}, group(staff)}, Exclude: []policy.Target{{Group: staff}}})
		}},
		{"everybody excluded", "methods.passkey.include", "methods.passkey.exclude[0]", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{group(staff)}, Exclude: []policy.Target{all}})
		}},
		{"a target twice", "methods.passkey.include[0]", "methods.passkey.include[1]", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{group(staff), group(staff)}})
		}},
		{"a target that is nothing", "methods.passkey.include[0]", "", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{{}}})
		}},
		{"a target that is two things", "methods.passkey.include[0]", "", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{All: true, Group: staff}}}})
		}},
		{"a group that is no GUID", "methods.passkey.exclude[0]", "", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{{Target: all}}, Exclude: []policy.Target{{Group: "staff"}}})
		}},
		{"a profile for nobody", "passkey.except[0]", "", func(p *policy.Policy) { p.Passkey.Except = []policy.Target{all} }},
		{"an exception that is nothing", "passkey.except[0]", "", func(p *policy.Policy) { p.Passkey.Except = []policy.Target{{}} }},
		{"a profile that is not there", "methods.passkey.include[0].profiles[0]", "passkey.profiles", func(p *policy.Policy) {
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{group(staff, strict)}})
		}},
		{"profiles for a pass", "methods.accessPass.include[0].profiles", "", func(p *policy.Policy) {
			p.Methods[policy.AccessPass] = policy.MethodRules{On: true, Include: []policy.Include{group(staff, policy.DefaultProfile)}}
		}},
		{"two profiles of one id", "passkey.profiles[1].id", "passkey.profiles[0].id", func(p *policy.Policy) {
			p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "a", KeyRules: allowList(nitro)}, {ID: strict, Name: "b", KeyRules: allowList(nitro)}}
		}},
		{"the id of the default profile", "passkey.profiles[0].id", "passkey.id", func(p *policy.Policy) {
			p.Passkey.Profiles = []policy.Profile{{ID: policy.DefaultProfile, Name: "a", KeyRules: allowList(nitro)}}
		}},
		{"two profiles of one name", "passkey.profiles[1].name", "passkey.profiles[0].name", func(p *policy.Policy) {
			p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "a", KeyRules: allowList(nitro)}, {ID: loose, Name: "A", KeyRules: allowList(nitro)}}
		}},
		{"a profile without a name", "passkey.profiles[0].name", "", func(p *policy.Policy) {
			p.Passkey.Profiles = []policy.Profile{{ID: strict, KeyRules: allowList(nitro)}}
		}},
		{"no model fits both profiles", "passkey.profiles[0].aaguids", "passkey.profiles[1].aaguids", func(p *policy.Policy) {
			p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "a", KeyRules: allowList(nitro)}, {ID: loose, Name: "b", KeyRules: allowList(other)}}
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{group(staff, strict, loose)}})
		}},
		{"no passkey fits both profiles", "passkey.synced", "passkey.profiles[0].synced", func(p *policy.Policy) {
			p.Passkey.Synced = policy.SyncedDeny
			only := policy.KeyRules{Attestation: policy.AttestationNone, Synced: policy.SyncedOnly, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListOff}}
			p.Passkey.Profiles = []policy.Profile{{ID: strict, Name: "a", KeyRules: only}}
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{group(staff, policy.DefaultProfile, strict)}})
		}},
		{"allowed, and none listed", "passkey.aaguids.mode", "passkey.aaguids.list", func(p *policy.Policy) { p.Passkey.KeyRules = allowList() }},
		{"no model listed as allowed", "passkey.aaguids.list[0]", "", func(p *policy.Policy) {
			p.Passkey.KeyRules = allowList("00000000-0000-0000-0000-000000000000")
		}},
		{"a list at rest that is neither", "passkey.aaguids.resting", "", func(p *policy.Policy) { p.Passkey.AAGUIDs.Resting = policy.ListOff }},
		{"a model twice", "passkey.aaguids.list[0]", "passkey.aaguids.list[1]", func(p *policy.Policy) {
			p.Passkey.KeyRules = allowList(nitro, strings.ToUpper(nitro))
		}},
		{"synced only and attested", "passkey.attestation", "passkey.synced", func(p *policy.Policy) {
			p.Passkey.Synced, p.Passkey.Attestation = policy.SyncedOnly, policy.AttestationRequired
		}},
		{"synced only and allowed by model", "passkey.aaguids.mode", "passkey.synced", func(p *policy.Policy) {
			p.Passkey.KeyRules = allowList(nitro)
			p.Passkey.Synced = policy.SyncedOnly
		}},
		{"required and not allowed", "methods.passkey.include[0].required", "passkey.selfService", func(p *policy.Policy) {
			p.Passkey.SelfService = false
			passkeys(p, policy.MethodRules{On: true, Include: []policy.Include{{Target: all, Required: true}}})
		}},
		{"a campaign for what is off", "campaign.method", "methods.passkey.on", func(p *policy.Policy) {
			p.Campaign.On = true
			p.Switch(policy.Passkey, false)
		}},
		{"a campaign for what nobody may", "campaign.method", "passkey.selfService", func(p *policy.Policy) {
			p.Campaign.On, p.Passkey.SelfService = true, false
		}},
		{"a campaign for passes", "campaign.method", "", func(p *policy.Policy) { p.Campaign.On, p.Campaign.Method = true, policy.AccessPass }},
		{"a campaign for nobody", "campaign.on", "campaign.include", func(p *policy.Policy) { p.Campaign.On, p.Campaign.Include = true, nil }},
		{"an order with a method twice", "order.methods[0]", "order.methods[1]", func(p *policy.Policy) {
			p.Order.Methods = []idp.MethodID{policy.Passkey, policy.Passkey}
		}},
		{"two strengths of one name", "strengths[5].name", "strengths[4]", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "Our keys", Combinations: fido}, policy.Strength{ID: "b", Name: "our  KEYS", Combinations: fido})
		}},
		{"the name of a built-in strength", "strengths[4].name", "strengths[2]", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "passwordless mfa", Combinations: fido})
		}},
		{"a built-in strength that was changed", "strengths[0]", "", func(p *policy.Policy) { p.Strengths[0].Each = nil }},
		{"a built-in strength that is gone", "strengths", "", func(p *policy.Policy) { p.Strengths = p.Strengths[1:] }},
		{"a mode that is none", "strengths[4].combinations[0][0]", "", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "a", Combinations: [][]idp.Mode{{"pigeon"}}})
		}},
		{"a strength that nothing meets", "strengths[4].combinations", "", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "a", Combinations: [][]idp.Mode{{"password", "sms"}}})
		}},
		{"a configuration for what is not there", "strengths[4].configurations[0].modes", "strengths[4].combinations", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "a", Combinations: [][]idp.Mode{{idp.ModeHello}},
				Configurations: []policy.Configuration{{Modes: []idp.Mode{idp.ModeFIDO2}, AAGUIDs: []string{nitro}}}})
		}},
		{"models of a certificate", "strengths[4].configurations[0].aaguids", "strengths[4].configurations[0].modes", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "a", Combinations: [][]idp.Mode{{idp.ModeCertificateMulti}},
				Configurations: []policy.Configuration{{Modes: []idp.Mode{idp.ModeCertificateMulti}, AAGUIDs: []string{nitro}}}})
		}},
		{"a configuration of nothing", "strengths[4].configurations[0]", "", func(p *policy.Policy) {
			p.Strengths = append(p.Strengths, policy.Strength{ID: "a", Name: "a", Combinations: fido,
				Configurations: []policy.Configuration{{Modes: []idp.Mode{idp.ModeFIDO2}}}})
		}},
		{"the warning on phones above their limit", "phone.warnAt", "phone.limit", func(p *policy.Policy) { p.Phone.WarnAt = 21 }},
		{"too many phones", "phone.limit", "", func(p *policy.Policy) { p.Phone.Limit = 51 }},
		{"phones from nowhere", "phone.from", "", func(p *policy.Policy) { p.Phone.From = "nowhere" }},
		{"only passkeys that are copies", "phone.synced", "", func(p *policy.Policy) { p.Phone.Synced = policy.SyncedOnly }},
		{"a stricter rule of no word", "phone.stricter[0].from", "", func(p *policy.Policy) {
			p.Phone.Stricter = []policy.PhoneFromFor{{Target: policy.Target{Group: staff}, From: "somewhere"}}
		}},
		{"a stricter rule for nobody", "phone.stricter[0]", "", func(p *policy.Policy) {
			p.Phone.Stricter = []policy.PhoneFromFor{{From: policy.FromKnown}}
		}},
		{"two rules for one group", "phone.stricter[0]", "phone.stricter[1]", func(p *policy.Policy) {
			p.Phone.Stricter = []policy.PhoneFromFor{{Target: policy.Target{Group: staff}, From: policy.FromKnown}, {Target: policy.Target{Group: staff}, From: policy.FromNetwork}}
		}},
		{"the application is shown to nobody in particular", "phone.showApp.include", "", func(p *policy.Policy) { p.Phone.ShowApp.Include = policy.Target{} }},
		{"the place is shown to two targets", "phone.showPlace.include", "", func(p *policy.Policy) { p.Phone.ShowPlace.Include.Group = staff }},
		{"a group by its name", "phone.showPlace.exclude", "", func(p *policy.Policy) { p.Phone.ShowPlace.Exclude = policy.Target{Group: "staff"} }},
		{"shown and kept from the same", "phone.showApp.include", "phone.showApp.exclude", func(p *policy.Policy) {
			p.Phone.ShowApp.Include, p.Phone.ShowApp.Exclude = policy.Target{Group: staff}, policy.Target{Group: staff}
		}},
		{"kept from everybody", "phone.showApp.include", "phone.showApp.exclude", func(p *policy.Policy) {
			p.Phone.ShowApp.Include, p.Phone.ShowApp.Exclude = policy.Target{Group: staff}, all
		}},
		{"a report by nobody", "phone.report.include", "", func(p *policy.Policy) { p.Phone.Report.Include = policy.Target{} }},
		{"too many strengths", "strengths", "", func(p *policy.Policy) {
			for _, c := range "abcdefghijklmnop" {
				p.Strengths = append(p.Strengths, policy.Strength{ID: string(c), Name: string(c), Combinations: fido})
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := policy.Default()
			tt.change(&p)
			got := p.Complaints(models)
			if len(got) != 1 || got[0].At != tt.at || got[0].Other != tt.other {
				t.Errorf("complaints %v, want one at %q and %q", got, tt.at, tt.other)
			}
			err := p.Check()
			if e := idp.AsError(err); !errors.Is(err, idp.Invalid) || e.Field != tt.at || !strings.Contains(e.Public, tt.at) || !strings.Contains(e.Public, tt.other) {
				t.Errorf("check: %v, want invalid at %q and %q", err, tt.at, tt.other)
			}
		})
	}
	if got := policy.Default().Complaints(models); len(got) != 0 {
		t.Errorf("the default policy: %v", got)
	}
}

// TestAAGUIDTypos: a typing error names the model that it nearly is; a model
// that nobody knows may be listed.
func TestAAGUIDTypos(t *testing.T) {
	for _, tt := range []struct{ typed, reason, near string }{
		{nitro, "", ""},
		{strings.ToUpper(nitro), "", ""},
		{"99999999-3cdc-4414-8e46-f4807fca5110", "", ""},
		{"a25342c0-3cdc-4414-8e46-f4807fca511d", "aaguid_typo", nitro},
		{"a25342c0-3cdc-4414-8e64-f4807fca511c", "aaguid_typo", nitro},
		{"a25342c03cdc44148e46f4807fca511c", "aaguid_typo", nitro},
		{"a25342c0-3cdc-4414-8e46-f4807fca51", "aaguid_typo", nitro},
		{"a25342cO-3cdc-4414-8e46-f4807fca511c", "aaguid_typo", nitro},
		{"cb69481e-8ff7-4039-93ec-0a2729a154a", "aaguid_typo", "cb69481e-8ff7-4039-93ec-0a2729a154a8"},
		{"YubiKey 5", "aaguid_malformed", ""},
		{"", "aaguid_malformed", ""},
		{strings.Repeat("a", 1000), "aaguid_malformed", ""},
	} {
		p := policy.Default()
		p.Passkey.KeyRules = allowList(other, tt.typed)
		got := p.Complaints(models)
		if tt.reason == "" {
			if len(got) != 0 {
				t.Errorf("%q: %v", tt.typed, got)
			}
			continue
		}
		if len(got) != 1 || got[0].Reason != tt.reason || got[0].At != "passkey.aaguids.list[1]" || !strings.Contains(got[0].Say, tt.near) {
			t.Errorf("%q: %v, want %s near %s", tt.typed, got, tt.reason, tt.near)
		}
	}
	// Nobody knows any model: only what is malformed is wrong.
	p := policy.Default()
	p.Passkey.KeyRules = allowList("a25342c0-3cdc-4414-8e46-f4807fca511d")
	if got := p.Complaints(nil); len(got) != 0 {
		t.Errorf("without known models: %v", got)
	}
}

func TestStrengthNames(t *testing.T) {
	p := policy.Default()
	p.Strengths = append(p.Strengths, policy.Strength{ID: "own", Name: "Hardware keys only", Combinations: [][]idp.Mode{{idp.ModeFIDO2}}})
	for _, ask := range []string{"own", "hardware-keys-only", "Hardware-Keys-Only"} {
		if s, ok := p.Strength(ask); !ok || s.ID != "own" {
			t.Errorf("%q asks for %q, %v", ask, s.ID, ok)
		}
	}
	for _, ask := range []string{"", "hardware", "Hardware keys only!"} {
		if s, ok := p.Strength(ask); ok {
			t.Errorf("%q asks for %q", ask, s.ID)
		}
	}
}

func TestNamedGroups(t *testing.T) {
	p := policy.Default()
	if got := p.NamedGroups(); len(got) != 0 {
		t.Errorf("the default policy names %v", got)
	}
	p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{group(staff), group(admins)}, Exclude: []policy.Target{{Group: leavers}}}
	p.Campaign.Exclude = []policy.Target{{Group: staff}}
	p.Order.Include = []policy.Target{{User: "bob"}}
	if got := p.NamedGroups(); !slices.Equal(got, []idp.GroupID{staff, admins, leavers}) {
		t.Errorf("names %v", got)
	}
}
