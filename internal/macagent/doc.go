// Package macagent is a stand-in for a Mac: what registers, signs in, refreshes,
// asks for unlock keys and opens a browser's session as macOS and its sign-in
// extension do together, by apple-platform-sso.md and docs/macos-registration.md,
// for demos, for tests, and to be read by those who write an extension.
//
// It is no Mac. Its keys lie in a file where a Mac has the Secure Enclave, so
// whoever has the folder is the Mac and the person; it attests nothing, and says
// what it is in its name, in its User-Agent and in everything that it prints.
//
// What it takes from a server it judges as macOS does, and more strictly where
// Apple leaves room (apple-platform-sso.md §7): an answer that a Mac might refuse
// is refused here. It speaks to a server only over HTTP.
//
// A Mac prints nothing and asks nobody: cmd/signet has the terminal.
package macagent
