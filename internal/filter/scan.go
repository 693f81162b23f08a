package filter

import "strings"

type tokenKind int

const (
	endToken  tokenKind = iota
	nameToken           // a word, number or time
	signToken           // one of ( ) , :
	textToken           // 'text', unquoted
)

type token struct {
	kind tokenKind
	text string
	pos  int
}

// scan cuts the text into tokens; the last is endToken.
func scan(s string) ([]token, error) {
	var out []token
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t':
			i++
		case c == '\'':
			text, n, ok := quoted(s[i:])
			if !ok {
				return nil, invalid("the text that begins at position %d has no end", i+1)
			}
			out = append(out, token{textToken, text, i})
			i += n
		case strings.IndexByte("(),", c) >= 0:
			out = append(out, token{signToken, s[i : i+1], i})
			i++
		case isName(c):
			n := i
			for n < len(s) && (isName(s[n]) || s[n] == ':' && timely(s[i:n])) {
				n++
			}
			out = append(out, token{nameToken, s[i:n], i})
			i = n
		case c == ':':
			out = append(out, token{signToken, ":", i})
			i++
		default:
			return nil, invalid("the character at position %d is not allowed", i+1)
		}
	}
	return append(out, token{kind: endToken, pos: len(s)}), nil
}

// quoted reads 'text', where a quote is doubled, and says how long it was.
func quoted(s string) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '\'' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		return b.String(), i + 1, true
	}
	return "", 0, false
}

func isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_-./@#+", c) >= 0
}

// timely says whether a colon may go on after s: in a time, which begins with
// a digit.
func timely(s string) bool { return s[0] >= '0' && s[0] <= '9' }
