package pssowire

import "github.com/signetid/signet/internal/jose"

// Envelope is the body of every request of the registration: one compact message.
type Envelope struct {
	Request string `json:"request"`
}

// Attestation has the chains of a Mac's attested keys, base64 of DER, the leaf
// first (§9.4).
type Attestation struct {
	Signing    []string `json:"signing,omitempty"`
	Encryption []string `json:"encryption,omitempty"`
	User       []string `json:"user,omitempty"`
}

// Signed has what all messages of the registration claim.
type Signed struct {
	Issuer       string       `json:"iss"` // the client id
	Audience     Audience     `json:"aud"` // the address that it is sent to
	Issued       *jose.Number `json:"iat"`
	Expires      *jose.Number `json:"exp"`
	RequestNonce string       `json:"request_nonce"`
}

// Device has the claims of TypeDevice. Keys are base64 of points, 65 bytes.
type Device struct {
	Signed
	SigningKey    string `json:"signing_key"`
	EncryptionKey string `json:"encryption_key"`
	// EncryptionProof is EncryptionProof, base64url.
	EncryptionProof string `json:"encryption_proof"`
	// TokenHash is base64url of SHA-256 of the token that authorises.
	TokenHash         string       `json:"token_hash"`
	RegistrationToken string       `json:"registration_token,omitempty"`
	Name              string       `json:"name"`
	OSVersion         string       `json:"os_version"`
	Serial            string       `json:"serial,omitempty"`
	UDID              string       `json:"udid,omitempty"`
	Attestation       *Attestation `json:"attestation,omitempty"`
}

// User has the claims of TypeUser.
type User struct {
	Signed
	Method    string `json:"method"`             // MethodKey or MethodCard
	UserKey   string `json:"user_key,omitempty"` // base64 of a point; none for a card
	UserProof string `json:"user_proof"`         // message of TypeUserKey by that key
	// OldProof is the same by the key that this one takes the place of, about the
	// new one, with the person's RefreshToken: then no access token is needed.
	OldProof        string       `json:"old_proof,omitempty"`
	RefreshToken    string       `json:"refresh_token,omitempty"`
	BiometricPolicy int          `json:"biometric_policy"`
	Attestation     *Attestation `json:"attestation,omitempty"`
	TokenHash       string       `json:"token_hash,omitempty"`
}

// KeyProof has the claims of TypeUserKey and TypeDeviceKey: that who asks has
// the key, here and now, on this device.
type KeyProof struct {
	Signed
	Device string `json:"device"` // KeyID of the device's signing key
	Key    string `json:"key"`    // KeyID of the new key; none for a card
}

// Rotation has the claims of TypeRotation. One of the keys may be empty.
type Rotation struct {
	Signed
	RefreshToken       string       `json:"refresh_token"`
	NewSigningKey      string       `json:"new_signing_key,omitempty"`
	SigningProof       string       `json:"signing_proof,omitempty"` // message of TypeDeviceKey
	NewEncryptionKey   string       `json:"new_encryption_key,omitempty"`
	NewEncryptionProof string       `json:"encryption_proof,omitempty"`
	Attestation        *Attestation `json:"attestation,omitempty"`
}

// Removal has the claims of TypeRemoval.
type Removal struct {
	Signed
	UserKey string `json:"user_key,omitempty"` // KeyID of a user's key; none: the device goes
}

// SSO has the claims of TypeSSO; Audience is the authorize address.
type SSO struct {
	Signed
	URIHash      string `json:"uri_hash"` // base64url of SHA-256 of the whole URL
	RefreshToken string `json:"refresh_token"`
}

// Registered answers the registration of a device, and of other keys of one.
type Registered struct {
	DeviceID string `json:"device_id"`
	// KeyID is that of the signing key, as we write it; EncryptionKeyID of the
	// encryption key. Of a rotation they are those after it.
	KeyID           string `json:"key_id"`
	EncryptionKeyID string `json:"encryption_key_id"`
	Pending         bool   `json:"pending"`                 // until a strong sign-in or an attestation
	PendingUntil    int64  `json:"pending_until,omitempty"` // Unix seconds; then it is removed
	Assurance       string `json:"assurance"`               // attested, unattested
	// Repeated: both keys were registered before, and this is that device.
	// Replaced is the device whose place it took.
	Repeated bool   `json:"repeated,omitempty"`
	Replaced string `json:"replaced,omitempty"`
	// RotatesUntil is until when the old keys are good beside the new ones.
	RotatesUntil  int64         `json:"rotates_until,omitempty"` // Unix seconds
	Configuration Configuration `json:"configuration"`
}

// RegisteredUser answers the registration of a person.
type RegisteredUser struct {
	LoginUserName string        `json:"login_user_name"`
	CredentialID  string        `json:"credential_id,omitempty"` // none for a card
	DeviceID      string        `json:"device_id"`
	Pending       bool          `json:"pending"` // the device still is
	Configuration Configuration `json:"configuration"`
}

// Removed answers a removal.
type Removed struct {
	DeviceID     string `json:"device_id"`
	CredentialID string `json:"credential_id,omitempty"` // of a user's key; then the device stays
}

// Configuration is all that an extension must know of the server (§9.1).
type Configuration struct {
	ClientID              string   `json:"client_id"`
	Issuer                string   `json:"issuer"`
	TokenEndpoint         string   `json:"token_endpoint"`
	NonceEndpoint         string   `json:"nonce_endpoint"`
	RefreshEndpoint       string   `json:"refresh_endpoint,omitempty"` // none with MethodKey: Macs sign in again
	KeyEndpoint           string   `json:"key_endpoint"`
	DeviceEndpoint        string   `json:"device_endpoint"`
	UserEndpoint          string   `json:"user_endpoint"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	OAuthTokenEndpoint    string   `json:"oauth_token_endpoint"` // where the access token comes from
	RedirectURI           string   `json:"redirect_uri"`
	RegistrationScope     string   `json:"registration_scope"`
	JWKSURI               string   `json:"jwks_uri"`
	Audience              string   `json:"audience"`
	NonceKeypath          string   `json:"nonce_response_keypath"`
	NonceClaim            string   `json:"server_nonce_claim"`
	AdditionalScopes      string   `json:"additional_scopes"`
	GroupClaim            string   `json:"group_response_claim"`
	UniqueClaim           string   `json:"unique_identifier_claim"`
	InvalidCredential     string   `json:"invalid_credential_predicate"`
	AccountName           string   `json:"account_display_name"`
	Method                string   `json:"method"`
	BiometricPolicy       int      `json:"biometric_policy"`
	LoginFrequency        int64    `json:"login_frequency"` // seconds
	Attestation           string   `json:"attestation"`     // "none", "preferred", "required"
	Algorithms            []string `json:"signing_algorithms"`
}
