package pkix_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this thread has used of the processor.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
