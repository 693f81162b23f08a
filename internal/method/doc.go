// Package method is the contract between the corridor and a method room.
//
// A room proves who somebody is and states facts about that proof; it never
// opens a session, judges policy or phrases an error for a page. Method is
// the one required interface, the optional sides are looked up once, when the
// room is registered with the corridor. Rooms never import each other.
package method
