// Package session keeps what a browser holds after a flow: who signed in, the
// proofs that stand behind it, and until when.
//
// It owns the session rows, the session cookie (one cookie, several
// tenant-bound sessions) and the cookie that tells one browser from another.
// It does not decide whether a session is good enough for anything: that is
// policy's affair, asked by the corridor, which alone opens and renews
// sessions. Doors find and end them; token asks Alive.
//
// Specifications: spec/security.md 1.10 (SES01–SES07), NIST SP 800-63B §5 for
// the limits, RFC 6265bis for the cookie prefixes.
package session
