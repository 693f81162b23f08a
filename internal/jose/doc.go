// Package jose is the few JSON object signing and encryption operations that we
// allow. go-jose reads what applications send; the algorithm is always named by
// us or by a registered key, and never by the message (RFC 8725, Section 3.1).
//
// Parse reads strictly: size caps, base64url without padding or stray bits, no
// duplicate member names, no trailing data, no critical headers, no keys inside
// headers (security.md TOK02 to TOK04, TOK08, TOK10). Claims are its callers'
// affair: token, oidc.
//
// The published clients of devices write their messages less strictly, and
// expect answers that no library makes. ParseLoose, Loosely and the writers and
// openers beside them are for those protocols alone: broker, drs, psso and the
// desktop's agent (decisions 4.1 TOK08, 4.2, 4.8). They bend in alphabets,
// padding, letter case and the types of values, and in nothing else. Their
// primitives are the standard library's.
package jose
