package main

import (
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
