package app

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// installation is a database with keys in it, and what they are.
type installation struct {
	t      *testing.T
	cfg    Config
	tenant idp.TenantID
	sealed []byte    // a sealing key
	signer idp.KeyID // the signing key
}

func newInstallation(t *testing.T, database string) *installation {
	t.Helper()
	i := &installation{t: t, cfg: Default()}
	i.cfg.Data, i.cfg.Database = filepath.Join(t.TempDir(), "data"), database
	h, err := Open(t.Context(), i.cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	err = h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		made, err := h.Directory.CreateTenant(ctx, tx, idp.Tenant{Name: "A", Domain: "a.example"})
		i.tenant = made.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	i.sealed, i.signer = i.keys(h)
	return i
}

func (i *installation) keys(h *House) ([]byte, idp.KeyID) {
	i.t.Helper()
	k, err := h.Keys.Sealing(i.t.Context(), i.tenant, "flow")
	if err != nil {
		i.t.Fatal(err)
	}
	s, err := h.Keys.Signer(i.t.Context(), i.tenant, "ES256")
	if err != nil {
		i.t.Fatal(err)
	}
	return k.Raw(), s.ID
}

// opens starts with a key file and says whether that did; when it does, every
// key must be what it was.
func (i *installation) opens(kek string) bool {
	i.t.Helper()
	cfg := i.cfg
	cfg.KEKFile = kek
	h, err := Open(i.t.Context(), cfg, "http://localhost")
	if err != nil {
		return false
	}
	defer h.Close()
	if sealed, signer := i.keys(h); !bytes.Equal(sealed, i.sealed) || signer != i.signer {
		i.t.Error("other keys than before")
	}
	return true
}

func (i *installation) events() (n int) {
	i.t.Helper()
	h, err := Open(i.t.Context(), i.cfg, "http://localhost")
	if err != nil {
		i.t.Fatal(err)
	}
	defer h.Close()
	all, err := h.Audit.List(i.t.Context(), h.DB, i.tenant, audit.Filter{Category: audit.System})
	if err != nil {
		i.t.Fatal(err)
	}
	for _, e := range all {
		if e.Activity == "kek.rewrap" && strings.HasPrefix(e.Actor, "cli:") {
			n++
		}
	}
	return n
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func onBoth(t *testing.T, fn func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, "") })
	t.Run("postgres", func(t *testing.T) {
		if address := sqldbtest.NewPostgres(t); address != "" {
			fn(t, address)
		}
	})
}

// TestSec_KEY02_RewrapInterrupted stops the replacement of the key after every
// step: either the old key or the new one opens everything, and running it
// again finishes it.
func TestSec_KEY02_RewrapInterrupted(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		if database != "" {
			rewrapInterrupted(t, database, 3) // where the two databases could differ
			return
		}
		for n := range len((&rewrap{}).steps()) {
			t.Run(fmt.Sprintf("after step %d", n), func(t *testing.T) { rewrapInterrupted(t, "", n) })
		}
	})
}

func rewrapInterrupted(t *testing.T, database string, n int) {
	i := newInstallation(t, database)
	kek, next := filepath.Join(i.cfg.Data, kekName), filepath.Join(t.TempDir(), "next")
	before := read(t, kek)

	r := &rewrap{cfg: i.cfg.quiet().asFound(), Rewrapped: Rewrapped{NewFile: next}}
	var err error
	if r.v, err = openVault(t.Context(), r.cfg); err != nil {
		t.Fatal(err)
	}
	for _, step := range r.steps()[:n] {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.v.close(); err != nil {
		t.Fatal(err)
	}

	_, missing := os.Stat(next)
	if old, anew := i.opens(kek), missing == nil && i.opens(next); old == anew {
		t.Fatalf("the old key opens: %v, the new one: %v; want one of them", old, anew)
	}
	done, err := RewrapKEK(t.Context(), i.cfg, next)
	if err != nil {
		t.Fatal(err)
	}
	if !i.opens("") || !i.opens(next) {
		t.Error("does not open with the new key")
	}
	if i.opens(done.OldFile) {
		t.Error("still opens with the old key")
	}
	if read(t, done.OldFile) != before || read(t, kek) != read(t, next) || read(t, kek) == before {
		t.Error("the key files do not hold what they should")
	}
	info, err := os.Stat(kek)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%s: %v, %v", kek, info.Mode(), err)
	}
	if got := i.events(); got != 1 {
		t.Errorf("%d records of it", got)
	}
	left, err := filepath.Glob(filepath.Join(i.cfg.Data, "*kek*"))
	if hidden, _ := filepath.Glob(filepath.Join(i.cfg.Data, ".*")); err != nil || len(left) != 2 || len(hidden) != 0 {
		t.Errorf("in the data folder: %v %v", left, hidden)
	}
	if _, err := RewrapKEK(t.Context(), i.cfg, next); err == nil || !strings.Contains(err.Error(), "in use already") {
		t.Errorf("the same once more: %v", err)
	}
}

// TestRewrapRefuses: what cannot end well is refused before anything is changed.
func TestRewrapRefuses(t *testing.T) {
	i := newInstallation(t, "")
	kek, dir := filepath.Join(i.cfg.Data, kekName), t.TempDir()
	before := read(t, kek)
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	foreign := i.cfg
	foreign.KEKFile = file("foreign", strings.Repeat("ab", 32), 0o600)
	empty := i.cfg
	empty.Data = filepath.Join(dir, "none")
	for name, c := range map[string]struct {
		cfg  Config
		next string
		want string
	}{
		"the key in use":      {i.cfg, kek, "in use already"},
		"a copy of it":        {i.cfg, file("copy", before, 0o600), "in use already"},
		"open to others":      {i.cfg, file("open", strings.Repeat("cd", 32), 0o644), "chmod 600"},
		"no key":              {i.cfg, file("broken", "hello", 0o600), "32 bytes"},
		"another old key":     {foreign, filepath.Join(dir, "new"), "another key-encryption key"},
		"no such folder":      {i.cfg, filepath.Join(dir, "nowhere", "new"), "nowhere"},
		"no database":         {empty, filepath.Join(dir, "new"), "no database"},
		"the new one foreign": {foreign, file("foreign too", strings.Repeat("ef", 32), 0o600), "another key-encryption key"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := RewrapKEK(t.Context(), c.cfg, c.next); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want a sentence with %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
				t.Error("a new key was made all the same")
			}
		})
	}
	running, err := Open(t.Context(), i.cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RewrapKEK(t.Context(), i.cfg, filepath.Join(dir, "new")); err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("beside a server: %v", err)
	}
	running.Close()
	if read(t, kek) != before || !i.opens("") {
		t.Error("something was changed")
	}
}

// TestRewrapOfAValue: a key that came in a variable is nobody's file to
// replace.
func TestRewrapOfAValue(t *testing.T) {
	i := newInstallation(t, "")
	kek, next := filepath.Join(i.cfg.Data, kekName), filepath.Join(t.TempDir(), "next")
	cfg := i.cfg
	cfg.KEK = strings.TrimSpace(read(t, kek))
	if err := os.Remove(kek); err != nil {
		t.Fatal(err)
	}
	done, err := RewrapKEK(t.Context(), cfg, next)
	if err != nil || done.InUse != "" || done.OldFile != "" || !done.Made || done.Keys != 3 {
		t.Fatalf("%+v, %v", done, err)
	}
	if _, err := os.Stat(kek); err == nil {
		t.Error("a key file appeared")
	}
	if !i.opens(next) {
		t.Error("does not open with the new key")
	}
}
