package passkey

import (
	"bytes"
	"cmp"
	"crypto/elliptic"
	"crypto/sha512"
	"encoding/binary"
	"slices"

	"github.com/go-webauthn/webauthn/protocol/webauthncbor"

	"github.com/signetid/signet/internal/secret"
)

// A typed name is answered by a list of credential ids whether or not somebody
// has that name (WAN10; WebAuthn Level 3, §14.6.2). The list is made so that the
// two cannot be told apart: it always has one of three sizes, the places that
// real keys do not fill are filled by decoys, all are sorted, and none tells its
// transports. Decoys depend on the name, folded as the directory folds it, and on
// a secret of the tenant, so that asking twice gives the same answer, and another
// spelling gives another one only where it is another name.
//
// Nobody has a decoy, and yet it must be answered as somebody's key is wherever
// an id is asked about later, where no name and no list is at hand. So each ends
// in a mark, a MAC of what stands before it. What remains: an id of an unusual
// length is likely real.

// decoyLengths are those of real ids, about as often as they are met:
// password managers and Google 16, Apple 20, Windows and others 32, keys 48
// and 64.
var decoyLengths = []int{16, 16, 20, 20, 20, 32, 32, 32, 48, 64}

// listSizes are how many ids a list may have; the last is at least the highest
// number of keys a tenant may allow a person (the rest would not be listed).
var listSizes = []int{4, 8, 20}

// markSize is how many bytes at the end of a decoy are its mark. An authenticator
// draws one by chance once in 2^64 ids; its owner is told to try again.
const markSize = 8

// mark is how a decoy with the bytes of id ends.
func mark(key *secret.Key, id []byte) []byte {
	return key.MAC([]byte("passkey decoy mark"), id[:len(id)-markSize])[:markSize]
}

// marked says that id is a decoy.
func marked(key *secret.Key, id []byte) bool {
	return len(id) > markSize && secret.Equal(id[len(id)-markSize:], mark(key, id))
}

// cover fills real up for a name that was folded. It does the same work whatever
// real holds.
func cover(key, marks *secret.Key, folded string, real [][]byte) [][]byte {
	seed := key.MAC([]byte("passkey decoy"), []byte(folded))
	decoys := make([][]byte, listSizes[len(listSizes)-1])
	for i := range decoys {
		sum := sha512.Sum512(binary.BigEndian.AppendUint32(slices.Clone(seed), uint32(i)))
		more := sha512.Sum512(sum[:])
		decoys[i] = more[:decoyLengths[int(sum[0])%len(decoyLengths)]]
		copy(decoys[i][len(decoys[i])-markSize:], mark(marks, decoys[i]))
	}
	if last := listSizes[len(listSizes)-1]; len(real) > last {
		real = real[:last]
	}
	size := listSize(seed, len(real))
	out := slices.Concat(real, decoys[:size-len(real)])
	slices.SortFunc(out, func(a, b []byte) int {
		return cmp.Or(bytes.Compare(a, b), cmp.Compare(len(a), len(b)))
	})
	return out
}

// listSize is the size of the list of a name: nine of ten names have the
// shortest, unless they hold more keys.
func listSize(seed []byte, real int) int {
	size := listSizes[0]
	switch draw := seed[len(seed)-1]; {
	case draw >= 253:
		size = listSizes[2]
	case draw >= 230:
		size = listSizes[1]
	}
	for _, s := range listSizes {
		if size < real && s > size {
			size = s
		}
	}
	return size
}

// decoyCOSE is an ES256 key to verify with when there is none: the base point
// of P-256. What it verifies is never believed.
func decoyCOSE() []byte {
	p := elliptic.P256().Params()
	cose, err := webauthncbor.Marshal(map[int64]any{
		1: 2, 3: algES256, -1: 1,
		-2: p.Gx.FillBytes(make([]byte, 32)), -3: p.Gy.FillBytes(make([]byte, 32)),
	})
	if err != nil {
		panic(err) // integers and bytes only
	}
	return cose
}
