package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// TestSec_REL08_CrowdedForm: a form of less than a megabyte costs no minute of
// the processor (T64): whoever may look may plan.
func TestSec_REL08_CrowdedForm(t *testing.T) {
	for what, format := range map[string]string{"members": "z%d: 1\n", "no values": "? z%d\n"} {
		var form strings.Builder
		for i := range 60_000 {
			fmt.Fprintf(&form, format, i)
		}
		for where, text := range map[string]string{"at the top": form.String(), "further down": "passkey:\n  " + strings.ReplaceAll(form.String(), "\n", "\n  ")} {
			start := time.Now()
			if _, err := policy.Parse([]byte(text), nil); !errors.Is(err, idp.Invalid) {
				t.Errorf("%s %s: %v", what, where, err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("%s %s: %s for %d bytes", what, where, took, len(text))
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
		return policy.Decide(p, with(question(proofs...), func(q *policy.Question) {
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
