// Package demo is what makes a first try pleasant: the tenant and people that
// `signet demo` starts with, and a small web app that they sign in to.
//
// The app is a stock OpenID Connect relying party on coreos/go-oidc and
// x/oauth2. It knows an issuer, a client id and a secret, and nothing of
// Signet: what works for it works for other people's apps.
//
// Nothing here runs in signet serve. Specifications: OpenID Connect Core 1.0,
// RFC 7636 (PKCE), RFC 9207 (issuer in the response), OpenID Connect
// RP-Initiated Logout 1.0.
package demo
