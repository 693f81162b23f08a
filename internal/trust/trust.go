package trust

import (
	"crypto/x509"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
)

// MaxAuthorities is how many a tenant may have.
const MaxAuthorities = 250

// Authority is a certificate authority that a tenant trusts, or that stands
// between one of those and people's certificates.
type Authority struct {
	ID     idp.AuthorityID
	Tenant idp.TenantID
	Name   string // an administrator's word for it; the subject's common name at first
	Cert   *x509.Certificate
	Root   bool // an anchor; else an intermediate, trusted for nothing by itself
	// Enabled is false for one that was switched off: paths through it end.
	Enabled bool
	// CRL and Delta are where its lists are fetched; empty: nowhere. OCSP is its
	// responder, asked at each sign-in; empty: lists decide.
	CRL, Delta, OCSP string
	// Hint says that browsers are told of it where they are told anything.
	Hint    bool
	Created time.Time
	Changed time.Time
	Version int64
}

// Key is the authority's subject key identifier in lower-case hex: the
// extension, or the SHA-1 of the key where there is none (RFC 5280 §4.2.1.2).
func (a Authority) Key() string { return pkix.KeyID(a.Cert) }

// Rules are what a tenant says of revocation (policy.CertificateRules).
type Rules struct {
	// Unchecked are keys (Key) of authorities whose certificates pass without a
	// list when they have neither list nor responder.
	Unchecked []string
	StaleFor  time.Duration
	NoUsage   bool
	AnyUsage  bool
}

// Checked is how one certificate of a path was found not to be revoked.
type Checked struct {
	Cert *x509.Certificate
	By   string // "crl", "ocsp" or "unchecked"
	// Authority is the one that would have revoked it.
	Authority  idp.AuthorityID
	ThisUpdate time.Time
	NextUpdate time.Time
	// Stale says that the list is over and believed all the same (Rules.StaleFor).
	Stale bool
}

// Verified is a path that holds.
type Verified struct {
	pkix.Path
	// Authorities are those of Path.Chain[1:], in that order.
	Authorities []Authority
	Checks      []Checked // leaf first
}
