// Package card signs in with smart cards as people have them: a key that is made
// on a card and never leaves it, a certificate beside it, and a browser that
// speaks TLS with both.
//
// The cards are SoftHSM tokens, the browser is curl with OpenSSL's PKCS#11
// engine, and the server is the built binary: nothing in between is ours.
package card
