package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
)

// Key is a public key that somebody registered.
type Key struct {
	ID   string
	Algs []string // what it may verify
	Key  crypto.PublicKey
}

// maxKeys bounds a registered set.
const maxKeys = 20

// ParseKeys reads a JWKS that a client registers: public signature keys only,
// of the sizes that we accept (security.md TOK07). Errors are Invalid.
func ParseKeys(raw []byte) ([]Key, error) {
	var set jose.JSONWebKeySet
	if err := Strict(raw, &set); err != nil {
		return nil, err
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxKeys {
		return nil, idp.Invalidf("key_count", "%d keys", len(set.Keys)).On("jwks").Say("The key set must hold 1 to 20 keys.")
	}
	var out []Key
	named := map[string]bool{}
	for _, k := range set.Keys {
		if k.KeyID != "" && named[k.KeyID] {
			return nil, idp.Invalidf("key_name_twice", "two keys are called %q", k.KeyID).On("jwks").
				Say("Two keys of the set have the same kid. Give each its own.")
		}
		named[k.KeyID] = true
		if !k.IsPublic() {
			return nil, idp.Invalidf("private_key", "key %q is not a public key", k.KeyID).On("jwks").
				Say("Register the public key alone; the private key stays with the application.")
		}
		algs, err := Usable(k.Key)
		if err != nil {
			return nil, err
		}
		if k.Algorithm != "" {
			if !slices.Contains(algs, k.Algorithm) {
				return nil, idp.Invalidf("key_algorithm", "key %q says %q", k.KeyID, k.Algorithm).On("jwks").
					Say("A key names an algorithm that does not fit it.")
			}
			algs = []string{k.Algorithm}
		}
		if k.Use != "" && k.Use != "sig" {
			continue // an encryption key may stand beside
		}
		out = append(out, Key{ID: k.KeyID, Algs: algs, Key: k.Key})
	}
	if len(out) == 0 {
		return nil, idp.Invalidf("no_signature_key", "no key for signatures").On("jwks").Say("The key set has no signature key.")
	}
	return out, nil
}

// Usable says which algorithms a public key may verify, or why it may not be
// used at all.
func Usable(key crypto.PublicKey) ([]string, error) {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
			return []string{"ES256"}, nil
		case elliptic.P384():
			return []string{"ES384"}, nil
		}
		return nil, refused("curve %s", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	case *rsa.PublicKey:
		if bits := k.N.BitLen(); bits < 2048 || bits > 8192 {
			return nil, refused("RSA key of %d bits", bits)
		}
		if k.E < 65537 || int64(k.E) >= 1<<32 || k.E%2 == 0 {
			return nil, refused("RSA exponent %d", k.E)
		}
		if roca(k.N) {
			return nil, refused("RSA key of a generator that can be factored (ROCA)")
		}
		return []string{"RS256", "PS256"}, nil
	}
	return nil, refused("key of type %T", key)
}

func refused(format string, args ...any) error {
	return idp.Invalidf("key_refused", format, args...).On("jwks").
		Say("Accepted are P-256, P-384, Ed25519, and RSA keys of 2048 to 8192 bits.")
}

// Find picks the one key that a message may be verified with: by its name when
// it names one, else the only key that fits its algorithm. Never a trial of all.
func Find(keys []Key, m Message) (Key, error) {
	var fits []Key
	for _, k := range keys {
		if slices.Contains(k.Algs, m.Alg) && (m.KeyID == "" || m.KeyID == k.ID) {
			fits = append(fits, k)
		}
	}
	if len(fits) != 1 {
		return Key{}, idp.Unprovenf("key_unknown", "%d registered keys for %s", len(fits), m.Alg)
	}
	return fits[0], nil
}
