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

// maxKeys is how many keys a person may hold, whatever a tenant's limit says
// (security.md DEV12). Chromium refuses a list of more than 64 altogether.
const maxKeys = 50

// listSizes are how many ids a list may have in a tenant that allows limit keys.
// The last is at least limit; the rest of what somebody holds is not listed.
func listSizes(limit int) []int {
	if limit > 20 {
		return []int{4, 8, 20, maxKeys}
	}
	return []int{4, 8, 20}
}

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

// cover fills real, oldest first, up for a name that was folded, in a tenant
// that allows limit keys. It does the same work whatever real holds.
func cover(key, marks *secret.Key, folded string, real [][]byte, limit int) [][]byte {
	seed := key.MAC([]byte("passkey decoy"), []byte(folded))
	sizes := listSizes(limit)
	last := sizes[len(sizes)-1]
	decoys := make([][]byte, last)
	for i := range decoys {
		sum := sha512.Sum512(binary.BigEndian.AppendUint32(slices.Clone(seed), uint32(i)))
		more := sha512.Sum512(sum[:])
		decoys[i] = more[:decoyLengths[int(sum[0])%len(decoyLengths)]]
		copy(decoys[i][len(decoys[i])-markSize:], mark(marks, decoys[i]))
	}
	real = real[max(0, len(real)-last):]
	size := listSize(seed, len(real), sizes)
	out := slices.Concat(real, decoys[:size-len(real)])
	slices.SortFunc(out, func(a, b []byte) int {
		return cmp.Or(bytes.Compare(a, b), cmp.Compare(len(a), len(b)))
	})
	return out
}

// listSize is the size of the list of a name: nine of ten names have the
// shortest, unless they hold more keys.
func listSize(seed []byte, real int, sizes []int) int {
	at := 0
	switch draw := seed[len(seed)-1]; {
	case draw == 255:
		at = len(sizes) - 1
	case draw >= 253:
		at = 2
	case draw >= 230:
		at = 1
	}
	for sizes[at] < real {
		at++
	}
	return sizes[at]
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
