// Package macprofile writes the configuration profile that an MDM gives to Macs
// for Platform SSO, and says what is wrong with one
// (apple-platform-sso.md §4).
//
// A profile is a property list with two payloads: com.apple.extensiblesso, which
// names the extension, the addresses that it takes over and how people sign in,
// and com.apple.associated-domains, by which the Mac believes that extension and
// server belong together. Make writes one for a tenant and a method; its
// identifiers depend on nothing else, so that a profile that is given out again
// takes the place of the one before. Lint holds any profile against the keys that
// Apple has published (schema.go) and against the rules that no schema has
// (rules.go). Explain says in words what is in one, for people who have to trust
// it before they deploy it.
//
// It signs nothing: an MDM signs what it sends. It keeps nothing, and knows no
// tenant but the one it is told of. Registration tokens are made by internal/mac.
package macprofile
