// Package drs is the device registration service: where machines find it, join
// and leave, have user keys registered, and show that their keys are in a TPM.
//
// It owns no table. Who joins is said by an access token of ours, which token
// verifies; whether they may, policy says; what joins, device keeps; user keys
// are a room's, through the corridor. Of what a machine sends it believes what
// is proven: a public key by a signature, a TPM by its attestation. Everything
// else is a label.
//
// The wire is docs/device-registration.md. Reading is lenient where published
// clients need it (decisions 4.8); TPM structures and certificates are read by
// libraries alone.
//
// Specifications: MS-DVRJ, MS-KPP, MS-DVRD; spec/device-protocol.md §2.5, §2.6,
// §5, §6, §15; RFC 2986; TPM 2.0 Library, Parts 1 and 2; TCG EK Credential Profile
// 2.5; spec/security.md DEV01–DEV03, DEV11.
package drs
