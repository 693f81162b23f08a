package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// Form is how assertions of one kind look.
type Form int

// The forms. A message of one is none of another.
const (
	Hello       Form = iota // the broker's, by a key of a Hello container
	Certificate             // the broker's, by the key of a certificate
	MacKey                  // a Mac's, by a key of its Secure Enclave
	MacCard                 // a Mac's, by the key of a smart card
)

// Mac says whether it is one of macOS Platform SSO.
func (f Form) Mac() bool { return f == MacKey || f == MacCard }

// Assertion is what an assertion says, before anybody has verified it.
type Assertion struct {
	Form    Form
	Message jose.Loose
	// Key is the kid, 32 bytes: of a Hello key and of a Mac's. A card's may be
	// nil, for it means something only with a key on P-256.
	Key []byte
	Claims
}

// Claims are the members that are read. Times are Unix seconds, numbers or, from
// some clients, in strings.
type Claims struct {
	Issuer       string       `json:"iss"` // a user name
	Audience     jose.Strings `json:"aud"` // one
	Issued       *jose.Number `json:"iat"`
	Expires      *jose.Number `json:"exp"`
	RequestNonce string       `json:"request_nonce"` // the server's

	// Only of a Mac's.
	Subject string `json:"-"`
	Nonce   string `json:"-"` // the Mac's own
	Scope   string `json:"-"`
}

// Read reads an assertion of a form, whose algorithm is among algs. Errors are
// Unproven.
func Read(form Form, payload []byte, algs ...string) (Assertion, *idp.Error) {
	m, err := jose.ParseLoose(string(payload), algs...)
	if err != nil {
		return Assertion{}, idp.AsError(err)
	}
	a := Assertion{Form: form, Message: m}
	if fault := a.header(); fault != nil {
		return Assertion{}, fault
	}
	if err := a.read(); err != nil {
		return Assertion{}, idp.AsError(err)
	}
	return a, nil
}

// read decodes the claims. What only a Mac's has to have may be anything in the
// broker's, where it is the client's affair.
func (a *Assertion) read() error {
	if !a.Form.Mac() {
		return a.Message.Read(&a.Claims)
	}
	var own struct {
		Claims
		Subject string `json:"sub"`
		Nonce   string `json:"nonce"`
		Scope   string `json:"scope"`
	}
	if err := a.Message.Read(&own); err != nil {
		return err
	}
	a.Claims = own.Claims
	a.Subject, a.Nonce, a.Scope = own.Subject, own.Nonce, own.Scope
	return nil
}

// useHello is what the header must say of a Hello key's use (device-protocol.md
// §7.2).
const useHello = "ngc"

// header checks what the header has, and has not: no message of one kind passes
// for one of another (device-protocol.md §15, "Hello downgrade").
func (a *Assertion) header() *idp.Error {
	m := a.Message
	if a.Form.Mac() {
		return a.macHeader()
	}
	members := []string{"alg", "typ", "kid", "use"}
	if a.Form == Certificate {
		members = []string{"alg", "typ", "x5c"}
	}
	if err := m.Only(members...); err != nil {
		return idp.AsError(err)
	}
	if a.Form == Certificate {
		return a.chain()
	}
	if m.Use != useHello {
		return idp.Unprovenf("key_use", "use is %.40q", m.Use)
	}
	return a.kid()
}

func (a *Assertion) chain() *idp.Error {
	if len(a.Message.Chain) == 0 {
		return idp.Unprovenf("chain_missing", "header without x5c")
	}
	return nil
}

func (a *Assertion) kid() *idp.Error {
	raw, err := jose.Unbase64(a.Message.KeyID)
	if err != nil || len(raw) != sha256.Size {
		return idp.Unprovenf("kid_malformed", "kid %.80q", a.Message.KeyID)
	}
	a.Key = raw
	return nil
}

// macHeader is for Macs, whose extensions may add members of their own: only
// what marks a message of the other protocol is refused.
func (a *Assertion) macHeader() *idp.Error {
	m := a.Message
	switch {
	case m.Type != strings.ToLower(pssowire.TypeAssertion) && m.Type != strings.ToLower(pssowire.TypeOld):
		return idp.Unprovenf("assertion_type", "typ is %.60q", m.Type)
	case m.Use != "" || m.Ctx != nil || m.KDF != 0:
		return idp.Unprovenf("header_refused", "header has use, ctx or kdf_ver")
	case a.Form == MacCard:
		a.Key, _ = jose.Unbase64(m.KeyID)
		return a.chain()
	case len(m.Chain) > 0:
		return idp.Unprovenf("header_refused", "assertion of a key has x5c")
	}
	return a.kid()
}

// Verify checks the signature. A card's key on P-256 must be the one that kid
// names, too. Errors are Unproven.
func (a Assertion) Verify(pub crypto.PublicKey) error {
	if err := a.Message.VerifyKey(pub); err != nil {
		return err
	}
	if key, ok := pub.(*ecdsa.PublicKey); ok && a.Form.Mac() {
		if id := pssowire.KeyOf(key); a.Message.KeyID != "" && !slices.Equal(a.Key, id[:]) {
			return idp.Unprovenf("kid_differs", "kid %.80q, and the key is %s", a.Message.KeyID, id)
		}
	}
	return nil
}

// OfMac says which form a Mac's assertion has, unread: MacCard when it brings
// certificates. Errors are Unproven; "password_refused" is for what is encrypted.
func OfMac(payload []byte) (Form, *idp.Error) {
	if strings.Count(string(payload), ".") == 4 {
		return 0, idp.Unprovenf("password_refused", "the assertion is encrypted: a password")
	}
	m, err := jose.ParseLoose(string(payload), "ES256", "RS256", "RS384", "RS512")
	if err != nil {
		return 0, idp.AsError(err)
	}
	if len(m.Chain) > 0 {
		return MacCard, nil
	}
	return MacKey, nil
}
