package macprofile

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/idp"
)

// Method is how people of a profile sign in, in Apple's words.
type Method string

// The methods without a password.
const (
	SecureEnclave Method = "UserSecureEnclaveKey"
	SmartCard     Method = "SmartCard"
)

// Methods are all that profiles are made for.
var Methods = []Method{SecureEnclave, SmartCard}

// variable is the name of a variable in the spelling of one MDM or another.
var variable = regexp.MustCompile(`^(\$[A-Za-z0-9_]{1,64}|\$\{[A-Za-z0-9_. -]{1,64}\}|\{\{[A-Za-z0-9_. -]{1,64}\}\}|\{[A-Za-z0-9_. -]{1,64}\}|%[A-Za-z0-9_. -]{1,64}%)$`)

// IsVariable says whether a text is the name of an MDM's variable: $NAME, ${NAME},
// {{name}}, {name} or %name%. A registration token is none.
func IsVariable(s string) bool { return variable.MatchString(s) }

// Settings are what a profile is made of.
type Settings struct {
	BaseURL      string // https://id.example.com, without a slash at the end
	Tenant       idp.TenantID
	Domains      []string // other names of the tenant in addresses
	Organisation string   // the tenant's name
	ClientID     idp.ClientID
	// Configuration is where the extension finds everything else.
	Configuration string

	Extension string // ABCDE12345.com.example.mac.sso: team and bundle of the extension
	App       string // the same of the app that it comes with

	Method         Method
	AccountName    string        // what the Mac calls the account; empty: Organisation
	LoginFrequency time.Duration // at least an hour; 0: 18 hours
	// Identifiers lets attestations carry serial number and UDID.
	Identifiers bool
	// Direct lets Macs fetch the association file from this server, for one that
	// cannot be reached from the Internet.
	Direct bool
	// Token lets Macs register before anybody has signed in: a registration
	// token, or the text in whose place an MDM puts one. Empty: people register
	// by signing in.
	Token string
	// Demo says that Extension and App are placeholders.
	Demo bool
}

// defaultFrequency and leastFrequency are Apple's (apple-platform-sso.md §4).
const (
	defaultFrequency = 64_800 * time.Second
	leastFrequency   = 3_600 * time.Second
)

// Make writes the profile. The same settings give the same bytes; its
// identifiers depend on tenant and method alone.
//
// Errors are idp.Invalid, with the field.
func Make(s Settings) ([]byte, error) {
	base, err := s.check()
	if err != nil {
		return nil, err
	}
	name := "Platform SSO: " + s.Organisation
	id := s.identifier(base)
	return write(dict{
		{"PayloadContent", []any{s.sso(id), s.associated(id, base)}},
		{"PayloadDescription", s.description()},
		{"PayloadDisplayName", name},
		{"PayloadIdentifier", id},
		{"PayloadOrganization", s.Organisation},
		{"PayloadScope", "System"}, // shared device keys are the device channel's
		{"PayloadType", typeProfile},
		{"PayloadUUID", s.uuid("profile")},
		{"PayloadVersion", int64(1)},
	}), nil
}

// check refuses settings of which no profile can be made that works.
func (s Settings) check() (*url.URL, error) {
	base, err := url.Parse(s.BaseURL)
	if err != nil || base.Host == "" || base.Path != "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, idp.Invalidf("base_url", "the address of this server is %q", s.BaseURL).On("baseURL")
	}
	if !slices.Contains(Methods, s.Method) {
		return nil, idp.Invalidf("method", "method %q", s.Method).On("method").
			Say("A profile is made for UserSecureEnclaveKey or SmartCard.")
	}
	for field, v := range map[string]string{"extension": s.Extension, "app": s.App} {
		if _, _, ok := SplitApp(v); !ok {
			return nil, idp.Invalidf("application", "%s is %q", field, v).On(field)
		}
	}
	if s.LoginFrequency != 0 && s.LoginFrequency < leastFrequency {
		return nil, idp.Invalidf("login_frequency", "login frequency %s", s.LoginFrequency).On("loginFrequency").
			Say("A full sign-in is due once an hour at most.")
	}
	for field, v := range map[string]string{"organisation": s.Organisation, "accountName": s.AccountName, "token": s.Token} {
		if len(v) > maxText || strings.ContainsFunc(v, unprintable) {
			return nil, idp.Invalidf("text", "%s has %d bytes", field, len(v)).On(field).
				Say("Use at most 4096 characters that can be printed.")
		}
	}
	return base, nil
}

const maxText = 4096

// unprintable says whether XML 1.0 has no place for a character, or a line of
// text none.
func unprintable(r rune) bool {
	return r < 0x20 || r == 0x7f || r == 0xfffe || r == 0xffff || r == '\uFFFD'
}

// SplitApp takes an app id apart: the team's ten letters and figures, and the
// bundle identifier. ok is false when it is none.
func SplitApp(id string) (team, bundle string, ok bool) {
	team, bundle, ok = strings.Cut(id, ".")
	ok = ok && len(team) == 10 && strings.Trim(team, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" &&
		len(bundle) <= 155 && !strings.Contains(bundle, "_") && reverseDNS(bundle)
	return team, bundle, ok
}

// identifier is the same for both methods of a tenant: a Mac has one
// registration, and the profile of one method takes the place of the other's.
func (s Settings) identifier(base *url.URL) string {
	host := base.Hostname()
	if net.ParseIP(host) != nil {
		host = "server"
	}
	parts := strings.Split(strings.ToLower(host), ".")
	slices.Reverse(parts)
	return strings.Join(parts, ".") + ".signet." + string(s.Tenant)
}

// uuid is stable for tenant, method and what it is for (RFC 9562, Section 5.5).
func (s Settings) uuid(what string) string {
	space, err := uuid.Parse(string(s.Tenant))
	if err != nil {
		space = uuid.NewSHA1(uuid.NameSpaceURL, []byte(s.Tenant))
	}
	return strings.ToUpper(uuid.NewSHA1(space, []byte("signet-macprofile/"+string(s.Method)+"/"+what)).String())
}

func (s Settings) description() string {
	text := "Signs people of " + s.Organisation + " in to this Mac, and from it to apps and websites."
	if s.Demo {
		text = "DEMO. The app identifiers in this profile are placeholders that no developer team owns: no Mac will load them. " + text
	}
	return text
}

func (s Settings) sso(id string) dict {
	team, bundle, _ := SplitApp(s.Extension)
	d := dict{
		{"ExtensionData", s.data()},
		{"ExtensionIdentifier", bundle},
	}
	if s.Method != SmartCard { // macOS 13 knows no smart card
		d = append(d, entry{"AuthenticationMethod", string(s.Method)})
	}
	d = append(d, dict{
		{"PayloadDisplayName", "Single sign-on"},
		{"PayloadIdentifier", id + ".sso"},
		{"PayloadType", typeSSO},
		{"PayloadUUID", s.uuid("sso")},
		{"PayloadVersion", int64(1)},
		{"PlatformSSO", s.platform()},
	}...)
	if s.Token != "" {
		d = append(d, entry{"RegistrationToken", s.Token})
	}
	return append(d, dict{
		{"ScreenLockedBehavior", "DoNotHandle"},
		{"TeamIdentifier", team},
		{"Type", "Redirect"},
		{"URLs", s.urls()},
	}...)
}

// data is what the extension is told; all else is in the configuration that it
// fetches.
func (s Settings) data() dict {
	d := dict{
		{"SignetClientID", string(s.ClientID)},
		{"SignetConfigurationURL", s.Configuration},
		{"SignetTenantID", string(s.Tenant)},
	}
	if s.Demo {
		d = append(d, entry{"SignetDemo", true})
	}
	return d
}

func (s Settings) platform() dict {
	name := s.AccountName
	if name == "" {
		name = s.Organisation
	}
	frequency := s.LoginFrequency
	if frequency == 0 {
		frequency = defaultFrequency
	}
	d := dict{
		{"AccountDisplayName", name},
		{"AuthenticationMethod", string(s.Method)},
		{"LoginFrequency", int64(frequency / time.Second)},
		{"TokenToUserMapping", dict{{"AccountName", "preferred_username"}, {"FullName", "name"}}},
		{"UseSharedDeviceKeys", true},
	}
	if s.Identifiers {
		d = append(dict{{"AllowDeviceIdentifiersInAttestation", true}}, d...)
	}
	return d
}

// urls are the addresses that start a sign-in, under every name that the tenant
// has in them. The whole server would be too much: the Mac asks the extension
// about every request below a prefix.
func (s Settings) urls() (all []any) {
	for _, name := range slices.Concat([]string{string(s.Tenant)}, s.Domains, []string{"common", "organizations"}) {
		for _, path := range []string{"/oauth2/authorize", "/oauth2/v2.0/authorize"} {
			all = append(all, s.BaseURL+"/"+url.PathEscape(name)+path)
		}
	}
	return all
}

// associated ties extension and app to the server (apple-platform-sso.md §4,
// §4.1).
func (s Settings) associated(id string, base *url.URL) dict {
	var all []any
	for _, app := range []string{s.App, s.Extension} {
		one := dict{
			{"ApplicationIdentifier", app},
			{"AssociatedDomains", []any{"authsrv:" + base.Hostname()}},
		}
		if s.Direct {
			one = append(one, entry{"EnableDirectDownloads", true})
		}
		all = append(all, one)
	}
	return dict{
		{"Configuration", all},
		{"PayloadDisplayName", "Associated domains"},
		{"PayloadIdentifier", id + ".domains"},
		{"PayloadType", typeAssociated},
		{"PayloadUUID", s.uuid("domains")},
		{"PayloadVersion", int64(1)},
	}
}
