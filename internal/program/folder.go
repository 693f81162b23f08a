package program

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/signetid/signet/internal/idp"
)

// Folder makes the folder of a state if there is none. One that others may look
// into is Denied "state_open": what is in it is one account's alone.
func Folder(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the state folder: %w; name another with --state", err)
	}
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("look at the state folder: %w; name another with --state", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return idp.Deniedf("state_open", "%s is %s", folder, info.Mode()).
			Say("the state folder " + folder + " is open to other accounts: chmod 700 it, or name another with --state")
	}
	return nil
}

// Replace writes a file of this account alone. After a crash there is the old
// one or the new one, whole.
func Replace(path string, text []byte) error { return Place(path, text, os.Rename) }

// Place writes a file of this account alone beside its place and then puts it
// there by put (os.Rename to replace, os.Link to refuse an existing one), so that
// a crash leaves the old file or the new one, whole.
func Place(path string, text []byte, put func(from, to string) error) error {
	// A name of its own: two commands at once must not write into one file.
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of what was not renamed
	_, err = f.Write(text)    // CreateTemp makes it 0600
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := put(f.Name(), path); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// SyncFolder makes what was renamed or removed in a folder outlast a crash.
func SyncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
