package client

import (
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Kinds of applications (RFC 6749, Section 2.1; RFC 8252).
const (
	Web    = "web"
	Native = "native"
)

// Grants that an application may be registered for.
const (
	GrantCode        = "authorization_code"
	GrantRefresh     = "refresh_token"
	GrantCredentials = "client_credentials"
)

// Response modes that an application may be registered for (OAuth 2.0 Multiple
// Response Type Encoding Practices; OAuth 2.0 Form Post Response Mode). Only
// who says so gets answers in the fragment: it stays with the browser through
// redirects, so that an open redirector of the application gives codes away.
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post"
)

// Ways in which a client authenticates. AuthSecret takes a secret by header
// or by form.
const (
	AuthNone       = "none"
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthSecret     = "secret"
	AuthPrivateKey = "private_key_jwt"
)

// Subjects that tokens carry.
const (
	SubjectPublic   = "public"
	SubjectPairwise = "pairwise"
)

// Client is an application. One that came from the Registry is shared:
// callers do not change what it points to.
type Client struct {
	ID             idp.ClientID
	Tenant         idp.TenantID
	Name           string
	Kind           string   // Web or Native
	RedirectURIs   []string // compared exactly; see MatchRedirect
	PostLogoutURIs []string
	ResponseModes  []string // how answers to authorization requests may travel
	Grants         []string
	Auth           string
	SecretDigests  [][]byte // SHA-256 of each secret
	JWKS           []byte   // public keys, for AuthPrivateKey
	Alg            string   // of ID tokens: ES256 or RS256
	Subject        string
	Sector         string // whom pairwise subjects are for; settled by Create
	FirstParty     bool   // no consent page
	Scopes         []string
	ACR            string // the least strength, whatever a request asks; empty: none
	Enabled        bool
	Created        time.Time
	// BuiltIn marks an application of the device protocols that no table has:
	// see Registry.BuiltIn. Its tokens never carry a role.
	BuiltIn bool
	// WithoutPKCE lets a built-in application redeem codes that no proof key
	// protects (compat.brokerWithoutPkce).
	WithoutPKCE bool
}

// Secretive says whether the client authenticates by a secret.
func (c Client) Secretive() bool {
	return c.Auth == AuthSecret || c.Auth == AuthBasic || c.Auth == AuthPost
}

// Allows says whether the client is registered for a grant.
func (c Client) Allows(grant string) bool { return slices.Contains(c.Grants, grant) }
