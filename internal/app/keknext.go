package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/secret"
)

// nextEnding is what the name of the file of a new key-encryption key ends
// with, while it takes over.
const nextEnding = ".next"

// kekNextPath is where a key that is to become the key-encryption key is:
// beside the key, or in the data folder when the key came as a value.
func (c Config) kekNextPath() string {
	if c.KEK != "" {
		return filepath.Join(c.Data, kekName+nextEnding)
	}
	return c.kekPath() + nextEnding
}

// loadNext reads the key that is to become the key-encryption key; nil when
// there is none, or when it is main, which it has become.
func loadNext(c Config, main *secret.Key) (*secret.Key, error) {
	k, err := loadKEK(Config{KEKFile: c.kekNextPath()})
	if errors.Is(err, fs.ErrNotExist) || err == nil && main != nil && secret.Equal(k.Raw(), main.Raw()) {
		return nil, nil
	}
	return k, err
}

// kekPlace says where people put the key-encryption key.
func (c Config) kekPlace() string {
	if c.KEK != "" {
		return "SIGNET_KEK"
	}
	return c.kekPath()
}

// keeper has the key-encryption keys of this node: those in files, and those
// in memory. It is the side of a replacement that each node has for itself.
type keeper struct {
	cfg  Config
	ring *keyring.Ring
	work chan struct{} // held by whoever changes files, or lets what is in one take over

	mu     sync.Mutex
	main   *secret.Key // of the key file
	next   *secret.Key // nil: none
	listed bool        // the other nodes know of this one
}

var _ admin.KEK = (*keeper)(nil)

func newKeeper(v *vault, ring *keyring.Ring) *keeper {
	k := &keeper{cfg: v.cfg, ring: ring, work: make(chan struct{}, 1), main: v.kek, next: v.next}
	// Whoever asks a server where its files are is in another folder.
	for _, path := range []*string{&k.cfg.Data, &k.cfg.KEKFile} {
		if abs, err := filepath.Abs(*path); *path != "" && err == nil {
			*path = abs
		}
	}
	return k
}

// busy waits until no other command is at work here.
func (k *keeper) busy(ctx context.Context) (free func(), err error) {
	select {
	case k.work <- struct{}{}:
		return func() { <-k.work }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// hold takes keys into use, and says so to the other nodes. After an error it
// still has those from before.
func (k *keeper) hold(ctx context.Context, main, next *secret.Key) error {
	if k.listed {
		if err := k.ring.Change(ctx, main, next); err != nil {
			return err
		}
	} else {
		k.ring.Hold(main, next)
	}
	k.main, k.next = main, next
	return nil
}

// Announce tells the other nodes which keys this one has, again and again
// until it ends. Before, it looks whether a new key was put in place, or taken
// away, by other means than Add, as with a mounted secret: what is in memory
// alone is lost with the process.
func (k *keeper) Announce(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.listed = true
	next, err := loadNext(k.cfg, k.main)
	if next == nil && err == nil && k.next != nil {
		if file, err := loadKEK(k.cfg); err == nil && secret.Equal(file.Raw(), k.next.Raw()) {
			next = k.next // in its place already, for Finish to find
		}
	}
	held := k.hold(ctx, k.main, next)
	err = errors.Join(err, k.cfg.kekError(held))
	if n := (*keyring.Needs)(nil); errors.As(held, &n) && k.next != nil && keyring.KEKID(k.next) == n.KEK {
		// It stays, and the others go on to hear of it.
		return errors.Join(err, k.hold(ctx, k.main, k.next))
	}
	return err
}

// Leave takes that back.
func (k *keeper) Leave(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.listed {
		return nil
	}
	k.listed = false
	return k.ring.Leave(ctx)
}

// Status says how the replacement stands.
func (k *keeper) Status(ctx context.Context) (admin.KEKs, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status(ctx)
}

func (k *keeper) status(ctx context.Context) (s admin.KEKs, err error) {
	s.KEKs, err = k.ring.KEKs(ctx)
	s.File, s.InFile = k.cfg.kekPlace(), keyring.KEKID(k.main)
	if k.next != nil {
		s.NewFile, s.New = k.cfg.kekNextPath(), keyring.KEKID(k.next)
	}
	return s, err
}

// Add takes a new key in beside the one in use: the one in text, or without
// any the one in the file that is there, or else a fresh one. Whatever it was,
// it is in that file before anything can depend on it.
func (k *keeper) Add(ctx context.Context, text string) (_ admin.KEKs, made bool, err error) {
	free, err := k.busy(ctx)
	if err != nil {
		return admin.KEKs{}, false, err
	}
	defer free()
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.ring.KEKs(ctx)
	if err != nil {
		return admin.KEKs{}, false, err
	}
	there, err := loadNext(k.cfg, k.main)
	if err != nil {
		return admin.KEKs{}, false, err
	}
	next := there
	if text != "" {
		if next, err = parseKEK([]byte(text)); err != nil {
			return admin.KEKs{}, false, idp.Invalidf("kek_malformed", "new key: %w", err).On("key").Say("This is no key: it should be 32 bytes in base64.")
		}
	}
	taking := k.taking(s)
	if made = next == nil && taking == ""; made {
		next = secret.RandomKey()
	}
	switch {
	case next == nil || taking != "" && keyring.KEKID(next) != taking:
		return admin.KEKs{}, false, idp.Conflictf("kek_other", "%s takes over", taking).
			Say("The new key " + taking + " is taking over already: give that one, or finish first.")
	case secret.Equal(next.Raw(), k.main.Raw()):
		return admin.KEKs{}, false, idp.Conflictf("kek_same", "the key in use").Say("This is the key that is in use already.")
	}
	if there == nil || !secret.Equal(there.Raw(), next.Raw()) {
		if err := k.replaceNext(ctx, next); err != nil {
			return admin.KEKs{}, false, err
		}
	}
	if err := k.hold(ctx, k.main, next); err != nil {
		return admin.KEKs{}, made, err
	}
	out, err := k.status(ctx)
	return out, made, err
}

// taking is the id of the key that takes over, or has and was not put in place
// on this node; empty: none.
func (k *keeper) taking(s keyring.KEKs) string {
	if s.Next == "" && s.Now != keyring.KEKID(k.main) {
		return s.Now
	}
	return s.Next
}

// replaceNext writes a new key, over another one that nobody relies on.
func (k *keeper) replaceNext(ctx context.Context, next *secret.Key) error {
	// From here on no rewrap begins with the other one, or this is an error.
	if err := k.hold(ctx, k.main, nil); err != nil {
		return k.cfg.kekError(err)
	}
	return k.write(next)
}

// write puts a new key into its file, which belongs to whoever has the key or
// the folder.
func (k *keeper) write(next *secret.Key) error {
	path, like := k.cfg.kekNextPath(), k.cfg.kekPath()
	if k.cfg.KEK != "" {
		like = k.cfg.Data
	}
	err := program.Place(path, textOfKEK(next), func(from, to string) error {
		if err := sameOwner(from, like); err != nil {
			return err
		}
		return os.Rename(from, to)
	})
	return diskError(path, err)
}

// Rewrap lets the new key take over. done counts the keys that were sealed
// anew, or with dry would be.
func (k *keeper) Rewrap(ctx context.Context, dry bool, note keyring.Note, progress func(int)) (_ admin.KEKs, done int, err error) {
	free, err := k.busy(ctx)
	if err != nil {
		return admin.KEKs{}, 0, err
	}
	defer free()
	id, err := k.mayRewrap(ctx)
	if err != nil {
		return admin.KEKs{}, 0, err
	}
	if dry {
		done, err = k.ring.Try(ctx, id)
	} else {
		done, err = k.ring.Replace(ctx, id, note, progress)
	}
	if err != nil {
		return admin.KEKs{}, done, err
	}
	s, err := k.Status(ctx)
	return s, done, err
}

// mayRewrap gives the id of the key that may take over: both keys must be in
// their files, since what is in memory alone is lost with the process.
func (k *keeper) mayRewrap(ctx context.Context) (id string, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		return "", idp.Conflictf("kek_none", "no new key").
			Say("There is no new key that could take over. Make one with: signet admin kek add")
	}
	id = keyring.KEKID(k.next)
	s, err := k.ring.KEKs(ctx)
	if err != nil || s.Now == id && s.Next == "" {
		return id, err // it has taken over, and may be in the place of the old one
	}
	for _, f := range []struct {
		c   Config
		key *secret.Key
	}{{k.cfg, k.main}, {Config{KEKFile: k.cfg.kekNextPath()}, k.next}} {
		there, err := loadKEK(f.c)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if there == nil || !secret.Equal(there.Raw(), f.key.Raw()) {
			return "", idp.Conflictf("kek_files", "%s is not in its file", keyring.KEKID(f.key)).
				Say(f.c.kekPlace() + " does not hold the key " + keyring.KEKID(f.key) + " any more. Put it back, or give another new key with: signet admin kek add")
		}
	}
	return id, nil
}

// Finish puts the new key, which has taken over, in the place of the old one
// on this node, and forgets the old one. old is the file that the old one is in
// from now on; empty when the new one was in place already.
func (k *keeper) Finish(ctx context.Context) (_ admin.KEKs, old string, err error) {
	free, err := k.busy(ctx)
	if err != nil {
		return admin.KEKs{}, "", err
	}
	defer free()
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.ring.KEKs(ctx)
	if err != nil {
		return admin.KEKs{}, "", err
	}
	file, err := loadKEK(k.cfg) // by hand, or by another node that reads the same one
	if err != nil {
		return admin.KEKs{}, "", err
	}
	if err := k.mayFinish(s, file); err != nil {
		return admin.KEKs{}, "", err
	}
	if keyring.KEKID(file) != s.Now {
		if old, err = placeKEK(k.cfg.kekPath(), file, k.next); err != nil {
			return admin.KEKs{}, "", err
		}
		file = k.next
	}
	if next, err := loadNext(k.cfg, nil); err == nil && next != nil && secret.Equal(next.Raw(), file.Raw()) {
		// Where it cannot be removed, as with a mounted secret, it does no harm:
		// it is the key in use.
		os.Remove(k.cfg.kekNextPath())
	}
	next, err := loadNext(k.cfg, file) // the one after that
	if err != nil {
		return admin.KEKs{}, old, err
	}
	if err := k.hold(ctx, file, next); err != nil {
		return admin.KEKs{}, old, k.cfg.kekError(err)
	}
	out, err := k.status(ctx)
	return out, old, err
}

// mayFinish refuses to let an old key go that something needs, or that cannot
// be replaced here. file is the key in its place.
func (k *keeper) mayFinish(s keyring.KEKs, file *secret.Key) error {
	switch {
	case s.Next != "":
		return idp.Conflictf("kek_under_way", "%s is taking over", s.Next).
			Say(fmt.Sprintf("%d keys still need the old key. Run signet admin kek rewrap to its end first.", s.Old(s.Next)))
	case s.Old(s.Now) > 0:
		return idp.Conflictf("kek_under_way", "keys are not sealed under %s", s.Now).
			Say(fmt.Sprintf("%d keys still need another key than the one in use. Run signet admin kek rewrap first.", s.Old(s.Now)))
	case keyring.KEKID(file) == s.Now:
		return nil
	case k.next == nil || keyring.KEKID(k.next) != s.Now:
		return idp.Conflictf("kek_not_here", "%s has taken over", s.Now).
			Say("The key in place is not " + s.Now + ", which has taken over, and that one is not here. Give it with: signet admin kek add FILE")
	case k.cfg.KEK != "":
		return idp.Conflictf("kek_value", "the key came as a value").
			Say("The key came in SIGNET_KEK. Put the new one there, from " + k.cfg.kekNextPath() + ", start this server anew, and run this again.")
	}
	return nil
}

// place is what people call this node.
func (c Config) place() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		dir = c.Data
	}
	return host + ":" + dir
}

// placeKEK keeps the old key under another name, and puts the new one in its
// place.
func placeKEK(path string, old, next *secret.Key) (kept string, err error) {
	if err := replaceable(path); err != nil {
		return "", idp.Conflictf("kek_fixed", "%w", err).
			Say(path + " cannot be replaced here. Put the new key into it yourself, from " + path + nextEnding + ", and run this again.")
	}
	if kept, err = keepKEK(path, old); err != nil {
		return "", err
	}
	if err := putKEK(path, next); err != nil {
		return "", fmt.Errorf("put the new key into %s: %w", path, err)
	}
	return kept, nil
}
