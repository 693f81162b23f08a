package method

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// CleanName makes of what somebody typed a name that can stand in any list: no
// control, format or bidirectional characters (they can make one name read as
// another), white space in single spaces, at most so many bytes.
func CleanName(s string, most int) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	for len(s) > most {
		_, last := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-last]
	}
	return strings.TrimSpace(s)
}
