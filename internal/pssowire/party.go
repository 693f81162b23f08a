package pssowire

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
)

// What party info begins with: the sender's in capitals, the receiver's not
// (§7.2) [A].
const (
	prefixU = "APPLE"
	prefixV = "Apple"
)

// MaxNonce is the longest nonce of a Mac, in bytes; it sends 36.
const MaxNonce = 128

// PartyU is PartyUInfo: the sender's ephemeral key, an uncompressed point. It is
// jose.Agreement's APU.
func PartyU(point []byte) []byte { return info(prefixU, point) }

// PartyV is PartyVInfo: the device's encryption key, an uncompressed point, and
// the nonce of the request.
func PartyV(point []byte, nonce string) []byte { return info(prefixV, point, []byte(nonce)) }

// IsPartyU says whether apu is what it must be for an ephemeral key.
func IsPartyU(point, apu []byte) bool { return bytes.Equal(apu, PartyU(point)) }

// info writes parts, each after its length in four bytes, big-endian.
func info(prefix string, parts ...[]byte) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(prefix))), prefix...)
	for _, p := range parts {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(p))), p...)
	}
	return out
}

// ForDevice is what PartyVInfo says.
type ForDevice struct {
	Key   *ecdsa.PublicKey // the encryption key, on P-256
	ID    KeyID            // its id
	Nonce string           // 1 to MaxNonce bytes of UTF-8
	Raw   []byte           // as it was sent
}

// ParsePartyV reads the member apv of a request, base64: one prefix, one point on
// P-256, one nonce and nothing behind. Errors are Invalid, "apv_malformed".
func ParsePartyV(text string) (ForDevice, error) {
	raw, err := decode(text, maxParty)
	if err != nil {
		return ForDevice{}, badParty("%w", err)
	}
	parts, ok := split(raw)
	if !ok || len(parts) != 3 || string(parts[0]) != prefixV {
		return ForDevice{}, badParty("%d bytes, which are not a prefix, a key and a nonce", len(raw))
	}
	key, err := uncompressed(parts[1])
	if err != nil {
		return ForDevice{}, badParty("%w", err)
	}
	nonce := parts[2]
	if len(nonce) == 0 || len(nonce) > MaxNonce || !utf8.Valid(nonce) {
		return ForDevice{}, badParty("nonce of %d bytes", len(nonce))
	}
	return ForDevice{Key: key, ID: KeyOf(key), Nonce: string(nonce), Raw: raw}, nil
}

// maxParty is more than party info takes, in bytes.
const maxParty = 512

func badParty(format string, args ...any) error {
	return idp.Invalidf("apv_malformed", format, args...).Say("jwe_crypto.apv is not what a Mac writes.")
}

// split undoes info; false when lengths and bytes do not agree.
func split(raw []byte) (parts [][]byte, ok bool) {
	for len(raw) > 0 {
		if len(raw) < 4 {
			return nil, false
		}
		n := int64(binary.BigEndian.Uint32(raw))
		if raw = raw[4:]; n > int64(len(raw)) {
			return nil, false
		}
		parts, raw = append(parts, raw[:n]), raw[n:]
	}
	return parts, true
}
