// Package console is the door for administrators and the help desk: pages on
// which they see what needs them, help people, look after groups and
// applications, govern methods, and read what happened.
//
// It owns its templates, style, words and addresses below /admin. It decides
// nothing that policy or a registry decides: who may sign in, which rule fires
// and what a change would do it asks the corridor, and saves policies by
// Corridor.SavePolicy alone.
//
// Every page asks for a session of somebody with a role (security.md 1.13);
// every change besides asks for a phishing-resistant gesture that is at most 15
// minutes old (decisions 6.1). Without one, the form that was sent is kept in
// the flow, sealed, and comes back after the gesture: nothing typed is lost.
// All pages work without script.
//
// Specifications: entra-behaviours.md §11–§13; security.md 1.10, 1.11, 1.13;
// ../design.
package console
