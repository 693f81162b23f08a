package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const house = "github.com/signetid/signet/internal/"

// floors is architecture.md's house, from the ground up. A package imports
// lower floors only; a folder that is not listed has no floor and fails.
var floors = map[string]int{
	"idp":   0,
	"sqldb": 1, "web": 1, "jose": 1, "pkix": 1, "secret": 1, "cache": 1, "filter": 1, "securitykey": 1, "unixpeer": 1, "macprofile": 1,
	"outbound": 1, "place": 1, "program": 1, "phonewire": 1,
	"audit": 2, "job": 2, "bus": 2, "page": 2, "push": 2, "pssowire": 2,
	"directory": 3, "device": 3, "client": 3, "keyring": 3, "policy": 3, "nonce": 3, "metadata": 3, "trust": 3, "browser": 3, "assertion": 3,
	"userkey": 3,
	"method":  4, "session": 4, "token": 4, "prt": 4, "kerberos": 4,
	"mac":    4,
	"signin": 5, "report": 5, "hygiene": 5, "method/*": 5,
	"enrol": 5,
	"oidc":  6, "broker": 6, "drs": 6, "psso": 6, "graph": 6, "portal": 6, "console": 6, "admin": 6, "backup": 6, "phoneapp": 6,
	"app": 7, "agent": 7, "demo": 7, "phoneagent": 7,
	"desktop": 8, "macagent": 8,
}

// floorOf gives the floor of an import path of ours; ok is false for paths
// that stand outside the floors.
func floorOf(t *testing.T, path string) (floor int, ok bool) {
	name, ours := strings.CutPrefix(path, house)
	if !ours || strings.HasSuffix(name, "test") {
		return 0, false // other modules, cmd, and packages that serve tests only
	}
	if f, found := floors[name]; found {
		return f, true
	}
	room, _, _ := strings.Cut(strings.TrimPrefix(name, "method/"), "/")
	if strings.HasPrefix(name, "method/") {
		if f, found := floors["method/"+room]; found {
			return f, true
		}
		return floors["method/*"], true
	}
	t.Errorf("package %s stands on no floor: add it to floors, as architecture.md says", path)
	return 0, false
}

type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports,GoFiles", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestFloors(t *testing.T) {
	checked := 0
	for _, p := range packages(t) {
		own, ok := floorOf(t, p.ImportPath)
		if !ok {
			continue
		}
		checked++
		for _, imported := range p.Imports {
			if f, ok := floorOf(t, imported); ok && f >= own && imported != p.ImportPath {
				t.Errorf("%s (floor %d) imports %s (floor %d): lower floors only", p.ImportPath, own, imported, f)
			}
		}
	}
	if checked < 5 {
		t.Fatalf("only %d packages were checked", checked)
	}
}

// What serves tests must not reach the binary.
func TestNoTestPackagesInProduct(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, house) && strings.HasSuffix(imported, "test") {
				t.Errorf("%s imports %s outside of its tests", p.ImportPath, imported)
			}
		}
	}
}

// One library, one door: what wraps a library is the only one that knows it.
func TestWrappedLibraries(t *testing.T) {
	only := map[string]string{
		"github.com/go-webauthn/webauthn": house + "method/passkey",
		"modernc.org/sqlite":              house + "sqldb",
		"github.com/jackc/pgx/v5":         house + "sqldb",
		"github.com/pressly/goose/v3":     house + "sqldb",
		"github.com/coreos/go-oidc/v3":    house + "demo",
		"filippo.io/age":                  house + "backup",
	}
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for lib, owner := range only { // (what serves tests may know a driver)
				if (imported == lib || strings.HasPrefix(imported, lib+"/")) && p.ImportPath != owner && !strings.HasSuffix(p.ImportPath, "test") {
					t.Errorf("%s imports %s, which only %s may", p.ImportPath, imported, owner)
				}
			}
		}
	}
}

// A package says in one place what it owns and what it leaves to whom.
func TestEveryPackageHasDoc(t *testing.T) {
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.ImportPath, house) || len(p.GoFiles) == 0 || strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		found := false
		for _, f := range p.GoFiles {
			found = found || f == "doc.go"
		}
		if !found {
			t.Errorf("%s has no doc.go", p.ImportPath)
		}
	}
}

// The clock is read in few places: everything else is told the time, so that
// tests can tell it another one.
func TestClock(t *testing.T) {
	own := map[string]bool{"app": true, "sqldb": true, "web": true, "job": true, "bus": true}
	for _, p := range packages(t) {
		name, ours := strings.CutPrefix(p.ImportPath, house)
		if !ours || own[name] || strings.HasSuffix(name, "test") {
			continue
		}
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join("..", name, file))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte("time.Now")) {
				t.Errorf("%s/%s reads the clock: take the time as an argument or as Now in the Config", name, file)
			}
		}
	}
}
