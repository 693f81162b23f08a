// Package psso is the door for Macs: it answers what macOS sends of itself
// (Platform SSO: nonces, logins, refreshes, key requests and key exchanges), and
// what our extension sends when a Mac and its people are registered.
//
// It reads messages as macOS writes them, finds the Mac and the key that signed,
// hands proofs to the corridor and encrypts the answers to the Mac. It does not
// say what makes a person's key or card good (method/platform,
// method/certificate), how a Mac and its keys are kept (device, mac) nor how the
// token is that it hands out (prt, token).
//
// Nothing that a message says is looked at before its signature is good, but
// what leads to the key. From then on every outcome burns its nonce (decisions
// 1.3). What a Mac does wrong is 400; 401 is for a person's proof alone, since
// macOS asks people for another one when it hears it.
//
// Specifications: Apple's Platform SSO in spec/apple-platform-sso.md §5 to §11,
// §17 and §18; spec/security.md PSO01 to PSO05; decisions 1, 3.3, 4, 5.4.
package psso
