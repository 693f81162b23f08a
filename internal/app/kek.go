package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Rewrapped is what became of the key-encryption key.
type Rewrapped struct {
	Keys    int    `json:"keys"`                 // sealed anew
	Made    bool   `json:"madeNewKey"`           // the new key was not there before
	NewFile string `json:"newKeyFile"`           // the caller's copy of the new key
	InUse   string `json:"keyFile,omitempty"`    // where the server reads it; empty: the key came as a value
	OldFile string `json:"oldKeyFile,omitempty"` // the old key, which older backups need
}

// RewrapKEK replaces the key-encryption key, while no server runs, by the one
// in newFile, which is made when there is none. It goes in steps, each of
// which happens whole or not at all, and may be stopped between any two: the
// same call then goes on where the last one stopped (security.md KEY02).
func RewrapKEK(ctx context.Context, cfg Config, newFile string) (Rewrapped, error) {
	cfg = cfg.quiet().asFound()
	if err := cfg.hasDatabase(); err != nil {
		return Rewrapped{}, err
	}
	r := &rewrap{cfg: cfg, Rewrapped: Rewrapped{NewFile: newFile}}
	var err error
	if r.v, err = openVault(ctx, cfg); err != nil {
		return Rewrapped{}, err
	}
	defer r.v.close()
	for _, step := range r.steps() {
		if err := step(ctx); err != nil {
			return Rewrapped{}, err
		}
	}
	return r.Rewrapped, nil
}

type rewrap struct {
	Rewrapped
	cfg  Config
	v    *vault // opened with the key that the server uses until now
	next *secret.Key
}

// steps are what is done, in order. Until reseal the server needs the old key,
// from then on the new one, which is in NewFile before: at no moment is what
// opens the database in memory alone.
func (r *rewrap) steps() []func(context.Context) error {
	return []func(context.Context) error{r.find, r.make, r.reseal, r.keepOld, r.place}
}

// find reads both keys and makes sure that everything after it can be done.
func (r *rewrap) find(ctx context.Context) (err error) {
	if !r.v.found.used {
		return errors.New("this database is empty: there is no key to replace; the first start makes one")
	}
	if r.cfg.KEK == "" {
		r.InUse = r.cfg.kekPath()
		if err := replaceable(r.InUse); err != nil {
			return err
		}
	}
	r.next, err = loadKEK(Config{KEKFile: r.NewFile})
	if errors.Is(err, fs.ErrNotExist) {
		r.Made, err = true, nil
	}
	if err != nil {
		return err
	}
	if r.next != nil && secret.Equal(r.next.Raw(), r.v.kek.Raw()) {
		return fmt.Errorf("%s is the key that is in use already: name the file of another one, or one that is not there to have a new key made", r.NewFile)
	}
	if r.v.next != nil && (r.next == nil || !secret.Equal(r.next.Raw(), r.v.next.Raw())) {
		path := r.cfg.kekNextPath()
		return fmt.Errorf("another new key waits in %s: name that file here, or let it take over with signet admin kek rewrap and no file, or remove it if nothing was rewrapped yet", path)
	}
	_, err = r.v.prepare(ctx, r.ring(), audit.New(r.cfg.Now), newHighWater(r.cfg.Data))
	return err
}

// ring opens with the old key and the new one, and seals under the new one.
func (r *rewrap) ring() *keyring.Ring {
	c := keyring.Config{DB: r.v.db, KEK: r.v.kek, Now: r.cfg.Now, Place: r.cfg.place()}
	if r.next != nil {
		c.KEK, c.AlsoOpens = r.next, []*secret.Key{r.v.kek}
	}
	return keyring.New(c)
}

// replaceable says whether a key file can be replaced, before anything depends
// on it.
func replaceable(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("%s cannot be replaced here: hand the old key over in SIGNET_KEK, and put the new one in its place yourself (%w)", path, err)
	}
	f.Close()
	return os.Remove(f.Name())
}

// make writes the new key where none is.
func (r *rewrap) make(context.Context) (err error) {
	if r.next == nil {
		r.next, err = makeKEK(r.NewFile)
	}
	return err
}

// reseal seals every key anew, in one transaction, with a record in each
// tenant that had one.
func (r *rewrap) reseal(ctx context.Context) error {
	log := audit.New(r.cfg.Now)
	actor := admin.Actor(os.Geteuid())
	n, err := r.ring().Rewrap(ctx, func(ctx context.Context, tx *sqldb.Tx, whose []idp.TenantID) error {
		for _, t := range whose {
			e := audit.Event{Tenant: t, Category: audit.System, Activity: "kek.rewrap", Outcome: audit.Success, Actor: actor}
			if err := log.Write(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	r.Keys = n
	return err
}

// keepOld gives the old key a second name. The name follows from the key, so
// that a second run makes no second copy.
func (r *rewrap) keepOld(context.Context) (err error) {
	if r.InUse == "" {
		return nil
	}
	r.OldFile, err = keepKEK(r.InUse, r.v.kek)
	return err
}

// place puts the new key where the server looks for it. One that waited there
// to take over has done so.
func (r *rewrap) place(context.Context) error {
	if r.InUse != "" {
		if err := putKEK(r.InUse, r.next); err != nil {
			return fmt.Errorf("put the new key into %s: %w; everything is sealed under the key in %s now, so run this again", r.InUse, err, r.NewFile)
		}
	}
	if r.v.next == nil || r.cfg.KEK != "" {
		return nil // with a value, it is the only copy that the server has
	}
	path := r.cfg.kekNextPath()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(path, err)
	}
	return nil
}

func sameOwner(path, as string) error {
	info, err := os.Stat(as)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	// Whoever owns the folder may have put a link in the file's place.
	return os.Lchown(path, int(owner.Uid), int(owner.Gid))
}

// keepKEK gives the file of an old key a second name, which follows from the
// key, and makes sure that the key is there.
func keepKEK(path string, old *secret.Key) (kept string, err error) {
	kept = path + ".old-" + keyring.KEKID(old)
	if err := os.Link(path, kept); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("keep the old key: %w", err)
	}
	if k, err := loadKEK(Config{KEKFile: kept}); err != nil {
		return "", fmt.Errorf("keep the old key: %w", err)
	} else if !secret.Equal(k.Raw(), old.Raw()) {
		return "", fmt.Errorf("keep the old key: %s is another one: move it away", kept)
	}
	return kept, program.SyncFolder(filepath.Dir(path))
}

// putKEK replaces a key file, in one rename, and leaves it to the owner of the
// old one: whoever runs this may be root.
func putKEK(path string, k *secret.Key) error {
	return program.Place(path, textOfKEK(k), func(from, to string) error {
		if err := sameOwner(from, to); err != nil {
			return err
		}
		return os.Rename(from, to)
	})
}

func textOfKEK(k *secret.Key) []byte {
	return []byte(base64.StdEncoding.EncodeToString(k.Raw()) + "\n")
}
