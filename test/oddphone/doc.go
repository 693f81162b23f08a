// Package oddphone is a second phone, written from docs/phone-protocol.md alone
// and with none of the product's code: JWS, CBOR and the signed octets are made
// by hand on the standard library, and so is its passkey.
//
// Its tests start the built binary and hold it to that page, every row of the
// table of refusals included.
package oddphone
