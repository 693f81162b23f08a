package securitykey

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Creation is what is used of PublicKeyCredentialCreationOptionsJSON (WebAuthn
// Level 3, §5.1.8). Values are base64url without padding.
type Creation struct {
	RP struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"user"`
	Challenge string `json:"challenge"`
	Params    []struct {
		Alg int `json:"alg"`
	} `json:"pubKeyCredParams"`
	Exclude []struct {
		ID string `json:"id"`
	} `json:"excludeCredentials"`
}

// Response is a RegistrationResponseJSON (§5.1). Values are base64url without
// padding.
type Response struct {
	ID       string `json:"id"`
	Response struct {
		ClientDataJSON    string `json:"clientDataJSON"`
		AttestationObject string `json:"attestationObject"`
	} `json:"response"`
}

// COSE algorithms (RFC 9053).
const (
	algES256 = -7
	algEdDSA = -8
	algRS256 = -257
)

// Make makes a passkey on the key at d for a page at origin: discoverable, and
// guarded by the PIN or finger of the key. Its errors are for the person.
func Make(ctx context.Context, t Terminal, d Device, origin string, o Creation) (Response, error) {
	// ES256 is what every key knows.
	if !slices.ContainsFunc(o.Params, func(p struct {
		Alg int `json:"alg"`
	}) bool {
		return p.Alg == algES256
	}) {
		return Response{}, errors.New("the server takes no ES256 keys, and this command makes no others")
	}
	if err := holds(ctx, d, o); err != nil {
		return Response{}, err
	}
	client, err := clientData("webauthn.create", o.Challenge, origin)
	if err != nil {
		return Response{}, err
	}
	hash := sha256.Sum256(client)
	form, err := parameters(hash[:], o)
	if err != nil {
		return Response{}, err
	}
	if t.Say != nil {
		t.Say("Touch the key when it blinks.")
	}
	out, err := withForm(ctx, t, form, credTool, func(path string) []string {
		return []string{"-M", "-r", "-v", "-i", path, d.Path, "es256"}
	})
	if err != nil {
		return Response{}, err
	}
	made, err := parseMade(out)
	if err != nil {
		return Response{}, fmt.Errorf("read what %s printed: %w", credTool, err)
	}
	if made.hash != hash {
		return Response{}, fmt.Errorf("%s answered another question than it was asked", credTool)
	}
	object, err := made.object()
	if err != nil {
		return Response{}, err
	}
	var r Response
	r.ID = base64.RawURLEncoding.EncodeToString(made.id)
	r.Response.ClientDataJSON = base64.RawURLEncoding.EncodeToString(client)
	r.Response.AttestationObject = base64.RawURLEncoding.EncodeToString(object)
	return r, nil
}

// parameters is the input of fido2-cred -M: client data hash, RP ID, user name
// and user id, a line each.
func parameters(hash []byte, o Creation) ([]byte, error) {
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil || len(handle) == 0 {
		return nil, errors.New("the server sent a user id that is none")
	}
	for _, word := range []string{o.RP.ID, o.User.Name} {
		if word == "" || strings.ContainsAny(word, "\n\r\x00") {
			return nil, fmt.Errorf("the server sent %q, which no key takes", word)
		}
	}
	std := base64.StdEncoding.EncodeToString
	return []byte(strings.Join([]string{std(hash), o.RP.ID, o.User.Name, std(handle), ""}, "\n")), nil
}

// withForm runs a tool with its input in a file, so that standard input is free
// for a PIN. There is nothing secret in it.
func withForm(ctx context.Context, t Terminal, form []byte, tool string, args func(path string) []string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "signet-key-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "parameters")
	if err := os.WriteFile(path, form, 0o600); err != nil {
		return nil, err
	}
	in, who := t.pin()
	return run(ctx, in, who, tool, args(path)...)
}

// holdsWithin is how long a key may take to say whether it knows a passkey.
const holdsWithin = 10 * time.Second

// holds refuses a key that holds a passkey of this person already: the tools
// cannot leave that to the key, as browsers do with excludeCredentials, and the
// new passkey would take the place of the old one without a word. A key that
// does not answer without its PIN is not asked further.
func holds(ctx context.Context, d Device, o Creation) error {
	for _, c := range o.Exclude {
		id, err := base64.RawURLEncoding.DecodeString(c.ID)
		if err != nil {
			return errors.New("the server sent the id of a passkey that is none")
		}
		std := base64.StdEncoding.EncodeToString
		hash := sha256.Sum256(id) // any will do: the answer is not used
		in := strings.NewReader(strings.Join([]string{std(hash[:]), o.RP.ID, std(id), ""}, "\n"))
		err = func() error {
			ctx, cancel := context.WithTimeout(ctx, holdsWithin)
			defer cancel()
			_, err := run(ctx, in, alone, assertTool, "-G", "-t", "up=false", d.Path)
			return err
		}()
		switch said := (*toolError)(nil); {
		case err == nil:
			return fmt.Errorf("this key holds a passkey of %s already, which a new one would replace: take another key, or remove that passkey from the person first", o.User.Name)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &said) && strings.Contains(said.said, "fido_dev_open"):
			return err
		}
	}
	return nil
}

// made is what fido2-cred -M prints: client data hash, RP ID, format,
// authenticator data, credential id, signature and, when the key has one, the
// attestation certificate, a line each.
type made struct {
	hash     [sha256.Size]byte
	format   string
	authData []byte
	id, sig  []byte
	x5c      []byte // nil: the key signed for itself
}

func parseMade(out []byte) (made, error) {
	var m made
	lines := strings.Split(strings.TrimRight(string(out), "\n"), "\n")
	if len(lines) != 6 && len(lines) != 7 {
		return m, fmt.Errorf("%d lines", len(lines))
	}
	var hash, wrapped []byte
	for _, part := range []struct {
		what string
		line int
		to   *[]byte
	}{{"client data hash", 0, &hash}, {"authenticator data", 3, &wrapped}, {"credential id", 4, &m.id}, {"signature", 5, &m.sig}, {"certificate", 6, &m.x5c}} {
		if part.line >= len(lines) {
			break
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(lines[part.line])
		if err != nil || len(raw) == 0 {
			return m, fmt.Errorf("the %s is not base64", part.what)
		}
		*part.to = raw
	}
	if len(hash) != len(m.hash) {
		return m, fmt.Errorf("a client data hash of %d bytes", len(hash))
	}
	copy(m.hash[:], hash)
	m.format = lines[2]
	// libfido2 keeps authenticator data as the CBOR byte string that the key
	// sent (fido_cred_authdata_ptr(3)).
	if err := cbor.Unmarshal(wrapped, &m.authData); err != nil {
		return m, fmt.Errorf("authenticator data: %w", err)
	}
	return m, nil
}

// ctap is how authenticators encode (CTAP 2.1, §8).
var ctap = func() cbor.EncMode {
	m, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		panic(err) // the library's own options
	}
	return m
}()

// object is the attestation object (§6.5.4).
func (m made) object() ([]byte, error) {
	statement := map[string]any{}
	switch m.format {
	case "packed":
		statement["alg"], statement["sig"] = m.alg(), m.sig
	case "fido-u2f":
		statement["sig"] = m.sig
	case "none":
	default:
		return nil, fmt.Errorf("the key made an attestation of the format %.40q, which this command does not know", m.format)
	}
	if m.x5c != nil && m.format != "none" {
		statement["x5c"] = [][]byte{m.x5c}
	}
	return ctap.Marshal(map[string]any{"fmt": m.format, "attStmt": statement, "authData": m.authData})
}

// alg is the algorithm of the signature, which fido2-cred does not print: that
// of the passkey, or of the certificate's key: mostly
// ES256, too.
func (m made) alg() int {
	if m.x5c == nil {
		return algES256
	}
	cert, err := x509.ParseCertificate(m.x5c)
	switch {
	case err != nil: // the server says what is wrong with it
	case cert.PublicKeyAlgorithm == x509.RSA:
		return algRS256
	case cert.PublicKeyAlgorithm == x509.Ed25519:
		return algEdDSA
	}
	return algES256
}
