package policy_test

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// TestSec_POL02_SharedSnapshot: many decide by one snapshot at a time, and
// neither that nor what callers do to an answer changes it.
func TestSec_POL02_SharedSnapshot(t *testing.T) {
	p, groups := crowded(true)
	p.Certificate.Mode = idp.ModeCertificateMulti
	was := p.Clone()
	methods := []idp.MethodID{policy.Passkey, policy.AccessPass, policy.Phone, policy.Certificate}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, purpose := range []policy.Purpose{policy.SignIn, policy.Account, policy.Register, policy.Enlist} {
				for _, proofs := range [][]idp.Proof{nil, {hardware(time.Minute)}, {hardware(3 * time.Hour)}} {
					q := benchQuestion(groups)
					q.Proofs, q.Purpose, q.MaxAge = proofs, purpose, time.Hour
					for _, q.Required = range []string{"", "s14", policy.IDMFA} {
						d := policy.Decide(&p, q)
						for _, all := range [][][]idp.Mode{d.Missing, d.Help.Combinations} {
							for _, modes := range all {
								clear(modes)
							}
							clear(all)
						}
						clear(d.Help.Methods)
						clear(d.AMR)
					}
				}
			}
			who := policy.Who{User: benchQuestion(groups).User, Groups: groups}
			for _, m := range methods {
				p.Judge(who, policy.Add, m, nil)
			}
			clear(p.Preferred(who, methods))
			p.Wishes(who)
			p.PhoneFor(who)
			p.Nudge(who, nil, policy.Snoozed{}, now)
			p.Join(who)
		})
	}
	wg.Wait()
	if !reflect.DeepEqual(p, was) {
		t.Error("the snapshot was changed")
	}
}
