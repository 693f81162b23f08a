// Package mac tests Platform SSO from outside: the built binary as the server,
// and internal/macagent, which stands in for a Mac, or the command that is made of
// it. No Mac is anywhere near: what only one can show is not shown here.
package mac
