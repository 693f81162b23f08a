// Package phoneagent is a phone without a phone: what enrols, approves and
// denies as the app does, over the protocol of docs/phone-protocol.md, for
// demos, for tests, and to be read by those who write an app.
//
// It keeps its keys in a file. Whoever has that file, and the PIN if there is
// one, is the phone; nothing counts wrong PINs. It shares the words of the
// protocol and JOSE with the server and nothing else, and speaks to it only
// over HTTP.
//
// A Phone prints nothing and asks nobody: cmd/signet has the terminal, and hands
// numbers and PINs in.
package phoneagent
