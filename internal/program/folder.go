package program

import (
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
func Replace(path string, text []byte) error {
	// A name of its own: two commands at once must not write into one file.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // of what was not renamed
	defer f.Close()
	if _, err := f.Write(text); err != nil { // CreateTemp makes it 0600
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
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
