package client

import (
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// reservedName says whether a name would pass for one of ours: the house
// itself, or an application that is built in (security.md OAU19).
func reservedName(name string) bool {
	s := skeleton(name)
	if s == skeleton("Signet") {
		return true
	}
	for _, b := range table {
		if s == skeleton(b.name) {
			return true
		}
	}
	return false
}

// skeleton is what a name looks like at a glance: without letter case, marks,
// spaces and punctuation, and with letters of other scripts that are drawn like
// a Latin one as that one. Two names of one skeleton are taken for each other.
func skeleton(name string) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(cases.Fold().String(name)) {
		if to, ok := drawnAlike[r]; ok {
			r = to
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			b.WriteRune(r)
		}
	}
	// Pairs that are drawn like one letter.
	return strings.NewReplacer("rn", "m", "vv", "w").Replace(b.String())
}

// drawnAlike are the letters and digits that most fonts draw like a small
// Latin letter (Unicode Technical Standard 39 has the full table; this is what
// of it can occur in our names, after folding).
var drawnAlike = map[rune]rune{
	'0': 'o', '1': 'l', 'i': 'l', '|': 'l', '5': 's', '3': 'e',
	'а': 'a', 'в': 'b', 'с': 'c', 'ԁ': 'd', 'е': 'e', 'ё': 'e', 'ɡ': 'g', 'һ': 'h', 'і': 'l', 'ї': 'l', 'ј': 'j', 'к': 'k', 'ӏ': 'l',
	'м': 'm', 'н': 'h', 'о': 'o', 'р': 'p', 'ԛ': 'q', 'ѕ': 's', 'т': 't', 'у': 'y', 'ѵ': 'v', 'ԝ': 'w', 'х': 'x', 'п': 'n', 'г': 'r',
	'α': 'a', 'β': 'b', 'ε': 'e', 'ι': 'l', 'κ': 'k', 'ν': 'v', 'ο': 'o', 'ρ': 'p', 'τ': 't', 'υ': 'u', 'χ': 'x', 'η': 'n', 'γ': 'y',
	'ı': 'l', 'ſ': 's', 'ł': 'l', 'ø': 'o', 'đ': 'd', 'ɑ': 'a', 'ɩ': 'l',
}
