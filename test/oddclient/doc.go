// Package oddclient is a second client of the device protocol, written from its
// specification alone (device-protocol.md) and with none of the product's code:
// own JWS, JWE and key derivation on the standard library, software keys.
//
// It speaks in three dialects, each with the habits of one published client
// (device-protocol.md §0, §7 and §14), so that what those clients send is sent
// here too. Its tests start the built binary and hold it to the specification.
package oddclient
