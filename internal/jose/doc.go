// Package jose is the few JSON object signing operations that we allow. go-jose
// reads them; the algorithm is always named by us or by a registered key, and
// never by the message (RFC 8725, Section 3.1).
//
// It reads strictly: size caps, base64url without padding or stray bits, no
// duplicate member names, no trailing data, no critical headers, no keys inside
// headers (security.md TOK02 to TOK04, TOK08, TOK10). Claims are its callers'
// affair: token, oidc.
package jose
