package policy

import (
	"testing"

	"github.com/signetid/signet/internal/idp"
)

func TestImplies(t *testing.T) {
	p := Default()
	named := func(ask string) Strength {
		s, ok := p.Strength(ask)
		if !ok {
			t.Fatalf("no strength %s", ask)
		}
		return s
	}
	// From the strongest to the weakest: each implies itself and what follows.
	order := []string{ACRHardwareBound, ACRPhishingResistant, IDPasswordless, IDMFA}
	for i, s := range order {
		for j, floor := range order {
			if got := Implies(named(s), named(floor)); got != (i <= j) {
				t.Errorf("%s implies %s: %v", s, floor, got)
			}
		}
	}
	both := Strength{Combinations: [][]idp.Mode{{idp.ModePhone, idp.ModeFIDO2}}}
	one := Strength{Combinations: [][]idp.Mode{{idp.ModeFIDO2}}}
	if !Implies(both, one) || Implies(one, both) {
		t.Error("two proofs imply one of them, and not the other way round")
	}
	if Implies(one, named(ACRPhishingResistant)) {
		t.Error("a mode without the property implies a strength that wants it")
	}
	for name, empty := range map[string]Strength{"nothing": {}, "an empty combination": {Combinations: [][]idp.Mode{{}}}} {
		if Implies(empty, one) || Implies(one, empty) {
			t.Errorf("%s can be met by no proofs at all, and neither implies nor is implied", name)
		}
	}
}
