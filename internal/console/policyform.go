package console

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// A page about policy is one form. What stands in its fields is read into a
// draft, and the page shows the draft again: as it was typed, wrong or not.
// A draft that is applied to the saved policy changes what the page is about
// and nothing else, so what others saved on other pages meanwhile stays.

// wrong is a complaint about a field.
type wrong struct {
	Field string // empty: about the policy as a whole
	Say   string // a sentence
}

// mostInList bounds every list of a form; a policy has at most 500 of a kind.
const mostInList = 1000

// list are the values of a field, each once, in their order.
func list(v url.Values, field string) []string {
	var out []string
	seen := make(map[string]bool)
	for _, one := range v[field] {
		if one = strings.TrimSpace(one); one != "" && !seen[one] && len(out) < mostInList {
			seen[one] = true
			out = append(out, one)
		}
	}
	return out
}

func ticked(v url.Values, field string) bool { return v.Get(field) != "" }

func setTick(v url.Values, field string, on bool) {
	if on {
		v.Set(field, "1")
	}
}

// The words of targets in fields: "all", "group:<id>" and "user:<id>".
const (
	everybody   = "all"
	groupPrefix = "group:"
	userPrefix  = "user:"
)

func targetWord(t policy.Target) string {
	switch {
	case t.All:
		return everybody
	case t.Group != "":
		return groupPrefix + string(t.Group)
	}
	return userPrefix + string(t.User)
}

func targetOf(word string) (policy.Target, bool) {
	if word == everybody {
		return policy.Target{All: true}, true
	}
	if id, ok := strings.CutPrefix(word, groupPrefix); ok && isGUID(id) {
		return policy.Target{Group: idp.GroupID(strings.ToLower(id))}, true
	}
	if id, ok := strings.CutPrefix(word, userPrefix); ok && isGUID(id) {
		return policy.Target{User: idp.UserID(strings.ToLower(id))}, true
	}
	return policy.Target{}, false
}

func targetWords(all []policy.Target) []string {
	out := make([]string, 0, len(all))
	for _, t := range all {
		out = append(out, targetWord(t))
	}
	return out
}

// isGUID says whether s is a GUID in its usual form, in any letter case.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if s[i] != '-' {
				return false
			}
		case (c < 'a' || c > 'f') && (s[i] < '0' || s[i] > '9'):
			return false
		}
	}
	return true
}

// applying gathers complaints while a draft is applied.
type applying struct{ wrongs []wrong }

func (a *applying) say(field, sentence string) { a.wrongs = append(a.wrongs, wrong{field, sentence}) }

// targets reads words; what is none is complained about and left out. Order
// and entries of old are kept, so that saving what was loaded changes nothing.
func (a *applying) targets(field string, old []policy.Target, words []string) []policy.Target {
	wanted := make(map[policy.Target]bool)
	var order []policy.Target
	for _, w := range words {
		t, ok := targetOf(w)
		if !ok {
			a.say(field, "“"+cut(w, 80)+"” is neither a person nor a group.")
			continue
		}
		if !wanted[t] {
			wanted[t] = true
			order = append(order, t)
		}
	}
	var out []policy.Target
	for _, t := range old {
		if wanted[t] {
			out = append(out, t)
			delete(wanted, t)
		}
	}
	for _, t := range order {
		if wanted[t] {
			out = append(out, t)
		}
	}
	return unchanged(old, out)
}

// unchanged is old when the lists are equal: an empty list and none at all
// would otherwise be told apart where policies are compared.
func unchanged[T comparable](old, next []T) []T {
	if slices.Equal(old, next) {
		return old
	}
	return next
}

// cut keeps what is quoted in a complaint short.
func cut(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// number reads a field into at; what is no number leaves it as it was.
func (a *applying) number(field, text string, at *int) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		a.say(field, "“"+cut(text, 20)+"” is not a whole number.")
		return
	}
	*at = n
}

// span is a length of time in two fields: a number and its unit.
type span struct{ Number, Unit string }

var units = map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}

func readSpan(v url.Values, field string) span {
	return span{v.Get(field), v.Get(field + ".unit")}
}

func (s span) put(v url.Values, field string) {
	v.Set(field, s.Number)
	v.Set(field+".unit", s.Unit)
}

// spanOf is d in the largest unit that gives a whole number.
func spanOf(d time.Duration) span {
	for _, u := range []string{"d", "h", "m"} {
		if d >= units[u] && d%units[u] == 0 {
			return span{strconv.FormatInt(int64(d/units[u]), 10), u}
		}
	}
	return span{d.String(), ""} // seconds: only by the command line
}

func (a *applying) span(field string, s span, at *time.Duration) {
	if s.Unit == "" { // as spanOf wrote it
		d, err := time.ParseDuration(s.Number)
		if err != nil {
			a.say(field, "“"+cut(s.Number, 20)+"” is not a length of time.")
			return
		}
		*at = d
		return
	}
	n, err := strconv.Atoi(strings.TrimSpace(s.Number))
	if err != nil || n < 0 || n > 1_000_000 {
		a.say(field, "“"+cut(s.Number, 20)+"” is not a whole number.")
		return
	}
	unit, ok := units[s.Unit]
	if !ok {
		a.say(field, "“"+cut(s.Unit, 20)+"” is not a unit of time.")
		return
	}
	*at = time.Duration(n) * unit
}

// include puts words in the place of the targets that a profile binds; profile
// is empty for a method without any. required are those who must register.
// A target that no profile is left for goes: it may not use the method.
func (a *applying) include(old []policy.Include, words, required []string, profile string) []policy.Include {
	had := make([]policy.Target, 0, len(old))
	for _, in := range old {
		had = append(had, in.Target)
	}
	want := a.targets("include", had, words)
	must := make(map[policy.Target]bool)
	for _, w := range required {
		if t, ok := targetOf(w); ok {
			must[t] = true
		}
	}
	var out []policy.Include
	for _, in := range old {
		i := slices.Index(want, in.Target)
		switch bound := binds(in, profile); {
		case i < 0 && !bound: // another profile's
		case i < 0:
			in.Profiles = slices.DeleteFunc(slices.Clone(in.Profiles), func(id string) bool { return id == profile })
			if len(in.Profiles) == 0 {
				continue
			}
		case bound:
			in.Required = must[in.Target]
		default:
			in.Profiles = joined(in.Profiles, profile)
			in.Required = in.Required || must[in.Target]
		}
		if i >= 0 {
			want = slices.Delete(want, i, i+1)
		}
		out = append(out, in)
	}
	for _, t := range want {
		in := policy.Include{Target: t, Required: must[t]}
		if profile != "" && profile != policy.DefaultProfile {
			in.Profiles = []string{profile}
		}
		out = append(out, in)
	}
	return out
}

// binds says whether an include names a profile; one that names none names
// the default profile, and one of a method without profiles is all there is.
func binds(in policy.Include, profile string) bool {
	if len(in.Profiles) == 0 {
		return profile == "" || profile == policy.DefaultProfile
	}
	return slices.Contains(in.Profiles, profile)
}

// joined adds a profile to those of an include, with the default one by its
// name when it was meant so far.
func joined(profiles []string, profile string) []string {
	if len(profiles) == 0 {
		return []string{policy.DefaultProfile, profile}
	}
	return append(slices.Clone(profiles), profile)
}

// includeWords are the targets that a profile binds, and of them those who
// must register.
func includeWords(all []policy.Include, profile string) (words, required []string) {
	for _, in := range all {
		if !binds(in, profile) {
			continue
		}
		words = append(words, targetWord(in.Target))
		if in.Required {
			required = append(required, targetWord(in.Target))
		}
	}
	return words, required
}

// complaints are those of the policy that came out, by the fields of the
// page: place gives the field of a place, or "".
func (a *applying) complaints(next policy.Policy, known policy.Models, place func(at string) string) {
	for _, c := range next.Complaints(known) {
		field := place(c.At)
		if field == "" && c.Other != "" {
			field = place(c.Other)
		}
		say := strings.ToUpper(c.Say[:1]) + c.Say[1:]
		a.say(field, say)
		if other := place(c.Other); c.Other != "" && other != "" && other != field {
			a.say(other, say)
		}
	}
}

// under says whether a place is at, or below it.
func under(place, at string) bool {
	rest, ok := strings.CutPrefix(place, at)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
