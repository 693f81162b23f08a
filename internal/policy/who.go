package policy

import (
	"slices"

	"github.com/signetid/signet/internal/idp"
)

// Who is a person as rules see one. With the zero User nobody is known yet:
// then a method that some people may use counts as one that may be used, and
// an exclude, campaign or order holds only when it is for all.
type Who struct {
	User   idp.User
	Groups Groups // those that NamedGroups lists are enough
}

// Groups is a set of groups. The zero Groups is empty.
type Groups struct{ sorted []idp.GroupID }

// NewGroups makes a set of ids, which it does not keep when it must sort them.
func NewGroups(ids []idp.GroupID) Groups {
	if !slices.IsSorted(ids) {
		ids = slices.Sorted(slices.Values(ids))
	}
	return Groups{ids}
}

func (g Groups) has(id idp.GroupID) bool {
	_, found := slices.BinarySearch(g.sorted, id)
	return found
}

// names says whether t is about the person.
func (t Target) names(w *Who) bool {
	switch {
	case t.All:
		return true
	case t.Group != "":
		return w.Groups.has(t.Group)
	}
	return t.User != "" && t.User == w.User.ID
}

// among finds the first of targets that names the person, or -1.
func among(targets []Target, w *Who) int {
	for i := range targets {
		if targets[i].names(w) {
			return i
		}
	}
	return -1
}

// targeted says whether include names the person and exclude does not:
// exclude always wins.
func targeted(include, exclude []Target, w *Who) bool {
	return among(exclude, w) < 0 && among(include, w) >= 0
}
