package prt

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// A value is "1." and base64url of tenant (16) ‖ sealed, where sealed is
// AES-256-GCM of id (16) ‖ generation (8) ‖ session key (32, or none; of a Mac
// one byte that says so), bound to epoch and tenant. It uses the letters that all clients carry unharmed
// (device-protocol.md §0 fact 7), and has one dot, so that it is no JWT.
const (
	valuePrefix    = "1."
	maxValue       = 1 << 10 // decisions 3.3
	idSize         = 16
	sessionKeySize = 32
	plainSize      = idSize + 8 // without the session key
	ofMac          = 'm'        // what stands in a session key's place
)

// purpose names the sealing key.
const purpose = "prt"

func (s *Service) key(ctx context.Context, t idp.TenantID) (*secret.Key, error) {
	key, err := s.cfg.Keys.Sealing(ctx, t, purpose)
	if err != nil {
		return nil, fmt.Errorf("sealing key %s: %w", purpose, err)
	}
	return key, nil
}

// seal makes the value of p's current generation. Two of one generation are
// spelled differently and are the same PRT.
func (s *Service) seal(key *secret.Key, p PRT, sessionKey []byte) (string, error) {
	tenant, ok := guid(string(p.Tenant))
	if !ok {
		return "", fmt.Errorf("tenant id %q is no GUID", p.Tenant)
	}
	id, ok := guid(string(p.ID))
	if !ok {
		return "", fmt.Errorf("prt id %q is no GUID", p.ID)
	}
	plain := make([]byte, 0, plainSize+sessionKeySize)
	plain = append(plain, id[:]...)
	plain = binary.BigEndian.AppendUint64(plain, uint64(p.Generation))
	if plain = append(plain, sessionKey...); p.Protocol == Mac {
		plain = append(plain, ofMac)
	}
	sealed := key.Seal(plain, s.aad(tenant))
	raw := append(make([]byte, 0, idSize+len(sealed)), tenant[:]...)
	raw = append(raw, sealed...)
	out := append(make([]byte, 0, len(valuePrefix)+base64.RawURLEncoding.EncodedLen(len(raw))), valuePrefix...)
	return string(base64.RawURLEncoding.AppendEncode(out, raw)), nil
}

// aad is what a value is bound to.
func (s *Service) aad(tenant [idSize]byte) []byte {
	a := binary.BigEndian.AppendUint64(make([]byte, 0, 8+idSize+len(purpose)), uint64(s.cfg.Epoch()))
	return append(append(a, tenant[:]...), purpose...)
}

// blob is an opened value.
type blob struct {
	id         idp.SessionID
	generation int64
	sessionKey []byte
	mac        bool
}

// open reads a value of the tenant. Whatever is wrong with it, it is
// "prt_unreadable": of another tenant or epoch, bent, or never ours.
func (s *Service) open(ctx context.Context, t idp.TenantID, value string) (blob, *secret.Key, error) {
	unreadable := func() (blob, *secret.Key, error) {
		return blob{}, nil, idp.Expiredf("prt_unreadable", "value of %d bytes", len(value)).Coded(codeUnreadable)
	}
	tenant, sealed, ok := split(value)
	if own, is := guid(string(t)); !ok || !is || own != tenant {
		return unreadable()
	}
	key, err := s.key(ctx, t)
	if errors.Is(err, idp.NotFound) {
		return unreadable()
	}
	if err != nil {
		return blob{}, nil, err
	}
	plain, err := key.Open(sealed, s.aad(tenant))
	if err != nil || !shaped(plain) {
		return unreadable()
	}
	b := blob{id: idp.SessionID(guidText([idSize]byte(plain))), generation: int64(binary.BigEndian.Uint64(plain[idSize:]))}
	switch len(plain) {
	case plainSize + 1:
		b.mac = true
	case plainSize + sessionKeySize:
		b.sessionKey = plain[plainSize:]
	}
	return b, key, nil
}

// shaped says whether what was sealed is as long as one of ours.
func shaped(plain []byte) bool {
	switch len(plain) {
	case plainSize, plainSize + sessionKeySize:
		return true
	}
	return len(plain) == plainSize+1 && plain[plainSize] == ofMac
}

// split takes a value apart that is spelled as we spell them.
func split(value string) (tenant [idSize]byte, sealed []byte, ok bool) {
	text, ours := strings.CutPrefix(value, valuePrefix)
	// The decoder passes over line breaks.
	if !ours || len(value) > maxValue || strings.ContainsAny(text, "\r\n") {
		return tenant, nil, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) <= idSize {
		return tenant, nil, false
	}
	return [idSize]byte(raw), raw[idSize:], true
}

// Tenant reads out of a value whose it says it is, unverified: only a way to
// the key.
func Tenant(value string) (idp.TenantID, bool) {
	tenant, _, ok := split(value)
	if !ok {
		return "", false
	}
	return idp.TenantID(guidText(tenant)), true
}

// guid is the bytes of an id, in its one spelling.
func guid(text string) (id [idSize]byte, ok bool) {
	if len(text) != 36 {
		return id, false
	}
	plain := text[:8] + text[9:13] + text[14:18] + text[19:23] + text[24:]
	if n, err := hex.Decode(id[:], []byte(plain)); err != nil || n != idSize {
		return id, false
	}
	return id, guidText(id) == text
}

func guidText(id [idSize]byte) string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
