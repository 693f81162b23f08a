// Package prt issues primary refresh tokens to registered devices, checks that
// whoever presents one holds its session key, renews and revokes them.
//
// A PRT is a sealed blob (id, generation, session key, epoch) and a row that
// says what it stands on and whether it still does: one read to use it
// (decisions 3.3). Its id counts as that of a session: refresh families and
// browser sessions that come of it stand on it and end with it.
//
// It judges no policy and speaks no HTTP: that is broker's, through the corridor.
//
// Specifications: MS-OAPXBC §3.1.5; spec/device-protocol.md §7.4, §8, §9.1, §9.2,
// §11; NIST SP 800-108r1 §4.1; spec/security.md DEV05–DEV10.
package prt
