package securitykey

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/fxamacker/cbor/v2"
)

// Passkey is one that a security key keeps for a site.
type Passkey struct {
	ID   []byte // credential id
	User []byte // user handle
	Name string // as the site called the person; may be empty
}

// Question is what a page asks a key to sign (WebAuthn Level 3, §5.1.4).
type Question struct {
	RPID   string
	Origin string // of the page: https://id.example.com
	// Challenge is the bytes to be signed; client data has their base64url.
	Challenge []byte
}

// Assertion is an AuthenticationResponseJSON (WebAuthn Level 3, §5.1). Values
// are base64url without padding.
type Assertion struct {
	ID       string `json:"id"`
	RawID    string `json:"rawId"`
	Type     string `json:"type"` // "public-key"
	Response struct {
		ClientData string `json:"clientDataJSON"`
		AuthData   string `json:"authenticatorData"`
		Signature  string `json:"signature"`
		User       string `json:"userHandle"`
	} `json:"response"`
}

// ErrNoPasskey says that the key at hand has no passkey that fits.
var ErrNoPasskey = errors.New("this security key has no passkey for this site: take the key that you registered there, or register this one first")

// List gives the passkeys that the key at d keeps for a site. The key asks for
// its PIN: whom it belongs to is not for whoever finds it.
func List(ctx context.Context, t Terminal, d Device, rpID string) ([]Passkey, error) {
	if err := siteName(rpID); err != nil {
		return nil, err
	}
	in, who := t.pin()
	out, err := run(ctx, in, who, tokenTool, "-L", "-k", rpID, d.Path)
	if err != nil {
		if said := (*toolError)(nil); errors.As(err, &said) && strings.Contains(said.said, "FIDO_ERR_NO_CREDENTIALS") {
			return nil, ErrNoPasskey
		}
		return nil, err
	}
	all := parsePasskeys(out)
	if len(all) == 0 {
		return nil, ErrNoPasskey
	}
	return all, nil
}

// parsePasskeys reads what fido2-token -L -k prints, a line each: a number and
// a colon, the credential id, the name, the user handle, the type of the key
// and how it is guarded. Names have spaces, or are not there ("(null)"). The
// manual page does not describe this line [I]: it is that of 1.12, and lines of
// another form are passed over.
func parsePasskeys(out []byte) []Passkey {
	var all []Passkey
	for line := range strings.Lines(string(out)) {
		words := strings.Split(strings.TrimRight(line, "\r\n"), " ")
		if len(words) < 5 || !strings.HasSuffix(words[0], ":") {
			continue
		}
		id, err := base64.StdEncoding.Strict().DecodeString(words[1])
		user, uerr := base64.StdEncoding.Strict().DecodeString(words[len(words)-3])
		if err != nil || uerr != nil || len(id) == 0 || len(user) == 0 {
			continue
		}
		name := strings.Join(words[2:len(words)-3], " ")
		if name == "(null)" {
			name = ""
		}
		all = append(all, Passkey{ID: id, User: user, Name: strings.ToValidUTF8(name, "?")})
	}
	return all
}

// Get has one passkey on the key at d sign, after the key has verified who
// holds it by its PIN. ErrNoPasskey: the key has no such passkey.
func Get(ctx context.Context, t Terminal, d Device, q Question, p Passkey) (Assertion, error) {
	if err := siteName(q.RPID); err != nil {
		return Assertion{}, err
	}
	client, err := clientData("webauthn.get", base64.RawURLEncoding.EncodeToString(q.Challenge), q.Origin)
	if err != nil {
		return Assertion{}, err
	}
	hash := sha256.Sum256(client)
	std := base64.StdEncoding.EncodeToString
	if t.Say != nil {
		t.Say("Touch the key when it blinks.")
	}
	form := strings.Join([]string{std(hash[:]), q.RPID, std(p.ID), ""}, "\n")
	out, err := withForm(ctx, t, []byte(form), assertTool, func(path string) []string { return []string{"-G", "-v", "-i", path, d.Path} })
	if err != nil {
		if said := (*toolError)(nil); errors.As(err, &said) && strings.Contains(said.said, "FIDO_ERR_NO_CREDENTIALS") {
			return Assertion{}, ErrNoPasskey
		}
		return Assertion{}, err
	}
	got, err := parseSigned(out)
	if err != nil {
		return Assertion{}, fmt.Errorf("read what %s printed: %w", assertTool, err)
	}
	if got.hash != hash {
		return Assertion{}, fmt.Errorf("%s answered another question than it was asked", assertTool)
	}
	url := base64.RawURLEncoding.EncodeToString
	a := Assertion{ID: url(p.ID), RawID: url(p.ID), Type: "public-key"}
	a.Response.ClientData, a.Response.AuthData, a.Response.Signature, a.Response.User = url(client), url(got.authData), url(got.sig), url(p.User)
	return a, nil
}

// signed is what fido2-assert -G prints: client data hash, RP ID, authenticator
// data and signature, a line each.
type signed struct {
	hash     [sha256.Size]byte
	authData []byte
	sig      []byte
}

func parseSigned(out []byte) (signed, error) {
	var s signed
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 4 {
		return s, fmt.Errorf("%d lines", len(lines))
	}
	var hash, wrapped []byte
	for _, part := range []struct {
		what string
		line int
		to   *[]byte
	}{{"client data hash", 0, &hash}, {"authenticator data", 2, &wrapped}, {"signature", 3, &s.sig}} {
		raw, err := base64.StdEncoding.Strict().DecodeString(lines[part.line])
		if err != nil || len(raw) == 0 {
			return s, fmt.Errorf("the %s is not base64", part.what)
		}
		*part.to = raw
	}
	if len(hash) != len(s.hash) {
		return s, fmt.Errorf("a client data hash of %d bytes", len(hash))
	}
	copy(s.hash[:], hash)
	// As with a new passkey: the CBOR byte string that the key sent
	// (fido_assert_authdata_ptr(3)).
	if err := cbor.Unmarshal(wrapped, &s.authData); err != nil {
		return s, fmt.Errorf("authenticator data: %w", err)
	}
	return s, nil
}

// siteName refuses a name that would be more than one line of a tool's input,
// or an option of its.
func siteName(rpID string) error {
	if rpID == "" || rpID[0] == '-' || strings.ContainsAny(rpID, "\n\r\x00 ") {
		return fmt.Errorf("%q is no name of a site that a key takes", rpID)
	}
	return nil
}

// clientData is what the key signs the hash of (WebAuthn Level 3, §5.8.1).
// challenge is base64url already.
func clientData(kind, challenge, origin string) ([]byte, error) {
	return json.Marshal(struct {
		Type        string `json:"type"`
		Challenge   string `json:"challenge"`
		Origin      string `json:"origin"`
		CrossOrigin bool   `json:"crossOrigin"`
	}{kind, challenge, origin, false})
}
