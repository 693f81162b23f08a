package pssowire

// ClientID is the one client that all Macs are, the same in every tenant:
// built in, public, there only while devices are switched on.
const ClientID = "29d3d277-acac-4c1e-aee4-49a3e30f46d1"

// Fields of the form that a request comes in (§5, §6).
const (
	FieldVersion   = "platform_sso_version"
	FieldGrant     = "grant_type"
	FieldAssertion = "assertion" // extensions built with the SDK of macOS 14 and later [A]
	FieldRequest   = "request"   // with that of macOS 13 [A]
	FieldPurpose   = "purpose"   // of a nonce; ours
)

// PurposeRegistration asks, with a nonce, for a key that a new encryption key
// shows itself to.
const PurposeRegistration = "registration"

// Values of FieldVersion: Login for login and refresh, Keys for the key service.
const (
	VersionLogin = "1.0"
	VersionShort = "1" // as Apple's table prints it; taken, never sent [?]
	VersionKeys  = "2.0"
)

// Grants. In the form it is GrantBearer whatever is asked for; the real one is
// the claim of the same name (§1 fact 7).
const (
	GrantNonce    = "srv_challenge"
	GrantBearer   = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	GrantRefresh  = "refresh_token"
	GrantPassword = "password"
	GrantSAML11   = "urn:ietf:params:oauth:grant-type:saml1_1-bearer"
	GrantSAML2    = "urn:ietf:params:oauth:grant-type:saml2-bearer"
	GrantExchange = "urn:ietf:params:oauth:grant-type:token-exchange" // macOS 27, web sign-in
)

// Types of messages, the typ of their headers. Compare without letter case.
const (
	TypeOld                = "JWT" // what the SDK of macOS 13 writes for each of them [A]
	TypeLogin              = "platformsso-login-request+jwt"
	TypeAssertion          = "platformsso-login-assertion+jwt"
	TypeEncryptedAssertion = "platformsso-encrypted-login-assertion+jwt" // a password
	TypeRefresh            = "platformsso-refresh-request+jwt"
	TypeKey                = "platformsso-key-request+jwt" // of key_request and key_exchange both
	TypeLoginReply         = "platformsso-login-response+jwt"
	TypeKeyReply           = "platformsso-key-response+jwt"

	// Ours (docs/macos-registration.md).
	TypeDevice    = "signet-psso-device+jwt"     // a new device, by its signing key
	TypeUser      = "signet-psso-user+jwt"       // a new user key, by the device's signing key
	TypeUserKey   = "signet-psso-user-key+jwt"   // proof of the new user key, by itself
	TypeRotation  = "signet-psso-rotation+jwt"   // new device keys, by the old signing key
	TypeDeviceKey = "signet-psso-device-key+jwt" // proof of a new signing key, by itself
	TypeRemoval   = "signet-psso-removal+jwt"    // of the device or a user key, by the device's signing key
	TypeSSO       = "signet-psso-sso+jwt"        // from a login to a browser's session
)

// Media types of replies: those of the types above.
const (
	MediaLogin = "application/" + TypeLoginReply
	MediaKey   = "application/" + TypeKeyReply
)

// HeaderSSO is the header of a request to the authorize address that a message
// of TypeSSO comes in.
const HeaderSSO = "Platform-SSO-Authorization"

// HeaderRequest names a request in both logs; Macs send it [A].
const HeaderRequest = "client-request-id"

// Scopes of a login (§6.2).
const (
	ScopeOpenID  = "openid"
	ScopeOffline = "offline_access"
	ScopeMac     = "urn:apple:platformsso"
)

// The key agreement that we support (§6.2, §7.1).
const (
	AlgAgreed  = "ECDH-ES"
	EncAgreed  = "A256GCM"
	KeyPurpose = "user_unlock" // the only one that is documented [A]
	KeyVersion = "1.0"         // the claim version of the key service
)

// Values of the claim request_type.
const (
	AskKey      = "key_request"
	AskExchange = "key_exchange"
)

// Methods of a Mac, in the words of profiles (§4).
const (
	MethodKey  = "UserSecureEnclaveKey"
	MethodCard = "SmartCard"
)

// Biometric policies of a user's key, bits (§9.1) [A][O].
const (
	TouchIDOrWatchCurrentSet = 1
	TouchIDOrWatchAny        = 2
	ReuseDuringUnlock        = 4
	PasswordFallback         = 8
)
