package web

import (
	"net/http"
	"net/url"
	"strings"
)

// Spelling brings requests for the given addresses into the one spelling that
// the mux knows: fixed words in their letter case, no doubled slash, and a
// slash at the end where the address has one. Published clients spell them in
// many ways and follow no redirect, so there is none (device-protocol.md §0.8,
// §1.3). What is none of these addresses passes untouched.
//
// An address is written like a pattern of the mux: words, and {names} for
// segments that may be anything. A segment {t} is a tenant and comes out in
// lower case; others stay as they are, escapes included.
func Spelling(addresses ...string) func(http.Handler) http.Handler {
	table := make(map[int][]spelled)
	for _, a := range addresses {
		s := spelled{words: strings.Split(strings.Trim(a, "/"), "/"), slash: strings.HasSuffix(a, "/")}
		table[len(s.words)] = append(table[len(s.words)], s)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if u := respell(table, r.URL); u != nil {
				r.URL = u // in place: the log reads the route off this very request
			}
			next.ServeHTTP(w, r)
		})
	}
}

// spelled is one address, in segments.
type spelled struct {
	words []string
	slash bool
}

// maxSegments bounds how far a path is taken apart: no address is longer.
const maxSegments = 16

// respell gives the address of the table that u means, or nil when it means
// none, or is spelled like that already.
func respell(table map[int][]spelled, u *url.URL) *url.URL {
	path := u.EscapedPath()
	var room [maxSegments]string
	parts := room[:0]
	for part := range strings.SplitSeq(path, "/") {
		switch {
		case part == "":
			continue
		case len(parts) == maxSegments:
			return nil
		}
		parts = append(parts, part)
	}
	for _, s := range table[len(parts)] {
		to, ok := s.spell(parts)
		if !ok {
			continue
		}
		if to == path {
			return nil
		}
		plain, err := url.PathUnescape(to)
		if err != nil {
			return nil
		}
		out := *u
		out.Path, out.RawPath = plain, to
		return &out
	}
	return nil
}

// spell writes parts as s has them, when they are that address.
func (s spelled) spell(parts []string) (string, bool) {
	size := 1
	for i, word := range s.words {
		if !variable(word) && !strings.EqualFold(word, parts[i]) || dots(parts[i]) {
			return "", false
		}
		size += 1 + max(len(word), len(parts[i]))
	}
	var b strings.Builder
	b.Grow(size)
	for i, word := range s.words {
		b.WriteByte('/')
		switch {
		case word == "{t}":
			b.WriteString(lower(parts[i]))
		case variable(word):
			b.WriteString(parts[i])
		default:
			b.WriteString(word)
		}
	}
	if s.slash {
		b.WriteByte('/')
	}
	return b.String(), true
}

func variable(word string) bool { return word[0] == '{' }

// lower is s in lower case, but for its escapes, which may spell letters that
// have none.
func lower(s string) string {
	if strings.Contains(s, "%") {
		return s
	}
	return strings.ToLower(s)
}

// dots says whether a segment means a way through the tree: those are the
// mux's affair.
func dots(part string) bool {
	p := strings.ReplaceAll(strings.ToLower(part), "%2e", ".")
	return p == "." || p == ".."
}
