//go:build !unix

package sqldb

func isReadOnlyMount(error) bool { return false }
