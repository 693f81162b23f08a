package graph

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// Strengths in Graph's shapes, and read back (entra-behaviours.md §8.1, §8.2).
// All of it is pure.

// strengthAbout says of the built-in strengths what Graph's words cannot.
var strengthAbout = map[string]string{
	policy.IDMFA:               "Methods and combinations that count as multifactor authentication.",
	policy.IDPasswordless:      "Methods that need no password and count as multifactor authentication.",
	policy.IDPhishingResistant: "Methods that no other site can make use of, such as passkeys.",
	policy.IDHardwareBound:     "As phishing-resistant, and the key cannot leave its device.",
}

// modeDetails are what authenticationMethodModes says of each mode.
var modeDetails = map[idp.Mode]struct{ method, name string }{
	"password": {"password", "Password"}, "voice": {"voice", "Voice"}, "hardwareOath": {"hardwareOath", "Hardware OATH token"},
	"softwareOath": {"softwareOath", "Software OATH token"}, "sms": {"sms", "SMS"}, idp.ModeFIDO2: {"fido2", "Passkeys (FIDO2)"},
	idp.ModeHello:                {"windowsHelloForBusiness", "Windows Hello for Business / Platform Credential"},
	"microsoftAuthenticatorPush": {"microsoftAuthenticator", "Push notification"}, idp.ModePhone: {"microsoftAuthenticator", "Phone sign-in"},
	idp.ModeAccessPassOnce: {"temporaryAccessPass", "Temporary Access Pass (one-time use)"}, idp.ModeAccessPassMany: {"temporaryAccessPass", "Temporary Access Pass (multi-use)"},
	"email": {"email", "Email one-time code"}, idp.ModeCertificateSingle: {"x509Certificate", "Certificate (single factor)"},
	idp.ModeCertificateMulti: {"x509Certificate", "Certificate (multifactor)"}, "federatedSingleFactor": {"federation", "Federated single factor"},
	"federatedMultiFactor": {"federation", "Federated multifactor"}, "qrCodePin": {"qrCodePin", "QR code with PIN"},
}

func modeEntity(m idp.Mode) entity {
	d := modeDetails[m]
	return entity{"id": string(m), "authenticationMethod": d.method, "displayName": d.name}
}

// combinations are those that Graph offers: what the weakest built-in strength
// counts, and single modes that count nowhere.
func combinations() []string {
	var out []string
	mfa, _ := policy.Default().Strength(policy.IDMFA)
	for _, c := range mfa.Combinations {
		out = append(out, combinationWord(c))
	}
	for _, m := range []idp.Mode{idp.ModeCertificateSingle, "federatedSingleFactor", "sms", "password"} {
		out = append(out, string(m))
	}
	return out
}

func combinationWord(c []idp.Mode) string {
	words := make([]string, len(c))
	for i, m := range c {
		words[i] = string(m)
	}
	return strings.Join(words, ",")
}

func combinationWords(all [][]idp.Mode) []string {
	out := make([]string, 0, len(all))
	for _, c := range all {
		out = append(out, combinationWord(c))
	}
	return out
}

func readCombinations(at string, words []string) ([][]idp.Mode, error) {
	var out [][]idp.Mode
	for i, word := range words {
		var c []idp.Mode
		for _, m := range strings.Split(word, ",") {
			mode, err := readMode(index(at, i), strings.TrimSpace(m))
			if err != nil {
				return nil, err
			}
			c = append(c, mode)
		}
		out = append(out, c)
	}
	return out, nil
}

func readMode(at, word string) (idp.Mode, error) {
	all := make(map[string]idp.Mode, len(policy.Modes))
	for _, m := range policy.Modes {
		all[string(m)] = m
	}
	return valueOf(at, word, all)
}

// satisfied says whether a strength counts as multifactor authentication.
func satisfied(s policy.Strength) string {
	if mfa, _ := policy.Default().Strength(policy.IDMFA); policy.Implies(s, mfa) {
		return "mfa"
	}
	return "none"
}

func strengthEntity(s policy.Strength) entity {
	kind, about := "custom", s.Description
	if s.BuiltIn() {
		kind, about = "builtIn", strengthAbout[s.ID]
	}
	configurations := make([]entity, 0, len(s.Configurations))
	for _, g := range s.Configurations {
		configurations = append(configurations, narrowingEntity(g))
	}
	return entity{
		"id": s.ID, "displayName": s.Name, "description": about, "policyType": kind, "requirementsSatisfied": satisfied(s),
		"allowedCombinations": combinationWords(s.Combinations), "combinationConfigurations": configurations,
		"createdDateTime": nil, "modifiedDateTime": nil, // nobody wrote them down
		"@signet.acr": s.Asked(),
	}
}

const (
	narrowsKeys         = "fido2CombinationConfiguration"
	narrowsCertificates = "x509CertificateCombinationConfiguration"
)

// narrowingEntity shows a combinationConfiguration.
func narrowingEntity(g policy.Configuration) entity {
	modes := make([]string, 0, len(g.Modes))
	for _, m := range g.Modes {
		modes = append(modes, string(m))
	}
	e := entity{"id": g.ID, "appliesToCombinations": modes}
	if len(g.AAGUIDs) > 0 {
		e["@odata.type"], e["allowedAAGUIDs"] = "#microsoft.graph."+narrowsKeys, g.AAGUIDs
		return e
	}
	e["@odata.type"] = "#microsoft.graph." + narrowsCertificates
	e["allowedIssuerSkis"], e["allowedPolicyOIDs"] = some(g.Issuers), some(g.PolicyOIDs)
	return e
}

// strengthBody is what may be sent of a strength.
type strengthBody struct {
	head
	ID                    *string            `json:"id"`
	DisplayName           *string            `json:"displayName"`
	Description           *string            `json:"description"`
	PolicyType            *string            `json:"policyType"`
	Satisfied             *string            `json:"requirementsSatisfied"`
	Combinations          *[]string          `json:"allowedCombinations"`
	Configurations        *[]json.RawMessage `json:"combinationConfigurations"`
	ConfigurationsContext *string            `json:"combinationConfigurations@odata.context"`
	Created               *string            `json:"createdDateTime"`
	Modified              *string            `json:"modifiedDateTime"`
	ACR                   *string            `json:"@signet.acr"`
}

// onto changes a strength as the body says, what names it and what it is asked
// for by only. What else clients send back must be as it is.
func (in strengthBody) onto(s policy.Strength) (policy.Strength, error) {
	if in.DisplayName != nil {
		s.Name = *in.DisplayName
	}
	if in.Description != nil {
		s.Description = *in.Description
	}
	if in.ACR != nil && *in.ACR != s.Asked() {
		s.ACR = *in.ACR
	}
	now := satisfied(s)
	return s, firstError(in.is("authenticationStrengthPolicy"), fixed("policyType", in.PolicyType, "custom"),
		fixed("requirementsSatisfied", in.Satisfied, now), notSent("createdDateTime", in.Created), notSent("modifiedDateTime", in.Modified))
}

func notSent(at string, sent *string) error {
	if sent != nil {
		return badProperty(at, "The property '"+at+"' cannot be written.")
	}
	return nil
}

// newStrength reads a strength that is to be made.
func newStrength(raw []byte, newID func() string) (policy.Strength, error) {
	var in strengthBody
	if err := readShape(raw, &in); err != nil {
		return policy.Strength{}, err
	}
	switch {
	case in.DisplayName == nil:
		return policy.Strength{}, required("displayName")
	case in.Combinations == nil:
		return policy.Strength{}, required("allowedCombinations")
	case in.ID != nil:
		return policy.Strength{}, badProperty("id", "The property 'id' is given by the server.")
	}
	s := policy.Strength{ID: newID()}
	var err error
	if s.Combinations, err = readCombinations("allowedCombinations", *in.Combinations); err != nil {
		return s, err
	}
	if in.Configurations != nil {
		for i, one := range *in.Configurations {
			g, err := readNarrowing(one, policy.Configuration{})
			if err != nil {
				return s, within(index("combinationConfigurations", i), err)
			}
			g.ID = newID()
			s.Configurations = append(s.Configurations, g)
		}
	}
	return in.onto(s)
}

// within puts the place of an error under another.
func within(at string, err error) error {
	e := idp.AsError(err)
	if e == nil || e.Kind != idp.Invalid {
		return err
	}
	return idp.Invalidf(e.Reason, "%w", err).On(strings.TrimSuffix(at+"/"+e.Field, "/")).Say(at + ": " + e.Public)
}

// changedStrength reads a change of a strength. Graph changes combinations and
// their configurations elsewhere; clients that send them back may.
func changedStrength(raw []byte, s policy.Strength) (policy.Strength, error) {
	var in strengthBody
	if err := readShape(raw, &in); err != nil {
		return s, err
	}
	if in.ID != nil && !strings.EqualFold(*in.ID, s.ID) {
		return s, fixed("id", in.ID, s.ID)
	}
	if in.Combinations != nil && !slices.Equal(*in.Combinations, combinationWords(s.Combinations)) {
		return s, badProperty("allowedCombinations", "The property 'allowedCombinations' is changed with updateAllowedCombinations.")
	}
	if in.Configurations != nil {
		same := len(*in.Configurations) == len(s.Configurations)
		for i := 0; same && i < len(s.Configurations); i++ {
			g, err := readNarrowing((*in.Configurations)[i], s.Configurations[i])
			if err != nil {
				return s, within(index("combinationConfigurations", i), err)
			}
			same = equalNarrowings(g, s.Configurations[i])
		}
		if !same {
			return s, badProperty("combinationConfigurations", "The property 'combinationConfigurations' is changed at its own address.")
		}
	}
	return in.onto(s)
}

func equalNarrowings(a, b policy.Configuration) bool {
	return a.ID == b.ID && slices.Equal(a.Modes, b.Modes) && slices.Equal(a.AAGUIDs, b.AAGUIDs) &&
		slices.Equal(a.Issuers, b.Issuers) && slices.Equal(a.PolicyOIDs, b.PolicyOIDs)
}

// narrowingBody is a combinationConfiguration of either type.
type narrowingBody struct {
	head
	ID         *string   `json:"id"`
	Modes      *[]string `json:"appliesToCombinations"`
	AAGUIDs    *[]string `json:"allowedAAGUIDs"`
	Issuers    *[]string `json:"allowedIssuerSkis"`
	PolicyOIDs *[]string `json:"allowedPolicyOIDs"`
}

// readNarrowing reads a combinationConfiguration, which was g before.
func readNarrowing(raw []byte, g policy.Configuration) (policy.Configuration, error) {
	var in narrowingBody
	if err := readShape(raw, &in); err != nil {
		return g, err
	}
	if in.ID != nil && *in.ID != g.ID {
		return g, badProperty("id", "The property 'id' is given by the server.")
	}
	if in.ODataType != nil {
		kind := strings.TrimPrefix(*in.ODataType, "#microsoft.graph.")
		switch {
		case kind != narrowsKeys && kind != narrowsCertificates:
			return g, badProperty("@odata.type", "The property '@odata.type' is #microsoft.graph."+narrowsKeys+" or #microsoft.graph."+narrowsCertificates+".")
		case kind == narrowsKeys && (in.Issuers != nil || in.PolicyOIDs != nil):
			return g, badProperty("allowedIssuerSkis", "Security keys have no issuer and no policy.")
		case kind == narrowsCertificates && in.AAGUIDs != nil:
			return g, badProperty("allowedAAGUIDs", "The property 'allowedAAGUIDs' does not exist on certificates.")
		}
	}
	if in.Modes != nil {
		g.Modes = nil
		for i, word := range *in.Modes {
			m, err := readMode(index("appliesToCombinations", i), word)
			if err != nil {
				return g, err
			}
			g.Modes = append(g.Modes, m)
		}
	}
	for _, one := range []struct {
		sent *[]string
		into *[]string
	}{{in.AAGUIDs, &g.AAGUIDs}, {in.Issuers, &g.Issuers}, {in.PolicyOIDs, &g.PolicyOIDs}} {
		if one.sent != nil {
			*one.into = append([]string(nil), *one.sent...)
		}
	}
	for i := range g.AAGUIDs {
		g.AAGUIDs[i] = strings.ToLower(g.AAGUIDs[i])
	}
	return g, nil
}

var (
	strengthAt     = regexp.MustCompile(`^strengths\[(\d+)\]\.?`)
	combinationAt  = regexp.MustCompile(`^combinations(\[\d+\])?(\[\d+\])?`)
	strengthPlaces = strings.NewReplacer("configurations", "combinationConfigurations", "name", "displayName", ".aaguids", "/allowedAAGUIDs",
		".issuers", "/allowedIssuerSkis", ".policyOIDs", "/allowedPolicyOIDs", ".modes", "/appliesToCombinations", "acr", "@signet.acr")
)

// strengthPlace is a place of the strength with an id in Graph's words; other
// strengths are named by theirs.
func strengthPlace(id string) func(policy.Policy, string) string {
	return func(p policy.Policy, at string) string {
		m := strengthAt.FindStringSubmatch(at)
		if m == nil {
			return methodsPlace(p, at)
		}
		rest := at[len(m[0]):]
		if combinationAt.MatchString(rest) {
			rest = combinationAt.ReplaceAllString(rest, "allowedCombinations$1")
		} else {
			rest = strengthPlaces.Replace(rest)
		}
		i, err := strconv.Atoi(m[1])
		if err == nil && i < len(p.Strengths) && p.Strengths[i].ID != id {
			rest = strings.TrimSuffix("authenticationStrengthPolicies/"+p.Strengths[i].ID+"/"+rest, "/")
		}
		return rest
	}
}
