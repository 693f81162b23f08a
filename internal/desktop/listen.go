package desktop

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/signetid/signet/internal/idp"
)

// Listen takes the socket of a broker. With all, every account of the machine
// may connect, and its folder must be writable by its owner only; else the
// folder must be closed to others altogether. It must be of the account that
// runs: whoever owns it could put a socket of their own there.
//
// A lock beside the socket says that a broker is there, so that of two that
// start at once one takes it. What a broker left that is gone is replaced.
func Listen(socket string, all bool) (net.Listener, error) {
	folder := filepath.Dir(socket)
	mode, open, socketMode := fs.FileMode(0o700), fs.FileMode(0o077), fs.FileMode(0o600)
	if all {
		mode, open, socketMode = 0o755, 0o022, 0o666 // whom it serves it knows itself
	}
	if err := os.MkdirAll(folder, mode); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w; name another with --socket", err)
	}
	if err := ownFolder(folder, open); err != nil {
		return nil, err
	}
	lock, err := lockSocket(socket)
	if err != nil {
		return nil, err
	}
	l, err := listen(socket, socketMode)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return held{l, lock}, nil
}

// held is a listener with its lock, which the kernel lets go of with the file.
type held struct {
	net.Listener
	lock *os.File
}

func (h held) Close() error { return errors.Join(h.Listener.Close(), h.lock.Close()) }

// ownFolder refuses a folder of another account, or one that has any of the
// permissions in open. A link is not followed: it may lead elsewhere later.
func ownFolder(folder string, open fs.FileMode) error {
	info, err := os.Lstat(folder)
	if err != nil {
		return fmt.Errorf("look at the folder of the socket: %w", err)
	}
	err = folderOf(info, os.Geteuid())
	if err == nil && info.Mode().Perm()&open != 0 {
		err = fmt.Errorf("its mode is %s", info.Mode())
	}
	if err != nil {
		return idp.Deniedf("socket_folder", "%s: %w", folder, err).
			Say("the folder " + folder + " is not this account's alone (" + err.Error() + "): name a socket in another with --socket")
	}
	return nil
}

func lockSocket(socket string) (*os.File, error) {
	f, err := os.OpenFile(socket+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the socket: %w; name another with --socket", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, idp.Conflictf("broker_runs", "lock %s: %w", f.Name(), err).
			Say("a broker listens on " + socket + " already: stop it first, or choose another with --socket")
	}
	return f, nil
}

// listen is called behind the lock: a socket that is there is nobody's.
func listen(socket string, mode fs.FileMode) (net.Listener, error) {
	info, err := os.Lstat(socket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, idp.Conflictf("no_socket", "%s is %s", socket, info.Mode()).Say(socket + " is no socket, and stays: name another with --socket")
	default:
		if err := os.Remove(socket); err != nil {
			return nil, fmt.Errorf("replace the socket of a broker that is gone: %w", err)
		}
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w; name another with --socket", socket, err)
	}
	if err := os.Chmod(socket, mode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}
