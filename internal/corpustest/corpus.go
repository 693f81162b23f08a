package corpustest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Folder gives a folder of vectors below $SIGNET_CORPORA, by default below
// shared/corpora beside the repository. "" when it is not on this machine: then
// a line says so and the test passes, except in CI.
func Folder(t testing.TB, name string) string {
	t.Helper()
	root := os.Getenv("SIGNET_CORPORA")
	if root == "" {
		dir, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for !exists(filepath.Join(dir, "go.mod")) {
			if dir == filepath.Dir(dir) {
				t.Fatal("no go.mod above the test")
			}
			dir = filepath.Dir(dir)
		}
		root = filepath.Join(dir, "..", "shared", "corpora")
	}
	path := filepath.Join(root, name)
	if !exists(path) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not there; name its place in SIGNET_CORPORA", path)
		}
		t.Logf("not run: %s is not there; name its place in SIGNET_CORPORA", path)
		return ""
	}
	return path
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Read reads a JSON file of vectors.
func Read(t testing.TB, path string, v any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
