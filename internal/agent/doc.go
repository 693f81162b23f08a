// Package agent is the device's side: what a Linux desktop runs to be a
// registered device, to keep its keys in a TPM, and to sign its people in.
//
// It owns the keys, the state folder and the messages that a device sends
// (device-protocol.md, protocol 3.0 only, key derivation version 2 only). It
// shares words and JOSE with the server and nothing else: it knows no table and
// speaks to a server only over HTTP, as any other maker's client would.
//
// An Agent prints nothing and asks nobody: cmd/signet has the terminal, and
// hands PINs and answers in. Everything that ends in a file does so in one
// write that is whole or absent, so that an agent that is killed at any moment
// goes on afterwards.
//
// The session key of a primary refresh token is never in a file nor in the
// memory of the process that uses it: a child that lives for that one step
// unwraps it and hands it to the TPM (decisions.md 4.7).
package agent
