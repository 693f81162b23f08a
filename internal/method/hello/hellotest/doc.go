// Package hellotest is the other side of the Hello room: devices that keep user
// keys in memory and sign assertions with them. For tests only.
package hellotest
