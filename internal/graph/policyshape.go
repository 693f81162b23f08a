package graph

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// This file is the one place where a policy.Policy is written in Graph's
// shapes, and policypatch.go the one where it is read back from them
// (entra-behaviours.md §1). Both are pure. What is shown and sent back unchanged
// changes nothing: where a policy says more than Graph has a word for, the word
// that is shown for it keeps it.

// configuration is one method in the policy: Graph's id and type for it, and
// our method. Those that no room here proves are shown as what they are, off.
type configuration struct {
	id     string
	kind   string // @odata.type, without the namespace
	method idp.MethodID
}

var configurations = []configuration{
	{"Fido2", "fido2AuthenticationMethodConfiguration", policy.Passkey},
	{"TemporaryAccessPass", "temporaryAccessPassAuthenticationMethodConfiguration", policy.AccessPass},
	// Graph governs Hello elsewhere and has no such configuration; the name is in
	// its manner.
	{"WindowsHelloForBusiness", "windowsHelloForBusinessAuthenticationMethodConfiguration", policy.Hello},
	// Nor of these.
	{"PlatformCredential", "platformCredentialAuthenticationMethodConfiguration", policy.Platform},
	{"MicrosoftAuthenticator", "microsoftAuthenticatorAuthenticationMethodConfiguration", policy.Phone},
	{"X509Certificate", "x509CertificateAuthenticationMethodConfiguration", policy.Certificate},
	{"Sms", "smsAuthenticationMethodConfiguration", ""},
	{"Voice", "voiceAuthenticationMethodConfiguration", ""},
	{"Email", "emailAuthenticationMethodConfiguration", ""},
	{"SoftwareOath", "softwareOathAuthenticationMethodConfiguration", ""},
}

// configurationOf finds a configuration by its id, whose letters vary in the
// wild.
func configurationOf(id string) (configuration, bool) {
	i := slices.IndexFunc(configurations, func(k configuration) bool { return strings.EqualFold(k.id, id) })
	if i < 0 {
		return configuration{}, false
	}
	return configurations[i], true
}

// rooms says which methods there are here.
type rooms func(idp.MethodID) bool

// The words of Graph for the members of our enumerations.
var (
	stateWords       = map[string]bool{"enabled": true, "disabled": false}
	enforcementWords = map[string]policy.ListMode{"allow": policy.ListAllow, "block": policy.ListDeny}
	attestationWords = map[string]bool{"disabled": false, "registrationOnly": true}
	restrictionWords = map[string]policy.Enforcement{"off": policy.EnforceOff, "audit": policy.EnforceAudit, "enforce": policy.Enforce}
	passkeyWords     = map[string]policy.Synced{"deviceBound": policy.SyncedDeny, "synced": policy.SyncedOnly, "deviceBound,synced": policy.SyncedAllow}
	campaignWords    = map[string]idp.MethodID{"fido2": policy.Passkey, "microsoftAuthenticator": policy.Phone}
)

// defaultProfileName is what the rules that are nobody's profile are called.
const defaultProfileName = "Default passkey profile"

// everybody is Graph's id for all people.
const everybody = "all_users"

// tag is the entity tag of everything that is in a policy.
func tag(p policy.Policy) string { return `W/"` + strconv.FormatInt(p.Version, 10) + `"` }

func policyEntity(p policy.Policy, have rooms) entity {
	all := make([]entity, 0, len(configurations))
	for _, k := range configurations {
		all = append(all, configurationEntity(k, p, have))
	}
	c := &p.Campaign
	campaign := entity{
		"state": wordOf(stateWords, c.On), "snoozeDurationInDays": c.SnoozeDays, "enforceRegistrationAfterAllowedSnoozes": c.Snoozes > 0,
		"excludeTargets": targetEntities(c.Exclude),
	}
	include := targetEntities(c.Include)
	for _, t := range include {
		t["targetedAuthenticationMethod"] = campaignWord(c.Method)
	}
	campaign["includeTargets"] = include
	return entity{
		"@odata.etag": tag(p), "id": "authenticationMethodsPolicy", "displayName": policyName, "description": policyAbout, "policyVersion": policyVersion,
		"lastModifiedDateTime": stamp(p.Changed), "policyMigrationState": migrationState, "reconfirmationInDays": 0,
		"registrationEnforcement": entity{"authenticationMethodsRegistrationCampaign": campaign},
		"systemCredentialPreferences": entity{
			"state": wordOf(stateWords, p.Order.On), "includeTargets": targetEntities(p.Order.Include), "excludeTargets": targetEntities(p.Order.Exclude),
		},
		"reportSuspiciousActivitySettings":   suspicionEntity(p.Phone.Report),
		"authenticationMethodConfigurations": all,
	}
}

// What Graph has and nobody can change here.
const (
	policyName     = "Authentication Methods Policy"
	policyAbout    = "Who may use which method to sign in, and with which keys."
	policyVersion  = "1.5"
	migrationState = "migrationComplete" // there are no older policies beside this one
)

func configurationEntity(k configuration, p policy.Policy, have rooms) entity {
	e := entity{"@odata.type": "#microsoft.graph." + k.kind, "id": k.id, "state": "disabled", "includeTargets": []entity{}, "excludeTargets": []entity{}}
	if k.method == "" || !have(k.method) {
		return e
	}
	r := p.Methods[k.method]
	e["state"], e["excludeTargets"] = wordOf(stateWords, r.On), targetEntities(r.Exclude)
	include := make([]entity, 0, len(r.Include))
	for _, i := range r.Include {
		t := targetEntity(i.Target)
		t["isRegistrationRequired"] = i.Required
		if k.method == policy.Passkey {
			t["allowedPasskeyProfiles"] = some(i.Profiles)
		}
		include = append(include, t)
	}
	e["includeTargets"] = include
	switch k.method {
	case policy.Passkey:
		showPasskeys(e, &p.Passkey)
	case policy.AccessPass:
		a := &p.AccessPass
		e["defaultLifetimeInMinutes"], e["minimumLifetimeInMinutes"], e["maximumLifetimeInMinutes"] = minutes(a.Default), minutes(a.Min), minutes(a.Max)
		e["defaultLength"], e["isUsableOnce"] = a.Length, a.Once
	case policy.Phone:
		showPhones(e, &p.Phone)
	case policy.Certificate:
		showCertificates(e, &p.Certificate)
	case policy.Hello:
		e["@signet.limit"], e["@signet.warnAt"] = p.Hello.Limit, p.Hello.WarnAt
	case policy.Platform:
		e["@signet.limit"], e["@signet.warnAt"] = p.Platform.Limit, p.Platform.WarnAt
	}
	return e
}

func minutes(d time.Duration) int { return int(d / time.Minute) }

func targetEntity(t policy.Target) entity {
	switch {
	case t.All:
		return entity{"id": everybody, "targetType": "group"}
	case t.User != "":
		return entity{"id": string(t.User), "targetType": "user"}
	}
	return entity{"id": string(t.Group), "targetType": "group"}
}

func targetEntities(all []policy.Target) []entity {
	out := make([]entity, 0, len(all))
	for _, t := range all {
		out = append(out, targetEntity(t))
	}
	return out
}

func campaignWord(m idp.MethodID) string {
	if w := wordOf(campaignWords, m); w != "" {
		return w
	}
	return string(m)
}

// wordOf is Graph's word for a value.
func wordOf[T comparable](words map[string]T, v T) string {
	for w, of := range words {
		if of == v {
			return w
		}
	}
	return ""
}

// valueOf is the value that a word of Graph stands for; at is the property.
func valueOf[T any](at, word string, words map[string]T) (v T, err error) {
	all := make([]string, 0, len(words))
	for w, of := range words {
		if strings.EqualFold(w, word) {
			return of, nil
		}
		all = append(all, w)
	}
	slices.Sort(all)
	return v, badProperty(at, fmt.Sprintf("The property '%s' has no member '%s'. It is one of: %s.", at, clip(word), strings.Join(all, "; ")))
}

// head is what every object may carry besides its own properties.
type head struct {
	ODataType *string `json:"@odata.type"`
	Context   *string `json:"@odata.context"`
	ETag      *string `json:"@odata.etag"`
}

// is refuses a type that is another than that of the path.
func (h head) is(kind string) error {
	if h.ODataType != nil && strings.TrimPrefix(*h.ODataType, "#") != "microsoft.graph."+kind {
		return badProperty("@odata.type", "The property '@odata.type' must be '#microsoft.graph."+kind+"' here.")
	}
	return nil
}

// fixed refuses to change what cannot be changed; clients that send back what
// they read may name it.
func fixed[T comparable](at string, sent *T, now T) error {
	if sent != nil && *sent != now {
		return badProperty(at, "The property '"+at+"' cannot be changed.")
	}
	return nil
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}
