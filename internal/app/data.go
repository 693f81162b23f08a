package app

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/secret"
)

// Names inside the data folder.
const (
	databaseFile  = "signet.db"
	kekName       = "kek"
	lockName      = "lock"
	highWaterName = "highwater"
	// AdminSocket is where a running server takes commands from this
	// machine (decisions 6.1).
	AdminSocket = "admin.sock"
)

// probeSize is what must fit on the disk for a start: a full disk should say
// so now and not at the first sign-in.
const probeSize = 512 << 10

// openFolder makes the data folder, or checks that nobody but its owner can
// look inside (security.md KEY07). An empty folder is tightened: nothing in it
// can have been read.
func openFolder(dir string) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return diskError(dir, err)
		}
		return probe(dir)
	}
	if err != nil {
		return diskError(dir, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("the data folder %s is a file: name a folder with --data", dir)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		names, err := os.ReadDir(dir)
		if err != nil {
			return diskError(dir, err)
		}
		if len(names) > 0 {
			return fmt.Errorf("the data folder %s can be read by others (mode %04o): run chmod 700 %s", dir, perm, dir)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return diskError(dir, err)
		}
	}
	return probe(dir)
}

// probe writes and removes a file, so that a read-only or full disk is known
// before anything is changed.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return diskError(dir, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(make([]byte, probeSize))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return diskError(dir, err)
}

// diskError says in a sentence what a person can do about err.
func diskError(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk with %s is full: make room and start again", path)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s is on a read-only disk: mount it for writing, or name another folder with --data", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be used by this user: give it to the user who runs signet, or name another folder with --data", path)
	}
	return fmt.Errorf("%s cannot be used: %w", path, err)
}

// lock takes the data folder for one process. busy means that another one has
// it: a running server.
func lock(dir string) (f *os.File, busy bool, err error) {
	path := filepath.Join(dir, lockName)
	f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, diskError(path, err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, true, nil
	}
	if err != nil {
		f.Close()
		return nil, false, fmt.Errorf("%s cannot be locked: %w; use a disk that can lock files", path, err)
	}
	return f, false, nil
}

// kekPath is where the key-encryption key is, unless it came as a value.
func (c Config) kekPath() string {
	if c.KEKFile != "" {
		return c.KEKFile
	}
	return filepath.Join(c.Data, kekName)
}

// loadKEK reads the key-encryption key. Without one it returns fs.ErrNotExist.
func loadKEK(c Config) (*secret.Key, error) {
	if c.KEK != "" {
		k, err := parseKEK([]byte(c.KEK))
		if err != nil {
			return nil, fmt.Errorf("SIGNET_KEK is no key: %w", err)
		}
		return k, nil
	}
	path := c.kekPath()
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err != nil {
		return nil, diskError(path, err)
	}
	if err := ownersOnly("key-encryption key", path, info); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, diskError(path, err)
	}
	k, err := parseKEK(text)
	if err != nil {
		return nil, fmt.Errorf("the key-encryption key %s is damaged: %w; put back the copy that you keep", path, err)
	}
	return k, nil
}

// ownersOnly refuses a file of a secret that others can read (security.md
// KEY07).
func ownersOnly(what, path string, info fs.FileInfo) error {
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return fmt.Errorf("the %s %s can be read by others (mode %04o): run chmod 600 %s", what, path, perm, path)
	}
	return nil
}

// parseKEK accepts 32 bytes as base64 or hex text.
func parseKEK(text []byte) (*secret.Key, error) {
	s := strings.TrimSpace(string(text))
	if raw, err := hex.DecodeString(s); err == nil && len(raw) == 32 {
		return secret.NewKey(raw)
	}
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	raw, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil || len(raw) != 32 {
		// The text is not shown: a damaged key is still most of a key.
		return nil, errors.New("it should be 32 bytes in base64")
	}
	return secret.NewKey(raw)
}

// makeKEK writes a new key-encryption key where none is. The file appears
// whole or not at all.
func makeKEK(path string) (*secret.Key, error) {
	k := secret.RandomKey()
	if err := program.Place(path, textOfKEK(k), os.Link); err != nil {
		return nil, diskError(path, err)
	}
	return k, nil
}
