package policy_test

import (
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// Devices are off until an administrator switches them on, and so is every
// setting that bends a rule for an old client (decisions 4.3, 4.5).
func TestDevicesAreOffByDefault(t *testing.T) {
	shown := policy.Default().Show()
	for name, value := range shown {
		if (name == "devices.on" || name == "devices.deviceCode" || strings.HasPrefix(name, "devices.compat.")) && value != "false" && value != "" {
			t.Errorf("%s is %q", name, value)
		}
	}
	for _, name := range []string{"devices.compat.kdfV1", "devices.compat.cbcResponses", "devices.compat.extraRelyingPartyId", "devices.compat.deviceCodeToPrt",
		"devices.compat.deviceCodeToHello", "devices.compat.nativeClientRedirect", "devices.compat.sharedDeviceKey", "devices.compat.brokerWithoutPkce"} {
		if _, known := shown[name]; !known {
			t.Errorf("there is no setting %s", name)
		}
	}
	if policy.Default().Methods[policy.Hello].On {
		t.Error("Hello keys are on")
	}
}

func TestJoin(t *testing.T) {
	ada := policy.Who{User: idp.User{ID: "ada", Enabled: true, Type: idp.Member}, Groups: policy.NewGroups([]idp.GroupID{"it"})}
	on := policy.Default()
	on.Devices.On = true
	for _, c := range []struct {
		name, want string
		change     func(*policy.Policy, *policy.Who)
	}{
		{"allowed", "", func(*policy.Policy, *policy.Who) {}},
		{"devices are off", "devices_off", func(p *policy.Policy, _ *policy.Who) { p.Devices.On = false }},
		{"nobody may", "not_included", func(p *policy.Policy, _ *policy.Who) { p.Devices.Include = nil }},
		{"others may", "not_included", func(p *policy.Policy, _ *policy.Who) { p.Devices.Include = []policy.Target{{Group: "hr"}} }},
		{"the group may", "", func(p *policy.Policy, _ *policy.Who) { p.Devices.Include = []policy.Target{{Group: "it"}} }},
		{"excluded", "excluded", func(p *policy.Policy, _ *policy.Who) { p.Devices.Exclude = []policy.Target{{User: "ada"}} }},
		{"disabled", "user_disabled", func(_ *policy.Policy, w *policy.Who) { w.User.Enabled = false }},
		{"guest", "guest_may_not_join", func(_ *policy.Policy, w *policy.Who) { w.User.Type = idp.Guest }},
	} {
		p, w := on.Clone(), ada
		c.change(&p, &w)
		if got := p.Join(w); got.Reason != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestExtraRelyingParty(t *testing.T) {
	p := policy.Default().Clone()
	for _, bad := range []string{"https://login.example", "login", "Login.Example", "a b.example", "*.example"} {
		if err := p.Set("devices.compat.extraRelyingPartyId", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if err := p.Set("devices.compat.extraRelyingPartyId", "login.microsoft.com"); err != nil {
		t.Error(err)
	}
}
