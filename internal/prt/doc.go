// Package prt issues primary refresh tokens to registered devices, checks that
// whoever presents one holds its session key, renews and revokes them.
//
// A PRT is a sealed blob (id, generation, session key) that is bound to tenant
// and epoch, and a row that says what it stands on and whether it still does:
// one read to use it (decisions 3.3). The row holds nothing that would make a
// PRT. Its id counts as that of a session: refresh families and browser sessions
// that come of it stand on it and end with it.
//
// It judges no policy and speaks no HTTP: that is broker's, through the
// corridor. It writes the event of a reused PRT; all others are told by whoever
// knows the actor.
//
// Specifications: MS-OAPXBC §3.1.5; spec/device-protocol.md §7.4, §8, §9.1, §9.2,
// §11; NIST SP 800-108r1 §4.1; spec/security.md DEV05–DEV08, T04, T05, T10.
package prt
