// Package signintest is the battery that every method room runs, through the
// real corridor, on both databases, and the small house it runs in.
//
// A room's test is a few lines: Run with a function that makes the room and
// says how to enrol a person and to answer. The house (two tenants, people, a
// clock that a test moves, the real registries and sessions) is there for
// other tests of the corridor as well.
package signintest
