package accesspass

import (
	"strings"

	"github.com/signetid/signet/internal/secret"
)

// alphabet has 32 characters, so that a random byte gives one without bias,
// and none that is taken for another: no I, L, O or U (Crockford's base 32).
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const (
	minLength   = 8  // POL04
	maxLength   = 48 // entra-behaviours §11
	selectorLen = 4  // decisions 1.5
)

// newCode makes a code of n characters.
func newCode(n int) string {
	b := secret.Bytes(n)
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b)
}

// spell groups a code for the eye: "K7QF-2M9X-4B8D".
func spell(code string) string {
	var b strings.Builder
	for i, r := range code {
		if i > 0 && i%4 == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// normal reads what somebody typed: letters of either case, groups set apart
// by spaces or dashes, and O, I and L for the digits that they look like. It
// is false for what no code can be.
func normal(typed string) (string, bool) {
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
		if !strings.ContainsRune(alphabet, r) || b.Len() == maxLength {
			return "", false
		}
		b.WriteRune(r)
	}
	return b.String(), b.Len() >= minLength
}
