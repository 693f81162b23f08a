package jose

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// secureConversation is the label of all keys that are derived from a session
// key [K] (device-protocol.md §8.2).
const secureConversation = "AzureAD-SecureConversation"

// Derive gives the 32-byte key for one message: SP 800-108r1 §4.1, counter
// mode with HMAC-SHA-256, one block. Version 1 takes ctx for the context, version
// 2 the digest of ctx and the payload as it is sent (device-protocol.md §8.2).
// Any other version is taken for 2, the stricter. Answers always use version 1.
func Derive(sessionKey []byte, version int, ctx, payload []byte) []byte {
	return mac(sessionKey, KDFInput(version, ctx, payload))
}

// mac is the pseudo-random function.
func mac(key, input []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(input)
	return h.Sum(make([]byte, 0, sha256.Size))
}

// KDFInput is what Derive makes an HMAC over, for whoever has the session key in
// a TPM only.
func KDFInput(version int, ctx, payload []byte) []byte {
	var digest [sha256.Size]byte
	if version != 1 {
		h := sha256.New()
		h.Write(ctx)
		h.Write(payload)
		ctx = h.Sum(digest[:0])
	}
	out := make([]byte, 0, 4+len(secureConversation)+1+len(ctx)+4)
	out = binary.BigEndian.AppendUint32(out, 1)
	out = append(out, secureConversation...)
	out = append(out, 0)
	out = append(out, ctx...)
	return binary.BigEndian.AppendUint32(out, 8*sha256.Size)
}

// concat is one round of the Concat KDF (SP 800-56Ar3 §5.8.2.1) as RFC 7518,
// Section 4.6.2 has it: the key for enc of size bytes, 32 at most.
func concat(z []byte, enc string, apu, apv []byte, size int) []byte {
	in := binary.BigEndian.AppendUint32(nil, 1)
	in = append(in, z...)
	for _, part := range [][]byte{[]byte(enc), apu, apv} {
		in = binary.BigEndian.AppendUint32(in, uint32(len(part)))
		in = append(in, part...)
	}
	in = binary.BigEndian.AppendUint32(in, uint32(8*size))
	sum := sha256.Sum256(in)
	return sum[:size]
}
