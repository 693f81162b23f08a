package passkey

import (
	"encoding/base64"
	"encoding/json"
	"time"
)

// lives is how long a ceremony may take; the options say so too.
const lives = 5 * time.Minute

// b64 is a value that JSON has as base64url without padding.
type b64 []byte

// MarshalText implements encoding.TextMarshaler.
func (b b64) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

type descriptor struct {
	Type       string   `json:"type"`
	ID         b64      `json:"id"`
	Transports []string `json:"transports,omitempty"`
}

// requestOptions is PublicKeyCredentialRequestOptionsJSON (§5.1.9, §5.5).
type requestOptions struct {
	Challenge        b64          `json:"challenge"`
	Timeout          int64        `json:"timeout"`
	RPID             string       `json:"rpId"`
	AllowCredentials []descriptor `json:"allowCredentials,omitempty"`
	UserVerification string       `json:"userVerification"`
}

// showRequest is what the page gets of Challenge.
type showRequest struct {
	PublicKey requestOptions `json:"publicKey"`
	Mediation string         `json:"mediation"`
}

type entity struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type userEntity struct {
	ID          b64    `json:"id"`
	Name        string `json:"name"`
	DisplayName string `json:"displayName"`
}

type parameter struct {
	Type string `json:"type"`
	Alg  int    `json:"alg"`
}

// creationOptions is PublicKeyCredentialCreationOptionsJSON (§5.1.8, §5.4).
type creationOptions struct {
	RP                     entity         `json:"rp"`
	User                   userEntity     `json:"user"`
	Challenge              b64            `json:"challenge"`
	PubKeyCredParams       []parameter    `json:"pubKeyCredParams"`
	Timeout                int64          `json:"timeout"`
	ExcludeCredentials     []descriptor   `json:"excludeCredentials"`
	AuthenticatorSelection selection      `json:"authenticatorSelection"`
	Hints                  []string       `json:"hints"`
	Attestation            string         `json:"attestation"`
	Extensions             map[string]any `json:"extensions"`
}

type selection struct {
	ResidentKey        string `json:"residentKey"`
	RequireResidentKey bool   `json:"requireResidentKey"`
	UserVerification   string `json:"userVerification"`
}

// showCreation is what the page gets of BeginRegister.
type showCreation struct {
	PublicKey creationOptions `json:"publicKey"`
	Holding
	Signal *Signal `json:"signal,omitempty"`
}

func encode(v any) (json.RawMessage, error) { return json.Marshal(v) }

func parameters() []parameter {
	out := make([]parameter, len(offered))
	for i, alg := range offered {
		out[i] = parameter{Type: "public-key", Alg: alg}
	}
	return out
}
