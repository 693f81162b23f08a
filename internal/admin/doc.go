// Package admin is the door behind <data>/admin.sock and the command line:
// tenants, users, groups, applications, passes, keys and settings, by named
// operations (decisions 6.1).
//
// It owns no rows. Every operation is one entry of a table: a struct of
// parameters, decoded strictly, and a function. What changes something writes
// its audit event in the same transaction, with the actor. Who may connect is
// decided by the socket's mode and the peer's credentials: the user that runs
// the server, or root. The administration API for everybody else is another
// door.
package admin
