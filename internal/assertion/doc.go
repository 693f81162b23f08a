// Package assertion reads and judges what is inside the signed messages of device
// protocols: the assertion by the key of a person, that the message of the device
// carries. The broker's protocol has one form for keys and one for certificates
// (device-protocol.md §7.2), macOS Platform SSO has the same two
// (apple-platform-sso.md §6.3, §6.4).
//
// It knows no keys and asks nobody: Judge says whether an assertion is for us, of
// now, and on the nonces that the device's message has; whose it is, and whether
// that key has signed it, the rooms say.
package assertion
