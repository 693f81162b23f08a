// Package terminal tests `signet phone` on a running demo: the reference phone as
// a developer of an app would try it.
package terminal
