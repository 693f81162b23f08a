// Package metadata is the registry of key models: what the FIDO Metadata
// Service (MDS) says of them, and bundled names of well-known ones that are
// not in it.
//
// It owns the signed list (BLOB): its verification up to the pinned root, the
// job that fetches it or reads it from a file, the last good one in the
// database and in memory, and the verdict whether an attestation chain ends in
// a root of the model it is claimed for (Judge). It does not verify attestation
// statements (method/passkey does, and asks Judge about the chain), nor does it
// decide what a model may be used for: policy reads Model.Status.
//
// It reads the list itself, and only the members that are used: entries that
// are odd in one member are kept for the others, an unknown status is a
// warning, and the clock and the network are its caller's.
//
// Specifications: FIDO Metadata Service 3.1 §3.1 and §3.2, FIDO Metadata
// Statement 3.1, W3C Web Authentication Level 3 §7.1 step 23 and §8.
package metadata
