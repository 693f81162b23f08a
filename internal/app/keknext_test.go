package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// runs opens the house as a server does.
func (i *installation) runs(change func(*Config)) (*House, error) {
	cfg := i.cfg
	if change != nil {
		change(&cfg)
	}
	h, err := Open(i.t.Context(), cfg, "http://localhost")
	if err != nil {
		return nil, err
	}
	if err := h.kek.Announce(i.t.Context()); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// TestSec_KEY02_FilesOfANode goes through a replacement with the files of one
// node: a new key, the rewrap, its place; stopped half-way, too.
func TestSec_KEY02_FilesOfANode(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		ctx, i := t.Context(), newInstallation(t, database)
		kek := filepath.Join(i.cfg.Data, kekName)
		next, was := kek+nextEnding, read(t, kek)
		h, err := i.runs(nil)
		if err != nil {
			t.Fatal(err)
		}
		reason := func(want string, err error) {
			t.Helper()
			if err == nil || idp.AsError(err).Reason != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		_, _, err = h.kek.Rewrap(ctx, false, nil, nil)
		reason("kek_none", err)
		for text, want := range map[string]string{"short": "kek_malformed", was: "kek_same"} {
			_, _, err := h.kek.Add(ctx, text)
			reason(want, err)
		}
		if _, err := os.Stat(next); err == nil {
			t.Fatal("a key that was refused is stored")
		}
		s, made, err := h.kek.Add(ctx, "")
		if err != nil || !made || s.New == "" || s.NewFile != next || s.InFile != s.Now || len(s.Nodes) != 1 || len(s.Without(s.New)) != 0 {
			t.Fatalf("added: %+v, %v, %v", s, made, err)
		}
		is := read(t, next)
		if info, err := os.Stat(next); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", next, info.Mode(), err)
		}
		if _, made, err := h.kek.Add(ctx, ""); err != nil || made || read(t, next) != is {
			t.Errorf("the same once more: %v, %v", made, err)
		}
		// Before anything is sealed under it, it can be another one.
		other := base64.StdEncoding.EncodeToString(secret.Bytes(32))
		if _, made, err := h.kek.Add(ctx, other); err != nil || made || strings.TrimSpace(read(t, next)) != other {
			t.Fatalf("another one: %v, %v", made, err)
		}
		if _, _, err = h.kek.Add(ctx, is); err != nil {
			t.Fatal(err)
		}

		stop := errors.New("stop")
		note := func(context.Context, *sqldb.Tx, []idp.TenantID) error { return stop }
		if _, _, err := h.kek.Rewrap(ctx, false, note, nil); !errors.Is(err, stop) {
			t.Fatal(err)
		}
		_, _, err = h.kek.Add(ctx, other)
		reason("kek_other", err)
		_, _, err = h.kek.Finish(ctx)
		reason("kek_under_way", err)
		h.Close()
		aside := filepath.Join(t.TempDir(), "aside")
		alone := func(text string) error {
			t.Helper()
			if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			h, err := i.runs(func(c *Config) { c.KEKFile = aside })
			if err == nil {
				h.Close()
			} else if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %v", err)
			}
			return err
		}
		if err := alone(is); err == nil || !strings.Contains(err.Error(), "kek rewrap") || !strings.Contains(err.Error(), "3 keys are still sealed") {
			t.Errorf("half-way, with the new key alone: %v", err)
		}
		if err := alone(was); err == nil || !strings.Contains(err.Error(), "put that key into "+aside+nextEnding) {
			t.Errorf("half-way, with the old key alone: %v", err)
		}
		if h, err = i.runs(nil); err != nil { // with both
			t.Fatal(err)
		}
		if s, n, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil || n != 3 || s.Now != s.New || s.Next != "" {
			t.Fatalf("the rest: %+v, %d, %v", s, n, err)
		}
		_, _, err = h.kek.Add(ctx, other)
		reason("kek_other", err)
		if sealed, signer := i.keys(h); !bytes.Equal(sealed, i.sealed) || signer != i.signer {
			t.Error("other keys than before")
		}
		h.Close()
		if err := alone(is); err != nil {
			t.Errorf("with the new key alone: %v", err)
		}
		if err := alone(was); err == nil || !strings.Contains(err.Error(), "another key-encryption key") {
			t.Errorf("with the old key alone: %v", err)
		}

		if h, err = i.runs(nil); err != nil { // not finished, started anew
			t.Fatal(err)
		}
		s, old, err := h.kek.Finish(ctx)
		if err != nil || s.InFile != s.Now || s.New != "" || read(t, kek) != is || read(t, old) != was {
			t.Fatalf("finished: %+v, %s, %v", s, old, err)
		}
		if _, err := os.Stat(next); err == nil {
			t.Error("the new key is in two places")
		}
		if _, old, err := h.kek.Finish(ctx); err != nil || old != "" {
			t.Errorf("finished once more: %q, %v", old, err)
		}
		h.Close()
		if err := os.Remove(old); err != nil {
			t.Fatal(err)
		}
		if !i.opens("") {
			t.Error("does not start without the old key")
		}
	})
}

// TestSec_KEY02_FileOfANodeByHand: a new key that is put in place by other
// means is found without a start, and so is one that has taken the old one's
// place.
func TestSec_KEY02_FileOfANodeByHand(t *testing.T) {
	ctx, i := t.Context(), newInstallation(t, "")
	kek := filepath.Join(i.cfg.Data, kekName)
	next := kek + nextEnding
	h, err := i.runs(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { h.Close() }()
	is := secret.RandomKey()
	if err := os.WriteFile(next, textOfKEK(is), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := h.kek.Announce(ctx); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others can read: %v", err)
	}
	if err := os.Chmod(next, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.kek.Announce(ctx); err != nil { // as it does every minute
		t.Fatal(err)
	}
	if _, n, err := h.kek.Rewrap(ctx, true, nil, nil); err != nil || n != 3 {
		t.Errorf("tried: %d, %v", n, err)
	}
	if _, n, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil || n != 3 {
		t.Fatalf("rewrapped: %d, %v", n, err)
	}
	if err := os.Rename(next, kek); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(next, textOfKEK(is), 0o600); err != nil { // in both places
		t.Fatal(err)
	}
	if s, old, err := h.kek.Finish(ctx); err != nil || old != "" || s.InFile != keyring.KEKID(is) || s.New != "" {
		t.Errorf("finished: %+v, %q, %v", s, old, err)
	}
	if err := os.WriteFile(next, textOfKEK(is), 0o600); err != nil { // where it could not be removed
		t.Fatal(err)
	}
	if s, made, err := h.kek.Add(ctx, ""); err != nil || !made || s.New == s.Now || s.New == "" {
		t.Errorf("the next one: %+v, %v, %v", s, made, err)
	}
}

// TestSec_KEY02_ValueOfANode: with SIGNET_KEK the new key waits in the data
// folder until the operator has put it into the variable.
func TestSec_KEY02_ValueOfANode(t *testing.T) {
	ctx, i := t.Context(), newInstallation(t, "")
	kek := filepath.Join(i.cfg.Data, kekName)
	next := kek + nextEnding
	i.cfg.KEK = strings.TrimSpace(read(t, kek))
	if err := os.Remove(kek); err != nil {
		t.Fatal(err)
	}
	h, err := i.runs(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.kek.Add(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if _, n, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil || n != 3 {
		t.Fatal(n, err)
	}
	if _, _, err := h.kek.Finish(ctx); err == nil || idp.AsError(err).Reason != "kek_value" {
		t.Errorf("finished: %v", err)
	}
	h.Close()
	i.cfg.KEK = strings.TrimSpace(read(t, next))
	if h, err = i.runs(nil); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if _, old, err := h.kek.Finish(ctx); err != nil || old != "" {
		t.Errorf("finished: %q, %v", old, err)
	}
	for _, path := range []string{kek, next} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
}

// TestSec_KEY02_BackupOfHalfARewrap needs both keys, and says so.
func TestSec_KEY02_BackupOfHalfARewrap(t *testing.T) {
	ctx, i := t.Context(), newInstallation(t, "")
	h, err := i.runs(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.kek.Add(ctx, ""); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if _, _, err := h.kek.Rewrap(ctx, false, func(context.Context, *sqldb.Tx, []idp.TenantID) error { return stop }, nil); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	var file bytes.Buffer
	keys := backup.Keys{Passphrase: "correct horse"}
	if _, err := dump(ctx, h.DB, &file, keys, backup.Header{Version: "test", Created: time.Unix(1, 0).UTC()}); err != nil {
		t.Fatal(err)
	}
	h.Close()
	path := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	restore := func(withNext bool) (*installation, error) {
		to := *i
		to.cfg.Data = filepath.Join(t.TempDir(), "data")
		if err := os.Mkdir(to.cfg.Data, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{kekName, kekName + nextEnding}[:1+map[bool]int{true: 1}[withNext]] {
			if err := os.WriteFile(filepath.Join(to.cfg.Data, name), []byte(read(t, filepath.Join(i.cfg.Data, name))), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Restore(ctx, to.cfg, path, keys)
		return &to, err
	}
	if _, err := restore(false); err == nil || !strings.Contains(err.Error(), "is being replaced by") {
		t.Errorf("restored with the old key alone: %v", err)
	}
	to, err := restore(true)
	if err != nil {
		t.Fatal(err)
	}
	if !to.opens("") {
		t.Error("does not start")
	}
	if h, err = to.runs(nil); err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if s, err := h.kek.Status(ctx); err != nil || len(s.Nodes) != 1 {
		t.Errorf("servers of a backup: %+v, %v", s.Nodes, err)
	}
}

// TestRewrapBesideAWaitingKey: the replacement with everything stopped does not
// pass over a new key that waits.
func TestRewrapBesideAWaitingKey(t *testing.T) {
	ctx, i := t.Context(), newInstallation(t, "")
	next := filepath.Join(i.cfg.Data, kekName) + nextEnding
	h, err := i.runs(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.kek.Add(ctx, ""); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	if _, _, err := h.kek.Rewrap(ctx, false, func(context.Context, *sqldb.Tx, []idp.TenantID) error { return stop }, nil); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	h.Close()
	if _, err := RewrapKEK(ctx, i.cfg, filepath.Join(t.TempDir(), "third")); err == nil || !strings.Contains(err.Error(), "waits in "+next) {
		t.Errorf("past it: %v", err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(copied, []byte(read(t, next)), 0o600); err != nil {
		t.Fatal(err)
	}
	done, err := RewrapKEK(ctx, i.cfg, copied)
	if err != nil || done.Keys != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := os.Stat(next); err == nil {
		t.Error("the new key is in two places")
	}
	if !i.opens("") || i.opens(done.OldFile) {
		t.Error("not the new key alone opens everything")
	}
}
