package pssowire

import (
	"encoding/json"

	"github.com/signetid/signet/internal/jose"
)

// Audience is who a message is for: one is written as a string, as Macs do, more
// as a list; both are read.
type Audience []string

// UnmarshalJSON reads either.
func (a *Audience) UnmarshalJSON(raw []byte) error { return json.Unmarshal(raw, (*jose.Strings)(a)) }

// MarshalJSON writes a single one without the list.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// At is a claim of a time, Unix seconds.
func At(seconds int64) *jose.Number { n := jose.Number(seconds); return &n }

// Request has the claims of the messages that macOS itself sends: login, refresh,
// key request and key exchange (§6.2, §8). What a kind has not is empty there.
type Request struct {
	Issuer   string       `json:"iss"`                 // the client id
	ClientID string       `json:"client_id,omitempty"` // login, refresh
	Audience Audience     `json:"aud,omitempty"`       // the address; key requests have none, whatever Apple's table says [O]
	Issued   *jose.Number `json:"iat,omitempty"`
	Expires  *jose.Number `json:"exp,omitempty"`
	// Nonce is the Mac's own, and comes back in the ID token; RequestNonce is
	// the server's.
	Nonce        string `json:"nonce"`
	RequestNonce string `json:"request_nonce"`
	Crypto       Crypto `json:"jwe_crypto"`

	// Login; Subject and Username also in key requests, and one name.
	Subject   string         `json:"sub,omitempty"`
	Username  string         `json:"username,omitempty"`
	Scope     string         `json:"scope,omitempty"`
	GrantType string         `json:"grant_type,omitempty"`
	Assertion string         `json:"assertion,omitempty"` // see Assertion
	Claims    *ClaimsRequest `json:"claims,omitempty"`
	Previous  string         `json:"previous_refresh_token,omitempty"`

	// Refresh and the key service.
	RefreshToken string `json:"refresh_token,omitempty"`

	// The key service.
	Version     string `json:"version,omitempty"`
	RequestType string `json:"request_type,omitempty"`
	KeyPurpose  string `json:"key_purpose,omitempty"`
	OtherKey    string `json:"other_publickey,omitempty"` // base64 of a point, 65 bytes
	KeyContext  string `json:"key_context,omitempty"`
}

// Crypto says how the reply is to be encrypted.
type Crypto struct {
	Alg string `json:"alg"`
	Enc string `json:"enc"`
	APV string `json:"apv,omitempty"` // base64url; see ParsePartyV
}

// ClaimsRequest asks for claims of the ID token.
type ClaimsRequest struct {
	IDToken struct {
		Groups *struct {
			Values []string `json:"values"`
		} `json:"groups,omitempty"`
	} `json:"id_token"`
}

// AskGroups asks which of these groups the person is in.
func AskGroups(names ...string) *ClaimsRequest {
	c := &ClaimsRequest{}
	c.IDToken.Groups = &struct {
		Values []string `json:"values"`
	}{names}
	return c
}

// Groups are the groups that are asked about.
func (r Request) Groups() []string {
	if r.Claims == nil || r.Claims.IDToken.Groups == nil {
		return nil
	}
	return r.Claims.IDToken.Groups.Values
}

// Assertion has the claims of the message inside a login, signed by the user's
// key or card (§6.3).
type Assertion struct {
	Issuer       string       `json:"iss"` // the login name
	Subject      string       `json:"sub"` // the same
	Audience     Audience     `json:"aud"` // not the address, but what the configuration names
	Issued       *jose.Number `json:"iat"`
	Expires      *jose.Number `json:"exp"`
	Nonce        string       `json:"nonce"`
	RequestNonce string       `json:"request_nonce"`
	Scope        string       `json:"scope"`
}

// Nonce answers a request for a server's nonce.
type Nonce struct {
	Nonce string `json:"Nonce"` // [A] with a capital letter
	// ExchangeKey, base64 of a point of 65 bytes, comes with the purpose
	// registration.
	ExchangeKey string `json:"exchange_key,omitempty"`
}

// LoginReply is what a reply to login and refresh holds (§7.4). Times are in
// seconds from now.
type LoginReply struct {
	IDToken        string `json:"id_token"`
	RefreshToken   string `json:"refresh_token"`
	RefreshExpires int64  `json:"refresh_token_expires_in"`
	Expires        int64  `json:"expires_in"`
	TokenType      string `json:"token_type"`
}

// KeyReply is what a reply of the key service holds (§8.2, §8.3): Certificate
// for a request, Key for an exchange.
type KeyReply struct {
	Certificate string `json:"certificate,omitempty"` // base64url of DER
	Key         string `json:"key,omitempty"`         // padded standard base64 of 32 bytes
	KeyContext  string `json:"key_context,omitempty"`
	Issued      int64  `json:"iat"`
	Expires     int64  `json:"exp"`
}

// Fault is the body of every refusal (§7.6).
type Fault struct {
	Error       string `json:"error"`
	Suberror    string `json:"suberror,omitempty"`
	Description string `json:"error_description,omitempty"`
	Code        int    `json:"error_code,omitempty"` // AADSTS number
	Trace       string `json:"trace_id,omitempty"`
}
