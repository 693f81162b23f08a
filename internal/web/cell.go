package web

import "strings"

// formula are the characters that make a spreadsheet take a cell for a formula.
const formula = "=+-@\t\r\n|%"

// fullWidth are read as the plain ones by some programs.
var fullWidth = []string{"＝", "＋", "－", "＠"}

// Cell makes a text harmless in a spreadsheet: one that a program would take
// for a formula gets an apostrophe before it (OWASP, CSV Injection), also when
// blanks come first. Use it for every cell that somebody else has written.
func Cell(s string) string {
	t := strings.TrimLeft(s, " \u00a0")
	if t != "" && strings.ContainsRune(formula, rune(t[0])) {
		return "'" + s
	}
	for _, p := range fullWidth {
		if strings.HasPrefix(t, p) {
			return "'" + s
		}
	}
	return s
}

// Uncell takes back what Cell did, for files of ours that come back.
func Uncell(s string) string {
	if rest, ok := strings.CutPrefix(s, "'"); ok && Cell(rest) == s {
		return rest
	}
	return s
}
