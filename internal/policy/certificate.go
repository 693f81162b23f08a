package policy

import (
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Certificate is the method of X.509 certificates: cards, badges, files.
const Certificate idp.MethodID = "certificate"

// CertificateRules govern sign-in with certificates (Graph's X509Certificate,
// entra-behaviours.md §1.6, §5).
type CertificateRules struct {
	// Bindings say whose a certificate is; the lowest Priority is tried first.
	Bindings []CertificateBinding `json:"bindings"`
	// Mode and Affinity hold for a certificate that no rule names.
	Mode     idp.Mode `json:"mode"`     // ModeCertificateSingle or -Multi
	Affinity Affinity `json:"affinity"` // what a binding must have at least
	// Levels say what certificates of some issuers or policies count for.
	Levels []CertificateLevel `json:"levels"`
	// Scopes keep what a CA issues to some people.
	Scopes []CertificateScope `json:"scopes"`
	// Unchecked are subject key identifiers, lower-case hex, of CAs whose
	// certificates are taken without a revocation list, when they have none.
	Unchecked []string `json:"unchecked"`
	// StaleFor is for how long a list that could not be renewed is believed
	// after its end. Zero: not at all (security.md CBA04).
	StaleFor time.Duration `json:"staleFor"`
	// Hints tells browsers which CAs are asked for, on Host only.
	Hints bool `json:"hints"`
	// Host is a host name of the tenant's own for its handshakes; empty: it has
	// none (decisions 5.6).
	Host string `json:"host"`
	// NoUsage and AnyUsage admit certificates that do not say clientAuth or
	// smart-card logon: those without extended key usages, and those for any.
	NoUsage  bool `json:"noUsage"`
	AnyUsage bool `json:"anyUsage"`
}

// Affinity is how firmly a binding ties a certificate to a person
// (entra-behaviours.md §5.2).
type Affinity string

// Low is by a name, which can be given to somebody else; High by the key or
// the serial number.
const (
	LowAffinity  Affinity = "low"
	HighAffinity Affinity = "high"
)

// CertificateField is what a binding reads of a certificate, in Graph's words.
type CertificateField string

// The fields (entra-behaviours.md §1.6, §5.2).
const (
	FieldPrincipalName         CertificateField = "PrincipalName"
	FieldRFC822Name            CertificateField = "RFC822Name"
	FieldSubject               CertificateField = "Subject"
	FieldIssuerAndSubject      CertificateField = "IssuerAndSubject"
	FieldSubjectKeyIdentifier  CertificateField = "SubjectKeyIdentifier"
	FieldSHA1PublicKey         CertificateField = "SHA1PublicKey"
	FieldIssuerAndSerialNumber CertificateField = "IssuerAndSerialNumber"
)

// Affinity is what a field is worth by nature.
func (f CertificateField) Affinity() Affinity {
	switch f {
	case FieldSubjectKeyIdentifier, FieldSHA1PublicKey, FieldIssuerAndSerialNumber:
		return HighAffinity
	}
	return LowAffinity
}

// UserProperty is what a binding compares with, in Graph's words.
type UserProperty string

// The properties.
const (
	ByUserName           UserProperty = "userPrincipalName"
	ByOnPremisesUserName UserProperty = "onPremisesUserPrincipalName"
	ByCertificateUserIDs UserProperty = "certificateUserIds"
)

// CertificateBinding ties certificates to people.
type CertificateBinding struct {
	Field    CertificateField `json:"field"`
	Property UserProperty     `json:"property"`
	Priority int              `json:"priority"` // from 1; no two alike
	// Affinity is the field's own, or an administrator's word for it: a low one
	// cannot be called high.
	Affinity Affinity `json:"affinity"`
}

// CertificateLevel is one rule on what a certificate counts for. At least one
// of Issuer and Policy is set.
type CertificateLevel struct {
	// Issuer is the subject key identifier, lower-case hex, of the issuing CA,
	// or its subject, root first as pkix.RootFirst writes it, or root last.
	Issuer string   `json:"issuer,omitempty"`
	Policy string   `json:"policy,omitempty"` // dotted
	Mode   idp.Mode `json:"mode"`
	// Affinity may ask for more than CertificateRules.Affinity, never for less.
	Affinity Affinity `json:"affinity"`
}

// CertificateScope lets only some people sign in with what a CA stands above.
// Several for one CA let in whom any of them names.
type CertificateScope struct {
	Authority string `json:"authority"` // subject key identifier of a CA, lower-case hex
	Target
	// Infrastructure is what Graph's clients say besides, and read back: the id
	// of the list that has the CA. Nothing rests on it, a tenant has one list.
	Infrastructure string `json:"infrastructure,omitempty"`
}

func defaultCertificate() CertificateRules {
	return CertificateRules{
		Bindings: []CertificateBinding{{Field: FieldPrincipalName, Property: ByUserName, Priority: 1, Affinity: LowAffinity}},
		Mode:     idp.ModeCertificateSingle, Affinity: LowAffinity,
	}
}

// Presented is what a valid path says of a certificate, as far as rules ask.
type Presented struct {
	Issuer     string // subject key identifier of the issuing CA, lower-case hex
	IssuerName string // its subject, root first
	// Policies are those that hold along the path (security.md CBA08).
	Policies []string
}

// Worth is what a certificate counts for.
type Worth struct {
	Mode     idp.Mode
	Affinity Affinity // that its binding must have
	// Rule is where the deciding rule stands: "certificate.levels[2]", or
	// "certificate.mode" when none names the certificate.
	Rule string
	// Demands is where the affinity is asked for: "certificate.affinity", or
	// "certificate.levels[2].affinity".
	Demands string
	// Kind and Identifier say what the deciding level names, for records: a
	// Level word, and the issuer, the policy, or both with a comma between.
	// Both are empty when none decides.
	Kind, Identifier string
}

// The kinds of levels, in Graph's words (x509CertificateRuleType).
const (
	LevelIssuer = "issuerSubject"
	LevelPolicy = "policyOID"
	LevelBoth   = "issuerSubjectAndPolicyOID"
)

// Named is the kind of a level and what it names, as in Worth.
func (l CertificateLevel) Named() (kind, identifier string) {
	switch {
	case l.Policy == "":
		return LevelIssuer, l.Issuer
	case l.Issuer == "":
		return LevelPolicy, l.Policy
	}
	return LevelBoth, l.Issuer + "," + l.Policy
}

// Ordered are the bindings as they are tried.
func (r *CertificateRules) Ordered() []CertificateBinding {
	out := slices.Clone(r.Bindings)
	slices.SortStableFunc(out, func(a, b CertificateBinding) int { return a.Priority - b.Priority })
	return out
}
