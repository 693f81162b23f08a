package admin_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/macprofile"
)

// anyProfile stands for the settings of a tenant.
func anyProfile(_ context.Context, t idp.TenantID, ask admin.MacProfileAsk) ([]byte, error) {
	s := macprofile.Settings{
		BaseURL: "https://id.example", Tenant: t, Organisation: "A", Extension: "ABCDE12345.com.example.mac.sso", App: "ABCDE12345.com.example.mac",
		Method: ask.Method, Token: ask.Token, Direct: ask.Direct,
	}
	if s.Method == "" {
		s.Method = macprofile.SecureEnclave
	}
	return macprofile.Make(s)
}

// TestMacProfile: what is asked for is in the profile, and said in words beside it.
func TestMacProfile(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		raw, err := o.try("mac.profile", fields{"method": "SmartCard", "token": "{{token}}", "direct": true})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Profile string
			Lines   []macprofile.Line
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"SmartCard", "{{token}}", "EnableDirectDownloads"} {
			if !strings.Contains(got.Profile, want) {
				t.Errorf("%s lacks %s", got.Profile, want)
			}
		}
		said := map[string]string{}
		for _, l := range got.Lines {
			said[l.Path] = l.Value
		}
		if said["PlatformSSO.AuthenticationMethod"] != "SmartCard" || said["RegistrationToken"] != "{{token}}" {
			t.Errorf("%v", said)
		}
		if _, err := o.try("mac.profile", fields{"method": "Password"}); idp.AsError(err).Kind != idp.Invalid || idp.AsError(err).Field != "method" {
			t.Errorf("password: %v", err)
		}
	})
}
