// Package idp is the vocabulary of the house: ids, people, proofs and the one
// family of errors.
//
// It holds words that at least three packages say. It does no I/O, knows no
// SQL, JSON or HTTP, and imports only the standard library.
package idp
