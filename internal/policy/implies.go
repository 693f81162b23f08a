package policy

import (
	"slices"

	"github.com/signetid/signet/internal/idp"
)

// Implies says whether proofs that meet s always meet floor too: every
// combination of s holds one of floor's, and its proofs claim all that floor
// wants of each. It is for telling whether a request for s asks for enough
// where floor is the least.
func Implies(s, floor Strength) bool {
	if len(floor.Configurations) > 0 && s.ID != floor.ID {
		return false // which proofs count there, s does not say
	}
	for _, want := range floor.Each {
		if !slices.Contains(s.Each, want) {
			return false
		}
	}
	enough := func(combination []idp.Mode) bool {
		return slices.ContainsFunc(floor.Combinations, func(least []idp.Mode) bool {
			return len(least) > 0 && !slices.ContainsFunc(least, func(m idp.Mode) bool { return !slices.Contains(combination, m) })
		})
	}
	return len(s.Combinations) > 0 && !slices.ContainsFunc(s.Combinations, func(c []idp.Mode) bool { return !enough(c) })
}
