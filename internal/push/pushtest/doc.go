// Package pushtest has push services for tests, on this machine: one of Web
// Push (RFC 8030) that opens what it is sent (RFC 8291) and checks who says so
// (RFC 8292), and small ones in the places of Apple's and Firebase's. They are
// stand-ins: they follow the published protocols, and are nobody's service.
//
// They answer as they are told, so that a test can see what becomes of a
// message that was refused, delayed, redirected or never answered. What a
// sender does wrong they refuse as a service would, and keep as a fault: a
// test ends with an error for faults that it did not ask for.
//
// The decryption and the checks are written here a second time, and do not
// use the library that sends.
package pushtest
