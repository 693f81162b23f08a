package macprofile_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/macprofile"
)

var update = flag.Bool("update", false, "write the golden files")

func settings() macprofile.Settings {
	return macprofile.Settings{
		BaseURL: "https://id.example.com", Tenant: "8d1c2f5e-3b4a-4c6d-9e7f-0a1b2c3d4e5f", Domains: []string{"nordhafen.example"},
		Organisation: "Nordhafen & Söhne <AG>", ClientID: "29d3d277-acac-4c1e-aee4-49a3e30f46d1",
		Configuration: "https://id.example.com/8d1c2f5e-3b4a-4c6d-9e7f-0a1b2c3d4e5f/psso/configuration",
		Extension:     "ABCDE12345.com.example.mac.sso", App: "ABCDE12345.com.example.mac",
		Method: macprofile.SecureEnclave,
	}
}

// with is settings with changes.
func with(changes ...func(*macprofile.Settings)) macprofile.Settings {
	s := settings()
	for _, c := range changes {
		c(&s)
	}
	return s
}

func card(s *macprofile.Settings) { s.Method = macprofile.SmartCard }

func full(s *macprofile.Settings) {
	s.AccountName, s.LoginFrequency, s.Identifiers, s.Direct = "Nordhafen", time.Hour, true, true
	s.Token, s.Demo = "{{serialNumber-token}}", true
}

func made(t testing.TB, s macprofile.Settings) []byte {
	t.Helper()
	p, err := macprofile.Make(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every kind of profile is as it was, and nothing is wrong with it.
func TestMake(t *testing.T) {
	for name, s := range map[string]macprofile.Settings{
		"secure-enclave":      settings(),
		"smart-card":          with(card),
		"secure-enclave-full": with(full),
		"smart-card-full":     with(card, full),
		"demo": with(func(s *macprofile.Settings) {
			s.BaseURL, s.Domains, s.Demo = "http://localhost:8080", nil, true
			s.Configuration = s.BaseURL + "/" + string(s.Tenant) + "/psso/configuration"
		}),
	} {
		p := made(t, s)
		for _, f := range macprofile.Lint(p) {
			t.Errorf("%s: %s: %s", name, f.Rule, f)
		}
		file := filepath.Join("testdata", name+".mobileconfig")
		if *update {
			if err := os.WriteFile(file, p, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		golden, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(golden), string(p)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if again := made(t, s); !bytes.Equal(p, again) {
			t.Errorf("%s: twice is not the same", name)
		}
	}
}

// Identifiers are the tenant's and the method's: everything else may change, and
// the profile still takes the place of the one before.
func TestIdentifiers(t *testing.T) {
	ids := func(s macprofile.Settings) map[string]string {
		t.Helper()
		top, err := macprofile.Read(made(t, s))
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{"top": macprofile.Get(top, "PayloadUUID").(string), "name": macprofile.Get(top, "PayloadIdentifier").(string)}
		for _, p := range macprofile.Get(top, "PayloadContent").([]any) {
			out[macprofile.Get(p.(macprofile.Dict), "PayloadType").(string)] = macprofile.Get(p.(macprofile.Dict), "PayloadUUID").(string)
		}
		return out
	}
	one := ids(settings())
	if d := cmp.Diff(one, ids(with(full))); d != "" {
		t.Errorf("other settings, other ids: %s", d)
	}
	for name, other := range map[string]map[string]string{
		"method": ids(with(card)),
		"tenant": ids(with(func(s *macprofile.Settings) { s.Tenant = "00000000-3b4a-4c6d-9e7f-0a1b2c3d4e5f" })),
	} {
		for what, id := range one {
			if other[what] == id && (name != "method" || what != "name") {
				t.Errorf("another %s, and the same id of %s", name, what)
			}
		}
	}
	if a, b := one["name"], ids(with(card))["name"]; a != b {
		t.Errorf("a Mac would have both methods' profiles: %s, %s", a, b)
	}
}

// A text has no way out of its place in the profile.
func TestEscaping(t *testing.T) {
	text := `</string><key>PlatformSSO</key>&amp;"'<![CDATA[`
	p := made(t, with(func(s *macprofile.Settings) { s.Organisation, s.Token = text, text }))
	top, err := macprofile.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	if got := macprofile.Get(top, "PayloadOrganization"); got != text {
		t.Errorf("organisation %q", got)
	}
	for _, f := range macprofile.Lint(p) {
		t.Errorf("%s: %s", f.Rule, f)
	}
}

func TestMakeRefuses(t *testing.T) {
	for field, change := range map[string]func(*macprofile.Settings){
		"baseURL":        func(s *macprofile.Settings) { s.BaseURL = "https://id.example.com/signet" },
		"method":         func(s *macprofile.Settings) { s.Method = "Password" },
		"extension":      func(s *macprofile.Settings) { s.Extension = "com.example.mac.sso" },
		"app":            func(s *macprofile.Settings) { s.App = "" },
		"loginFrequency": func(s *macprofile.Settings) { s.LoginFrequency = time.Hour - time.Second },
		"organisation":   func(s *macprofile.Settings) { s.Organisation = "a\x00b" },
		"accountName":    func(s *macprofile.Settings) { s.AccountName = strings.Repeat("a", 4097) },
		"token":          func(s *macprofile.Settings) { s.Token = "a\nb" },
	} {
		p, err := macprofile.Make(with(change))
		if e := idp.AsError(err); err == nil || e.Kind != idp.Invalid || e.Field != field || p != nil {
			t.Errorf("%s: %v, %d bytes", field, err, len(p))
		}
	}
}

func TestSplitApp(t *testing.T) {
	team, bundle, ok := macprofile.SplitApp("ABCDE12345.com.example.mac-1")
	if team != "ABCDE12345" || bundle != "com.example.mac-1" || !ok {
		t.Errorf("%q %q %v", team, bundle, ok)
	}
	for _, bad := range []string{
		"", "ABCDE12345", "ABCDE12345.", "ABCDE12345.mac", "ABCDE1234.com.example", "ABCDE123456.com.example", "abcde12345.com.example",
		"ABCDE12345.com..example", "ABCDE12345.com.exa mple", "ABCDE12345.com.exa_mple", "ABCDE12345.com.example/..", "ABCDE12345.*." + strings.Repeat("a", 200),
	} {
		if _, _, ok := macprofile.SplitApp(bad); ok {
			t.Errorf("%q is an app id", bad)
		}
	}
}

func TestExplain(t *testing.T) {
	lines, err := macprofile.Explain(made(t, with(full)))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]macprofile.Line{}
	for _, l := range lines {
		got[l.Path] = l
		if l.Means == "" || l.Value == "" {
			t.Errorf("%+v", l)
		}
	}
	for path, want := range map[string][2]string{
		"ExtensionIdentifier":                             {"com.example.mac.sso", ""},
		"PlatformSSO.LoginFrequency":                      {"3600", ""},
		"PlatformSSO.AllowDeviceIdentifiersInAttestation": {"true", "15.4"},
		"AuthenticationMethod":                            {"UserSecureEnclaveKey", "13.0"},
		"RegistrationToken":                               {"{{serialNumber-token}}", "13.0"},
		"PayloadScope":                                    {"System", ""},
	} {
		if l := got[path]; l.Value != want[0] || l.Since != want[1] {
			t.Errorf("%s: %+v", path, l)
		}
	}
	if l := got["URLs"]; !strings.HasPrefix(l.Value, "https://id.example.com/8d1c2f5e-3b4a-4c6d-9e7f-0a1b2c3d4e5f/oauth2/authorize, ") {
		t.Errorf("URLs: %+v", l)
	}
	if _, err := macprofile.Explain([]byte("no")); err == nil {
		t.Error("what is no profile is explained")
	}
}
