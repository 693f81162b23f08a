// Package app puts the house together: it owns the configuration, the data
// folder, the list of method rooms and of doors, start and stop.
//
// It is the only package that knows all others, and nothing but cmd and tests
// import it. No rule of identity lives here: what looks like one belongs in a
// room, in policy or in a door.
//
// Start is in order of what can go wrong cheaply: configuration, ports, data
// folder, key-encryption key, database; a start that fails has changed
// nothing (product.md §7). Stop is the reverse and loses no request.
package app
