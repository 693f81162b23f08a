// Package securitykey makes a passkey on a FIDO2 security key that is plugged
// into this machine, and has one sign, by the tools of libfido2: fido2-token(1), fido2-cred(1) and
// fido2-assert(1), which Debian has as fido2-tools. It is what a browser is
// between a site and a key (WebAuthn Level 3, §5.1.3 and §5.1.4), for command
// lines that provision a key on somebody's behalf, or sign in on a desktop.
//
// The tools ask for the PIN on the terminal themselves; nothing here sees it,
// unless it came in a file. They hand out the first certificate of an
// attestation only, so the model of a key whose certificate is not signed by a
// root of its own (by an intermediate one) cannot be proven this way.
package securitykey
