package policy

import (
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

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

// builtIn lists the strengths that every tenant has, the weakest last. Only
// phr and phrh have acr values of their own: tokens say nothing about the
// weaker ones that amr does not say better.
func builtIn() []idp.Strength {
	phr := [][]idp.Mode{{idp.ModeHello}, {idp.ModeFIDO2}, {idp.ModeCertificateMulti}}
	passwordless := append(slices.Clone(phr), []idp.Mode{idp.ModePhone})
	mfa := append(slices.Clone(passwordless), []idp.Mode{idp.ModeAccessPassOnce}, []idp.Mode{idp.ModeAccessPassMany})
	return []idp.Strength{
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

func isBuiltIn(id string) bool { return strings.HasPrefix(id, strengthPrefix) }

// Strength finds the strength that an acr value or an id asks for.
func (p Policy) Strength(ask string) (idp.Strength, bool) {
	for _, s := range p.Strengths {
		if ask != "" && (s.ACR == ask || s.ID == ask) {
			return s, true
		}
	}
	return idp.Strength{}, false
}

// met says whether proofs meet one combination of s. Each mode of the
// combination needs a proof of its own kind that claims all of s.Each by
// itself: what one proof lacks, another never lends (decisions 2.6).
func met(s idp.Strength, proofs []idp.Proof) bool {
	for _, combination := range s.Combinations {
		if len(lacking(s, combination, proofs)) == 0 && len(combination) > 0 {
			return true
		}
	}
	return false
}

// lacking gives the modes of a combination that no proof stands for.
func lacking(s idp.Strength, combination []idp.Mode, proofs []idp.Proof) []idp.Mode {
	var out []idp.Mode
	for _, mode := range combination {
		if !slices.ContainsFunc(proofs, func(p idp.Proof) bool { return p.Mode == mode && hasAll(p, s.Each) }) {
			out = append(out, mode)
		}
	}
	return out
}

func hasAll(p idp.Proof, each []idp.Property) bool {
	for _, want := range each {
		if !p.Has(want) {
			return false
		}
	}
	return true
}

// isPass says whether a mode is that of an access pass: it proves possession
// of what an administrator handed out, and is no way in that lasts.
func isPass(m idp.Mode) bool { return m == idp.ModeAccessPassOnce || m == idp.ModeAccessPassMany }

// modesOf says which modes a method can prove. A method that is not listed
// is one this package knows nothing about; it may prove anything.
var modesOf = map[idp.MethodID][]idp.Mode{
	Passkey:       {idp.ModeFIDO2},
	AccessPass:    {idp.ModeAccessPassOnce, idp.ModeAccessPassMany},
	"hello":       {idp.ModeHello},
	"platform":    {idp.ModeHello},
	"certificate": {idp.ModeCertificateSingle, idp.ModeCertificateMulti},
	"phone":       {idp.ModePhone},
}

// provable says whether an enabled method can prove mode.
func (p Policy) provable(mode idp.Mode) bool {
	for m, on := range p.Methods {
		modes, known := modesOf[m]
		if on && (!known || slices.Contains(modes, mode)) {
			return true
		}
	}
	return false
}
