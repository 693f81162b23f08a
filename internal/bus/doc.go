// Package bus tells the nodes of a cluster that something changed, so that each
// may drop what it has cached: topic and key, nothing else.
//
// It owns the table bus_change and the connection that waits for PostgreSQL's
// notices. It does not carry work (job does) and promises only this: after the
// change is committed every subscriber is called, on the node that made it
// before Write returns, on the others within a second or two. A subscriber may
// be called twice.
//
// On SQLite there is one node and the change never leaves the process.
package bus
