package hello

import "crypto"

// ParseKey is what a registration reads, for tests and fuzzing.
func ParseKey(raw []byte) (public crypto.PublicKey, kid []byte, err error) {
	k, err := parseKey(raw)
	return k.public, k.kid, err
}

// Decoy is the key that stands in for one that nobody has.
func (m *Room) Decoy(alg string) crypto.PublicKey { return m.decoys[alg] }
