// Package client knows the applications that people sign in to, and what they
// have consented to.
//
// It owns the tables of applications, their secrets and consents, and the
// rules about redirect URIs (security.md OAU01; RFC 9700, Sections 2.1 and
// 4.1.3; RFC 8252, Sections 7 and 8). It does not authenticate a client: oidc
// compares with the digests kept here. Audit records are written by the door
// that changes something. The one locator is a client id (decisions 3.6).
package client
