// Package pssowire has the messages of macOS Platform SSO as both ends write
// them: their names, their claims, the octets of party info and of key ids
// (apple-platform-sso.md §5 to §8), and those of our own registration
// (docs/macos-registration.md). Signing and Open are a Mac's side of it, for
// what stands in for one.
//
// It holds no state and no rule of the server's: whether a key is known, a
// nonce is ours or a time is right are psso's affair. What it reads it bends as
// jose.ParseLoose does, and in nothing else.
//
// In comments, [A] is what Apple's documentation says, [O] what other servers or
// captured messages do, [?] what nobody outside knows.
package pssowire
