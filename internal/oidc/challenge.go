package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
)

// checkChallenge wants PKCE with S256, always (RFC 9700, Section 2.1.1;
// security.md OAU02). An absent method would mean plain (RFC 7636, Section
// 4.3), which protects nothing against who can read the request.
func checkChallenge(challenge, method string) error {
	if challenge == "" {
		return missing("code_challenge")
	}
	if method != "S256" {
		return badRequest("code_challenge_method",
			"code_challenge_method must be S256.", "code challenge method %q", method)
	}
	// The challenge is a SHA-256 digest, in the one base64url form it has.
	raw, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(raw) != sha256.Size {
		return badRequest("code_challenge",
			"code_challenge must be the base64url SHA-256 digest of a code_verifier.", "code challenge of %d characters", len(challenge))
	}
	return nil
}

// needsChallenge says whether a code without a challenge is refused: always,
// but for those of built-in applications that are bound to a device, or where
// the tenant lets them do without (decisions 4.1; compat.brokerWithoutPkce). Our
// own programs always send one.
func needsChallenge(c client.Client, bound bool) bool {
	return !c.WithoutPKCE && !(c.BuiltIn && bound && c.ID != client.Agent && c.ID != client.MacSSO)
}

// checkVerifier follows RFC 7636, Sections 4.1 and 4.6.
func checkVerifier(verifier, challenge string) error {
	if verifier == "" {
		return fault(idp.Unproven, "invalid_grant", codeBadVerifier, "verifier_missing",
			"The code was requested with a code_challenge; send its code_verifier.", "no verifier")
	}
	if n := len(verifier); n < 43 || n > 128 || strings.ContainsFunc(verifier, notUnreserved) {
		return fault(idp.Unproven, "invalid_grant", codeBadVerifier, "malformed_verifier",
			"code_verifier must have 43 to 128 characters of A-Z a-z 0-9 - . _ ~.", "verifier of %d characters", len(verifier))
	}
	sum := sha256.Sum256([]byte(verifier))
	if !secret.Equal([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) {
		return fault(idp.Unproven, "invalid_grant", codeBadVerifier, "wrong_verifier",
			"The code_verifier does not match the code_challenge of the authorization request.", "verifier differs")
	}
	return nil
}

func notUnreserved(r rune) bool {
	return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' ||
		r == '-' || r == '.' || r == '_' || r == '~')
}
