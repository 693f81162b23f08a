// Package metadatatest makes FIDO metadata lists that verify against a root of
// its own, and lists that must not verify. For tests only.
package metadatatest
