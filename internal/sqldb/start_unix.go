//go:build unix

package sqldb

import (
	"errors"
	"syscall"
)

func isReadOnlyMount(err error) bool { return errors.Is(err, syscall.EROFS) }
