// Package pkix validates certification paths and says whether their
// certificates are revoked: RFC 5280, Sections 6.1 and 6.3, with the policy
// graph of RFC 9618 in the place of the tree, over objects that crypto/x509 has
// parsed (decisions 5.5). It is pure: nothing is fetched, stored or logged, and
// the time is an argument.
//
// The system's roots are never asked. Signatures by SHA-1 and MD5 are refused
// unless a caller says otherwise, which tests of old vectors do.
//
// Specifications: RFC 5280, RFC 9618, RFC 6960 (OCSP), RFC 4518 §2 as far as
// RFC 5280 §7.1 takes it, security.md CBA01, CBA04, CBA06, CBA11, CBA12.
package pkix
