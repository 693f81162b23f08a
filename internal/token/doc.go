// Package token mints, verifies, rotates and revokes what applications hold:
// access tokens (RFC 9068), ID tokens (OpenID Connect Core 1.0, Section 2) and
// refresh tokens.
//
// Each class has its own type, audience and verifier (security.md TOK01). All
// tokens of one grant belong to a family, one row: rotation moves its
// generation by a single conditional statement, and revoking the row ends
// refreshing, userinfo and introspection at once on every node; access tokens
// already handed to an API run out by themselves (decisions 1.6, 3.4).
//
// It judges no request and knows no HTTP: that is oidc's.
package token
