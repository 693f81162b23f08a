// Package phonetest is a phone in Go: it speaks the phone protocol
// (docs/phone-protocol.md) as an app would, with an authenticator inside, and
// can be told to lie in any single respect.
//
//	p := phonetest.New("https://id.example", handler, now)
//	done, err := p.Enrol(link)             // or the eight characters
//	waiting, err := p.Requests()
//	result, err := p.Approve(waiting[0], "47")
//
// Refusals are errors of type *Refusal. It shares the words of the wire with the
// server, and the octets that are signed; no more.
package phonetest
