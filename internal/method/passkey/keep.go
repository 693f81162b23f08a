package passkey

import (
	"crypto/sha256"
	"encoding/json"
	"slices"

	"github.com/signetid/signet/internal/idp"
)

// keep is what a ceremony remembers; the corridor seals it. Purpose keeps a
// registration's challenge out of a sign-in and the other way round, besides
// the type that the browser signs (T31).
type keep struct {
	Purpose   string     `json:"p"`
	Challenge []byte     `json:"c"`
	User      idp.UserID `json:"u,omitempty"` // whose keys were asked for
	Named     bool       `json:"n,omitempty"` // by a typed name: User is empty for a stranger
	Allow     [][]byte   `json:"a,omitempty"` // digests of the ids in allowCredentials
	Handle    []byte     `json:"h,omitempty"` // registration: the user handle sent
}

const (
	purposeSignIn   = "signin"
	purposeRegister = "register"
	purposeOnce     = "once" // the challenge was a server nonce; either ceremony
)

func (k keep) bytes() []byte {
	b, err := json.Marshal(k)
	if err != nil {
		panic(err) // strings and bytes only
	}
	return b
}

func parseKeep(raw []byte, purpose string) (keep, *idp.Error) {
	var k keep
	if err := json.Unmarshal(raw, &k); err != nil {
		return keep{}, idp.Unprovenf("ceremony_malformed", "kept state: %w", err)
	}
	if k.Purpose != purpose && k.Purpose != purposeOnce {
		return keep{}, idp.Unprovenf("wrong_ceremony", "ceremony is for %q", k.Purpose)
	}
	return k, nil
}

// listed is how allowCredentials is remembered: 16 bytes an id, since an id may
// have 1023.
func listed(id []byte) []byte {
	sum := sha256.Sum256(id)
	return sum[:16]
}

func (k keep) allows(id []byte) bool {
	want := listed(id)
	return slices.ContainsFunc(k.Allow, func(d []byte) bool { return slices.Equal(d, want) })
}
