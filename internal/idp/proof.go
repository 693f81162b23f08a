package idp

import (
	"slices"
	"time"
)

// Property is something a verified proof may claim of itself.
type Property string

// The properties that rooms may claim. A strength never unites those of two
// proofs.
const (
	PhishingResistant Property = "phishing-resistant"
	UserVerified      Property = "user-verified"
	HardwareBound     Property = "hardware-bound"
	Possession        Property = "possession"
	MultiFactor       Property = "multi-factor"
	// Remote marks a proof that was approved in another place than where it is
	// used: by a device code (RFC 8628). No room claims it; whoever passes such
	// a proof on adds it, by Elsewhere.
	Remote Property = "remote"
)

// Mode is a method mode as Graph's authenticationMethodModes spells it:
// what a strength's combinations are made of.
type Mode string

// The modes this house can prove. Modes of later rooms join this list with
// their rooms.
const (
	ModeFIDO2             Mode = "fido2"
	ModeAccessPassOnce    Mode = "temporaryAccessPassOneTime"
	ModeAccessPassMany    Mode = "temporaryAccessPassMultiUse"
	ModeHello             Mode = "windowsHelloForBusiness"
	ModeCertificateSingle Mode = "x509CertificateSingleFactor"
	ModeCertificateMulti  Mode = "x509CertificateMultiFactor"
	ModePhone             Mode = "deviceBasedPush"
)

// Facts are what a room knows of a credential that policy may judge.
// The zero value of a field means "not known".
type Facts struct {
	AAGUID   string   `json:"aaguid,omitempty"`   // lower-case GUID of the key model, as claimed
	Attested bool     `json:"attested,omitempty"` // the model is proven by an anchored attestation chain
	Synced   bool     `json:"synced,omitempty"`   // the credential may exist on more than one device
	Device   DeviceID `json:"device,omitempty"`   // the machine that keeps the key
	// Issuer is, of a certificate, the subject key identifier of the CA that
	// issued it, in lower-case hex; Certificate has the rest. It is empty when
	// that CA is none that the tenant has: what another says of itself means
	// nothing.
	Issuer      string            `json:"issuer,omitempty"`
	Certificate *CertificateFacts `json:"certificate,omitempty"`
	Name        string            `json:"name,omitempty"` // what its owner calls it
	// PlatformKey says that the public key is that of a Platform Credential
	// registered for this user: all that makes the AAGUID of the macOS
	// Platform Credential more than a claim (decisions 5.1).
	PlatformKey bool `json:"platformKey,omitempty"`
	// Statement says of a new key why it is not Attested: none, self,
	// unanchored. Rooms need not know it of an old one.
	Statement string `json:"statement,omitempty"`
	// Status is what the metadata says of the model at the moment of judging.
	// It is never stored: who judges facts that were kept says it anew.
	Status ModelStatus `json:"-"`
}

// CertificateFacts are what a verified path says of a certificate.
type CertificateFacts struct {
	// Issuers are the subject key identifiers of those CAs of the path that the
	// tenant has, lower-case hex, from the one that issued the certificate to the
	// anchor.
	Issuers []string `json:"issuers,omitempty"`
	// IssuerName is the subject of the CA that issued the certificate, root
	// first (pkix.RootFirst): rules may name it so, where Issuer is known.
	IssuerName string `json:"issuerName,omitempty"`
	// Policies are the object identifiers that the certificate asserts and that
	// hold along the whole path (RFC 5280 §6.1.6), dotted and sorted.
	Policies []string `json:"policies,omitempty"`
	// High says that the certificate was mapped to its person by a key or a
	// serial number, and not by a name (entra-behaviours.md §5.2, affinity).
	High bool `json:"high,omitempty"`
}

// ModelStatus is what is known of a key model at present, from its makers and
// from those who certify. The zero value means that nothing is known of it.
type ModelStatus string

// The statuses, from best to worst.
const (
	ModelFine   ModelStatus = "fine"
	ModelWarn   ModelStatus = "warn"   // somebody should look
	ModelRefuse ModelStatus = "refuse" // withdrawn: revoked, or known to be broken
)

// Proof is a verified fact: this user, by this method and credential, with
// these properties, then.
type Proof struct {
	Tenant     TenantID     `json:"tenant"`
	User       UserID       `json:"user"`
	Method     MethodID     `json:"method"`
	Mode       Mode         `json:"mode"`
	Credential CredentialID `json:"credential"`
	Device     DeviceID     `json:"device,omitempty"`
	Properties []Property   `json:"properties,omitempty"`
	AMR        []string     `json:"amr,omitempty"` // RFC 8176 and Entra words, only true ones
	Facts      Facts        `json:"facts"`
	// Time is when a gesture of the user was verified. No renewal ever moves
	// it; every freshness rule reads it (proof_time).
	Time time.Time `json:"time"`
}

// Has says whether the proof claims p.
func (p Proof) Has(want Property) bool { return slices.Contains(p.Properties, want) }

// Elsewhere is the proof as it counts in another place than where it was made,
// to which its person approved to carry it: Remote, and not phishing-resistant
// any more. The person was asked by a page of ours, but who asks for the machine
// at the other end is whoever sent them there (security.md OAU12, T15).
func (p Proof) Elsewhere() Proof {
	kept := slices.DeleteFunc(slices.Clone(p.Properties), func(one Property) bool { return one == PhishingResistant || one == Remote })
	p.Properties = append(kept, Remote)
	return p
}

// Elsewhere is each of the proofs Elsewhere.
func Elsewhere(proofs []Proof) []Proof {
	out := slices.Clone(proofs)
	for i := range out {
		out[i] = out[i].Elsewhere()
	}
	return out
}
