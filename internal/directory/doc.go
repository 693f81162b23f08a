// Package directory knows tenants, their verified domain names, users and
// groups.
//
// It owns those tables and the rules about names. It does not know how
// anybody signs in, opens no session and writes no audit record: the door
// that changes something writes that in the same transaction. Every query
// names its tenant; the only locator is a verified domain name (decisions
// 3.6). Other packages that must act when a user goes hang on by
// OnRemoveUser.
//
// Ids are UUIDv4 (decisions 3.2). The last administrator of a tenant can
// neither be removed, disabled nor demoted (security.md POL07).
package directory
