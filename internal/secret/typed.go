package secret

import "strings"

// TypedAlphabet is what codes that people type are made of: 32 characters, so
// that a random byte gives one without bias, and none that is taken for
// another: no I, L, O or U (Crockford's base 32).
const TypedAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// Typed makes a code of n characters, five bits each.
func Typed(n int) string {
	b := Bytes(n)
	for i := range b {
		b[i] = TypedAlphabet[b[i]&31]
	}
	return string(b)
}

// Spell groups a code for the eye: "K7QF-2M9X-4B8D".
func Spell(code string) string {
	var b strings.Builder
	for i, r := range code {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// ReadTyped reads a code of at most that many characters as somebody typed it:
// letters of either case, groups set apart by spaces or dashes, and O, I and L
// for the digits that they look like. It is false for what no code can be.
func ReadTyped(typed string, most int) (string, bool) {
	var b strings.Builder
	for _, r := range typed {
		switch {
		case r == ' ' || r == '-' || r == '\u00a0' || r == '\u2011' || r == '\u2013' || r == '\t':
			continue
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		switch r {
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if !strings.ContainsRune(TypedAlphabet, r) || b.Len() == most {
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), true
}
