package policy

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// aaguids checks a list of models, and tells a typing error by the model that
// it nearly is.
func (c *checker) aaguids(at string, list []string) {
	if len(list) > maxAAGUIDs {
		c.at(at, "too_many", "at most %d models", maxAAGUIDs)
		return
	}
	known := slices.Sorted(maps.Keys(c.models))
	for i, one := range list {
		here, folded := at+"["+strconv.Itoa(i)+"]", strings.ToLower(one)
		if first := slices.IndexFunc(list, func(o string) bool { return strings.EqualFold(o, one) }); first < i {
			c.between(at+"["+strconv.Itoa(first)+"]", here, "the same model stands there twice")
			continue
		}
		if _, ok := c.models[folded]; ok {
			continue
		}
		near, apart := nearest(folded, known)
		name := c.models[near]
		switch {
		case !guid.MatchString(folded) && apart <= 8:
			c.at(here, "aaguid_typo", "%q is no AAGUID; %s (%s) comes nearest", clip(one), near, name)
		case !guid.MatchString(folded):
			c.at(here, "aaguid_malformed", "%q is no AAGUID", clip(one))
		case apart <= 3:
			// A model that nobody knows and that is all but one somebody
			// does: the digits of two real models do not come that close.
			c.at(here, "aaguid_typo", "%q is no known model; did you mean %s (%s)", clip(one), near, name)
		}
	}
}

// farthest is more edits than any typing error has.
const farthest = 9

// nearest finds the known model with the fewest edits from aaguid, if it is
// fewer than farthest.
func nearest(aaguid string, known []string) (near string, apart int) {
	apart = farthest
	if len(aaguid) > 2*len(zeroAAGUID) {
		return "", apart
	}
	for _, m := range known {
		if d := edits(aaguid, m, apart); d < apart {
			near, apart = m, d
		}
	}
	return near, apart
}

// edits is the Levenshtein distance of a and b, or some number of at least
// enough.
func edits(a, b string, enough int) int {
	if d := len(a) - len(b); d >= enough || -d >= enough {
		return enough
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal, least := row[0], i+1
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
			least = min(least, row[j+1])
		}
		if least >= enough {
			return enough
		}
	}
	return row[len(b)]
}
