// Package program is what our programs have in common. The server and those that
// stand for a device, a phone and a Mac write files that a crash leaves whole; the
// latter take a server's address in the same way, trust the same servers, and keep
// their state in a folder.
//
// It knows no protocol and no state. Messages are for the person at the
// terminal, and name the flags that all of them have: --ca-file, --state.
package program
