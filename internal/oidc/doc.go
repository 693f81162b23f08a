// Package oidc is the door for applications: an OpenID provider.
//
// It owns the addresses under /{tenant}/oauth2, /openid, /discovery and
// /.well-known/openid-configuration: it parses what applications send, asks the
// corridor and the registries, and phrases the answers. It does not own pages
// (the portal shows them), the way a person proves who they are (signin), or
// what a token looks like (token). Only app calls it.
//
// OAuth 2.0 as RFC 6749 and 6750 with the restrictions of RFC 9700: code with
// PKCE S256 (RFC 7636) only, exact redirect URIs, iss in every authorization
// response (RFC 9207), refresh tokens that rotate. OpenID Connect Core 1.0,
// Discovery 1.0, RP-Initiated Logout 1.0, OAuth 2.0 Form Post Response Mode;
// RFC 7009 revocation, RFC 7523 client assertions, RFC 7662 introspection, RFC
// 8707 resource indicators. Request objects, dynamic registration, implicit and
// password grants are refused. departures.md lists where we are stricter.
package oidc
