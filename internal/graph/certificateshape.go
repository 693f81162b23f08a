package graph

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// Certificates in Graph's shapes (entra-behaviours.md §1.6). Graph can do
// without revocation lists where none is configured; here that is said of each
// authority.

var (
	fieldWords = map[string]policy.CertificateField{
		"PrincipalName": policy.FieldPrincipalName, "RFC822Name": policy.FieldRFC822Name, "Subject": policy.FieldSubject,
		"IssuerAndSubject": policy.FieldIssuerAndSubject, "SubjectKeyIdentifier": policy.FieldSubjectKeyIdentifier,
		"SHA1PublicKey": policy.FieldSHA1PublicKey, "IssuerAndSerialNumber": policy.FieldIssuerAndSerialNumber,
	}
	propertyWords = map[string]policy.UserProperty{
		"userPrincipalName": policy.ByUserName, "onPremisesUserPrincipalName": policy.ByOnPremisesUserName, "certificateUserIds": policy.ByCertificateUserIDs,
	}
	affinityWords = map[string]policy.Affinity{"low": policy.LowAffinity, "high": policy.HighAffinity}
	cardModeWords = map[string]idp.Mode{
		string(idp.ModeCertificateSingle): idp.ModeCertificateSingle, string(idp.ModeCertificateMulti): idp.ModeCertificateMulti,
	}
)

func showCertificates(e entity, r *policy.CertificateRules) {
	bindings := make([]entity, 0, len(r.Bindings))
	for _, b := range r.Bindings {
		bindings = append(bindings, entity{
			"x509CertificateField": wordOf(fieldWords, b.Field), "userProperty": wordOf(propertyWords, b.Property), "priority": b.Priority,
			"trustAffinityLevel": wordOf(affinityWords, b.Affinity),
		})
	}
	rules := make([]entity, 0, len(r.Levels))
	for _, l := range r.Levels {
		rules = append(rules, ruleEntity(l))
	}
	e["certificateUserBindings"] = bindings
	e["authenticationModeConfiguration"] = entity{
		"x509CertificateAuthenticationDefaultMode":    wordOf(cardModeWords, r.Mode),
		"x509CertificateDefaultRequiredAffinityLevel": wordOf(affinityWords, r.Affinity),
		"rules": rules,
	}
	e["issuerHintsConfiguration"] = entity{"state": wordOf(stateWords, r.Hints)}
	e["crlValidationConfiguration"] = entity{"state": "enabled", "exemptedCertificateAuthoritiesSubjectKeyIdentifiers": some(r.Unchecked)}
	scopes := []entity{}
	for _, g := range scopeGroups(r.Scopes) {
		targets := make([]policy.Target, 0, len(g))
		for _, s := range g {
			targets = append(targets, s.Target)
		}
		scopes = append(scopes, entity{
			"subjectKeyIdentifier": g[0].Authority, "publicKeyInfrastructureIdentifier": g[0].Infrastructure, "includeTargets": targetEntities(targets),
		})
	}
	e["certificateAuthorityScopes"] = scopes
	// Graph has no words for these.
	e["@signet.host"], e["@signet.staleForMinutes"] = r.Host, minutes(r.StaleFor)
	e["@signet.noUsage"], e["@signet.anyUsage"] = r.NoUsage, r.AnyUsage
}

func ruleEntity(l policy.CertificateLevel) entity {
	kind, identifier := l.Named()
	return entity{
		"x509CertificateRuleType": kind, "identifier": identifier, "issuerSubjectIdentifier": l.Issuer, "policyOidIdentifier": l.Policy,
		"x509CertificateAuthenticationMode":    wordOf(cardModeWords, l.Mode),
		"x509CertificateRequiredAffinityLevel": wordOf(affinityWords, l.Affinity),
	}
}

// scopeGroups are the scopes as Graph has them: those of one authority that
// stand together are one.
func scopeGroups(all []policy.CertificateScope) [][]policy.CertificateScope {
	var out [][]policy.CertificateScope
	for i, s := range all {
		if i > 0 && all[i-1].Authority == s.Authority && all[i-1].Infrastructure == s.Infrastructure {
			out[len(out)-1] = append(out[len(out)-1], s)
			continue
		}
		out = append(out, []policy.CertificateScope{s})
	}
	return out
}

type certificatesBody struct {
	methodBody
	Bindings *[]bindingBody `json:"certificateUserBindings"`
	Modes    *struct {
		head
		Mode     *string     `json:"x509CertificateAuthenticationDefaultMode"`
		Affinity *string     `json:"x509CertificateDefaultRequiredAffinityLevel"`
		Rules    *[]ruleBody `json:"rules"`
	} `json:"authenticationModeConfiguration"`
	Hints *struct {
		head
		State *string `json:"state"`
	} `json:"issuerHintsConfiguration"`
	Lists *struct {
		head
		State    *string   `json:"state"`
		Exempted *[]string `json:"exemptedCertificateAuthoritiesSubjectKeyIdentifiers"`
	} `json:"crlValidationConfiguration"`
	Scopes   *[]scopeBody `json:"certificateAuthorityScopes"`
	Host     *string      `json:"@signet.host"`
	Stale    *int         `json:"@signet.staleForMinutes"`
	NoUsage  *bool        `json:"@signet.noUsage"`
	AnyUsage *bool        `json:"@signet.anyUsage"`
}

type bindingBody struct {
	head
	Field    *string `json:"x509CertificateField"`
	Property *string `json:"userProperty"`
	Priority *int    `json:"priority"`
	Affinity *string `json:"trustAffinityLevel"`
}

type ruleBody struct {
	head
	Type       *string `json:"x509CertificateRuleType"`
	Identifier *string `json:"identifier"`
	Issuer     *string `json:"issuerSubjectIdentifier"`
	Policy     *string `json:"policyOidIdentifier"`
	Mode       *string `json:"x509CertificateAuthenticationMode"`
	Affinity   *string `json:"x509CertificateRequiredAffinityLevel"`
}

type scopeBody struct {
	head
	Key            *string       `json:"subjectKeyIdentifier"`
	Infrastructure *string       `json:"publicKeyInfrastructureIdentifier"`
	Include        *[]targetBody `json:"includeTargets"`
}

// patch changes the rules on certificates; in.methodBody has then what is left
// to do.
func (in *certificatesBody) patch(r *policy.CertificateRules) error {
	if err := firstError(in.bindings(r), in.modes(r), in.revocation(r), in.scopes(r)); err != nil {
		return err
	}
	if in.Hints != nil {
		if err := turn("issuerHintsConfiguration/state", in.Hints.State, &r.Hints); err != nil {
			return err
		}
	}
	if in.Host != nil {
		r.Host = *in.Host
	}
	// Seconds that are not shown stay.
	if in.Stale != nil && *in.Stale != minutes(r.StaleFor) {
		const week = 7 * 24 * 60
		if *in.Stale < 0 || *in.Stale > week {
			return badProperty("@signet.staleForMinutes", "@signet.staleForMinutes is 0 to "+strconv.Itoa(week)+".")
		}
		r.StaleFor = time.Duration(*in.Stale) * time.Minute
	}
	if in.NoUsage != nil {
		r.NoUsage = *in.NoUsage
	}
	if in.AnyUsage != nil {
		r.AnyUsage = *in.AnyUsage
	}
	return nil
}

func (in *certificatesBody) bindings(r *policy.CertificateRules) error {
	if in.Bindings == nil {
		return nil
	}
	var out []policy.CertificateBinding
	for i, b := range *in.Bindings {
		at := index("certificateUserBindings", i)
		switch {
		case b.Field == nil:
			return required(at + "/x509CertificateField")
		case b.Property == nil:
			return required(at + "/userProperty")
		case b.Priority == nil:
			return required(at + "/priority")
		}
		field, err := valueOf(at+"/x509CertificateField", *b.Field, fieldWords)
		if err != nil {
			return err
		}
		property, err := valueOf(at+"/userProperty", *b.Property, propertyWords)
		if err != nil {
			return err
		}
		affinity := field.Affinity() // clients of the time before there was one do not say it
		if b.Affinity != nil {
			if affinity, err = valueOf(at+"/trustAffinityLevel", *b.Affinity, affinityWords); err != nil {
				return err
			}
		}
		out = append(out, policy.CertificateBinding{Field: field, Property: property, Priority: *b.Priority, Affinity: affinity})
	}
	r.Bindings = out
	return nil
}

func (in *certificatesBody) modes(r *policy.CertificateRules) (err error) {
	if in.Modes == nil {
		return nil
	}
	const under = "authenticationModeConfiguration/"
	if in.Modes.Mode != nil {
		if r.Mode, err = valueOf(under+"x509CertificateAuthenticationDefaultMode", *in.Modes.Mode, cardModeWords); err != nil {
			return err
		}
	}
	if in.Modes.Affinity != nil {
		if r.Affinity, err = valueOf(under+"x509CertificateDefaultRequiredAffinityLevel", *in.Modes.Affinity, affinityWords); err != nil {
			return err
		}
	}
	if in.Modes.Rules == nil {
		return nil
	}
	var out []policy.CertificateLevel
	for i, b := range *in.Modes.Rules {
		l, err := b.level(index(under+"rules", i))
		if err != nil {
			return err
		}
		out = append(out, l)
	}
	r.Levels = out
	return nil
}

// level reads a rule. Graph's clients name an issuer or a policy by identifier,
// and both by the two others.
func (b ruleBody) level(at string) (l policy.CertificateLevel, err error) {
	switch {
	case b.Type == nil:
		return l, required(at + "/x509CertificateRuleType")
	case b.Mode == nil:
		return l, required(at + "/x509CertificateAuthenticationMode")
	}
	kind, err := valueOf(at+"/x509CertificateRuleType", *b.Type, map[string]string{policy.LevelIssuer: policy.LevelIssuer, policy.LevelPolicy: policy.LevelPolicy, policy.LevelBoth: policy.LevelBoth})
	if err != nil {
		return l, err
	}
	if l.Mode, err = valueOf(at+"/x509CertificateAuthenticationMode", *b.Mode, cardModeWords); err != nil {
		return l, err
	}
	l.Affinity = policy.LowAffinity
	if b.Affinity != nil {
		if l.Affinity, err = valueOf(at+"/x509CertificateRequiredAffinityLevel", *b.Affinity, affinityWords); err != nil {
			return l, err
		}
	}
	said := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	issuer, oid := said(b.Issuer), said(b.Policy)
	switch id := said(b.Identifier); {
	case kind == policy.LevelBoth && id != "" && !(strings.Contains(id, issuer) && strings.Contains(id, oid)):
		return l, badProperty(at+"/identifier", "The property '"+at+"/identifier' names neither issuerSubjectIdentifier nor policyOidIdentifier; leave it out.")
	case kind == policy.LevelIssuer && id != "" && issuer != "" && id != issuer, kind == policy.LevelPolicy && id != "" && oid != "" && id != oid:
		return l, badProperty(at+"/identifier", "The property '"+at+"/identifier' names something else than the properties beside it.")
	case kind == policy.LevelIssuer && issuer == "":
		issuer = id
	case kind == policy.LevelPolicy && oid == "":
		oid = id
	}
	switch {
	case kind != policy.LevelPolicy && issuer == "":
		return l, required(at + "/issuerSubjectIdentifier")
	case kind != policy.LevelIssuer && oid == "":
		return l, required(at + "/policyOidIdentifier")
	case kind == policy.LevelPolicy && issuer != "":
		return l, badProperty(at+"/issuerSubjectIdentifier", "A rule of the type "+policy.LevelPolicy+" has no issuer.")
	case kind == policy.LevelIssuer && oid != "":
		return l, badProperty(at+"/policyOidIdentifier", "A rule of the type "+policy.LevelIssuer+" has no policy.")
	}
	if l.Policy = oid; hexDigits.MatchString(issuer) {
		issuer = strings.ToLower(issuer)
	}
	l.Issuer = issuer
	return l, nil
}

var hexDigits = regexp.MustCompile(`^[0-9A-Fa-f]+$`)

func (in *certificatesBody) revocation(r *policy.CertificateRules) error {
	if in.Lists == nil {
		return nil
	}
	checked := true
	if err := turn("crlValidationConfiguration/state", in.Lists.State, &checked); err != nil {
		return err
	}
	if !checked {
		return badProperty("crlValidationConfiguration/state", "Certificates are always checked against revocation lists: "+
			"'crlValidationConfiguration/state' can only be enabled. Name authorities that have no list in 'exemptedCertificateAuthoritiesSubjectKeyIdentifiers'.")
	}
	if in.Lists.Exempted != nil {
		r.Unchecked = nil
		for _, key := range *in.Lists.Exempted {
			r.Unchecked = append(r.Unchecked, strings.ToLower(key))
		}
	}
	return nil
}

func (in *certificatesBody) scopes(r *policy.CertificateRules) error {
	if in.Scopes == nil {
		return nil
	}
	var out []policy.CertificateScope
	for i, b := range *in.Scopes {
		at := index("certificateAuthorityScopes", i)
		if b.Key == nil {
			return required(at + "/subjectKeyIdentifier")
		}
		// A scope without people would let everybody in, or nobody: which of
		// them, nobody could tell.
		if b.Include == nil || len(*b.Include) == 0 {
			return required(at + "/includeTargets")
		}
		s := policy.CertificateScope{Authority: strings.ToLower(*b.Key)}
		if b.Infrastructure != nil && *b.Infrastructure != "" {
			if s.Infrastructure = strings.ToLower(*b.Infrastructure); !isGUID(s.Infrastructure) {
				return badProperty(at+"/publicKeyInfrastructureIdentifier", "The property '"+at+"/publicKeyInfrastructureIdentifier' is an id.")
			}
		}
		for k, one := range *b.Include {
			t, err := one.target(index(at+"/includeTargets", k))
			if err != nil {
				return err
			}
			s.Target = t
			out = append(out, s)
		}
	}
	r.Scopes = out
	return nil
}

// certificateTargets are the groups and people that scopes name.
func certificateTargets(r *policy.CertificateRules) []policy.Target {
	var out []policy.Target
	for _, s := range r.Scopes {
		out = append(out, s.Target)
	}
	return out
}

var (
	scopeAt           = regexp.MustCompile(`^certificate\.scopes\[(\d+)\](\.authority)?`)
	certificatePlaces = strings.NewReplacer(
		"certificate.bindings", "certificateUserBindings", "certificate.levels", "authenticationModeConfiguration/rules",
		"certificate.mode", "authenticationModeConfiguration/x509CertificateAuthenticationDefaultMode",
		"certificate.affinity", "authenticationModeConfiguration/x509CertificateDefaultRequiredAffinityLevel",
		"certificate.scopes", "certificateAuthorityScopes", "certificate.hints", "issuerHintsConfiguration/state", "certificate.host", "@signet.host",
		"certificate.unchecked", "crlValidationConfiguration/exemptedCertificateAuthoritiesSubjectKeyIdentifiers",
		"certificate.staleFor", "@signet.staleForMinutes", "certificate.noUsage", "@signet.noUsage", "certificate.anyUsage", "@signet.anyUsage",
		".field", "/x509CertificateField", ".property", "/userProperty", ".priority", "/priority",
		".issuer", "/issuerSubjectIdentifier", ".policy", "/policyOidIdentifier", ".mode", "/x509CertificateAuthenticationMode",
	)
)

// certificatePlace is a place of the rules on certificates in Graph's words.
func certificatePlace(p policy.Policy, at string) string {
	if m := scopeAt.FindStringSubmatch(at); m != nil {
		n, _ := strconv.Atoi(m[1])
		for i, g := range scopeGroups(p.Certificate.Scopes) {
			if n >= len(g) {
				n -= len(g)
				continue
			}
			at = index("certificateAuthorityScopes", i)
			if m[2] != "" {
				return at + "/subjectKeyIdentifier"
			}
			return index(at+"/includeTargets", n)
		}
	}
	affinity := "/trustAffinityLevel"
	if strings.HasPrefix(at, "certificate.levels") {
		affinity = "/x509CertificateRequiredAffinityLevel"
	}
	if rest, ok := strings.CutSuffix(at, "].affinity"); ok {
		return certificatePlaces.Replace(rest) + "]" + affinity
	}
	return certificatePlaces.Replace(at)
}
