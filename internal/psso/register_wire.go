package psso

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// The bounds of what a request of the registration may claim. Freshness comes
// from the nonce.
const (
	requestLives = 5 * time.Minute
	requestSkew  = time.Minute // a Mac's clock (apple-platform-sso.md §17)
)

// asked is one request of the registration on its way
// (docs/macos-registration.md).
type asked struct {
	tenant  idp.Tenant
	peer    signin.Peer
	at      string // path that it came to
	message jose.Loose
	nonce   nonce.Sealed
}

// publicKey is a key on P-256, and its name.
type publicKey struct {
	public *ecdsa.PublicKey
	id     pssowire.KeyID
}

// ask reads a request as far as nothing of it has to be believed.
func (s *Server) ask(w http.ResponseWriter, r *http.Request, path string) (asked, error) {
	a := asked{at: path, peer: peer(r)}
	var body pssowire.Envelope
	if err := web.ReadJSON(w, r, &body); err != nil {
		return a, err
	}
	var err error
	if a.tenant, err = s.tenant(r); err != nil {
		return a, err
	}
	if a.message, err = jose.ParseLoose(body.Request, "ES256"); err != nil {
		return a, malformed(idp.AsError(err).Reason, "%w", err)
	}
	return a, nil
}

// is says whether the request is of that type.
func (a asked) is(typ string) bool { return a.message.Type == strings.ToLower(typ) }

// wrongType refuses a request of a type that its address does not take.
func (a asked) wrongType() error { return malformed("typ_differs", "typ %q", clip(a.message.Type)) }

// claimed holds what all requests, and the proofs inside of them, claim against
// what they must. aud is the address, as the configuration spells it, and
// nothing besides.
func (s *Server) claimed(a asked, c pssowire.Signed) error {
	switch address := s.address(a.tenant.ID, a.at); {
	case !strings.EqualFold(c.Issuer, pssowire.ClientID):
		return malformed("client_differs", "iss %q", clip(c.Issuer))
	case !slices.Equal(c.Audience, []string{address}):
		return malformed("audience_differs", "aud %.200q", []string(c.Audience))
	case c.Issued == nil || c.Expires == nil:
		return malformed("times_missing", "no iat or no exp")
	}
	issued, ends, now := int64(*c.Issued), int64(*c.Expires), s.cfg.Now().Unix()
	skew := int64(requestSkew / time.Second)
	switch {
	case issued > now+skew:
		return malformed("request_early", "issued at %d, now %d", issued, now)
	case ends <= now-skew:
		return malformed("request_late", "ended at %d, now %d", ends, now)
	case ends < issued || ends-issued > int64(requestLives/time.Second):
		return malformed("request_long", "from %d to %d", issued, ends)
	}
	return nil
}

// key reads a key on P-256.
func key(field, text string) (publicKey, error) {
	pub, err := pssowire.ParsePoint(text)
	if err != nil {
		return publicKey{}, malformed("key_malformed", "%s: %w", field, err)
	}
	return publicKey{pub, pssowire.KeyOf(pub)}, nil
}

// signedBy makes sure that a message is signed by a key that it names.
func signedBy(m jose.Loose, k publicKey) error {
	named, err := pssowire.ParseKeyID(m.KeyID)
	if err != nil || named != k.id {
		return malformed("kid_differs", "kid %.80q, key %s", m.KeyID, k.id)
	}
	if err := m.VerifyKey(k.public); err != nil {
		return notHeld("signature", "%w", err)
	}
	return nil
}

// notHeld refuses a key whose private half was not shown to be there.
func notHeld(field, format string, args ...any) *Fault {
	f := fault(http.StatusBadRequest, idp.Invalid, wordRequest, codeSignature, "key_not_held", "A proof of a key does not verify.", format, args...)
	f.Cause.Field = field
	return f
}

// proven reads a proof inside of a request: a message of that type, by that key,
// made for this request on this device.
func (s *Server) proven(a asked, typ, text string, device pssowire.KeyID, nonce string, k publicKey) error {
	m, err := jose.ParseLoose(text, "ES256")
	if err != nil {
		return notHeld("proof", "%w", err)
	}
	if m.Type != strings.ToLower(typ) {
		return notHeld("proof", "typ %q", clip(m.Type))
	}
	if err := signedBy(m, k); err != nil {
		return err
	}
	var c pssowire.KeyProof
	if err := m.Read(&c); err != nil {
		return notHeld("proof", "%w", err)
	}
	if about, err := pssowire.ParseKeyID(c.Key); err != nil || about != k.id {
		return notHeld("proof", "about key %.80q", c.Key)
	}
	return s.sameRequest(a, c, device, nonce)
}

// sameRequest makes sure that a proof was made for the request around it, on this
// device.
func (s *Server) sameRequest(a asked, c pssowire.KeyProof, device pssowire.KeyID, nonce string) error {
	if err := s.claimed(a, c.Signed); err != nil {
		return err
	}
	if on, err := pssowire.ParseKeyID(c.Device); err != nil || on != device {
		return notHeld("proof", "made on device %.80q", c.Device)
	}
	if c.RequestNonce == "" || c.RequestNonce != nonce {
		return notHeld("proof", "made for another request")
	}
	return nil
}

// tokenHash holds the claim token_hash against the token that came with it.
func tokenHash(claim, token string) error {
	said, err := base64.RawURLEncoding.Strict().DecodeString(claim)
	sum := sha256.Sum256([]byte(token))
	if err != nil || !secret.Equal(said, sum[:]) {
		return idp.Unprovenf("token_other", "token_hash of %d characters is of another token", len(claim)).Coded(codeRevoked).
			Say("The request was made with another token.")
	}
	return nil
}

// spent refuses a nonce that was used before, early: what must happen once is
// said by the burn.
func (s *Server) spent(ctx context.Context, n nonce.Sealed) error {
	gone, err := nonce.Spent(ctx, s.cfg.DB, n)
	if err == nil && gone {
		err = badNonce("nonce_spent", "The nonce was used before. Ask for a new one.")
	}
	return err
}
