package passkey

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// maxCredentialID is what WebAuthn Level 3 allows (§7.1 step 25), in bytes.
const maxCredentialID = 1023

// answer is the JSON form of a PublicKeyCredential (WebAuthn Level 3,
// §5.1: RegistrationResponseJSON and AuthenticationResponseJSON), decoded. Of
// the convenience members (publicKey, publicKeyAlgorithm, the authenticatorData
// of a registration) nothing is read: they are not covered by any signature.
type answer struct {
	id         []byte
	clientData []byte

	attestationObject []byte   // registration
	transports        []string // registration

	authData   []byte // assertion
	signature  []byte // assertion
	userHandle []byte // assertion; nil when absent

	credProps json.RawMessage // that client extension output, registration
	name      string          // what the owner wants to call it, registration
}

// credentialID is the id as rows and pages have it.
func (a answer) credentialID() idp.CredentialID { return encodeID(a.id) }

func encodeID(id []byte) idp.CredentialID {
	return idp.CredentialID(base64.RawURLEncoding.EncodeToString(id))
}

// wire mirrors the JSON. Client extension outputs nobody asked for are dropped
// unread: WebKit sends "appid": false of its own accord (trap 7).
type wire struct {
	ID       string `json:"id"`
	RawID    string `json:"rawId"`
	Type     string `json:"type"`
	Response *struct {
		ClientDataJSON    string   `json:"clientDataJSON"`
		AttestationObject string   `json:"attestationObject"`
		AuthenticatorData string   `json:"authenticatorData"`
		Signature         string   `json:"signature"`
		UserHandle        *string  `json:"userHandle"`
		Transports        []string `json:"transports"`
	} `json:"response"`
	ClientExtensionResults map[string]json.RawMessage `json:"clientExtensionResults"`
	Name                   string                     `json:"name"`
}

// parseWire reads what both ceremonies share. §7.1 steps 3 and 4, §7.2 steps 3
// and 4: the response must be of the kind that was asked for.
func parseWire(raw []byte) (wire, answer, error) {
	var w wire
	var a answer
	if err := web.Strict(raw, &w); err != nil {
		return w, a, err
	}
	if w.Type != "public-key" || w.Response == nil {
		return w, a, fmt.Errorf("type %.40q", w.Type)
	}
	id, err := unbase64(w.ID)
	if err != nil || len(id) == 0 || len(id) > maxCredentialID {
		return w, a, errors.New("member id")
	}
	// rawId says the same again; JSON made by hand may leave it out.
	if w.RawID != "" && w.RawID != w.ID {
		return w, a, errors.New("id and rawId differ")
	}
	a.id = id
	if a.clientData, err = required(w.Response.ClientDataJSON); err != nil {
		return w, a, fmt.Errorf("member clientDataJSON: %w", err)
	}
	return w, a, nil
}

func parseAssertion(raw []byte) (answer, error) {
	w, a, err := parseWire(raw)
	if err != nil {
		return a, err
	}
	if a.authData, err = required(w.Response.AuthenticatorData); err != nil {
		return a, fmt.Errorf("member authenticatorData: %w", err)
	}
	if a.signature, err = required(w.Response.Signature); err != nil {
		return a, fmt.Errorf("member signature: %w", err)
	}
	if h := w.Response.UserHandle; h != nil && *h != "" {
		if a.userHandle, err = unbase64(*h); err != nil {
			return a, fmt.Errorf("member userHandle: %w", err)
		}
	}
	return a, nil
}

func parseAttestation(raw []byte) (answer, error) {
	w, a, err := parseWire(raw)
	if err != nil {
		return a, err
	}
	if a.attestationObject, err = required(w.Response.AttestationObject); err != nil {
		return a, fmt.Errorf("member attestationObject: %w", err)
	}
	a.transports = cleanTransports(w.Response.Transports)
	a.name = w.Name
	a.credProps = w.ClientExtensionResults["credProps"]
	return a, nil
}

func required(s string) ([]byte, error) {
	if s == "" {
		return nil, errors.New("missing")
	}
	return unbase64(s)
}

// unbase64 reads base64url without padding. The standard decoder skips line
// breaks; they are refused, so that a value has one spelling.
func unbase64(s string) ([]byte, error) {
	if strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\n') >= 0 {
		return nil, errors.New("line break in base64url")
	}
	return base64.RawURLEncoding.Strict().DecodeString(s)
}

// cleanTransports keeps what looks like a transport name; they are hints that
// go back to browsers (§5.8.4), which skip those they do not know.
func cleanTransports(in []string) []string {
	var out []string
	for _, t := range in {
		if len(out) < 8 && len(t) > 0 && len(t) <= 32 && strings.Trim(t, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" {
			out = append(out, t)
		}
	}
	return out
}
