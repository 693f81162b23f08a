package oddclient

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"
)

// label of every derived key (device-protocol.md §8.2).
const label = "AzureAD-SecureConversation"

// counterKDF is SP 800-108 in counter mode with a 32-bit counter before the
// fixed input: bits of output, a multiple of 8.
func counterKDF(prf func() hash.Hash, key, fixed []byte, bits int) []byte {
	var out []byte
	for i := uint32(1); len(out)*8 < bits; i++ {
		m := hmac.New(prf, key)
		m.Write(binary.BigEndian.AppendUint32(nil, i))
		m.Write(fixed)
		out = m.Sum(out)
	}
	return out[:bits/8]
}

// prfs are the functions that the published vectors use.
var prfs = map[string]func() hash.Hash{"HMAC_SHA256": sha256.New, "HMAC_SHA384": sha512.New384, "HMAC_SHA512": sha512.New}

// fixedInput is label, a zero byte, context and the length in bits.
func fixedInput(context []byte) []byte {
	fixed := append([]byte(label), 0)
	fixed = append(fixed, context...)
	return binary.BigEndian.AppendUint32(fixed, 256)
}

// contextV2 binds the derived key to what it signs.
func contextV2(ctx, payload []byte) []byte {
	sum := sha256.Sum256(append(append([]byte(nil), ctx...), payload...))
	return sum[:]
}

// derive makes the key for one message. Version 1 knows ctx only; version 2
// takes the decoded payload as it was sent.
func derive(version int, session, ctx, payload []byte) ([]byte, error) {
	context := ctx
	switch version {
	case 1:
	case 2:
		context = contextV2(ctx, payload)
	default:
		return nil, fmt.Errorf("there is no key derivation %d", version)
	}
	return counterKDF(sha256.New, session, fixedInput(context), 256), nil
}
