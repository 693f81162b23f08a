// Package unixpeer asks the kernel which account of this machine is at the other
// end of a Unix socket. What that account may do is its callers' to know.
//
// Specification: unix(7), SO_PEERCRED.
package unixpeer
