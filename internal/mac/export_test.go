package mac

import "github.com/signetid/signet/internal/secret"

// ContextOf and OpenContext are how contexts of unlock keys are made and read.
func ContextOf(h Holder, key *secret.Key, id string) string {
	return Provisioned{holder: h, key: key, id: id}.context()
}

// OpenContext is described at ContextOf.
func OpenContext(h Holder, key *secret.Key, text string) (string, error) { return h.open(key, text) }
