// Package securitykeytest has stand-ins for libfido2's tools, in tests of what
// drives them: scripts named fido2-token, fido2-cred and fido2-assert, first on
// the PATH, that speak the text formats of the tools' manual pages and are
// backed by a software key. What the stand-in for fido2-cred prints was given
// to the real fido2-cred -V (1.12), which verified it.
package securitykeytest
