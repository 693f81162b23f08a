package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKEKRewrap replaces the key of a server that was used, and starts it again.
func TestKEKRewrap(t *testing.T) {
	data, next := dataFolder(t), filepath.Join(t.TempDir(), "next")
	s := serve(t, data)
	must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	must[[]object](t, "admin", "signing-key", "rotate", "--data", data)
	r := signet(t, "admin", "kek", "rewrap", "--new-kek-file", next, "--data", data)
	if r.code != exitFailed || !strings.Contains(r.errs, "stop it first") || strings.Count(r.errs, "\n") != 1 {
		t.Errorf("beside the server: %+v", r)
	}
	s.stop(t)
	done := must[object](t, "admin", "kek", "rewrap", "--new-kek-file", next, "--data", data)
	// The tenant's signing key, and what seals the keys that push services know us by.
	if done["keys"] != 2.0 || done["madeNewKey"] != true || done["newKeyFile"] != next || done["keyFile"] != filepath.Join(data, "kek") {
		t.Errorf("done %v", done)
	}
	old, _ := done["oldKeyFile"].(string)
	if r := signet(t, "admin", "signing-key", "list", "--data", data, "--kek-file", old); r.code != exitFailed || !strings.Contains(r.errs, "another key-encryption key") {
		t.Errorf("with the old key: %+v", r)
	}
	serve(t, data)
	if keys := must[[]object](t, "admin", "signing-key", "list", "--data", data); len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
	// A last word for people.
	other := dataFolder(t)
	serve(t, other).stop(t)
	r = signet(t, "admin", "kek", "rewrap", "--new-kek-file", filepath.Join(t.TempDir(), "next"), "--data", other)
	if r.code != 0 || !strings.Contains(r.out, "backups from before need") || !strings.Contains(r.out, "keep that file away") {
		t.Errorf("said %+v", r)
	}
}

// TestKEKOnline replaces the key of a server that runs, as its operator does.
func TestKEKOnline(t *testing.T) {
	data := dataFolder(t)
	kek := filepath.Join(data, "kek")
	s := serve(t, data)
	must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	must[[]object](t, "admin", "signing-key", "rotate", "--data", data)
	say := func(want string, args ...string) {
		t.Helper()
		if r := signet(t, append(append([]string{"admin", "kek"}, args...), "--data", data)...); r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("signet admin kek %s: %+v, want %q", strings.Join(args, " "), r, want)
		}
	}
	refuse := func(code int, want string, args ...string) {
		t.Helper()
		if r := signet(t, append(append([]string{"admin", "kek"}, args...), "--data", data)...); r.code != code || !strings.Contains(r.errs, want) || strings.Count(r.errs, "\n") != 1 {
			t.Errorf("signet admin kek %s: %+v, want %q", strings.Join(args, " "), r, want)
		}
	}
	say("Everything is sealed under the key in use", "status")
	refuse(exitFailed, "signet admin kek add", "rewrap")
	refuse(exitFailed, "there is no", "add", filepath.Join(data, "none"))
	open := filepath.Join(t.TempDir(), "open")
	write(t, open, strings.Repeat("ab", 32))
	chmod(t, open, 0o644)
	refuse(exitFailed, "chmod 600", "add", open)
	write(t, open, "")
	chmod(t, open, 0o600)
	refuse(exitFailed, "is empty", "add", open)
	write(t, open, "hello")
	refuse(exitFailed, "32 bytes in base64", "add", open)
	refuse(exitUsage, "--dry-run", "rewrap", "--new-kek-file", open, "--dry-run")
	refuse(exitUsage, "on the server's machine", "status", "--server", "https://id.example.com")

	write(t, open, strings.Repeat("cd", 32))
	say("taken in: the new key", "add", open)
	say("would be sealed anew: 2; all of them open", "rewrap", "--dry-run")
	say("sealed anew: 2", "rewrap")
	got := must[object](t, "admin", "kek", "status", "--data", data)
	if got["state"] != "finish" || got["takingOver"] != nil || len(got["needs"].([]any)) != 1 {
		t.Errorf("status %v", got)
	}
	say("Nothing needs the old key any more", "status")
	say("which backups from before need", "finish")
	say("Everything is sealed under the key in use", "status")
	if _, err := os.Stat(kek + ".next"); err == nil {
		t.Error("the new key is in two places")
	}
	s.stop(t)
	serve(t, data)
	if keys := must[[]object](t, "admin", "signing-key", "list", "--data", data); len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
}
