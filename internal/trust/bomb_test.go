package trust_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/trust"
)

// TestSec_CBA11_StrangersNames: before a signature was looked at, anybody's
// certificate makes us compare its names with those of the tenant's authorities.
// That neither takes long nor leaves anything behind, however long they are.
func TestSec_CBA11_StrangersNames(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	var offers []trust.Offer
	top := pkixtest.Root(t, "Größe Root", start)
	offers = append(offers, root(top))
	for i := range trust.MaxAuthorities - 1 {
		a := top.Sub(fmt.Sprintf("Größe %d", i), start, func(c *x509.Certificate) { c.Subject.Organization = []string{"Größe"} })
		offers = append(offers, sub(a))
	}
	w.mustAdd(tenant, offers...)
	key := pkixtest.ECKey(t)
	made := top.Leaf(key.Public(), "Ada", "", start)
	strange := func(i, size int) *x509.Certificate {
		name := pkixtest.DER(t, pkix.Name{Organization: []string{fmt.Sprintf("%d ", i) + strings.Repeat("ß", size/2)}}.ToRDNSequence())
		return pkixtest.Forge(t, made, key, func(b *pkixtest.Body) { b.Issuer.FullBytes = name })
	}
	verify := func(chain []*x509.Certificate) {
		t.Helper()
		if _, err := w.Verify(t.Context(), tenant, chain[0], chain[1:], trust.Rules{}); err == nil {
			t.Error("it holds")
		}
	}
	verify([]*x509.Certificate{made}) // loads
	long := []*x509.Certificate{strange(0, 55<<10)}
	var many []*x509.Certificate
	for i := range trust.MaxSent + 1 {
		many = append(many, strange(i, 4<<10))
	}
	for what, chain := range map[string][]*x509.Certificate{"a long one": long, "many": many} {
		best := time.Hour
		for range 5 { // the least of them: what else runs on the machine is no matter
			at := time.Now()
			verify(chain)
			best = min(best, time.Since(at))
		}
		if best > time.Second/4 { // it was five times that
			t.Errorf("%s: %s", what, best)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 50 {
		verify([]*x509.Certificate{strange(1000+i, 50<<10)})
	}
	if after := heap(); after > before+(1<<20) {
		t.Errorf("50 strangers left %d bytes", after-before)
	}
	runtime.KeepAlive(w)
}
