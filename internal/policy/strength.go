package policy

import (
	"slices"
	"strings"
	"unicode"

	"github.com/signetid/signet/internal/idp"
)

// Strength is a named list of combinations of method modes. It is met when the
// modes of one combination are each proven by a proof of their own that
// claims all of Each and fits every configuration of its mode.
type Strength struct {
	ID          string `json:"id"`            // Graph's id of the strength
	Name        string `json:"name"`          // shown to administrators, and asked for: see Asked
	ACR         string `json:"acr,omitempty"` // the acr value that asks for it, when it has one of its own
	Description string `json:"description,omitempty"`

	Combinations   [][]idp.Mode    `json:"combinations"`
	Configurations []Configuration `json:"configurations,omitempty"`
	Each           []idp.Property  `json:"each,omitempty"`
}

// Configuration narrows which proofs of some modes count (entra-behaviours.md
// §8.2, combinationConfigurations).
type Configuration struct {
	ID    string     `json:"id"`
	Modes []idp.Mode `json:"modes"` // fido2, or modes of certificates
	// AAGUIDs are the models that count for fido2, when they are proven.
	AAGUIDs []string `json:"aaguids,omitempty"`
	// Issuers are subject key identifiers, one of which must be that of the CA
	// that issued the certificate; PolicyOIDs are policies, one of which must
	// hold for it along its path. Where both are set, both must fit.
	Issuers    []string `json:"issuers,omitempty"`
	PolicyOIDs []string `json:"policyOIDs,omitempty"`
}

// Ids of the built-in strengths, as Graph has them [K]; the last is ours.
const (
	strengthPrefix       = "00000000-0000-0000-0000-"
	IDMFA                = strengthPrefix + "000000000002"
	IDPasswordless       = strengthPrefix + "000000000003"
	IDPhishingResistant  = strengthPrefix + "000000000004"
	IDHardwareBound      = strengthPrefix + "000000000005"
	ACRPhishingResistant = "phr"  // OpenID Connect Extended Authentication Profile ACR Values 1.0
	ACRHardwareBound     = "phrh" // the same specification
)

// MaxStrengths is how many strengths of its own a tenant may have.
const MaxStrengths = 15

// Modes are all modes that a combination may name, in Graph's order
// (authenticationMethodModes, entra-behaviours.md §8.1). Of those that modesOf
// does not list nothing here makes a proof: there are no passwords, and they
// stand only in the built-in combinations that existing clients compare with.
var Modes = []idp.Mode{
	"password", "voice", "hardwareOath", "softwareOath", "sms", idp.ModeFIDO2, idp.ModeHello, "microsoftAuthenticatorPush",
	idp.ModePhone, idp.ModeAccessPassOnce, idp.ModeAccessPassMany, "email", idp.ModeCertificateSingle, idp.ModeCertificateMulti,
	"federatedSingleFactor", "federatedMultiFactor", "qrCodePin",
}

// builtIn lists the strengths that every tenant has, the weakest last. Only
// phr and phrh have acr values of their own: tokens say nothing about the
// weaker ones that amr does not say better.
func builtIn() []Strength {
	phr := [][]idp.Mode{{idp.ModeHello}, {idp.ModeFIDO2}, {idp.ModeCertificateMulti}}
	passwordless := append(slices.Clone(phr), []idp.Mode{idp.ModePhone})
	mfa := append(slices.Clone(passwordless), []idp.Mode{idp.ModeAccessPassOnce}, []idp.Mode{idp.ModeAccessPassMany})
	for _, first := range []idp.Mode{"password", "federatedSingleFactor"} {
		for _, second := range []idp.Mode{"microsoftAuthenticatorPush", "softwareOath", "hardwareOath", "sms", "voice"} {
			mfa = append(mfa, []idp.Mode{first, second})
		}
	}
	mfa = append(mfa, []idp.Mode{"federatedMultiFactor"})
	return []Strength{
		{
			ID: IDHardwareBound, Name: "Phishing-resistant, hardware-bound", ACR: ACRHardwareBound,
			Combinations: phr, Each: []idp.Property{idp.PhishingResistant, idp.HardwareBound},
		},
		{
			ID: IDPhishingResistant, Name: "Phishing-resistant MFA", ACR: ACRPhishingResistant,
			Combinations: phr, Each: []idp.Property{idp.PhishingResistant},
		},
		{ID: IDPasswordless, Name: "Passwordless MFA", Combinations: passwordless},
		{ID: IDMFA, Name: "Multifactor authentication", Combinations: mfa},
	}
}

// BuiltIn says whether every tenant has the strength, so that it cannot be
// changed.
func (s Strength) BuiltIn() bool { return strings.HasPrefix(s.ID, strengthPrefix) }

// Asked is the value in acr_values that asks for the strength: its ACR, or
// else its name in lower case with hyphens for spaces.
func (s Strength) Asked() string {
	if s.ACR != "" {
		return s.ACR
	}
	name := s.Name
	if strings.ContainsFunc(name, unicode.IsSpace) {
		name = strings.Join(strings.Fields(name), "-")
	}
	return strings.ToLower(name)
}

// Strength finds the strength that an acr value or an id asks for.
func (p Policy) Strength(ask string) (Strength, bool) {
	if s := p.strength(ask); s != nil {
		return *s, true
	}
	return Strength{}, false
}

func (p *Policy) strength(ask string) *Strength {
	if ask == "" {
		return nil
	}
	for i := range p.Strengths {
		if s := &p.Strengths[i]; s.ACR == ask || s.ID == ask {
			return s
		}
	}
	for i := range p.Strengths {
		if s := &p.Strengths[i]; strings.EqualFold(s.Asked(), ask) {
			return s
		}
	}
	return nil
}

// met says whether proofs meet one combination of s. Each mode of the
// combination needs a proof of its own kind that is good by itself: what one
// proof lacks, another never lends (decisions 2.6).
func (s *Strength) met(proofs []idp.Proof) bool {
	return slices.ContainsFunc(s.Combinations, func(c []idp.Mode) bool { return len(c) > 0 && s.lacks(c, proofs) == 0 })
}

// lacks counts the modes of a combination that no proof stands for.
func (s *Strength) lacks(combination []idp.Mode, proofs []idp.Proof) (n int) {
	for _, mode := range combination {
		if !s.proven(mode, proofs) {
			n++
		}
	}
	return n
}

// lacking lists them.
func (s *Strength) lacking(combination []idp.Mode, proofs []idp.Proof) []idp.Mode {
	return slices.DeleteFunc(slices.Clone(combination), func(m idp.Mode) bool { return s.proven(m, proofs) })
}

func (s *Strength) proven(mode idp.Mode, proofs []idp.Proof) bool {
	for i := range proofs {
		if p := &proofs[i]; p.Mode == mode && hasAll(p, s.Each) && s.fits(p) {
			return true
		}
	}
	return false
}

// fits holds a proof against the configurations of its mode: all of them.
func (s *Strength) fits(p *idp.Proof) bool {
	for i := range s.Configurations {
		c := &s.Configurations[i]
		if !slices.Contains(c.Modes, p.Mode) {
			continue
		}
		switch {
		case len(c.AAGUIDs) > 0 && (!Proven(p.Facts) || !listed(c.AAGUIDs, p.Facts.AAGUID)),
			len(c.Issuers) > 0 && !listed(c.Issuers, p.Facts.Issuer),
			len(c.PolicyOIDs) > 0 && !asserts(p.Facts.Certificate, c.PolicyOIDs):
			return false
		}
	}
	return true
}

// asserts says whether a certificate holds one of the policies, exactly: one
// below another is not it (entra-behaviours.md §8.2).
func asserts(f *idp.CertificateFacts, oids []string) bool {
	return f != nil && slices.ContainsFunc(oids, func(oid string) bool { return slices.Contains(f.Policies, oid) })
}

func hasAll(p *idp.Proof, each []idp.Property) bool {
	for _, want := range each {
		if !p.Has(want) {
			return false
		}
	}
	return true
}

func (s Strength) clone() Strength {
	s.Each = slices.Clone(s.Each)
	s.Combinations = slices.Clone(s.Combinations)
	for i, c := range s.Combinations {
		s.Combinations[i] = slices.Clone(c)
	}
	s.Configurations = slices.Clone(s.Configurations)
	for i, c := range s.Configurations {
		c.Modes, c.AAGUIDs = slices.Clone(c.Modes), slices.Clone(c.AAGUIDs)
		c.Issuers, c.PolicyOIDs = slices.Clone(c.Issuers), slices.Clone(c.PolicyOIDs)
		s.Configurations[i] = c
	}
	return s
}

// isPass says whether a mode is that of an access pass: it proves possession
// of what an administrator handed out, and is no way in that lasts.
func isPass(m idp.Mode) bool { return m == idp.ModeAccessPassOnce || m == idp.ModeAccessPassMany }

// modesOf says which modes a method can prove. A method that is not listed
// is one this package knows nothing about; it may prove anything but what is
// on Modes and is nobody's here.
var modesOf = map[idp.MethodID][]idp.Mode{
	Passkey:     {idp.ModeFIDO2},
	AccessPass:  {idp.ModeAccessPassOnce, idp.ModeAccessPassMany},
	Hello:       {idp.ModeHello},
	Platform:    {idp.ModeHello},
	Certificate: {idp.ModeCertificateSingle, idp.ModeCertificateMulti},
	Phone:       {idp.ModePhone},
}

// foreign are the modes that nothing here proves, whatever methods there are.
var foreign = []idp.Mode{
	"password", "voice", "hardwareOath", "softwareOath", "sms", "microsoftAuthenticatorPush", "email",
	"federatedSingleFactor", "federatedMultiFactor", "qrCodePin",
}
