package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// prepared is a running installation with a new key in kek.next.
func prepared(t *testing.T, database string) (i *installation, h *House, kek, next string) {
	t.Helper()
	i = newInstallation(t, database)
	kek = filepath.Join(i.cfg.Data, kekName)
	h, err := i.runs(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if _, _, err := h.kek.Add(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	return i, h, kek, kek + nextEnding
}

func refused(t *testing.T, want string, err error) {
	t.Helper()
	if err == nil || idp.AsError(err).Reason != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestSec_KEY02_KeysInMemoryAlone: nothing is sealed under a key that is in no
// file any more, such as one that was moved away instead of copied.
func TestSec_KEY02_KeysInMemoryAlone(t *testing.T) {
	i, h, kek, next := prepared(t, "")
	ctx := t.Context()
	text := read(t, next)
	for _, path := range []string{kek, next} {
		was := read(t, path)
		for name, spoil := range map[string]func() error{
			"gone":    func() error { return os.Remove(path) },
			"another": func() error { return os.WriteFile(path, textOfKEK(secret.RandomKey()), 0o600) },
		} {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			_, _, tried := h.kek.Rewrap(ctx, true, nil, nil)
			_, _, err := h.kek.Rewrap(ctx, false, nil, nil)
			for _, err := range []error{tried, err} {
				if err == nil || idp.AsError(err).Reason != "kek_files" || !strings.Contains(idp.AsError(err).Public, path) {
					t.Errorf("%s is %s: %v", path, name, err)
				}
			}
			if err := os.WriteFile(path, []byte(was), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	// The other servers are not told of a key that is in no file.
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	if err := h.kek.Announce(ctx); err != nil {
		t.Fatal(err)
	}
	if s, err := h.kek.Status(ctx); err != nil || s.New != "" || len(s.Nodes) != 1 || len(s.Nodes[0].KEKs) != 1 {
		t.Errorf("without the file: %+v, %v", s, err)
	}
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.kek.Announce(ctx); err != nil {
		t.Fatal(err)
	}

	// Once it takes over, it is not let go, and it is told that it is nowhere.
	if _, _, err := h.kek.Rewrap(ctx, false, func(context.Context, *sqldb.Tx, []idp.TenantID) error { return context.Canceled }, nil); err == nil {
		t.Fatal("not stopped")
	}
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	if err := h.kek.Announce(ctx); err == nil || !strings.Contains(err.Error(), next) {
		t.Errorf("the key that takes over is in no file: %v", err)
	}
	if _, err := h.Keys.Sealing(ctx, i.tenant, "another"); err != nil {
		t.Errorf("it was let go: %v", err)
	}
	if s, err := h.kek.Status(ctx); err != nil || len(s.Nodes) != 1 || len(s.Without(s.Next)) != 0 {
		t.Errorf("it is not announced: %+v, %v", s, err)
	}
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil {
		t.Error(err)
	}
	// Put in place by hand, it is in a file.
	if err := os.Rename(next, kek); err != nil {
		t.Fatal(err)
	}
	if err := h.kek.Announce(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(next); err == nil {
		t.Error("written again")
	}
}

// TestSec_KEY02_FinishKeepsTheNextKey: where nothing is to be finished, the key
// that is to take over next stays at hand.
func TestSec_KEY02_FinishKeepsTheNextKey(t *testing.T) {
	_, h, _, next := prepared(t, "")
	text := read(t, next)
	s, old, err := h.kek.Finish(t.Context())
	if err != nil || old != "" || s.New == "" || s.Now != s.InFile || len(s.Without(s.New)) != 0 || read(t, next) != text {
		t.Errorf("%+v, %q, %v", s, old, err)
	}
}

// TestSec_KEY02_FinishWithStragglers: the old key stays while a row needs it,
// whenever that was written, and the same rewrap lets it go.
func TestSec_KEY02_FinishWithStragglers(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		i, h, kek, _ := prepared(t, database)
		ctx, was := t.Context(), read(t, kek)
		old, err := loadKEK(i.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil {
			t.Fatal(err)
		}
		// What a server of an older version seals.
		aad := "36:" + string(i.tenant) + "1:x4:late1:1"
		if _, err := h.DB.Exec(ctx, `insert into sealing_key (tenant_id, purpose, id, sealed, created_at) values ($1, 'late', 'x', $2, 0)`,
			i.tenant, old.Seal(secret.Bytes(32), []byte(aad))); err != nil {
			t.Fatal(err)
		}
		_, _, err = h.kek.Finish(ctx)
		refused(t, "kek_under_way", err)
		if read(t, kek) != was {
			t.Fatal("the old key was replaced")
		}
		if _, n, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil || n != 1 {
			t.Errorf("sealed anew: %d, %v", n, err)
		}
		if _, _, err := h.kek.Finish(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := h.Keys.Sealing(ctx, i.tenant, "late"); err != nil {
			t.Error(err)
		}
	})
}

// TestSec_KEY02_AddDuringARewrap waits, so that the key that takes over is not
// written over.
func TestSec_KEY02_AddDuringARewrap(t *testing.T) {
	_, h, _, next := prepared(t, "")
	ctx, text := t.Context(), read(t, next)
	other := strings.TrimSpace(string(textOfKEK(secret.RandomKey())))
	added := make(chan error, 1)
	free, err := h.kek.busy(ctx) // as a rewrap that has begun, which the database does not show yet
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _, err := h.kek.Add(ctx, other)
		added <- err
	}()
	if _, err := h.kek.ring.Replace(ctx, keyring.KEKID(h.kek.next), func(context.Context, *sqldb.Tx, []idp.TenantID) error { return context.Canceled }, nil); err == nil {
		t.Fatal("not stopped")
	}
	free()
	refused(t, "kek_other", <-added)
	if read(t, next) != text {
		t.Error("the key that takes over was written over")
	}
	free, err = h.kek.busy(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer free()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := h.kek.Finish(gone); err == nil {
		t.Error("waits for ever")
	}
}

// TestSec_KEY02_AddBesideARewrap: another server lets the key that waits here
// take over, while it is to be replaced here: it stays.
func TestSec_KEY02_AddBesideARewrap(t *testing.T) {
	_, h, _, next := prepared(t, "")
	ctx, text := t.Context(), read(t, next)
	other := keyring.New(keyring.Config{DB: h.DB, KEK: h.kek.main, AlsoOpens: []*secret.Key{h.kek.next}, Now: h.cfg.Now, Place: "other"})
	if err := other.Check(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Replace(ctx, keyring.KEKID(h.kek.next), func(context.Context, *sqldb.Tx, []idp.TenantID) error { return context.Canceled }, nil); err == nil {
		t.Fatal("not stopped")
	}
	// After Add has looked, and before it writes.
	if err := h.kek.replaceNext(ctx, secret.RandomKey()); err == nil {
		t.Error("written over")
	}
	if read(t, next) != text {
		t.Error("the key that takes over is gone")
	}
}

// TestSec_KEY02_OldKeyIsKept: a file that has the name of the old key, and is
// something else, does not pass for it.
func TestSec_KEY02_OldKeyIsKept(t *testing.T) {
	_, h, kek, _ := prepared(t, "")
	ctx, was := t.Context(), read(t, kek)
	if _, _, err := h.kek.Rewrap(ctx, false, nil, nil); err != nil {
		t.Fatal(err)
	}
	kept := kek + ".old-" + keyring.KEKID(h.kek.main)
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.kek.Finish(ctx); err == nil || read(t, kek) != was {
		t.Fatalf("the old key is nowhere: %v", err)
	}
	if err := os.Remove(kept); err != nil {
		t.Fatal(err)
	}
	if _, old, err := h.kek.Finish(ctx); err != nil || old != kept || read(t, kept) != was {
		t.Errorf("%q, %v", old, err)
	}
}
