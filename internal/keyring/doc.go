// Package keyring keeps the keys of a tenant: signing keys, which rotate and
// are published as a JWKS, and sealing keys, one for each purpose.
//
// At rest every private key is sealed with AES-256-GCM under the
// key-encryption key, which is never in the database; the AAD names tenant,
// object, purpose and version, so that a sealed key moved to another row does
// not open (security.md KEY01, KEY04). Each row names the key-encryption key
// that seals it, which can be replaced while nodes run (KEY02): the database
// says which one seals, and Prove that none is missing (docs/adr/0029). A signing key's state follows from its
// times alone: next (published, not used yet), active, retiring (published,
// not used any more), gone (KEY03). No job has to run for a rotation to be
// right.
//
// It does not sign: token does.
package keyring
