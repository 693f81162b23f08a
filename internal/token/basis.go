package token

import (
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Basis is a proof as codes and grants keep it: all that policy judges, so
// that it can be asked again whenever tokens are issued (security.md POL01).
// Whose proof it is, the grant says.
type Basis struct {
	Method     idp.MethodID     `json:"m"`
	Credential idp.CredentialID `json:"c,omitempty"`
	Mode       idp.Mode         `json:"o"`
	Device     idp.DeviceID     `json:"d,omitempty"`
	Properties []idp.Property   `json:"p,omitempty"`
	Facts      idp.Facts        `json:"f,omitzero"`
	AMR        []string         `json:"a,omitempty"`
	Time       int64            `json:"t"` // Unix milliseconds
}

// Remote says whether a grant stands on a proof that was approved in another
// place than where it is used.
func Remote(basis []Basis) bool {
	return slices.ContainsFunc(basis, func(b Basis) bool { return slices.Contains(b.Properties, idp.Remote) })
}

// BasisOf makes of proofs what a grant keeps of them.
func BasisOf(proofs []idp.Proof) []Basis {
	out := make([]Basis, len(proofs))
	for i, p := range proofs {
		out[i] = Basis{p.Method, p.Credential, p.Mode, p.Device, p.Properties, p.Facts, p.AMR, p.Time.UnixMilli()}
		out[i].Facts.Name = "" // for people to read, not for policy
	}
	return out
}

// Proofs are the proofs that the subject's grant stands on.
func (s Subject) Proofs() []idp.Proof {
	out := make([]idp.Proof, len(s.Basis))
	for i, b := range s.Basis {
		out[i] = idp.Proof{
			Tenant: s.Tenant, User: s.User.ID, Method: b.Method, Credential: b.Credential, Mode: b.Mode, Device: b.Device,
			Properties: b.Properties, Facts: b.Facts, AMR: b.AMR, Time: time.UnixMilli(b.Time),
		}
	}
	return out
}
