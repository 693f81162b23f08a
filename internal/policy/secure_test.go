package policy_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// TestSec_REL08_CrowdedForm: what a form costs grows with its length, and not
// with the square of it (T64): whoever may look may plan. Four times as long
// costs about four times as much, and sixteen times as much would be the square.
func TestSec_REL08_CrowdedForm(t *testing.T) {
	const members, longer = 5_000, 4
	for what, format := range map[string]string{"members": "z%d: 1\n", "no values": "? z%d\n"} {
		for where, lead := range map[string]string{"at the top": "", "further down": "passkey:\n"} {
			cost := func(n int) time.Duration {
				var form strings.Builder
				form.WriteString(lead)
				for i := range n {
					if lead != "" {
						form.WriteString("  ")
					}
					fmt.Fprintf(&form, format, i)
				}
				best := time.Duration(math.MaxInt64)
				for range 3 { // the least of them: what else runs on the machine is no matter
					start := time.Now()
					if _, err := policy.Parse([]byte(form.String()), nil); !errors.Is(err, idp.Invalid) {
						t.Errorf("%s %s: %v", what, where, err)
					}
					best = min(best, time.Since(start))
				}
				return best
			}
			if short, long := cost(members), cost(members*longer); long > 10*short {
				t.Errorf("%s %s: %d members cost %s, and %d cost %s", what, where, members, short, members*longer, long)
			}
		}
	}
}

// TestSec_POL05_OneFactorAddsNothing: a certificate that counts for one factor
// is phishing-resistant, and no more: who has a copy of its key must not make a
// second factor of it that stays (decisions 2.9).
func TestSec_POL05_OneFactorAddsNothing(t *testing.T) {
	p := policy.Default()
	p.Switch(policy.Certificate, true)
	p.Certificate.Levels = []policy.CertificateLevel{{Policy: oneOID, Mode: multi, Affinity: policy.LowAffinity}}
	adds := func(proofs ...idp.Proof) policy.Decision {
		return policy.Decide(&p, with(question(proofs...), func(q *policy.Question) {
			q.Purpose, q.Method, q.MaxAge = policy.Register, policy.Passkey, 5*time.Minute
		}))
	}
	weak := cardProof(single, card(), idp.PhishingResistant, idp.Possession)
	if d := adds(weak); d.Outcome != policy.StepUp || d.Refusal.Reason != "fresh_proof_needed" {
		t.Errorf("one factor: %s by %s", d.Outcome, d.Rule)
	}
	// Nor beside another proof that is several factors, and not phishing-resistant.
	phone := proof(policy.Phone, idp.ModePhone, 0, idp.Possession, idp.UserVerified, idp.MultiFactor)
	if d := adds(weak, phone); d.Outcome != policy.StepUp {
		t.Errorf("one factor and a phone: %s by %s", d.Outcome, d.Rule)
	}
	strong := cardProof(multi, card(oneOID), idp.PhishingResistant, idp.UserVerified, idp.Possession, idp.MultiFactor)
	if d := adds(strong); d.Outcome != policy.Allow || d.Rule != "register.phishingResistant" {
		t.Errorf("several factors: %s by %s, %+v", d.Outcome, d.Rule, d.Refusal)
	}
}
