package graph_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func guidOf(n int) string { return fmt.Sprintf("%08x-0000-4000-8000-000000000000", n) }

func anyTarget(t *rapid.T) policy.Target {
	id := guidOf(rapid.IntRange(1, 9).Draw(t, "target"))
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return policy.Target{All: true}
	case 1:
		return policy.Target{User: idp.UserID(id)}
	}
	return policy.Target{Group: idp.GroupID(id)}
}

func anyTargets(t *rapid.T) []policy.Target {
	all := rapid.SliceOfN(rapid.Custom(anyTarget), 0, 3).Draw(t, "targets")
	if len(all) == 0 {
		return nil
	}
	return all
}

func anyKeyRules(t *rapid.T) (r policy.KeyRules) {
	r.Attestation = rapid.SampledFrom([]policy.Attestation{policy.AttestationNone, policy.AttestationPreferred, policy.AttestationRequired, policy.AttestationAlways}).Draw(t, "attestation")
	r.Synced = rapid.SampledFrom([]policy.Synced{policy.SyncedAllow, policy.SyncedDeny, policy.SyncedOnly}).Draw(t, "synced")
	r.AAGUIDs.Mode = rapid.SampledFrom([]policy.ListMode{policy.ListOff, policy.ListAllow, policy.ListDeny}).Draw(t, "mode")
	if r.AAGUIDs.Mode == policy.ListOff && rapid.Bool().Draw(t, "resting") {
		r.AAGUIDs.Resting = policy.ListAllow
	}
	for range rapid.IntRange(0, 2).Draw(t, "models") {
		r.AAGUIDs.List = append(r.AAGUIDs.List, guidOf(rapid.IntRange(100, 999).Draw(t, "model")))
	}
	return r
}

func anyPhoneRules(t *rapid.T) policy.PhoneRules {
	from := rapid.SampledFrom([]policy.PhoneFrom{policy.FromAnywhere, policy.FromNetwork, policy.FromKnown})
	feature := func(name string) policy.Feature {
		f := policy.Feature{On: rapid.Bool().Draw(t, name), Include: anyTarget(t)}
		if rapid.Bool().Draw(t, name+" excludes") {
			f.Exclude = anyTarget(t)
		}
		return f
	}
	r := policy.PhoneRules{
		Limit: rapid.IntRange(1, 50).Draw(t, "phones"), WarnAt: rapid.IntRange(1, 50).Draw(t, "warn at"), From: from.Draw(t, "from"),
		Synced:  rapid.SampledFrom([]policy.Synced{policy.SyncedAllow, policy.SyncedDeny}).Draw(t, "synced on phones"),
		ShowApp: feature("app"), ShowPlace: feature("place"),
		Report: policy.ReportRules{On: rapid.Bool().Draw(t, "report"), Include: anyTarget(t), Block: rapid.Bool().Draw(t, "block")},
	}
	for _, target := range anyTargets(t) {
		r.Stricter = append(r.Stricter, policy.PhoneFromFor{Target: target, From: from.Draw(t, "stricter")})
	}
	return r
}

func anyCertificateRules(t *rapid.T) (r policy.CertificateRules) {
	mode := rapid.SampledFrom([]idp.Mode{idp.ModeCertificateSingle, idp.ModeCertificateMulti})
	affinity := rapid.SampledFrom([]policy.Affinity{policy.LowAffinity, policy.HighAffinity})
	for i := range rapid.IntRange(0, 3).Draw(t, "bindings") {
		r.Bindings = append(r.Bindings, policy.CertificateBinding{
			Field: rapid.SampledFrom([]policy.CertificateField{policy.FieldPrincipalName, policy.FieldRFC822Name, policy.FieldSubject, policy.FieldIssuerAndSubject,
				policy.FieldSubjectKeyIdentifier, policy.FieldSHA1PublicKey, policy.FieldIssuerAndSerialNumber}).Draw(t, "field"),
			Property: rapid.SampledFrom([]policy.UserProperty{policy.ByUserName, policy.ByOnPremisesUserName, policy.ByCertificateUserIDs}).Draw(t, "property"),
			Priority: i + 1, Affinity: affinity.Draw(t, "trust"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		names := rapid.SampledFrom([][2]string{{"ab12", ""}, {"DC=com,CN=CA", ""}, {"", "1.2.3"}, {"ab12", "1.2.3"}, {"DC=com,CN=CA", "1.2.3"}}).Draw(t, "names")
		r.Levels = append(r.Levels, policy.CertificateLevel{Issuer: names[0], Policy: names[1], Mode: mode.Draw(t, "level"), Affinity: affinity.Draw(t, "wanted")})
	}
	for range rapid.IntRange(0, 4).Draw(t, "scopes") {
		r.Scopes = append(r.Scopes, policy.CertificateScope{Authority: rapid.SampledFrom([]string{"ab12", "cd34"}).Draw(t, "authority"), Target: anyTarget(t),
			Infrastructure: rapid.SampledFrom([]string{"", guidOf(90)}).Draw(t, "infrastructure")})
	}
	r.Mode, r.Affinity = mode.Draw(t, "mode"), affinity.Draw(t, "affinity")
	r.Unchecked = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"ab12", "cd34"}), 0, 2, rapid.ID[string]).Draw(t, "unchecked")
	if len(r.Unchecked) == 0 {
		r.Unchecked = nil
	}
	r.StaleFor = time.Duration(rapid.IntRange(0, 3600).Draw(t, "stale")) * time.Second
	r.Hints, r.NoUsage, r.AnyUsage = rapid.Bool().Draw(t, "hints"), rapid.Bool().Draw(t, "no usage"), rapid.Bool().Draw(t, "any usage")
	r.Host = rapid.SampledFrom([]string{"", "cert.contoso.example"}).Draw(t, "host")
	return r
}

func anyPolicy(t *rapid.T) policy.Policy {
	p := policy.Default()
	p.Passkey.KeyRules = anyKeyRules(t)
	for i := range rapid.IntRange(0, 2).Draw(t, "profiles") {
		p.Passkey.Profiles = append(p.Passkey.Profiles, policy.Profile{ID: guidOf(20 + i), Name: fmt.Sprint("Profile ", i), KeyRules: anyKeyRules(t)})
	}
	for _, m := range []idp.MethodID{policy.Passkey, policy.AccessPass, "phone", policy.Certificate} {
		r := policy.MethodRules{On: rapid.Bool().Draw(t, "on"), Exclude: anyTargets(t)}
		for _, target := range anyTargets(t) {
			i := policy.Include{Target: target, Required: rapid.Bool().Draw(t, "required")}
			if m == policy.Passkey && rapid.Bool().Draw(t, "named") {
				i.Profiles = []string{policy.DefaultProfile, guidOf(20)}
			}
			r.Include = append(r.Include, i)
		}
		p.Methods[m] = r
	}
	p.Passkey.SelfService, p.Passkey.Additive = rapid.Bool().Draw(t, "self"), rapid.Bool().Draw(t, "additive")
	p.Passkey.Restrictions = rapid.SampledFrom([]policy.Enforcement{policy.EnforceOff, policy.EnforceAudit, policy.Enforce}).Draw(t, "restrictions")
	p.AccessPass.Min = time.Duration(rapid.IntRange(600, 1200).Draw(t, "seconds")) * time.Second
	p.AccessPass.Once = rapid.Bool().Draw(t, "once")
	p.Campaign = policy.CampaignRules{
		On: rapid.Bool().Draw(t, "campaign"), Method: rapid.SampledFrom([]idp.MethodID{policy.Passkey, "phone", "hello"}).Draw(t, "asked"),
		SnoozeDays: rapid.IntRange(0, 14).Draw(t, "days"), Snoozes: rapid.SampledFrom([]int{0, 3, 7}).Draw(t, "snoozes"), Include: anyTargets(t), Exclude: anyTargets(t),
	}
	p.Phone, p.Certificate = anyPhoneRules(t), anyCertificateRules(t)
	p.Order = policy.OrderRules{On: rapid.Bool().Draw(t, "order"), Methods: []idp.MethodID{policy.AccessPass}, Include: anyTargets(t), Exclude: anyTargets(t)}
	return p
}

// What is read and sent back unchanged changes nothing, though a policy says
// more than Graph has words for.
func TestReadAndSendBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		shown, err := graph.ShowPolicy(p)
		if err != nil {
			t.Fatal(err)
		}
		next := p.Clone()
		if err := graph.PatchPolicy(shown, &next); err != nil {
			t.Fatalf("%s: %s", idp.AsError(err).Public, shown)
		}
		differ, err := policy.Differences(p, next)
		if err != nil || len(differ) > 0 {
			t.Fatalf("%v, %v", differ, err)
		}
	})
}

// What one policy shows can be sent to another tenant, and is then shown there.
func TestSentIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, next := anyPolicy(t), policy.Default()
		shown, err := graph.ShowPolicy(p)
		if err != nil {
			t.Fatal(err)
		}
		if p.Campaign.Method == "hello" { // no word of Graph's
			p.Campaign.Method = policy.Passkey
			shown, _ = graph.ShowPolicy(p)
		}
		if err := graph.PatchPolicy(shown, &next); err != nil {
			t.Fatalf("%s: %s", idp.AsError(err).Public, shown)
		}
		got, err := graph.ShowPolicy(next)
		if diff := cmp.Diff(string(shown), string(got)); err != nil || diff != "" {
			t.Fatalf("sent and shown differ: %s", diff)
		}
	})
}

func TestPatchConfigurations(t *testing.T) {
	const key = `"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["CB69481E-8FF7-4039-93EC-0A2729A154A8"]}`
	const profile = `{"id":"00000000-0000-0000-0000-000000000001","name":"Default passkey profile","passkeyTypes":"synced,deviceBound","attestationEnforcement":"registrationOnly"}`
	for name, tt := range map[string]struct {
		id, body string
		change   func(*policy.Policy)
	}{
		"allow list": {"FIDO2", `{"@odata.type":"#microsoft.graph.fido2AuthenticationMethodConfiguration","isAttestationEnforced":true,` + key + `}`, func(p *policy.Policy) {
			p.Passkey.Attestation = policy.AttestationRequired
			p.Passkey.AAGUIDs = policy.AAGUIDRules{Mode: policy.ListAllow, List: []string{yubikey}}
		}},
		"a list at rest": {"fido2", `{"keyRestrictions":{"isEnforced":false,"enforcementType":"allow"}}`, func(p *policy.Policy) { p.Passkey.AAGUIDs.Resting = policy.ListAllow }},
		"the default profile by its entry": {"fido2", `{"isAttestationEnforced":false,"passkeyProfiles":[` + profile + `]}`, func(p *policy.Policy) {
			p.Passkey.Attestation = policy.AttestationRequired
		}},
		"a new profile": {"fido2", `{"passkeyProfiles":[` + profile + `,{"name":"Office","passkeyTypes":"deviceBound"}]}`, func(p *policy.Policy) {
			p.Passkey.Attestation = policy.AttestationRequired
			p.Passkey.Profiles = []policy.Profile{{ID: "99999999-9999-4999-8999-999999999999", Name: "Office", KeyRules: policy.KeyRules{
				Attestation: policy.AttestationPreferred, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListOff}}}}
		}},
		"targets": {"fido2", `{"state":"enabled","includeTargets":[{"id":"` + strings.ToUpper(guidOf(5)) + `","targetType":"group","isRegistrationRequired":true}],"excludeTargets":[{"id":"` + guidOf(6) + `","targetType":"user"}]}`,
			func(p *policy.Policy) {
				p.Methods[policy.Passkey] = policy.MethodRules{On: true, Include: []policy.Include{{Target: policy.Target{Group: idp.GroupID(guidOf(5))}, Required: true}},
					Exclude: []policy.Target{{User: idp.UserID(guidOf(6))}}}
			}},
		"audit": {"fido2", `{"@signet.restrictions":"audit","@signet.additive":true}`, func(p *policy.Policy) {
			p.Passkey.Restrictions, p.Passkey.Additive = policy.EnforceAudit, true
		}},
		"passes": {"temporaryAccessPass", `{"defaultLifetimeInMinutes":90,"maximumLifetimeInMinutes":480,"defaultLength":20,"isUsableOnce":false}`, func(p *policy.Policy) {
			p.AccessPass.Default, p.AccessPass.Max, p.AccessPass.Length, p.AccessPass.Once = 90*time.Minute, 8*time.Hour, 20, false
		}},
		"off is off": {"sms", `{"@odata.type":"#microsoft.graph.smsAuthenticationMethodConfiguration","id":"Sms","state":"disabled","includeTargets":[]}`, func(*policy.Policy) {}},
	} {
		t.Run(name, func(t *testing.T) {
			got, want := policy.Default(), policy.Default()
			tt.change(&want)
			if err := graph.PatchConfiguration(tt.id, []byte(tt.body), &got); err != nil {
				t.Fatal(idp.AsError(err).Public)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Everything that is not understood is told, with its place.
func TestPatchRefused(t *testing.T) {
	own := `{"id":"00000000-0000-0000-0000-000000000001"`
	for body, says := range map[string]string{
		`{"isAttestationEnforcd":true}`:                                           "'isAttestationEnforcd' does not exist",
		`{"state":"on"}`:                                                          "'state' has no member 'on'. It is one of: disabled; enabled",
		`{"keyRestrictions":{"enforcementType":"permit"}}`:                        "'keyRestrictions/enforcementType' has no member 'permit'",
		`{"keyRestrictions":{"aaGuids":"x"}}`:                                     "'keyRestrictions/aaGuids' cannot be a string",
		`{"isAttestationEnforced":"yes"}`:                                         "'isAttestationEnforced' cannot be a string",
		`{"state":7}`:                                                             "'state' cannot be a number",
		`{"excludeTargets":null}`:                                                 "'excludeTargets' cannot be null",
		`{"includeTargets":[{"id":"all_users"}]}`:                                 "required for property 'includeTargets[0]/targetType'",
		`{"includeTargets":[{"targetType":"group"}]}`:                             "required for property 'includeTargets[0]/id'",
		`{"includeTargets":[{"id":"all_users","targetType":"role"}]}`:             "'includeTargets[0]/targetType' has no member 'role'",
		`{"includeTargets":[{"id":"all_users","targetType":"user"}]}`:             "'includeTargets[0]/id' is all_users for a group",
		`{"excludeTargets":[{"id":"everyone","targetType":"group"}]}`:             "and not 'everyone'",
		`{"@odata.type":"#microsoft.graph.smsAuthenticationMethodConfiguration"}`: "must be '#microsoft.graph.fido2",
		`{"id":"sms"}`: "'id' cannot be changed",
		`{"defaultPasskeyProfile":"00000000-0000-4000-8000-000000000009"}`: "'defaultPasskeyProfile' cannot be changed",
		`{"passkeyProfiles":[]}`:                                                       "cannot be removed",
		`{"passkeyProfiles":[` + own + `},` + own + `}]}`:                              "passkeyProfiles[0]/id and passkeyProfiles[1]/id",
		`{"passkeyProfiles":[` + own + `,"name":"Ours"}]}`:                             "'passkeyProfiles[0]/name' cannot be changed",
		`{"passkeyProfiles":[` + own + `,"passkeyTypes":"deviceBound,cloud"}]}`:        "'passkeyProfiles[0]/passkeyTypes' has no member 'cloud'",
		`{"passkeyProfiles":[` + own + `,"attestationEnforcement":"always"}]}`:         "'passkeyProfiles[0]/attestationEnforcement' has no member 'always'",
		`{"isAttestationEnforced":true,"isAttestationEnforced":false}`:                 "twice",
		`{"@signet.restrictions":"log"}`:                                               "'@signet.restrictions' has no member 'log'",
		`{"includeTargets":[{"id":"all_users","targetType":"group","isUsable":true}]}`: "'isUsable' does not exist",
		`{"keyRestrictions":{"isEnforced":true,"aaGuids":["` + yubikey + `"]},"passkeyProfiles":[` + own + `,"keyRestrictions":{"isEnforced":true,"aaGuids":["` + nitrokey + `"]}}]}`: "keyRestrictions and passkeyProfiles[0]/keyRestrictions",
		`[]`: "cannot be a array", `{`: "no JSON object", `{} {}`: "behind the body",
	} {
		p := policy.Default()
		err := idp.AsError(graph.PatchConfiguration("fido2", []byte(body), &p))
		if err == nil || err.Kind != idp.Invalid || !strings.Contains(err.Public, says) {
			t.Errorf("%s: %v", body, err)
		}
	}
	for body, says := range map[string]string{
		`{"policyVersion":"1.6"}`:                                                                               "'policyVersion' cannot be changed",
		`{"policyMigrationState":"preMigration"}`:                                                               "'policyMigrationState' cannot be changed",
		`{"reportSuspiciousActivitySettings":{"voiceReportingCode":7}}`:                                         "'reportSuspiciousActivitySettings/voiceReportingCode' cannot be changed",
		`{"reportSuspiciousActivitySettings":{"state":"off"}}`:                                                  "'reportSuspiciousActivitySettings/state' has no member 'off'. It is one of: default; disabled; enabled",
		`{"reportSuspiciousActivitySettings":{"excludeTarget":{}}}`:                                             "'excludeTarget' does not exist",
		`{"reportSuspiciousActivitySettings":{"includeTarget":{"id":"x","targetType":"group"}}}`:                "reportSuspiciousActivitySettings/includeTarget/id",
		`{"lastModifiedDateTime":"yesterday"}`:                                                                  "is no time",
		`{"authenticationMethodConfigurations":[{}]}`:                                                           "required for property 'authenticationMethodConfigurations[0]/id'",
		`{"authenticationMethodConfigurations":[{"id":"pigeon"}]}`:                                              "no method 'pigeon'",
		`{"authenticationMethodConfigurations":[{"id":"sms","state":"enabled"}]}`:                               "no such method here",
		`{"authenticationMethodConfigurations":[{"id":"fido2","keyRestrictions":{"list":[]}}]}`:                 "authenticationMethodConfigurations[0]: The property 'list' does not exist",
		`{"registrationEnforcement":{"authenticationMethodsRegistrationCampaign":{"snoozeDurationInDays":15}}}`: "0 to 14",
		`{"registrationEnforcement":{"authenticationMethodsRegistrationCampaign":{"state":"paused"}}}`:          "Campaign/state' has no member 'paused'",
		`{"systemCredentialPreferences":{"state":"x"}}`:                                                         "'systemCredentialPreferences/state' has no member 'x'",
		`{"systemCredentialPreferences":{"includeTargets":[{"id":"x","targetType":"group"}]}}`:                  "systemCredentialPreferences/includeTargets[0]/id",
		`{"registrationEnforcement":{"authenticationMethodsRegistrationCampaign":{"includeTargets":[{"id":"all_users","targetType":"group","targetedAuthenticationMethod":"sms"}]}}}`: "has no member 'sms'",
		`{"registrationEnforcement":{"authenticationMethodsRegistrationCampaign":{"includeTargets":[{"id":"all_users","targetType":"group","targetedAuthenticationMethod":"fido2"},
			{"id":"` + guidOf(1) + `","targetType":"group","targetedAuthenticationMethod":"microsoftAuthenticator"}]}}}`: "includeTargets[0]/targetedAuthenticationMethod and registrationEnforcement/authenticationMethodsRegistrationCampaign/includeTargets[1]/targetedAuthenticationMethod: a campaign is for one method",
	} {
		p := policy.Default()
		err := idp.AsError(graph.PatchPolicy([]byte(body), &p))
		if err == nil || err.Kind != idp.Invalid || !strings.Contains(err.Public, says) {
			t.Errorf("%s: %v", body, err)
		}
	}
	p := policy.Default()
	p.Changed = time.Date(2026, 11, 23, 9, 0, 0, 1e6, time.UTC)
	if err := idp.AsError(graph.PatchPolicy([]byte(`{"lastModifiedDateTime":"2026-11-23T09:00:00Z"}`), &p)); err == nil || err.Kind != idp.Conflict {
		t.Errorf("a copy of an older policy: %v", err)
	}
}

// A patch that is taken is shown as it was sent, as far as it names what is
// shown; one that is not taken is Invalid. Nothing panics.
func FuzzPatchPolicy(f *testing.F) {
	for _, id := range []string{"fido2", "temporaryAccessPass", "sms", "MicrosoftAuthenticator", "X509Certificate"} {
		shown, err := graph.ShowConfiguration(id, policy.Default())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(id, shown)
	}
	whole, err := graph.ShowPolicy(policy.Default())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("", whole)
	f.Add("fido2", []byte(`{"keyRestrictions":{"isEnforced":true,"aaGuids":["x"]},"passkeyProfiles":[{"passkeyTypes":"synced"}]}`))
	f.Add("x509certificate", []byte(sentCertificates))
	f.Fuzz(func(t *testing.T, id string, raw []byte) {
		if !graph.HasConfiguration(id) {
			id = ""
		}
		p := policy.Default()
		patch, show := func(raw []byte) error { return graph.PatchConfiguration(id, raw, &p) }, func() ([]byte, error) { return graph.ShowConfiguration(id, p) }
		if id == "" {
			patch, show = func(raw []byte) error { return graph.PatchPolicy(raw, &p) }, func() ([]byte, error) { return graph.ShowPolicy(p) }
		}
		if err := patch(raw); err != nil {
			if k := idp.AsError(err).Kind; k != idp.Invalid && k != idp.Conflict {
				t.Fatalf("%v", err)
			}
			return
		}
		shown, err := show()
		if err != nil || !json.Valid(shown) {
			t.Fatalf("%s: %v", shown, err)
		}
		before := p.Clone()
		if err := patch(shown); err != nil {
			t.Fatalf("what is shown is not taken: %v: %s", err, shown)
		}
		if differ, err := policy.Differences(before, p); err != nil || len(differ) > 0 {
			t.Fatalf("what is shown changes %v, %v", differ, err)
		}
	})
}
