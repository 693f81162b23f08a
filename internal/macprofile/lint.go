package macprofile

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Finding is one thing that is wrong with a profile.
type Finding struct {
	Rule string // the stable word of the rule that it breaks
	Path string // of the key: PayloadContent[0].PlatformSSO.LoginFrequency
	Text string // a sentence for an administrator
}

func (f Finding) String() string {
	if f.Path == "" {
		return f.Text
	}
	return f.Path + ": " + f.Text
}

// Lint holds a profile against Apple's schema and against the rules that no
// schema has (apple-platform-sso.md §4). It is for profiles of this server and for
// those that somebody has changed since. Nothing is found in one that is right.
func Lint(profile []byte) []Finding {
	l := &linter{}
	top, err := read(profile)
	if err != nil {
		l.find("plist", "", "This is no property list that can be read: %s.", err)
		return l.found
	}
	l.keys("", top, topKeys)
	if kind := top.text("PayloadType"); kind != typeProfile && kind != "" {
		l.find("value", "PayloadType", "It is %q; a profile's is %q.", kind, typeProfile)
	}
	l.payloads(top)
	l.identity(top)
	l.rules(top)
	return l.found
}

type linter struct{ found []Finding }

func (l *linter) find(rule, path, format string, args ...any) {
	l.found = append(l.found, Finding{rule, path, fmt.Sprintf(format, args...)})
}

// payloads holds each payload against its schema.
func (l *linter) payloads(top dict) {
	count := map[string]int{}
	for path, p := range each(top) {
		kind := p.text("PayloadType")
		count[kind]++
		switch kind {
		case typeSSO:
			l.keys(path, p, ssoKeys)
		case typeAssociated:
			l.keys(path, p, associatedKeys)
		default:
			l.keys(path, only(p, commonKeys), commonKeys) // another kind's keys are not ours to judge
		}
	}
	for _, kind := range []string{typeSSO, typeAssociated} {
		if count[kind] != 1 {
			l.find("payloads", "PayloadContent", "It has %d payloads of type %s; Platform SSO needs one.", count[kind], kind)
		}
	}
}

// each walks the payloads with their paths.
func each(top dict) func(yield func(string, dict) bool) {
	all, _ := top.get("PayloadContent").([]any)
	return func(yield func(string, dict) bool) {
		for n, v := range all {
			if p, ok := v.(dict); ok && !yield(fmt.Sprintf("PayloadContent[%d]", n), p) {
				return
			}
		}
	}
}

// payload is the first of a type, with its path.
func payload(top dict, kind string) (string, dict) {
	for path, p := range each(top) {
		if p.text("PayloadType") == kind {
			return path, p
		}
	}
	return "", nil
}

// only keeps what the keys name.
func only(d dict, keys []key) (out dict) {
	for _, e := range d {
		if slices.ContainsFunc(keys, func(k key) bool { return k.name == e.key }) {
			out = append(out, e)
		}
	}
	return out
}

// keys holds a dictionary against the keys that it may have.
func (l *linter) keys(path string, d dict, known []key) {
	for _, k := range known {
		if k.required && d.get(k.name) == nil {
			l.find("key-missing", at(path, k.name), "The key is missing.")
		}
	}
	for _, e := range d {
		n := slices.IndexFunc(known, func(k key) bool { return k.name == e.key })
		if n < 0 {
			l.find("key-unknown", at(path, e.key), "There is no such key%s.", near(e.key, known))
			continue
		}
		l.value(at(path, e.key), e.value, known[n])
	}
}

func (l *linter) value(path string, v any, k key) {
	if k.kind == tAny {
		return
	}
	if got := kindOf(v); got != k.kind {
		l.find("type", path, "It is a value of type %s; the key takes %s.", got, k.kind)
		return
	}
	switch v := v.(type) {
	case string:
		if len(k.values) > 0 && !slices.Contains(k.values, v) {
			l.find("value", path, "%q is not one of %s.", v, strings.Join(k.values, ", "))
		}
	case int64:
		if len(k.ints) > 0 && !slices.Contains(k.ints, v) {
			l.find("value", path, "%d is not one of %v.", v, k.ints)
		}
		if v < k.least {
			l.find("range", path, "%d is less than %d.", v, k.least)
		}
	case []any:
		for n, one := range v {
			if k.of != nil {
				l.value(fmt.Sprintf("%s[%d]", path, n), one, *k.of)
			}
		}
	case dict:
		if k.keys != nil {
			l.keys(path, v, k.keys)
		}
		if k.of != nil {
			for _, e := range v {
				l.value(at(path, e.key), e.value, *k.of)
			}
		}
	}
}

func at(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// near is a hint at the key that was meant: keys differ in case more often than
// in anything else.
func near(name string, known []key) string {
	for _, k := range known {
		if strings.EqualFold(k.name, name) {
			return "; it is spelt " + k.name
		}
	}
	return ""
}

func kindOf(v any) string {
	switch v.(type) {
	case string:
		return tString
	case int64:
		return tInteger
	case bool:
		return tBool
	case []any:
		return tArray
	case dict:
		return tDict
	case []byte:
		return tData
	case float64:
		return tReal
	case time.Time:
		return tDate
	}
	return "nothing"
}
