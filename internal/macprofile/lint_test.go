package macprofile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/macprofile"
)

// parts are a profile taken apart for a change.
type parts struct{ top, sso, platform, domains macprofile.Dict }

// changed is the profile of the settings with one change, put together again.
func changed(t *testing.T, s macprofile.Settings, change func(*parts)) []byte {
	t.Helper()
	top, err := macprofile.Read(made(t, s))
	if err != nil {
		t.Fatal(err)
	}
	all := macprofile.Get(top, "PayloadContent").([]any)
	p := &parts{top: top, sso: all[0].(macprofile.Dict), domains: all[1].(macprofile.Dict)}
	p.platform = macprofile.Get(p.sso, "PlatformSSO").(macprofile.Dict)
	change(p)
	content := []any{}
	if p.sso != nil {
		if macprofile.Get(p.sso, "PlatformSSO") != nil {
			p.sso = macprofile.Set(p.sso, "PlatformSSO", p.platform)
		}
		content = append(content, p.sso)
	}
	if p.domains != nil {
		content = append(content, p.domains)
	}
	if macprofile.Get(p.top, "PayloadContent") != nil {
		p.top = macprofile.Set(p.top, "PayloadContent", content)
	}
	return macprofile.Write(p.top)
}

func platform(name string, v any) func(*parts) {
	return func(p *parts) { p.platform = macprofile.Set(p.platform, name, v) }
}

func sso(name string, v any) func(*parts) {
	return func(p *parts) { p.sso = macprofile.Set(p.sso, name, v) }
}

func top(name string, v any) func(*parts) {
	return func(p *parts) { p.top = macprofile.Set(p.top, name, v) }
}

func all(changes ...func(*parts)) func(*parts) {
	return func(p *parts) {
		for _, c := range changes {
			c(p)
		}
	}
}

// password makes it a profile for passwords, which nothing is wrong with.
var password = all(platform("AuthenticationMethod", "Password"), sso("AuthenticationMethod", "Password"))

// authsrv is a Configuration of associated domains for the extension.
func authsrv(apps string, domains ...any) func(*parts) {
	return func(p *parts) {
		p.domains = macprofile.Set(p.domains, "Configuration", []any{
			dict("ApplicationIdentifier", apps, "AssociatedDomains", append([]any{}, domains...)),
		})
	}
}

// dict is a dictionary of names and values in turn.
func dict(pairs ...any) (d macprofile.Dict) {
	for n := 0; n < len(pairs); n += 2 {
		d = macprofile.Set(d, pairs[n].(string), pairs[n+1])
	}
	return d
}

func names(n int) (out []any) {
	for i := range n {
		out = append(out, fmt.Sprint("group ", i))
	}
	return out
}

const extension = "ABCDE12345.com.example.mac.sso"

// Each rule fails alone, for a profile that is right but for one thing.
func TestLint(t *testing.T) {
	for _, c := range []struct {
		rule, path, name string
		change           func(*parts)
	}{
		{"key-missing", "PayloadContent[0].ExtensionIdentifier", "", all(sso("ExtensionIdentifier", nil), authsrv("ABCDE12345.", "authsrv:id.example.com"))},
		{"key-missing", "PayloadContent[0].TeamIdentifier", "", all(sso("TeamIdentifier", nil), authsrv(".com.example.mac.sso", "authsrv:id.example.com"))},
		{"key-missing", "PayloadContent[0].Type", "", sso("Type", nil)},
		{"key-missing", "PayloadContent[0].URLs", "", sso("URLs", nil)},
		{"key-missing", "PayloadUUID", "", top("PayloadUUID", nil)},
		{"key-missing", "PayloadContent[0].PayloadVersion", "", sso("PayloadVersion", nil)},
		{"key-missing", "PayloadContent[0].PlatformSSO.AuthenticationMethod", "", platform("AuthenticationMethod", nil)},
		{"key-unknown", "PayloadContent[0].PlatformSSO.useSharedDeviceKeys", "case", all(platform("useSharedDeviceKeys", true))},
		{"key-unknown", "PayloadContent[0].RegistrationTokens", "", sso("RegistrationTokens", "a")},
		{"key-unknown", "PayloadRemovalAllowed", "", top("PayloadRemovalAllowed", true)},
		{"key-unknown", "PayloadContent[0].PlatformSSO.TokenToUserMapping.accountName", "", platform("TokenToUserMapping", dict("accountName", "a"))},
		{"type", "PayloadContent[0].PlatformSSO.LoginFrequency", "string", platform("LoginFrequency", "64800")},
		{"type", "PayloadContent[0].PlatformSSO.UseSharedDeviceKeys", "number", platform("UseSharedDeviceKeys", int64(1))},
		{"type", "PayloadContent[0].URLs", "string", sso("URLs", "https://id.example.com")},
		{"type", "PayloadContent[0].PlatformSSO.AuthorizationGroups.a", "number", platform("AuthorizationGroups", dict("a", int64(1)))},
		{"type", "PayloadContent[0].PlatformSSO.AdministratorGroups[0]", "number", platform("AdministratorGroups", []any{int64(1)})},
		{"type", "PayloadContent[0].PlatformSSO.AccessKeyReaderGroupIdentifier", "string", platform("AccessKeyReaderGroupIdentifier", "a")},
		{"value", "PayloadContent[0].Type", "", sso("Type", "Credential")},
		{"value", "PayloadContent[0].ScreenLockedBehavior", "", sso("ScreenLockedBehavior", "Ask")},
		{"value", "PayloadContent[0].AuthenticationMethod", "macOS 13 knows no card", all(sso("AuthenticationMethod", "SmartCard"), platform("AuthenticationMethod", "SmartCard"))},
		{"value", "PayloadContent[0].PlatformSSO.AuthenticationMethod", "", all(platform("AuthenticationMethod", "Passkey"), sso("AuthenticationMethod", nil))},
		{"value", "PayloadContent[0].PlatformSSO.LoginPolicy[0]", "of unlocking alone", platform("LoginPolicy", []any{"AllowTouchIDOrWatchForScreen"})},
		{"value", "PayloadVersion", "", top("PayloadVersion", int64(2))},
		{"value", "PayloadType", "", top("PayloadType", "Profile")},
		{"value", "PayloadScope", "", top("PayloadScope", "Device")},
		{"range", "PayloadContent[0].PlatformSSO.LoginFrequency", "", platform("LoginFrequency", int64(3599))},
		{"payloads", "PayloadContent", "no domains", func(p *parts) { p.domains = nil }},
		{"payloads", "PayloadContent", "no extension", func(p *parts) { p.sso = nil }},
		{"payloads", "PayloadContent", "of another kind", func(p *parts) {
			p.domains = macprofile.Set(macprofile.Set(p.domains, "PayloadType", "com.apple.webcontent-filter"), "Configuration", nil)
		}},
		{"identifier", "PayloadIdentifier", "", top("PayloadIdentifier", "profile")},
		{"identifier-twice", "PayloadContent[0].PayloadIdentifier", "", sso("PayloadIdentifier", "com.example.id.signet.8d1c2f5e-3b4a-4c6d-9e7f-0a1b2c3d4e5f")},
		{"uuid", "PayloadUUID", "", top("PayloadUUID", "8d1c2f5e")},
		{"uuid", "PayloadUUID", "in braces", top("PayloadUUID", "{8D1C2F5E-3B4A-4C6D-9E7F-0A1B2C3D4E5F}")},
		{"uuid-twice", "PayloadContent[1].PayloadUUID", "", func(p *parts) {
			p.domains = macprofile.Set(p.domains, "PayloadUUID", strings.ToLower(macprofile.Get(p.sso, "PayloadUUID").(string)))
		}},
		{"urls-none", "PayloadContent[0].URLs", "", sso("URLs", []any{})},
		{"url", "PayloadContent[0].URLs", "no host", sso("URLs", []any{"https:///a"})},
		{"url", "PayloadContent[0].URLs", "another scheme", sso("URLs", []any{"ftp://id.example.com/"})},
		{"url-query", "PayloadContent[0].URLs", "query", sso("URLs", []any{"https://id.example.com/a?b"})},
		{"url-query", "PayloadContent[0].URLs", "empty query", sso("URLs", []any{"https://id.example.com/a?"})},
		{"url-query", "PayloadContent[0].URLs", "fragment", sso("URLs", []any{"https://id.example.com/a#b"})},
		{"url-plain", "PayloadContent[0].URLs", "", sso("URLs", []any{"http://id.example.com/a"})},
		{"url-twice", "PayloadContent[0].URLs", "", sso("URLs", []any{"https://id.example.com/a", "HTTPS://ID.example.com/a"})},
		{"domain", "PayloadContent[1].Configuration", "no service", authsrv(extension, "id.example.com", "authsrv:id.example.com")},
		{"domain", "PayloadContent[1].Configuration", "an address", authsrv(extension, "authsrv:https://id.example.com", "authsrv:id.example.com")},
		{"domain-extension", "PayloadContent[1].Configuration", "app alone", authsrv("ABCDE12345.com.example.mac", "authsrv:id.example.com")},
		{"domain-extension", "PayloadContent[1].Configuration", "another service", authsrv(extension, "webcredentials:id.example.com")},
		{"domain-host", "PayloadContent[1].Configuration", "", all(authsrv(extension, "authsrv:example.com"), sso("URLs", []any{"https://id.example.com/a"}))},
		{"methods-differ", "PayloadContent[0].AuthenticationMethod", "", sso("AuthenticationMethod", "Password")},
		{"method-missing", "PayloadContent[0]", "", all(sso("AuthenticationMethod", nil), sso("PlatformSSO", nil))},
		{"token-empty", "PayloadContent[0].RegistrationToken", "", sso("RegistrationToken", "")},
		{"password-policy", "PayloadContent[0].PlatformSSO.FileVaultPolicy", "", platform("FileVaultPolicy", []any{"RequireAuthentication"})},
		{"password-policy", "PayloadContent[0].PlatformSSO.LoginPolicy", "", platform("LoginPolicy", []any{"AttemptAuthentication"})},
		{"password-policy", "PayloadContent[0].PlatformSSO.UnlockPolicy", "", platform("UnlockPolicy", []any{"AllowTouchIDOrWatchForUnlock"})},
		{"password-policy", "PayloadContent[0].PlatformSSO.UnlockPolicy", "grace of accounts", all(platform("UnlockPolicy", []any{"AllowAuthenticationGracePeriod"}), platform("AuthenticationGracePeriod", int64(60)))},
		{"password-policy", "PayloadContent[0].PlatformSSO.LoginPolicy", "offline", all(platform("LoginPolicy", []any{"AllowOfflineGracePeriod"}), platform("OfflineGracePeriod", int64(60)))},
		{"password-policy", "PayloadContent[0].PlatformSSO.LoginPolicy", "card", all(sso("AuthenticationMethod", nil), platform("AuthenticationMethod", "SmartCard"), platform("LoginPolicy", []any{"RequireAuthentication"}))},
		{"touch-policy", "PayloadContent[0].PlatformSSO.UnlockPolicy", "card", all(sso("AuthenticationMethod", nil), platform("AuthenticationMethod", "SmartCard"), platform("UnlockPolicy", []any{"RequireTouchID"}))},
		{"grace-alone", "PayloadContent[0].PlatformSSO.LoginPolicy", "", all(password, platform("LoginPolicy", []any{"AttemptAuthentication", "AllowOfflineGracePeriod"}), platform("OfflineGracePeriod", int64(60)))},
		{"grace-alone", "PayloadContent[0].PlatformSSO.UnlockPolicy", "Touch ID", all(password, platform("UnlockPolicy", []any{"AttemptAuthentication", "AllowTouchIDOrWatchForUnlock"}))},
		{"grace-alone", "PayloadContent[0].PlatformSSO.FileVaultPolicy", "accounts", all(password, platform("FileVaultPolicy", []any{"AllowAuthenticationGracePeriod"}), platform("AuthenticationGracePeriod", int64(60)))},
		{"grace-period", "PayloadContent[0].PlatformSSO.OfflineGracePeriod", "", all(password, platform("LoginPolicy", []any{"RequireAuthentication", "AllowOfflineGracePeriod"}))},
		{"grace-period", "PayloadContent[0].PlatformSSO.AuthenticationGracePeriod", "", all(password, platform("LoginPolicy", []any{"RequireAuthentication", "AllowAuthenticationGracePeriod"}))},
		{"shared-keys", "PayloadContent[0].PlatformSSO.EnableAuthorization", "", all(platform("UseSharedDeviceKeys", nil), platform("EnableAuthorization", true))},
		{"shared-keys", "PayloadContent[0].PlatformSSO.EnableCreateUserAtLogin", "", all(password, platform("UseSharedDeviceKeys", false), platform("EnableCreateUserAtLogin", true))},
		{"shared-scope", "PayloadScope", "", top("PayloadScope", "User")},
		{"creation", "PayloadContent[0].PlatformSSO.EnableCreateUserAtLogin", "", platform("EnableCreateUserAtLogin", true)},
		{"creation", "PayloadContent[0].PlatformSSO.EnableCreateUserAtLogin", "by an access key", all(platform("EnableCreateUserAtLogin", true), platform("NewUserAuthenticationMethods", []any{"OpenID"}), platform("WebLoginURLAllowList", []any{"https://id.example.com"}))},
		{"access-key", "PayloadContent[0].PlatformSSO.AccessKeyReaderGroupIdentifier", "", all(platform("NewUserAuthenticationMethods", []any{"AccessKey"}), platform("AccessKeyTerminalIdentityUUID", "a"), platform("AccessKeyReaderIssuerCertificateUUID", "b"))},
		{"web-hosts", "PayloadContent[0].PlatformSSO.WebLoginURLAllowList", "", all(sso("AuthenticationMethod", nil), platform("AuthenticationMethod", "OpenID"))},
		{"web-hosts", "PayloadContent[0].PlatformSSO.WebLoginURLAllowList", "new accounts", platform("NewUserAuthenticationMethods", []any{"OpenID"})},
		{"groups", "PayloadContent[0].PlatformSSO", "", all(platform("AdministratorGroups", names(60)), platform("AdditionalGroups", names(40)), platform("AuthorizationGroups", dict("a", "b")))},
	} {
		found := macprofile.Lint(changed(t, settings(), c.change))
		if len(found) != 1 || found[0].Rule != c.rule || found[0].Path != c.path || found[0].Text == "" {
			t.Errorf("%s %s: %q", c.rule, c.name, found)
		}
	}
}

// A token means nothing where no method is: with the outer method gone, too,
// Platform SSO is off altogether.
func TestLintTokenAlone(t *testing.T) {
	found := macprofile.Lint(changed(t, with(func(s *macprofile.Settings) { s.Token = "{{token}}" }), all(sso("AuthenticationMethod", nil), sso("PlatformSSO", nil))))
	if len(found) != 2 || found[0].Rule != "method-missing" || found[1].Rule != "token-alone" {
		t.Errorf("%q", found)
	}
}

// What is right although it looks like what is not.
func TestLintAllows(t *testing.T) {
	for name, change := range map[string]func(*parts){
		"nothing":                   func(*parts) {},
		"password with policies":    all(password, platform("LoginPolicy", []any{"RequireAuthentication", "AllowOfflineGracePeriod"}), platform("OfflineGracePeriod", int64(60))),
		"key with Touch ID":         platform("UnlockPolicy", []any{"RequireTouchIDOrWatch", "AllowOpenIDForTouchIDFallback"}),
		"accounts by card":          all(platform("EnableCreateUserAtLogin", true), platform("NewUserAuthenticationMethods", []any{"SmartCard"})),
		"100 groups":                all(platform("AdministratorGroups", names(60)), platform("AdditionalGroups", names(40))),
		"an hour":                   platform("LoginFrequency", int64(3600)),
		"macOS 13 is left out":      sso("AuthenticationMethod", nil),
		"no scope":                  top("PayloadScope", nil),
		"anything for an extension": sso("ExtensionData", dict("a", int64(1), "b", []any{true}, "c", dict("d", []byte{1}))),
		"web sign-in":               all(sso("AuthenticationMethod", nil), platform("AuthenticationMethod", "OpenID"), platform("WebLoginURLAllowList", []any{"https://id.example.com"})),
		"another host letter case":  sso("URLs", []any{"https://ID.Example.com/a"}),
	} {
		if found := macprofile.Lint(changed(t, settings(), change)); len(found) > 0 {
			t.Errorf("%s: %q", name, found)
		}
	}
}

// What is no property list is said to be none, and why.
func TestLintPlist(t *testing.T) {
	whole := string(made(t, settings()))
	for name, text := range map[string]string{
		"nothing":                    "",
		"JSON":                       "{}",
		"binary: convert":            "bplist00",
		"signed: XML":                "\x30\x82",
		"no plist":                   "<dict></dict>",
		"array":                      `<plist version="1.0"><array></array></plist>`,
		"twice":                      strings.Replace(whole, "<key>PayloadScope</key>\n\t<string>System</string>", "<key>PayloadScope</key><string>System</string><key>PayloadScope</key><string>User</string>", 1),
		"a key without value":        `<plist><dict><key>a</key></dict></plist>`,
		"a value without key":        `<plist><dict><string>a</string></dict></plist>`,
		"text between":               `<plist><dict>a</dict></plist>`,
		"something after":            whole + "<plist></plist>",
		"something after the dict":   `<plist><dict></dict><dict></dict></plist>`,
		"entities":                   `<!DOCTYPE plist [<!ENTITY a "b">]><plist><dict></dict></plist>`,
		"an unknown entity":          `<plist><dict><key>&a;</key><true/></dict></plist>`,
		"an unknown type":            `<plist><dict><key>a</key><null/></dict></plist>`,
		"no number":                  `<plist><dict><key>a</key><integer>1.5</integer></dict></plist>`,
		"no date":                    `<plist><dict><key>a</key><date>now</date></dict></plist>`,
		"no base64":                  `<plist><dict><key>a</key><data>!</data></dict></plist>`,
		"true that says more":        `<plist><dict><key>a</key><true>no</true></dict></plist>`,
		"an element within a string": `<plist><dict><key>a</key><string><b/></string></dict></plist>`,
		"cut off":                    whole[:len(whole)/2],
		"too deep":                   "<plist><dict><key>a</key>" + strings.Repeat("<array>", 20) + strings.Repeat("</array>", 20) + "</dict></plist>",
		"too long":                   "<plist><dict></dict></plist>" + strings.Repeat(" ", 1<<20),
	} {
		found := macprofile.Lint([]byte(text))
		if len(found) != 1 || found[0].Rule != "plist" {
			t.Errorf("%s: %q", name, found)
			continue
		}
		if _, hint, ok := strings.Cut(name, ": "); ok && !strings.Contains(found[0].Text, hint) {
			t.Errorf("%s: %s", name, found[0])
		}
	}
}

func FuzzLint(f *testing.F) {
	for _, s := range []macprofile.Settings{settings(), with(card, full)} {
		f.Add(made(f, s))
	}
	f.Add([]byte(`<plist><dict><key>a</key><data>AA==</data><key>b</key><date>2026-01-02T03:04:05Z</date><key>c</key><real>1.5</real></dict></plist>`))
	f.Fuzz(func(t *testing.T, text []byte) {
		macprofile.Lint(text)
		d, err := macprofile.Read(text)
		if err != nil {
			return
		}
		macprofile.Explain(text)
		// What is read is written so that it reads the same.
		again, err := macprofile.Read(macprofile.Write(d))
		if err != nil || string(macprofile.Write(again)) != string(macprofile.Write(d)) {
			t.Fatalf("%v\n%s\n%s", err, macprofile.Write(d), macprofile.Write(again))
		}
	})
}
