// Package passkeytest is a software authenticator and the browser around it,
// for tests and load programs: it answers WebAuthn options as a real one would
// and can be told to lie in any single respect.
//
//	a := passkeytest.New("localhost", "http://localhost:8080")
//	payload, err := a.Create(show) // what BeginRegister showed
//	payload, err = a.Get(show)     // what Challenge showed
//
// Options are taken as the room shows them ({"publicKey": …}) or bare. Errors
// have the names of the DOM exceptions that a browser would raise. It shares no
// code with the room or its library, so that a mistake cannot cancel out.
package passkeytest
