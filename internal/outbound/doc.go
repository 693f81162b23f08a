// Package outbound makes the HTTP clients by which this server calls addresses
// that others chose, or that an operator may have mistyped: lists of keys and
// of revocations, push services, and whatever is still to come. One place
// decides where they may go.
//
// A client goes over https, and to the public internet only. That is checked
// of the very address that is dialled, so that a name server cannot lead it
// elsewhere between the check and the use. Where the operator says that a host
// is in a network of his own, the check is left out for a client of that host.
//
// It knows nothing of what is fetched: whoever asks bounds the body and judges
// the answer.
//
// Specifications: security.md NET04, T57; IANA special-purpose address
// registries (RFC 6890 and its successors).
package outbound
