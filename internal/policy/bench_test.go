package policy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

func guidOf(kind, n int) string {
	// Groups of a directory differ in all their digits, not only the last.
	return fmt.Sprintf("%08x-%04x-4000-8000-%012x", uint32(n+1)*2654435761, kind, n)
}

// crowded is a policy with 50 rules, each for a group of its own with a
// profile of its own, and 200 groups of one person, of whom rules name half.
func crowded(additive bool) (policy.Policy, policy.Groups) {
	p := policy.Default()
	p.Passkey.Additive = additive
	r := policy.MethodRules{On: true}
	var groups []idp.GroupID
	for i := range 200 {
		groups = append(groups, idp.GroupID(guidOf(1, i)))
	}
	for i := range 50 {
		g := groups[i]
		if i%2 == 0 {
			g = idp.GroupID(guidOf(2, i))
		}
		id := guidOf(3, i)
		r.Include = append(r.Include, group(g, id))
		rules := policy.KeyRules{Attestation: policy.AttestationRequired, Synced: policy.SyncedDeny, AAGUIDs: policy.AAGUIDRules{Mode: policy.ListAllow}}
		for m := range 9 {
			rules.AAGUIDs.List = append(rules.AAGUIDs.List, guidOf(4, m))
		}
		rules.AAGUIDs.List = append(rules.AAGUIDs.List, nitro)
		p.Passkey.Profiles = append(p.Passkey.Profiles, policy.Profile{ID: id, Name: id, KeyRules: rules})
	}
	p.Methods[policy.Passkey] = r
	for i := range policy.MaxStrengths {
		p.Strengths = append(p.Strengths, policy.Strength{ID: guidOf(5, i), Name: fmt.Sprint("s", i), Combinations: [][]idp.Mode{{idp.ModeFIDO2}, {idp.ModeHello, idp.ModePhone}}})
	}
	return p, policy.NewGroups(groups)
}

func benchQuestion(groups policy.Groups) policy.Question {
	q := question(with2(hardware(time.Minute), func(p *idp.Proof) { p.Facts = idp.Facts{AAGUID: nitro, Attested: true} }))
	q.Groups, q.ACR, q.Required = groups, []string{"phr"}, "s14"
	return q
}

func BenchmarkDecide(b *testing.B) {
	standard := policy.Default()
	b.Run("default", func(b *testing.B) {
		q := question(hardware(time.Minute))
		for b.Loop() {
			if d := policy.Decide(&standard, q); d.Outcome != policy.Allow {
				b.Fatal(d.Outcome)
			}
		}
	})
	for _, additive := range []bool{false, true} {
		p, groups := crowded(additive)
		q := benchQuestion(groups)
		b.Run(fmt.Sprintf("50 rules, 200 groups, additive=%v", additive), func(b *testing.B) {
			for b.Loop() {
				if d := policy.Decide(&p, q); d.Outcome != policy.Allow {
					b.Fatalf("%s by %s", d.Reason, d.Rule)
				}
			}
		})
	}
	p, groups := crowded(false)
	q := benchQuestion(groups)
	q.Proofs = slices.Repeat(q.Proofs, 8)
	b.Run("50 rules, 200 groups, 8 proofs", func(b *testing.B) {
		for b.Loop() {
			policy.Decide(&p, q)
		}
	})
	q.Proofs = nil
	b.Run("50 rules, 200 groups, nothing proven", func(b *testing.B) {
		for b.Loop() {
			policy.Decide(&p, q)
		}
	})
}

// BenchmarkPreview is 100,000 people with 300,000 keys, each with 200 groups,
// through the policy with 50 rules; the target is 10 s.
func BenchmarkPreview(b *testing.B) {
	next, groups := crowded(false)
	old := policy.Default()
	people := func(yield func(policy.Subject, error) bool) {
		s := subject("u", key("1", idp.Facts{AAGUID: nitro, Attested: true}), key("2", idp.Facts{AAGUID: other, Attested: true}), key("3", idp.Facts{Synced: true}))
		s.Groups = groups
		for range 100_000 {
			if !yield(s, nil) {
				return
			}
		}
	}
	for b.Loop() {
		i, err := policy.Preview(b.Context(), old, next, people, policy.PreviewOptions{})
		if err != nil || i.Keys != 300_000 || i.Stops != 200_000 || i.NoWayIn != 0 {
			b.Fatalf("%+v, %v", i, err)
		}
	}
}
