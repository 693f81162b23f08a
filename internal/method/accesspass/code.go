package accesspass

import "github.com/signetid/signet/internal/secret"

const (
	minLength   = 8  // POL04
	maxLength   = 48 // entra-behaviours §11
	selectorLen = 4  // decisions 1.5
)

// normal reads what somebody typed. It is false for what no code can be.
func normal(typed string) (string, bool) {
	code, ok := secret.ReadTyped(typed, maxLength)
	return code, ok && len(code) >= minLength
}
