package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/internal/app"
)

// TestKilledAgents: an agent that is killed at any step of anything goes on
// afterwards, and the person ends up where they wanted to be.
func TestKilledAgents(t *testing.T) {
	s := newSite(t, func(c *app.Config) { withTLS(c); c.Limits.Nonces = 1000 })
	devicesOn(t, s)
	d := newDesk(t, s)
	visit := d.visit

	op := agenttest.Op{TPM: d.tpm, Server: s.BaseURL(), CA: must(os.ReadFile(s.LocalCA())), PIN: deskPIN}
	do := func(t *testing.T, what string, folder string) {
		t.Helper()
		o := op
		o.Do, o.Folder = what, folder
		if err := o.Run(t.Context(), visit, nil); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	// usable: whatever happened, the person can sign in and use it.
	usable := func(t *testing.T, folder, pin string) {
		t.Helper()
		a := must(agent.New(agent.Config{Folder: folder, TPM: d.tpm, Now: time.Now, Child: agenttest.Child}))
		if _, err := a.SignIn(t.Context(), "", pin); err != nil {
			t.Errorf("sign in: %v", err)
		}
		if _, err := a.Token(t.Context(), agent.TokenOptions{Resource: "urn:ms-drs:enterpriseregistration.windows.net"}); err != nil {
			t.Errorf("token: %v", err)
		}
	}
	// everywhere runs an operation once to learn its steps, then once for each
	// of them, on a machine that before has got ready.
	everywhere := func(t *testing.T, o agenttest.Op, before, learned func(t *testing.T, folder string), after func(t *testing.T, o agenttest.Op)) {
		learn := o
		learn.Folder = filepath.Join(t.TempDir(), "device")
		before(t, learn.Folder)
		steps := learn.Steps(t, visit)
		learned(t, learn.Folder)
		if len(steps) < 4 {
			t.Fatalf("steps %q", steps)
		}
		for _, step := range steps {
			// How a file is replaced is tried with the PIN: the rest needs only
			// "not yet" and "done".
			if what, at, _ := strings.Cut(step, ": "); what != "PIN changed" && (at == "written" || at == "after") {
				continue
			}
			t.Run(strings.ReplaceAll(step, ": ", "-"), func(t *testing.T) {
				o := o
				o.KillAt, o.Folder = step, filepath.Join(t.TempDir(), "device")
				before(t, o.Folder)
				o.Crash(t, visit)
				after(t, o)
			})
		}
	}
	nothing := func(*testing.T, string) {}
	again := func(t *testing.T, o agenttest.Op) {
		t.Helper()
		if err := o.Run(t.Context(), visit, nil); err != nil {
			t.Errorf("once more: %v", err)
		}
	}
	t.Run("join", func(t *testing.T) {
		o := op
		o.Do = "join"
		everywhere(t, o, nothing, nothing, func(t *testing.T, o agenttest.Op) {
			a := must(agent.New(agent.Config{Folder: o.Folder, TPM: d.tpm, Now: time.Now, Child: agenttest.Child}))
			if !must(a.Status(t.Context())).Joined {
				again(t, o)
			}
			if o.KillAt == "join answered" {
				do(t, "enrol", o.Folder)
				usable(t, o.Folder, deskPIN)
			}
			do(t, "leave", o.Folder)
		})
	})
	// One machine for all that follows.
	folder := filepath.Join(t.TempDir(), "device")
	do(t, "join", folder)
	do(t, "enrol", folder)
	copied := func(t *testing.T, to string) {
		t.Helper()
		if err := os.CopyFS(to, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(to, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(t *testing.T, from string) {
		t.Helper()
		text := must(os.ReadFile(filepath.Join(from, "state.json")))
		if err := os.WriteFile(filepath.Join(folder, "state.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, what := range []string{"reset", "sign-in", "renew"} {
		t.Run(what, func(t *testing.T) {
			o := op
			o.Do = what
			everywhere(t, o, func(t *testing.T, to string) {
				do(t, "sign-in", folder)
				copied(t, to)
			}, kept, func(t *testing.T, o agenttest.Op) {
				if what == "reset" {
					usable(t, o.Folder, deskPIN) // without repeating it
				}
				again(t, o)
				usable(t, o.Folder, deskPIN)
				kept(t, o.Folder)
			})
		})
	}
	t.Run("change-pin", func(t *testing.T) {
		o := op
		o.Do, o.Old, o.PIN = "change-pin", deskPIN, "998877"
		everywhere(t, o, copied, nothing, func(t *testing.T, o agenttest.Op) {
			a := must(agent.New(agent.Config{Folder: o.Folder, TPM: d.tpm, Now: time.Now, Child: agenttest.Child}))
			pin := "998877"
			if strings.HasSuffix(o.KillAt, "before") || strings.HasSuffix(o.KillAt, "written") {
				pin = deskPIN
			}
			if _, err := a.SignIn(t.Context(), "", pin); err != nil {
				t.Errorf("sign in: %v", err)
			}
		})
	})
	t.Run("leave", func(t *testing.T) {
		o := op
		o.Do = "leave"
		everywhere(t, o, func(t *testing.T, to string) { do(t, "join", to) }, nothing, func(t *testing.T, o agenttest.Op) {
			a := must(agent.New(agent.Config{Folder: o.Folder, TPM: d.tpm, Now: time.Now, Child: agenttest.Child}))
			if must(a.Status(t.Context())).Joined {
				again(t, o)
			}
			if must(a.Status(t.Context())).Joined {
				t.Error("has not left")
			}
		})
	})
}
