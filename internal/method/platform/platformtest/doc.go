// Package platformtest is the other side of the room of Platform Credentials:
// Macs that keep user keys in memory and sign with them. For tests only.
package platformtest
