// Package device keeps the registered machines of a tenant: their keys, whose
// they are, whether they may be used, and the authority that certifies them.
//
// A device is bound by its public key: the certificate says which row to look
// at, the row decides (device-protocol.md §5.2). Who may join one is policy's
// affair and drs's to ask; what dies with a device (its PRTs, the keys that it
// keeps) hangs on OnRemove and OnDisable.
//
// Specifications: MS-DVRJ, MS-DVRD; spec/device-protocol.md §5, §11;
// spec/security.md 1.4.
package device
