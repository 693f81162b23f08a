// Package enrol says with which access token a machine joins, and with which one
// a key that a machine keeps is registered for a person. The doors that do so,
// drs and psso, ask the same questions here; what they do then is theirs.
//
// It owns no table. token verifies, policy says who may, directory who it is; a
// token's one join is spent as nonces are. Errors have the numbers and the
// words that clients of the device registration service know.
//
// Specifications: spec/device-protocol.md §5, §6, §15; spec/security.md DEV01;
// decisions 4.1, 4.8; ADR 0021.
package enrol
