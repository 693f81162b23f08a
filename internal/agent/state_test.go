package agent_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
)

func newAgent(t *testing.T, folder string) (*agent.Agent, error) {
	t.Helper()
	return agent.New(agent.Config{Folder: folder, Now: time.Now})
}

func TestStateFolder(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a", "b")
	if _, err := newAgent(t, folder); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(folder); err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o701, 0o710, 0o755, 0o777} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := newAgent(t, folder); idp.AsError(err).Reason != "state_open" {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// What is damaged is said, never overwritten; leaving by force is the way out.
func TestDamagedState(t *testing.T) {
	for reason, text := range map[string]string{
		"state_damaged": `{"version":1,`,
		"state_version": `{"version":2}`,
	} {
		folder := filepath.Join(t.TempDir(), "device")
		a, err := newAgent(t, folder)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, "state.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for what, do := range map[string]func() error{
			"status":  func() error { _, err := a.Status(t.Context()); return err },
			"renew":   func() error { _, err := a.Renew(t.Context(), ""); return err },
			"leave":   func() error { _, err := a.Leave(t.Context(), false); return err },
			"sign-in": func() error { _, err := a.SignIn(t.Context(), "", "424289"); return err },
		} {
			if err := do(); idp.AsError(err).Reason != reason {
				t.Errorf("%s: %v, want %s", what, err, reason)
			}
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != text {
			t.Errorf("the file is now %q, %v", now, err)
		}
		if _, err := a.Leave(t.Context(), true); err != nil {
			t.Errorf("leave --force: %v", err)
		}
		if s, err := a.Status(t.Context()); err != nil || s.Joined {
			t.Errorf("status afterwards: %+v, %v", s, err)
		}
	}
}

// Two agents never work on one state: the second waits, then says so.
func TestLockedState(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "device")
	a, err := newAgent(t, folder)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(folder, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if _, err := a.Renew(t.Context(), ""); idp.AsError(err).Reason != "state_busy" {
			t.Errorf("%v", err)
		}
		if waited := time.Since(begun); waited < 10*time.Second || waited > time.Minute {
			t.Errorf("waited %s", waited)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := a.Renew(ctx, ""); !errors.Is(err, idp.Unavailable) {
			t.Errorf("%v", err)
		}
	})
	if err := unix.Flock(int(f.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Renew(t.Context(), ""); idp.AsError(err).Reason != "not_joined" {
		t.Errorf("afterwards: %v", err)
	}
}
