package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signetid/signet/internal/idp"
)

// patience is how long an agent waits for another one on the same state.
const patience = 15 * time.Second

// lock keeps other agents away from the state until the function it gives is
// called. The kernel lets go of it when the process ends, however it ends.
func (s *store) lock(ctx context.Context) (func(), error) {
	f, err := os.OpenFile(s.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the state: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock the state: %w", err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, idp.Unavailablef("state_busy", "lock %s: %w", s.folder, err).
				Say("another signet device command is at work on " + s.folder + ": wait for it, or end it, then run this again")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
