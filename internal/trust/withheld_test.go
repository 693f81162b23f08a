package trust_test

import (
	stdpkix "crypto/x509/pkix"
	"net/http"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/trust"
)

// TestSec_CBA04_DeltaWithheld: of an authority with deltas, what was revoked
// since its complete list is known only from those. Who holds one back, or the
// list that it is of, gets a refusal and no longer life (entra-behaviours.md
// §5.5: both must be valid).
func TestSec_CBA04_DeltaWithheld(t *testing.T) {
	eachPKI(t, func(t *testing.T, p *pki) {
		delta := func(base, number int64, entries ...pkixtest.ListEntry) []byte {
			l := p.of(number, entries...)
			l.Next = p.now().Add(6 * time.Hour)
			l.Extensions = []stdpkix.Extension{pkixtest.DeltaOf(t, base)}
			return p.ca.List(l)
		}
		refresh := func() {
			t.Helper()
			if _, err := p.Refresh(t.Context(), tenant, p.ids[1]); err != nil {
				t.Log(err)
			}
		}
		l := p.of(5)
		l.Next = start.Add(7 * 24 * time.Hour)
		p.pub.put("/ca.crl", p.ca.List(l))
		top := p.of(1)
		top.Next = start.Add(7 * 24 * time.Hour)
		p.pub.put("/root.crl", p.root.List(top))
		p.run(p.Store)
		p.want("without an address of deltas", "")
		p.pub.at("/delta.crl", http.NotFound)
		if _, err := p.update(tenant, p.ids[1], 0, trust.Edit{Delta: to(p.pub.URL + "/delta.crl")}); err != nil {
			t.Fatal(err)
		}
		p.want("before any", "certificate_list_unavailable")
		refresh()
		p.want("none comes", "certificate_list_unavailable")
		p.pub.put("/delta.crl", delta(5, 6))
		refresh()
		p.want("it came", "")
		p.pub.at("/delta.crl", http.NotFound) // the next one would say: revoked
		p.pass(6 * time.Hour)
		refresh()
		p.want("over", "certificate_list_unavailable")
		p.rule.StaleFor = time.Hour
		if got := p.want("over, and believed by rule", ""); len(got.Checks) > 0 && !got.Checks[0].Stale {
			t.Errorf("not told to be over: %+v", got.Checks[0])
		}
		p.pass(time.Hour)
		p.want("over for too long", "certificate_list_unavailable")
		p.rule.StaleFor = 0
		p.pub.put("/delta.crl", delta(7, 8, p.revoked(1)))
		refresh()
		p.want("of a complete list that is held back", "certificate_list_unavailable")
		l = p.of(9)
		l.Next = p.now().Add(7 * 24 * time.Hour)
		p.pub.put("/ca.crl", p.ca.List(l))
		refresh()
		p.want("the complete list is the newer one", "")
	})
}
