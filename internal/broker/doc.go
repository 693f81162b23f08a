// Package broker is the door for registered devices: it answers the messages
// that a device key or a session key has signed, at the token endpoint and at
// the authorization endpoint.
//
// It reads messages in the forms that published clients write, finds the device
// and the person behind them, hands proofs to the corridor and phrases the
// answers: primary refresh tokens (PRTs), their renewal, and tokens for
// applications. It does not own the endpoints (oidc hands messages over), what
// an application may have (oidc's rules, by a func), how a PRT is kept (prt) or
// what makes a key good (device, the method rooms).
//
// Nothing that a message says is looked at before its signature is good, but
// what leads to the key. From then on every outcome burns all of its nonces
// (decisions 1.3).
//
// Specifications: MS-OAPXBC; spec/device-protocol.md §3, §4, §7, §8, §9.1–9.3,
// §9.5, §9.6, §11, §15; spec/security.md DEV04–DEV10; decisions 1, 3.3, 4.
package broker
