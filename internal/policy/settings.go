package policy

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
)

// setting is one value of a policy under the name that administrators and
// the stored document use.
type setting struct {
	get func(Policy) string
	set func(*Policy, string) bool // false: not a value of this setting
	say string                     // what a value looks like
}

const methodPrefix = "method."

var methodName = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9]*$`)

// isMethod says whether s can be the name of a method. Lengths are no affair of
// expressions here: one with a large number in it holds memory for ever.
func isMethod(s string) bool { return len(s) <= 40 && methodName.MatchString(s) }

// settings is the list of everything that can be set by one word, methods
// apart: those are "method.<id>". passkey.attestation, .synced and .aaguids are
// of the default profile; phone.showApp, .showPlace and .report switch what the
// targets beside them are for; certificate.mode and .affinity are for
// certificates that no level names. Targets, bindings, profiles and strengths have no word: Parse
// reads them.
var settings = map[string]setting{
	"passkey.limit":        number(1, 50, func(p *Policy) *int { return &p.Passkey.Limit }),
	"passkey.warnAt":       number(1, 200, func(p *Policy) *int { return &p.Passkey.WarnAt }),
	"passkey.attestation":  word(func(p *Policy) *Attestation { return &p.Passkey.Attestation }, AttestationNone, AttestationPreferred, AttestationRequired, AttestationAlways),
	"passkey.synced":       word(func(p *Policy) *Synced { return &p.Passkey.Synced }, SyncedAllow, SyncedDeny, SyncedOnly),
	"passkey.counter":      word(func(p *Policy) *Counter { return &p.Passkey.Counter }, CounterWarn, CounterBlock),
	"passkey.aaguids.mode": word(func(p *Policy) *ListMode { return &p.Passkey.AAGUIDs.Mode }, ListOff, ListAllow, ListDeny),
	"passkey.aaguids.list": guids(func(p *Policy) *[]string { return &p.Passkey.AAGUIDs.List }),
	"passkey.selfService":  yes(func(p *Policy) *bool { return &p.Passkey.SelfService }),
	"passkey.additive":     yes(func(p *Policy) *bool { return &p.Passkey.Additive }),
	"passkey.restrictions": word(func(p *Policy) *Enforcement { return &p.Passkey.Restrictions }, EnforceOff, EnforceAudit, Enforce),
	"passkey.withdrawn":    word(func(p *Policy) *Withdrawn { return &p.Passkey.Withdrawn }, WithdrawnAllow, WithdrawnRegistration, WithdrawnRefuse),
	"campaign.on":          yes(func(p *Policy) *bool { return &p.Campaign.On }),
	"campaign.snoozeDays":  number(0, 14, func(p *Policy) *int { return &p.Campaign.SnoozeDays }),
	"campaign.snoozes":     number(0, 100, func(p *Policy) *int { return &p.Campaign.Snoozes }),
	"accessPass.appSignIn": yes(func(p *Policy) *bool { return &p.AccessPass.AppSignIn }),
	"accessPass.once":      yes(func(p *Policy) *bool { return &p.AccessPass.Once }),
	"accessPass.length":    number(8, 48, func(p *Policy) *int { return &p.AccessPass.Length }),
	"accessPass.default":   period(passMin, passMax, func(p *Policy) *time.Duration { return &p.AccessPass.Default }),
	"accessPass.min":       period(passMin, passMax, func(p *Policy) *time.Duration { return &p.AccessPass.Min }),
	"accessPass.max":       period(passMin, passMax, func(p *Policy) *time.Duration { return &p.AccessPass.Max }),
	"devices.on":           yes(func(p *Policy) *bool { return &p.Devices.On }),
	"devices.quota":        number(1, 1000, func(p *Policy) *int { return &p.Devices.Quota }),
	"devices.attestation":  word(func(p *Policy) *Attestation { return &p.Devices.Attestation }, AttestationNone, AttestationPreferred, AttestationRequired),
	"devices.deviceCode":   yes(func(p *Policy) *bool { return &p.Devices.DeviceCode }),
	"devices.idle":         period(time.Hour, prtIdle, func(p *Policy) *time.Duration { return &p.Devices.Idle }),
	"devices.absolute":     period(time.Hour, 365*24*time.Hour, func(p *Policy) *time.Duration { return &p.Devices.Absolute }),
	"devices.offlineDays":  number(0, 90, func(p *Policy) *int { return &p.Devices.OfflineDays }),
	"hello.limit":          number(1, 50, func(p *Policy) *int { return &p.Hello.Limit }),
	"hello.warnAt":         number(1, 200, func(p *Policy) *int { return &p.Hello.WarnAt }),

	"platform.limit":      number(1, 50, func(p *Policy) *int { return &p.Platform.Limit }),
	"platform.warnAt":     number(1, 200, func(p *Policy) *int { return &p.Platform.WarnAt }),
	"macs.method":         word(func(p *Policy) *MacMethod { return &p.Macs.Method }, MacKey, MacCard),
	"macs.biometric":      number(0, 15, func(p *Policy) *int { return &p.Macs.Biometric }),
	"macs.loginFrequency": period(minLoginFrequency, maxLoginFrequency, func(p *Policy) *time.Duration { return &p.Macs.LoginFrequency }),
	"macs.accountName":    label(func(p *Policy) *string { return &p.Macs.AccountName }),

	"phone.limit":       number(1, 50, func(p *Policy) *int { return &p.Phone.Limit }),
	"phone.warnAt":      number(1, 200, func(p *Policy) *int { return &p.Phone.WarnAt }),
	"phone.from":        word(func(p *Policy) *PhoneFrom { return &p.Phone.From }, FromAnywhere, FromNetwork, FromKnown),
	"phone.synced":      word(func(p *Policy) *Synced { return &p.Phone.Synced }, SyncedAllow, SyncedDeny),
	"phone.showApp":     yes(func(p *Policy) *bool { return &p.Phone.ShowApp.On }),
	"phone.showPlace":   yes(func(p *Policy) *bool { return &p.Phone.ShowPlace.On }),
	"phone.report":      yes(func(p *Policy) *bool { return &p.Phone.Report.On }),
	"phone.reportBlock": yes(func(p *Policy) *bool { return &p.Phone.Report.Block }),

	"certificate.mode":     word(func(p *Policy) *idp.Mode { return &p.Certificate.Mode }, idp.ModeCertificateSingle, idp.ModeCertificateMulti),
	"certificate.affinity": word(func(p *Policy) *Affinity { return &p.Certificate.Affinity }, LowAffinity, HighAffinity),
	"certificate.staleFor": period(0, maxStale, func(p *Policy) *time.Duration { return &p.Certificate.StaleFor }),
	"certificate.hints":    yes(func(p *Policy) *bool { return &p.Certificate.Hints }),
	"certificate.host":     name(func(p *Policy) *string { return &p.Certificate.Host }),
	"certificate.noUsage":  yes(func(p *Policy) *bool { return &p.Certificate.NoUsage }),
	"certificate.anyUsage": yes(func(p *Policy) *bool { return &p.Certificate.AnyUsage }),

	"devices.compat.kdfV1":                yes(func(p *Policy) *bool { return &p.Devices.Compat.KDFv1 }),
	"devices.compat.cbcResponses":         yes(func(p *Policy) *bool { return &p.Devices.Compat.CBCResponses }),
	"devices.compat.extraRelyingPartyId":  name(func(p *Policy) *string { return &p.Devices.Compat.ExtraRelyingPartyID }),
	"devices.compat.deviceCodeToPrt":      yes(func(p *Policy) *bool { return &p.Devices.Compat.DeviceCodeToPRT }),
	"devices.compat.deviceCodeToHello":    yes(func(p *Policy) *bool { return &p.Devices.Compat.DeviceCodeToHello }),
	"devices.compat.nativeClientRedirect": yes(func(p *Policy) *bool { return &p.Devices.Compat.NativeClientRedirect }),
	"devices.compat.sharedDeviceKey":      yes(func(p *Policy) *bool { return &p.Devices.Compat.SharedDeviceKey }),
	"devices.compat.brokerWithoutPkce":    yes(func(p *Policy) *bool { return &p.Devices.Compat.BrokerWithoutPKCE }),

	"session.idle":     period(time.Minute, 30*24*time.Hour, func(p *Policy) *time.Duration { return &p.Session.Idle }),
	"session.absolute": period(time.Minute, 90*24*time.Hour, func(p *Policy) *time.Duration { return &p.Session.Absolute }),
}

// The bounds of any pass (security.md POL04, entra-behaviours.md §11).
const (
	passMin = 10 * time.Minute
	passMax = 30 * 24 * time.Hour
)

// Show lists every setting of p by name.
func (p Policy) Show() map[string]string {
	out := make(map[string]string, len(settings)+len(p.Methods))
	for name, s := range settings {
		out[name] = s.get(p)
	}
	for m, r := range p.Methods {
		out[methodPrefix+string(m)] = strconv.FormatBool(r.On)
	}
	return out
}

// Names lists the settings, sorted; methods are "method.<id>".
func Names() []string { return slices.Sorted(maps.Keys(settings)) }

// Set changes one setting of p, or is Invalid: unknown_setting, bad_value.
// p must not be a snapshot of a Store: Clone it first.
func (p *Policy) Set(name, value string) error {
	if id, ok := strings.CutPrefix(name, methodPrefix); ok && isMethod(id) {
		on, err := strconv.ParseBool(value)
		if err != nil {
			return badValue(name, value, "true or false")
		}
		p.Switch(idp.MethodID(id), on)
		return nil
	}
	s, ok := settings[name]
	if !ok {
		return idp.Invalidf("unknown_setting", "setting %q", name).On(name).
			Say("There is no such setting. The settings are " + strings.Join(Names(), ", ") + " and method.<id>.")
	}
	if !s.set(p, value) {
		return badValue(name, value, s.say)
	}
	return nil
}

func badValue(name, value, say string) error {
	return idp.Invalidf("bad_value", "setting %s: %q", name, value).On(name).Say(name + " must be " + say + ".")
}

func number(lo, hi int, at func(*Policy) *int) setting {
	return setting{
		get: func(p Policy) string { return strconv.Itoa(*at(&p)) },
		set: func(p *Policy, v string) bool {
			n, err := strconv.Atoi(v)
			if err != nil || n < lo || n > hi {
				return false
			}
			*at(p) = n
			return true
		},
		say: "a number from " + strconv.Itoa(lo) + " to " + strconv.Itoa(hi),
	}
}

func yes(at func(*Policy) *bool) setting {
	return setting{
		get: func(p Policy) string { return strconv.FormatBool(*at(&p)) },
		set: func(p *Policy, v string) bool {
			b, err := strconv.ParseBool(v)
			if err == nil {
				*at(p) = b
			}
			return err == nil
		},
		say: "true or false",
	}
}

func period(lo, hi time.Duration, at func(*Policy) *time.Duration) setting {
	return setting{
		get: func(p Policy) string { return at(&p).String() },
		set: func(p *Policy, v string) bool {
			d, err := time.ParseDuration(v)
			if err != nil || d < lo || d > hi {
				return false
			}
			*at(p) = d
			return true
		},
		say: "a time from " + lo.String() + " to " + hi.String() + ", written like 90m or 8h",
	}
}

var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z]+$`)

// isDomain says whether s is a host name in lower case (RFC 1123 §2.1).
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if len(label) > 63 {
			return false
		}
	}
	return len(s) <= 253 && domainName.MatchString(s)
}

// name is a host name, or nothing.
func name(at func(*Policy) *string) setting {
	return setting{
		get: func(p Policy) string { return *at(&p) },
		set: func(p *Policy, v string) bool {
			if v != "" && !isDomain(v) {
				return false
			}
			*at(p) = v
			return true
		},
		say: "a lower-case host name, or nothing",
	}
}

// label is a short text that people read, or nothing.
func label(at func(*Policy) *string) setting {
	return setting{
		get: func(p Policy) string { return *at(&p) },
		set: func(p *Policy, v string) bool {
			v = strings.TrimSpace(v)
			if len(v) > maxShort || !utf8.ValidString(v) || strings.ContainsFunc(v, unicode.IsControl) {
				return false
			}
			*at(p) = v
			return true
		},
		say: "text of at most " + strconv.Itoa(maxShort) + " bytes on one line, or nothing",
	}
}

func word[T ~string](at func(*Policy) *T, allowed ...T) setting {
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return setting{
		get: func(p Policy) string { return string(*at(&p)) },
		set: func(p *Policy, v string) bool {
			if slices.Contains(allowed, T(v)) {
				*at(p) = T(v)
				return true
			}
			return false
		},
		say: "one of " + strings.Join(names, ", "),
	}
}

var guid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func guids(at func(*Policy) *[]string) setting {
	return setting{
		get: func(p Policy) string { return strings.Join(*at(&p), ",") },
		set: func(p *Policy, v string) bool {
			// What is no GUID stays for Check, which knows what was meant.
			list := strings.FieldsFunc(strings.ToLower(v), func(r rune) bool { return r == ',' || r == ' ' })
			if len(list) > maxAAGUIDs {
				return false
			}
			if len(list) == 0 {
				list = nil
			}
			*at(p) = list
			return true
		},
		say: "at most " + strconv.Itoa(maxAAGUIDs) + " GUIDs of key models with commas between",
	}
}
