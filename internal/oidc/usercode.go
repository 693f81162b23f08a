package oidc

import (
	"context"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// A user code is nine letters out of twenty: consonants, so that no word comes
// of them, and none that is taken for another or for a digit (RFC 8628, Section
// 6.1). That is 20^9 codes, 5 · 10^11 (security.md OAU12 asks for 20^8).
const (
	codeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	codeLength  = 9
	codeGroup   = 3
)

// newUserCode draws a code, evenly over all there are.
func newUserCode() string {
	const even = 256 - 256%len(codeLetters) // bytes from here on would favour the first letters
	out := make([]byte, 0, codeLength)
	for len(out) < codeLength {
		for _, b := range secret.Bytes(2 * codeLength) {
			if int(b) < even && len(out) < codeLength {
				out = append(out, codeLetters[int(b)%len(codeLetters)])
			}
		}
	}
	return string(out)
}

// shownCode is a code as people read it: BCD-FGH-JKL.
func shownCode(code string) string {
	var parts []string
	for i := 0; i < len(code); i += codeGroup {
		parts = append(parts, code[i:min(i+codeGroup, len(code))])
	}
	return strings.Join(parts, "-")
}

// typedCode reads what somebody typed: in any letter case, with whatever stands
// between the letters. What can be no code is empty.
func typedCode(typed string) string {
	if len(typed) > 64 {
		return ""
	}
	var out []byte
	for _, r := range strings.ToUpper(typed) {
		switch {
		case r < 0x80 && strings.IndexByte(codeLetters, byte(r)) >= 0:
			out = append(out, byte(r))
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return "" // a letter or digit that no code has
		}
	}
	if len(out) != codeLength {
		return ""
	}
	return string(out)
}

// purposeUserCode names the sealing key for the HMAC of user codes: they are
// too short to be kept as a digest (decisions 1.5).
const purposeUserCode = "usercode"

// codeMAC is what is kept of a code. It may have to make the tenant's key, so it
// must not be called in a transaction.
func (s *Server) codeMAC(ctx context.Context, t idp.TenantID, code string) ([]byte, error) {
	key, err := s.cfg.Keys.Sealing(ctx, t, purposeUserCode)
	if err != nil {
		return nil, err
	}
	return key.MAC([]byte(code)), nil
}
