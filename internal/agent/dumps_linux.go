package agent

import "golang.org/x/sys/unix"

// noDumps keeps this process's memory out of files and debuggers: no core, and
// nobody but root may attach.
func noDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
