// Load measures a built signet binary over loopback: server CPU per operation,
// latency, memory and errors for nonce, passkey sign-in, refresh, client
// credentials, the whole code flow, and what devices do: a primary refresh token
// by Hello key, its use for tokens, and sign-in by a browser's header; of Macs,
// logins and refreshes of Platform SSO; and of sign-ins that a phone approves. At 1, 16 and 64 callers, and at half of the
// highest rate. Behind those, what waiting for phones costs: memory, and the time
// from an approval to the page.
//
// Beside each figure stands a ceiling: the sum of the unavoidable parts of the
// operation (a bare HTTP exchange, one signature check, one durable row …),
// measured in the same run on the same machine. Ratios survive a change of
// machine; microseconds do not.
//
//	go run ./load -binary ../bin/signet
package main
