package policy_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

var (
	modes      = []idp.Mode{idp.ModeFIDO2, idp.ModeHello, idp.ModePhone, idp.ModeAccessPassOnce, idp.ModeAccessPassMany, idp.ModeCertificateMulti, idp.ModeCertificateSingle}
	properties = []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.HardwareBound, idp.Possession, idp.MultiFactor}
	methods    = []idp.MethodID{policy.Passkey, policy.AccessPass, "hello", "phone", "certificate"}
	strengths  = []string{"phr", "phrh", policy.IDMFA, policy.IDPasswordless}
)

func anyProof(t *rapid.T) idp.Proof {
	mode := rapid.SampledFrom(modes).Draw(t, "mode")
	p := proof(rapid.SampledFrom(methods).Draw(t, "method"), mode, time.Duration(rapid.IntRange(0, 7200).Draw(t, "ago"))*time.Second)
	p.Properties = rapid.SliceOfDistinct(rapid.SampledFrom(properties), rapid.ID[idp.Property]).Draw(t, "properties")
	return p
}

func anyPolicy(t *rapid.T) policy.Policy {
	p := policy.Default()
	for _, m := range methods {
		p.Switch(m, rapid.Bool().Draw(t, string(m)))
	}
	p.AccessPass.AppSignIn = rapid.Bool().Draw(t, "appSignIn")
	p.Certificate.Mode = rapid.SampledFrom([]idp.Mode{idp.ModeCertificateSingle, idp.ModeCertificateMulti}).Draw(t, "certificate mode")
	return p
}

func anyQuestion(t *rapid.T) policy.Question {
	q := question(rapid.SliceOfN(rapid.Custom(anyProof), 0, 4).Draw(t, "proofs")...)
	q.ACR = rapid.SliceOfN(rapid.SampledFrom(strengths), 0, 2).Draw(t, "acr")
	q.Purpose = rapid.SampledFrom([]policy.Purpose{policy.SignIn, policy.Account, policy.Register}).Draw(t, "purpose")
	q.Usable = rapid.IntRange(0, 2).Draw(t, "usable")
	q.MaxAge = time.Duration(rapid.SampledFrom([]int{-1, 0, 300, 3600}).Draw(t, "max_age")) * time.Second
	if rapid.Bool().Draw(t, "prompt=login") {
		q.Since = now.Add(-time.Minute)
	}
	return q
}

// A strength is never met by proofs of which none meets it alone: all built-in
// combinations have one mode, and properties are not united (decisions 2.6).
func TestNoUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPolicy(t), anyQuestion(t)
		q.Purpose = policy.SignIn
		if policy.Decide(&p, q).Outcome != policy.Allow {
			return
		}
		for _, one := range q.Proofs {
			alone := q
			alone.Proofs = []idp.Proof{one}
			if policy.Decide(&p, alone).Outcome == policy.Allow {
				return
			}
		}
		t.Fatalf("%d proofs are allowed together and none alone", len(q.Proofs))
	})
}

// What is allowed stays allowed with one more proof of the same person, and
// never gets less true.
func TestMoreProofsNeverHurt(t *testing.T) {
	rank := map[string]int{"": 0, "phr": 1, "phrh": 2}
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPolicy(t), anyQuestion(t)
		before := policy.Decide(&p, q)
		q.Proofs = append(slices.Clone(q.Proofs), anyProof(t))
		after := policy.Decide(&p, q)
		if before.Outcome == policy.Allow && after.Outcome != policy.Allow {
			t.Fatalf("allowed (%s) without the last proof, %s (%s) with it", before.Rule, after.Outcome, after.Reason)
		}
		if rank[after.ACR] < rank[before.ACR] || after.ProofTime.Before(before.ProofTime) {
			t.Fatalf("acr %q at %s became %q at %s", before.ACR, before.ProofTime, after.ACR, after.ProofTime)
		}
	})
}

// Switching a method off never allows more (security.md POL02).
func TestDisablingNeverAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPolicy(t), anyQuestion(t)
		before := policy.Decide(&p, q)
		less := p.Clone()
		less.Switch(rapid.SampledFrom(methods).Draw(t, "off"), false)
		after := policy.Decide(&less, q)
		if after.Outcome == policy.Allow && before.Outcome != policy.Allow {
			t.Fatalf("%s (%s) before a method was switched off, allowed after", before.Outcome, before.Reason)
		}
	})
}

// Nothing allows a disabled user, an old policy snapshot is not changed by
// deciding, and what is allowed stands on a proof that tokens can name.
func TestAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPolicy(t), anyQuestion(t)
		proofs := slices.Clone(q.Proofs)
		d := policy.Decide(&p, q)
		if d.Outcome == policy.Allow && q.Purpose != policy.Register && d.ProofTime.IsZero() {
			t.Fatal("allowed without a proof time")
		}
		if d.Outcome == policy.Allow && q.Purpose == policy.SignIn && !p.AccessPass.AppSignIn &&
			!slices.ContainsFunc(q.Proofs, func(p idp.Proof) bool { return p.Mode != idp.ModeAccessPassOnce && p.Mode != idp.ModeAccessPassMany }) {
			t.Fatal("an app opened with passes only")
		}
		if !slices.EqualFunc(proofs, q.Proofs, func(a, b idp.Proof) bool { return a.Method == b.Method && a.Time.Equal(b.Time) }) {
			t.Fatal("deciding changed the question")
		}
		q.User.Enabled = false
		if d := policy.Decide(&p, q); d.Outcome != policy.Deny {
			t.Fatalf("disabled user: %s", d.Outcome)
		}
	})
}
