package macprofile

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Line says in words what one key of a profile does.
type Line struct {
	Path  string // PlatformSSO.LoginFrequency, without the payload
	Value string
	Since string // the first macOS that reads it; empty: every one with Platform SSO
	Means string
}

// Explain lists what is in a profile for people, in its own order: those keys
// whose meaning is not the system's alone. The error says why it cannot be read.
func Explain(profile []byte) ([]Line, error) {
	top, err := read(profile)
	if err != nil {
		return nil, err
	}
	var out []Line
	for _, p := range each(top) {
		switch p.text("PayloadType") {
		case typeSSO:
			out = explain(out, "", p, ssoKeys)
		case typeAssociated:
			out = explain(out, "", p, associatedKeys)
		}
	}
	return explain(out, "", top, topKeys), nil
}

func explain(out []Line, path string, d dict, known []key) []Line {
	for _, e := range d {
		for _, k := range known {
			if k.name != e.key || k.means == "" {
				continue
			}
			if inner, ok := e.value.(dict); ok && k.keys != nil && k.name == "PlatformSSO" {
				out = explain(out, e.key, inner, k.keys)
				continue
			}
			out = append(out, Line{at(path, e.key), plain(e.value), k.since, k.means})
		}
	}
	return out
}

// plain is a value on one line.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		return v.Format(time.RFC3339)
	case []any:
		all := make([]string, len(v))
		for n, one := range v {
			all[n] = plain(one)
		}
		return strings.Join(all, ", ")
	case dict:
		all := make([]string, len(v))
		for n, e := range v {
			all[n] = e.key + " " + plain(e.value)
		}
		return strings.Join(all, "; ")
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	}
	return fmt.Sprint(v)
}
