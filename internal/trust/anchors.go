package trust

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
)

// anchors are what a node keeps in memory of a tenant's authorities. What the
// bus drops is loaded anew; nothing in it changes but what near remembers.
type anchors struct {
	all  []Authority                     // enabled, in the order of their coming
	own  map[*x509.Certificate]Authority // the same, by these very objects
	held map[[sha256.Size]byte]bool      // the same, by what is in their certificates
	// barred are certificates, and keys under their names, that a client must
	// not bring back: of authorities that were switched off or removed.
	barred map[[sha256.Size]byte]bool
	near   near
}

func (s *Store) loadAnchors(ctx context.Context, t idp.TenantID) (*anchors, error) {
	all, err := everyAuthority(ctx, s.cfg.DB, t)
	if err != nil {
		return nil, fmt.Errorf("load authorities of %s: %w", t, err)
	}
	out := &anchors{
		own: map[*x509.Certificate]Authority{}, held: map[[sha256.Size]byte]bool{}, barred: map[[sha256.Size]byte]bool{}, near: newNear(),
	}
	for _, a := range all {
		if !a.Enabled || !a.Removed.IsZero() {
			out.barred[sha256.Sum256(a.Cert.Raw)] = true
			out.barred[who(a.Cert)] = true
		}
	}
	for _, a := range all {
		if !a.Enabled || !a.Removed.IsZero() {
			continue
		}
		// Another certificate of the same authority that is enabled stands for
		// it: a renewed one beside the one before.
		delete(out.barred, who(a.Cert))
		out.held[sha256.Sum256(a.Cert.Raw)] = true
		out.own[a.Cert] = a
		out.all = append(out.all, a)
		if name := pkix.NameKey(a.Cert.RawSubject); name != "" {
			out.near.names[name] = append(out.near.names[name], a.Cert)
		}
	}
	return out, nil
}

// who is a name with its key: what a certificate authority is, whatever
// certificates it has.
func who(c *x509.Certificate) [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte("name and key"), c.RawSubject...), c.RawSubjectPublicKeyInfo...))
}

// authority is the tenant's record of a certificate in a path; for one that
// the client sent, what can be said of it.
func (a *anchors) authority(c *x509.Certificate) Authority {
	if known, ok := a.own[c]; ok {
		return known
	}
	return Authority{Cert: c, Name: label(c)}
}

// admit chooses those of the certificates that a client sent which may stand in
// a path: not what the tenant has itself, and not what it has switched off.
func (a *anchors) admit(sent []*x509.Certificate) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range sent[:min(len(sent), MaxSent)] {
		sum := sha256.Sum256(c.Raw)
		if a.held[sum] || a.barred[sum] || a.barred[who(c)] {
			continue
		}
		out = append(out, c)
	}
	return out
}
