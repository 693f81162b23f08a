// Package mac keeps what only Macs have: the keys of a registered Mac under the
// names that it calls them by, the tokens by which one is registered without
// anybody at its keyboard, and the keys that unlock it.
//
// A Mac is a device of package device, which says whose it is and whether it may
// be used; a row here is that device's and goes with it. Whether a request is
// good is psso's to say, whether a person may is policy's.
//
// Specifications: spec/apple-platform-sso.md §2 (names of keys), §8.2, §8.3
// (unlock keys), §9 (registration), §10 (rotation); spec/security.md PSO01, PSO05,
// DEV03, KEY01; decisions 5.4.
package mac
