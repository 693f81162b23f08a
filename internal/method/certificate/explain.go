package certificate

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// Outcome is how a step of an explanation ended.
type Outcome string

// The outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped" // it does not apply: the field is not there, the binding is too weak
	Unknown Outcome = "unknown" // it was not looked at, since a step before failed
)

// The steps, in their order. Revocation and binding come once for each
// certificate of the path and each binding of the tenant.
const (
	StepPath       = "path"
	StepTime       = "time"
	StepRevocation = "revocation"
	StepLevel      = "level"
	StepBinding    = "binding"
	StepPerson     = "person"
	StepBar        = "bar"
	StepPolicy     = "policy"
)

// Value is one thing that is known in a step: a key of the catalogue, and the
// text that stands beside it.
type Value struct {
	Key  string `json:"key"`
	Text string `json:"text"`
}

// Step is one step of an explanation: keys and values, no sentences. Reason is a
// stable word for why it failed or was skipped.
type Step struct {
	Key     string  `json:"key"`
	Outcome Outcome `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
	Values  []Value `json:"values,omitempty"`
}

// Summary is what a certificate says of itself.
type Summary struct {
	Subject    string    `json:"subject"` // root first
	Issuer     string    `json:"issuer"`
	Serial     string    `json:"serial"`     // hex, as it stands in the certificate
	Thumbprint string    `json:"thumbprint"` // SHA-1, hex in capitals: what other tools show
	SHA256     string    `json:"sha256"`     // lower-case hex
	NotBefore  time.Time `json:"notBefore"`
	NotAfter   time.Time `json:"notAfter"`
	Names      []Value   `json:"names,omitempty"` // alternative names, by kind
}

// Explained is what would become of a sign-in with a certificate.
type Explained struct {
	Certificate Summary `json:"certificate"`
	Steps       []Step  `json:"steps"`
	// Good says that it would sign in as User. Reason is that of the first step
	// that failed.
	Good   bool     `json:"good"`
	Reason string   `json:"reason,omitempty"`
	User   idp.User `json:"-"`
	// Mode is what it counts for, by Rule, and Affinity that of the binding;
	// empty when the path does not hold or nobody was found.
	Mode     idp.Mode        `json:"mode,omitempty"`
	Rule     string          `json:"rule,omitempty"`
	Affinity policy.Affinity `json:"affinity,omitempty"`
	// UserIDs are the values of certificateUserIds that could name the
	// certificate, whatever the bindings are, those of high affinity first.
	UserIDs []string `json:"certificateUserIds,omitempty"`
}

// Explain tries a certificate as a sign-in does, and says of each step how it
// ended, and after one that failed what else is known. chain has the certificate
// first, and what may help to build its path. Nothing is stored, and nothing is
// proven: whoever has a certificate need not have its key.
//
// The error is a trouble of our own; what is wrong with the certificate is in
// the steps.
func (m *Room) Explain(ctx context.Context, t idp.TenantID, chain []*x509.Certificate) (Explained, error) {
	x := explaining{room: m, tenant: t, leaf: chain[0], sent: chain[1:]}
	err := x.run(ctx)
	return x.out, err
}
