package trust

import (
	"cmp"
	"crypto/x509"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
)

// Bounds of what a tenant keeps.
const (
	// MaxAuthorities is how many a tenant may have.
	MaxAuthorities = 250
	// MaxContainers is how many containers those may lie in.
	MaxContainers = 50
	// KeptFor is for how long what was removed can be restored.
	KeptFor = 30 * 24 * time.Hour
)

// Authority is a certificate authority that a tenant trusts, or that stands
// between one of those and people's certificates.
type Authority struct {
	ID        idp.AuthorityID
	Tenant    idp.TenantID
	Container ContainerID
	Name      string // an administrator's word for it; the subject's common name at first
	Cert      *x509.Certificate
	Root      bool // an anchor; else an intermediate, trusted for nothing by itself
	// Enabled is false for one that was switched off: paths through it end.
	Enabled bool
	// CRL and Delta are where its lists are fetched; empty: nowhere. OCSP is its
	// responder, asked at each sign-in; empty: lists decide.
	CRL, Delta, OCSP string
	// Hint says that browsers are told of it where they are told anything.
	Hint    bool
	Created time.Time
	Changed time.Time
	Removed time.Time // zero: it is there
	Version int64     // counts the changes, from 1

	store int64 // of all that the tenant has, the version that this was read of
}

// Key is the authority's subject key identifier in lower-case hex: the
// extension, or the SHA-1 of the key where there is none (RFC 5280 §4.2.1.2).
func (a Authority) Key() string { return pkix.KeyID(a.Cert) }

// Known says whether the authority is one of the tenant's: one that a client
// sent along has no id.
func (a Authority) Known() bool { return a.ID != "" }

// ContainerID is the id of a container.
type ContainerID string

// Container is what Graph keeps authorities in (certificateBasedAuthPki). It
// has no other meaning: all of a tenant's authorities serve together.
type Container struct {
	ID               ContainerID
	Tenant           idp.TenantID
	Name             string
	Created, Changed time.Time
	Removed          time.Time // zero: it is there
}

// Offer is an authority that is to be added.
type Offer struct {
	Cert             *x509.Certificate
	Name             string // empty: the subject's common name, or what else it has
	Root             bool
	CRL, Delta, OCSP string
	Hint             bool
	Disabled         bool
}

// Edit says what is to become of an authority; nil leaves it as it is.
type Edit struct {
	Name             *string
	Root             *bool
	Enabled          *bool
	CRL, Delta, OCSP *string
	Hint             *bool
}

// Rules are what a tenant says of revocation (policy.CertificateRules).
type Rules struct {
	// Unchecked are keys (Key) of authorities whose certificates pass without a
	// list when they have neither list nor responder.
	Unchecked []string
	StaleFor  time.Duration
	NoUsage   bool
	AnyUsage  bool
}

// Ways in which a certificate is found not to be revoked.
const (
	ByCRL     = "crl"
	ByOCSP    = "ocsp"
	Unchecked = "unchecked"
)

// Checked is how one certificate of a path was found not to be revoked.
type Checked struct {
	Cert *x509.Certificate
	By   string // ByCRL, ByOCSP or Unchecked
	// Authority is the one that would have revoked it; empty: one that the
	// client sent.
	Authority  idp.AuthorityID
	ThisUpdate time.Time
	NextUpdate time.Time
	// Stale says that the list is over and believed all the same (Rules.StaleFor).
	Stale bool
}

// Verified is a path that holds.
type Verified struct {
	pkix.Path
	// Authorities are those of Path.Chain[1:], in that order. One that the
	// client sent has no id.
	Authorities []Authority
	Checks      []Checked // leaf first; the anchor has none
}

// Step is what there is to say of one certificate of a path.
type Step struct {
	Cert *x509.Certificate
	// Authority is the tenant's own record of it; not Known: it has none, and
	// the client sent it.
	Authority Authority
	Anchor    bool
	// Checked is how it was found not to be revoked; nil: it was not, for it is
	// the anchor, or what came before failed.
	Checked *Checked
	// Fault is what is wrong with it; nil: nothing that was found.
	Fault *pkix.Fault
}

// Trace is a verification, step by step. Nothing is stored of it.
type Trace struct {
	Verified             // only when it holds
	Steps    []Step      // leaf first, as far as the path was built
	Fault    *pkix.Fault // nil: the path holds
}

// label is what an authority is called when nobody gave it a name.
func label(c *x509.Certificate) string {
	s := c.Subject
	for _, word := range slices.Concat([]string{s.CommonName}, s.OrganizationalUnit, s.Organization) {
		if word = strings.TrimSpace(word); word != "" {
			return word
		}
	}
	return cmp.Or(strings.TrimSpace(s.String()), pkix.KeyID(c))
}
