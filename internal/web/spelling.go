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

// maxWritten is as long as nearly all addresses are, in bytes: most requests are
// spelled right, and of those nothing is to be kept.
const maxWritten = 128

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
		case len(parts) == maxSegments, dots(part):
			return nil
		}
		parts = append(parts, part)
	}
	var written [maxWritten]byte
	for _, s := range table[len(parts)] {
		if !s.is(parts) {
			continue
		}
		to := s.spell(written[:0], parts)
		if string(to) == path {
			return nil
		}
		out := *u
		out.RawPath = string(to)
		var err error
		if out.Path, err = url.PathUnescape(out.RawPath); err != nil {
			return nil
		}
		return &out
	}
	return nil
}

// is says whether parts are that address.
func (s spelled) is(parts []string) bool {
	for i, word := range s.words {
		if !variable(word) && !strings.EqualFold(word, parts[i]) {
			return false
		}
	}
	return true
}

// spell appends parts, which are that address, to b as s has them.
func (s spelled) spell(b []byte, parts []string) []byte {
	for i, word := range s.words {
		switch {
		case word == "{t}":
			word = lower(parts[i])
		case variable(word):
			word = parts[i]
		}
		b = append(append(b, '/'), word...)
	}
	if s.slash {
		b = append(b, '/')
	}
	return b
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
	if len(part) > len("%2e%2e") {
		return false
	}
	p := strings.ReplaceAll(strings.ToLower(part), "%2e", ".")
	return p == "." || p == ".."
}
