// Package trust keeps the certificate authorities of each tenant and what is
// known of revocation: lists, fetched ahead by a job and kept in a compact
// form, and answers of OCSP responders where an authority asks for that. It
// builds and checks the path of a certificate against the authorities of one
// tenant, and of no other; the system's roots are never asked.
//
// It never waits for the network while somebody signs in, except for OCSP of
// an authority that is set so, and it is never silently open: what cannot be
// checked is refused, unless the tenant's rules say otherwise by name.
//
// Specifications: RFC 5280 §6, RFC 6960, decisions 5.5 and 5.7, security.md
// CBA02 to CBA06 and CBA13.
package trust
