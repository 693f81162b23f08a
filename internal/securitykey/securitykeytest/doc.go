// Package securitykeytest has stand-ins for libfido2's tools, in tests of what
// drives them: scripts named fido2-token, fido2-cred and fido2-assert, first on
// the PATH, that speak the text formats of the tools' manual pages and are
// backed by a software key. What the stand-ins for fido2-cred and
// fido2-assert print was given to the real fido2-cred -V and fido2-assert -V
// (1.12), which verified it. The line of fido2-token -L -k is no page's: its
// form was taken from that tool itself.
package securitykeytest
