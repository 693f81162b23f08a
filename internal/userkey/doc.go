// Package userkey keeps the keys that machines keep for people: the rows behind
// the rooms of device protocols. One key a person and machine, so many a
// person; a new one takes the place of the old. A removed key is kept for thirty
// days and can be restored; a key whose machine was removed is orphaned, proves
// nobody any more and is deleted after as many (decisions 2.12).
//
// Each room has a Store over tables of its own, and embeds it: lists, names,
// removal and sweep are the store's, in the shape in which the corridor wants
// them. What a key looks like, how it signs and what its signature proves are
// the room's. The store reads no payload and verifies nothing.
//
// Specifications: device-protocol.md §6; apple-platform-sso.md §9.3;
// entra-behaviours.md §6, §10; decisions 2.11, 2.12; security.md DEV03, DEV12.
package userkey
