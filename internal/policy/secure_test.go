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
			form := func(n int) []byte {
				var form strings.Builder
				form.WriteString(lead)
				for i := range n {
					if lead != "" {
						form.WriteString("  ")
					}
					fmt.Fprintf(&form, format, i)
				}
				return []byte(form.String())
			}
			cost := func(form []byte) time.Duration {
				start := time.Now()
				if _, err := policy.Parse(form, nil); !errors.Is(err, idp.Invalid) {
					t.Errorf("%s %s: %v", what, where, err)
				}
				return time.Since(start)
			}
			few, many := form(members), form(members*longer)
			short, long := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
			// The least of them, in turn: what else runs on the machine is no
			// matter, and a machine that is full needs more tries.
			for try := 0; try < 3 || try < 30 && long > 10*short; try++ {
				short, long = min(short, cost(few)), min(long, cost(many))
			}
			if long > 10*short {
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
