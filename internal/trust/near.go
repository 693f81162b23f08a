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
	mu     sync.Mutex
	above  map[string][]*x509.Certificate // by the name of an issuer, raw
	signed map[[2]*x509.Certificate]bool  // certificate and issuer
}

// mostNear bounds how many names are remembered: strangers may send any.
const mostNear = 512

func newNear() near {
	return near{above: map[string][]*x509.Certificate{}, signed: map[[2]*x509.Certificate]bool{}}
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

// above gives the authorities of that name, those above them, and so on.
func (a *anchors) above(name []byte) []*x509.Certificate {
	a.near.mu.Lock()
	out, ok := a.near.above[string(name)]
	a.near.mu.Unlock()
	if ok {
		return out
	}
	names, asked, seen := [][]byte{name}, map[string]bool{string(name): true}, map[*x509.Certificate]bool{}
	for i := 0; i < len(names); i++ {
		for _, one := range a.all {
			c := one.Cert
			if seen[c] || !pkix.SameName(c.RawSubject, names[i]) {
				continue
			}
			seen[c] = true
			out = append(out, c)
			if !asked[string(c.RawIssuer)] {
				asked[string(c.RawIssuer)] = true
				names = append(names, c.RawIssuer)
			}
		}
	}
	a.near.mu.Lock()
	defer a.near.mu.Unlock()
	if len(a.near.above) < mostNear {
		a.near.above[string(name)] = out
	}
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
