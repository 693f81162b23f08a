// Package desktop lets the programs of a desktop sign in by its device: a
// broker in the background that keeps primary refresh tokens fresh and serves
// tokens over a Unix socket, a host for the browser extension of
// clients/browser, and the judgement of a PAM module.
//
// It holds no key: all of that is agent's. What it decides itself is who at
// this machine may ask for whom. The kernel says who is at the other end of a
// socket, and a file that only root writes says which person of the
// organisation a local account is.
//
// Specifications: decisions.md 4.7; unix(7) SO_PEERCRED; pam_exec(8); the
// native messaging protocol of browsers (a length of four bytes in the
// machine's order, then JSON).
package desktop
