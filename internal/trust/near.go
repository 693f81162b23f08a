package trust

import (
	"crypto/x509"
	"sync"

	"github.com/signetid/signet/internal/pkix"
)

// near remembers what does not change while the authorities of a tenant do not:
// which of them can stand above a certificate, by their names, and which of
// their signatures on each other were found good. Of the 250 that there may be
// two or three come into question at a sign-in, and one signature is checked,
// that on the leaf. Times, constraints, policies and revocation are judged each
// time.
type near struct {
	names  map[string][]*x509.Certificate // authorities by pkix.NameKey of their subjects; does not change
	mu     sync.Mutex
	above  map[string][]*x509.Certificate // by the key of an issuer's name that is in names
	signed map[[2]*x509.Certificate]bool  // certificate and issuer
}

func newNear() near {
	return near{names: map[string][]*x509.Certificate{}, above: map[string][]*x509.Certificate{}, signed: map[[2]*x509.Certificate]bool{}}
}

// over gives the authorities that a path from these certificates may lead over,
// anchors and others, as far as names tell.
func (a *anchors) over(certs []*x509.Certificate) (roots, subs []*x509.Certificate) {
	seen := map[*x509.Certificate]bool{}
	for _, c := range certs {
		for _, up := range a.above(c.RawIssuer) {
			if seen[up] {
				continue
			}
			seen[up] = true
			if a.own[up].Root {
				roots = append(roots, up)
			} else {
				subs = append(subs, up)
			}
		}
	}
	return roots, subs
}

// above gives the authorities of that name, those above them, and so on. A name
// is anybody's until a signature was checked: it is read once, however many
// authorities there are, and remembered only when it is one of theirs.
func (a *anchors) above(name []byte) []*x509.Certificate {
	key := pkix.NameKey(name)
	if len(a.near.names[key]) == 0 {
		return nil
	}
	a.near.mu.Lock()
	out, ok := a.near.above[key]
	a.near.mu.Unlock()
	if ok {
		return out
	}
	keys, asked := []string{key}, map[string]bool{key: true}
	for i := 0; i < len(keys); i++ {
		for _, c := range a.near.names[keys[i]] {
			out = append(out, c)
			if up := pkix.NameKey(c.RawIssuer); !asked[up] {
				asked[up] = true
				keys = append(keys, up)
			}
		}
	}
	a.near.mu.Lock()
	defer a.near.mu.Unlock()
	a.near.above[key] = out
	return out
}

// wasSigned says whether that signature was found good before. Both
// certificates are then authorities of the tenant, and these very objects.
func (a *anchors) wasSigned(cert, issuer *x509.Certificate) bool {
	a.near.mu.Lock()
	defer a.near.mu.Unlock()
	return a.near.signed[[2]*x509.Certificate{cert, issuer}]
}

// remember keeps the signatures of a path that holds, but for that on the leaf
// and those on what the client sent.
func (a *anchors) remember(chain []*x509.Certificate) {
	a.near.mu.Lock()
	defer a.near.mu.Unlock()
	for i := 1; i < len(chain)-1; i++ {
		_, own := a.own[chain[i]]
		_, by := a.own[chain[i+1]]
		if own && by {
			a.near.signed[[2]*x509.Certificate{chain[i], chain[i+1]}] = true
		}
	}
}
