package metadata

import (
	"slices"
	"strings"
)

// Model gives the model with an AAGUID, in any letter case, from the MDS or
// the bundled names.
func (r *Registry) Model(aaguid string) (Model, bool) {
	id, ok := canonical(aaguid)
	if !ok {
		return Model{}, false
	}
	e := r.now.Load().byAAGUID[id]
	if e == nil {
		return Model{}, false
	}
	return e.at(r.cfg.Now()), true
}

// Name is the name of a model, or "".
func (r *Registry) Name(aaguid string) string {
	if e := r.now.Load().byAAGUID[aaguid]; e != nil {
		return e.Name
	}
	return ""
}

// Names are the names of all models by AAGUID. The map is shared and must not
// be changed.
func (r *Registry) Names() map[string]string { return r.now.Load().names() }

// Verdict is what the status of a model means at present: nothing ("") of one
// that is not known. The AAGUID is in lower case, as facts have it. It is asked
// at each sign-in and of every key of a report, so it copies nothing.
func (r *Registry) Verdict(aaguid string) Verdict {
	e := r.now.Load().byAAGUID[aaguid]
	if e == nil {
		return ""
	}
	if len(e.reports) == 0 {
		return Fine
	}
	return statusOf(e.reports, r.cfg.Now()).Verdict
}

// Search finds models: every word of text must be in the name, the vendor or
// the beginning of the AAGUID. Those whose name or AAGUID begins with text come
// first, the rest by name. Empty text lists all. Models without an AAGUID,
// which no list can name, are left out.
func (r *Registry) Search(text string, limit int) []Model {
	text = strings.ToLower(strings.TrimSpace(text))
	words := strings.Fields(text)
	var first, rest []*entry
	for _, e := range r.now.Load().entries {
		switch {
		case e.AAGUID == "" || !e.matches(words):
		case strings.HasPrefix(e.folded, text) || strings.HasPrefix(e.AAGUID, text):
			first = append(first, e)
		default:
			rest = append(rest, e)
		}
	}
	found := slices.Concat(first, rest)
	found = found[:min(len(found), max(limit, 0))]
	out := make([]Model, len(found))
	now := r.cfg.Now()
	for i, e := range found {
		out[i] = e.at(now)
	}
	return out
}

func (e *entry) matches(words []string) bool {
	for _, w := range words {
		if !strings.Contains(e.folded, w) && !strings.HasPrefix(e.AAGUID, w) {
			return false
		}
	}
	return true
}

// maxTypos is how far Nearest looks: what differs in more is another AAGUID.
const maxTypos = 6

// Nearest finds the model whose AAGUID is most like a mistyped one, by edit
// distance; false when none is alike. Of several the one first by name.
func (r *Registry) Nearest(aaguid string) (Model, bool) {
	typed := strings.ToLower(strings.TrimSpace(aaguid))
	if len(typed) < 36-maxTypos || len(typed) > 36+maxTypos {
		if id, ok := canonical(typed); ok { // 32 digits without hyphens
			typed = id
		} else {
			return Model{}, false
		}
	}
	var best *entry
	least := maxTypos + 1
	for _, e := range r.now.Load().entries {
		if e.AAGUID == "" {
			continue
		}
		if d := distance(typed, e.AAGUID); d < least {
			best, least = e, d
		}
	}
	if best == nil {
		return Model{}, false
	}
	return best.at(r.cfg.Now()), true
}

// distance counts insertions, deletions and replacements (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
