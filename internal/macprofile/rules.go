package macprofile

import (
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// maxGroups is how many groups a profile may ask for
// (apple-platform-sso.md §4).
const maxGroups = 100

// identity judges what tells profiles and payloads apart.
func (l *linter) identity(top dict) {
	ids, uuids := map[string]bool{}, map[string]bool{}
	check := func(path string, d dict) {
		if id := d.text("PayloadIdentifier"); id != "" {
			if !reverseDNS(id) {
				l.find("identifier", at(path, "PayloadIdentifier"), "%q is not written as com.example.name.", id)
			}
			if ids[id] {
				l.find("identifier-twice", at(path, "PayloadIdentifier"), "%q is another payload's, too.", id)
			}
			ids[id] = true
		}
		if id := d.text("PayloadUUID"); id != "" {
			if _, err := uuid.Parse(id); err != nil || len(id) != 36 {
				l.find("uuid", at(path, "PayloadUUID"), "%q is no UUID.", id)
			}
			id = strings.ToUpper(id)
			if uuids[id] {
				l.find("uuid-twice", at(path, "PayloadUUID"), "%s is another payload's, too.", id)
			}
			uuids[id] = true
		}
	}
	check("", top)
	for path, p := range each(top) {
		check(path, p)
	}
}

func reverseDNS(id string) bool {
	parts := strings.Split(id, ".")
	return len(parts) > 1 && !slices.ContainsFunc(parts, func(p string) bool {
		return p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != ""
	})
}

// rules judges what keys say together.
func (l *linter) rules(top dict) {
	path, sso := payload(top, typeSSO)
	if sso == nil {
		return // said already
	}
	l.urls(path, sso)
	l.domains(top, sso)
	platform := sso.dict("PlatformSSO")
	method, outer := platform.text("AuthenticationMethod"), sso.text("AuthenticationMethod")
	if outer != "" && method != "" && outer != method {
		l.find("methods-differ", at(path, "AuthenticationMethod"), "It is %s for macOS 13 and %s for later ones.", outer, method)
	}
	if platform == nil && outer == "" {
		l.find("method-missing", path, "It says nowhere how people sign in: Platform SSO is off.")
	}
	if token := sso.get("RegistrationToken"); token != nil {
		if method == "" && outer == "" {
			l.find("token-alone", at(path, "RegistrationToken"), "A registration token without a method is never used.")
		}
		if token == "" {
			l.find("token-empty", at(path, "RegistrationToken"), "It is empty: leave the key out, and people register by signing in.")
		}
	}
	if platform != nil {
		path = at(path, "PlatformSSO")
		l.policies(path, platform, method)
		l.shared(top, path, platform)
		l.accounts(path, platform, method)
		l.groups(path, platform)
	}
}

// urls judges the addresses that the extension takes over.
func (l *linter) urls(path string, sso dict) {
	seen := map[string]bool{}
	all := sso.texts("URLs")
	if list, ok := sso.get("URLs").([]any); ok && len(list) == 0 {
		l.find("urls-none", at(path, "URLs"), "The extension serves no address.")
	}
	for _, text := range all {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Host == "" || u.User != nil || !strings.EqualFold(u.Scheme, "https") && !strings.EqualFold(u.Scheme, "http"):
			l.find("url", at(path, "URLs"), "%q is no http or https address.", text)
			continue
		case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(text, "#"):
			l.find("url-query", at(path, "URLs"), "%q has a query or a fragment: prefixes may have neither.", text)
			continue
		case strings.EqualFold(u.Scheme, "http") && u.Hostname() != "localhost":
			l.find("url-plain", at(path, "URLs"), "%q is not https: what is signed for it would travel in the open.", text)
		}
		folded := strings.ToLower(u.Scheme+"://"+u.Host) + u.EscapedPath()
		if seen[folded] {
			l.find("url-twice", at(path, "URLs"), "%q is there twice.", text)
		}
		seen[folded] = true
	}
}

// domains judges whether the Mac will believe that extension and server belong
// together (apple-platform-sso.md §3 step 2, §4).
func (l *linter) domains(top, sso dict) {
	path, p := payload(top, typeAssociated)
	if p == nil {
		return
	}
	path = at(path, "Configuration")
	extension := sso.text("TeamIdentifier") + "." + sso.text("ExtensionIdentifier")
	of := map[string][]string{}
	all, _ := p.get("Configuration").([]any)
	for _, v := range all {
		one, _ := v.(dict)
		app := one.text("ApplicationIdentifier")
		for _, d := range one.texts("AssociatedDomains") {
			service, host, ok := strings.Cut(d, ":")
			if !ok || service == "" || host == "" || strings.ContainsAny(host, ":/ ") {
				l.find("domain", path, "%q is not written as authsrv:id.example.com.", d)
				continue
			}
			if service == "authsrv" {
				of[app] = append(of[app], strings.ToLower(host))
			}
		}
	}
	if _, known := of[extension]; !known {
		l.find("domain-extension", path, "The extension %s has no authsrv: domain: macOS will not load it.", extension)
		return
	}
	for _, text := range sso.texts("URLs") {
		if u, err := url.Parse(text); err == nil && u.Host != "" && !slices.Contains(of[extension], strings.ToLower(u.Hostname())) {
			l.find("domain-host", path, "The extension is to serve %s, but is not associated with authsrv:%s.", text, u.Hostname())
		}
	}
}

// policies judges what is asked at disk, login window and screen. All of it but
// Touch ID is for passwords alone: with a key or a card it locks people out.
func (l *linter) policies(path string, platform dict, method string) {
	for _, name := range []string{"FileVaultPolicy", "LoginPolicy", "UnlockPolicy"} {
		set := platform.texts(name)
		has := func(v string) bool { return slices.Contains(set, v) }
		for _, v := range set {
			switch v {
			case attempt, require, allowGrace, allowTouchUnlock:
				if method != "Password" {
					l.find("password-policy", at(path, name), "%s is for the method Password only, and this profile's is %s.", v, method)
				} else if (v == allowGrace || v == allowTouchUnlock) && !has(require) {
					l.find("grace-alone", at(path, name), "%s means nothing without %s.", v, require)
				}
			case allowOffline:
				if method != "Password" && method != "OpenID" {
					l.find("password-policy", at(path, name), "%s is for the methods Password and OpenID only, and this profile's is %s.", v, method)
				} else if method == "Password" && !has(require) {
					l.find("grace-alone", at(path, name), "%s means nothing without %s.", v, require)
				}
			case requireTouch, requireTouchAny, openIDFallback:
				if method != "Password" && method != "UserSecureEnclaveKey" {
					l.find("touch-policy", at(path, name), "%s is for the methods Password and UserSecureEnclaveKey only, and this profile's is %s.", v, method)
				}
			}
		}
		for _, of := range [][2]string{{allowOffline, "OfflineGracePeriod"}, {allowGrace, "AuthenticationGracePeriod"}} {
			if has(of[0]) && platform.get(of[1]) == nil {
				l.find("grace-period", at(path, of[1]), "%s in %s needs it.", of[0], name)
			}
		}
	}
}

// shared judges what only works with one pair of device keys for the whole Mac.
func (l *linter) shared(top dict, path string, platform dict) {
	if platform.is("UseSharedDeviceKeys") {
		if top.text("PayloadScope") == "User" {
			l.find("shared-scope", "PayloadScope", "Shared device keys need a profile for the whole Mac: make it System.")
		}
		return
	}
	for _, name := range []string{"EnableCreateUserAtLogin", "EnableAuthorization"} {
		if platform.is(name) {
			l.find("shared-keys", at(path, name), "It needs UseSharedDeviceKeys.")
		}
	}
}

// accounts judges how accounts come to be. None is made by a key in the Secure
// Enclave: there is no account yet that could have one.
func (l *linter) accounts(path string, platform dict, method string) {
	by := platform.texts("NewUserAuthenticationMethods")
	if platform.is("EnableCreateUserAtLogin") && method == "UserSecureEnclaveKey" &&
		!slices.Contains(by, "Password") && !slices.Contains(by, "SmartCard") {
		l.find("creation", at(path, "EnableCreateUserAtLogin"),
			"No account can be made with a Secure Enclave key: say in NewUserAuthenticationMethods whether it is by Password or SmartCard.")
	}
	if slices.Contains(by, "AccessKey") {
		for _, name := range []string{"AccessKeyReaderGroupIdentifier", "AccessKeyTerminalIdentityUUID", "AccessKeyReaderIssuerCertificateUUID"} {
			if platform.get(name) == nil {
				l.find("access-key", at(path, name), "AccessKey in NewUserAuthenticationMethods needs it.")
			}
		}
	}
	if (method == "OpenID" || slices.Contains(by, "OpenID")) && len(platform.texts("WebLoginURLAllowList")) == 0 {
		l.find("web-hosts", at(path, "WebLoginURLAllowList"), "Signing in on the web needs the hosts that it may load.")
	}
}

// groups bounds what every login asks for.
func (l *linter) groups(path string, platform dict) {
	n := len(platform.texts("AdministratorGroups")) + len(platform.texts("AdditionalGroups")) + len(platform.dict("AuthorizationGroups"))
	if n > maxGroups {
		l.find("groups", path, "It asks for %d groups, more than %d.", n, maxGroups)
	}
}
