// Package phonewire has the messages of the phone protocol, version 1, as both
// ends write them: the bodies that phones send and get, and the octets that
// they sign. docs/phone-protocol.md is its text.
//
// It holds no state and checks nothing but shapes. Byte strings are base64url
// without padding in JSON; times are RFC 3339 in UTC.
package phonewire
