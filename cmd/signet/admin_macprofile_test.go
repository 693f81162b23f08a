package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/macprofile"
)

// TestAdminMacProfile writes profiles by a running server, and finds out what is
// wrong with one that was changed.
func TestAdminMacProfile(t *testing.T) {
	data := dataFolder(t)
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	if r := signet(t, on("migrate")...); r.code != 0 {
		t.Fatal(r)
	}
	must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
	if r := signet(t, on("policy", "set", "devices.on", "true")...); r.code != 0 {
		t.Fatal(r)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		if r := signet(t, on(args...)...); r.code == 0 || !strings.Contains(r.errs, want) || strings.Contains(r.out, "plist") {
			t.Errorf("%q: %+v, want %q", args, r, want)
		}
	}
	refused("--mac-extension", "mac", "profile") // no server runs that would know

	serve(t, data, "--mac-app", "ABCDE12345.com.example.mac", "--mac-extension", "ABCDE12345.com.example.mac.sso")
	token := filepath.Join(t.TempDir(), "token")
	put := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"the tenant's":     {nil, []string{"UserSecureEnclaveKey", "<string>com.example.mac.sso</string>"}},
		"smart card":       {[]string{"--method", "smart-card"}, []string{"SmartCard"}},
		"with a variable":  {[]string{"--variable", "{{registrationToken}}"}, []string{"<key>RegistrationToken</key>\n\t\t\t<string>{{registrationToken}}</string>"}},
		"with a token":     {[]string{"--registration-token-file", put(token, "smr_0123456789\n")}, []string{"<string>smr_0123456789</string>"}},
		"a server at home": {[]string{"--direct"}, []string{"EnableDirectDownloads"}},
	} {
		r := signet(t, on(append([]string{"mac", "profile"}, c.args...)...)...)
		if r.code != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		for _, want := range c.want {
			if !strings.Contains(r.out, want) {
				t.Errorf("%s lacks %q: %s", name, want, r.out)
			}
		}
		if found := macprofile.Lint([]byte(r.out)); len(found) > 0 {
			t.Errorf("%s: %q", name, found)
		}
	}
	made := must[struct {
		Profile string
		Lines   []macprofile.Line
	}](t, on("mac", "profile")...)
	if !strings.Contains(made.Profile, "<plist") || len(made.Lines) < 10 {
		t.Errorf("%+v", made)
	}
	refused("use secure-enclave or smart-card", "mac", "profile", "--method", "password")
	refused("a token itself goes into a file", "mac", "profile", "--variable", "smr_tdc0zJG23GTIs7BG0_dodgRnDesXkpCMz-HhcAlKNa4")
	refused("has no registration token", "mac", "profile", "--registration-token-file", put(token, "\n"))
	refused("has no registration token", "mac", "profile", "--registration-token-file", put(token, "one two"))
	refused("cannot be read", "mac", "profile", "--registration-token-file", token+".none")

	file := put(filepath.Join(t.TempDir(), "signet.mobileconfig"), made.Profile)
	if r := signet(t, "admin", "mac", "check", file); r.code != 0 || !strings.Contains(r.out, "Nothing is wrong") {
		t.Errorf("%+v", r)
	}
	put(file, strings.Replace(made.Profile, "<integer>64800</integer>", "<integer>60</integer>", 1))
	if r := signet(t, "admin", "mac", "check", file); r.code != 1 || !strings.Contains(r.out, "LoginFrequency: 60 is less than 3600.") {
		t.Errorf("%+v", r)
	}
}
