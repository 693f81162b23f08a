// Package program is what our programs beside the server have in common, those
// that stand for a device, a phone and a Mac: how they take a server's address,
// which servers they trust, and the folder that they keep their state in.
//
// It knows no protocol and no state. Messages are for the person at the
// terminal, and name the flags that all of them have: --ca-file, --state.
package program
