package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/demo"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func startDemo(t *testing.T, args ...string) *server {
	t.Helper()
	return start(t, append([]string{"demo", "--listen", "127.0.0.1:0", "--listen-app", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0"}, args...)...)
}

func facts(t *testing.T, data string) demo.Facts {
	t.Helper()
	path := filepath.Join(data, "demo.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("demo.json: %v, %v", info, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f demo.Facts
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDemo(t *testing.T) {
	data := dataFolder(t)
	began := time.Now()
	s := startDemo(t, "--data", data)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("ready after %s, want 2 s", took)
	}
	first := facts(t, data)
	if first.BaseURL != s.base || !strings.HasPrefix(s.base, "http://localhost:") || !strings.HasPrefix(first.AppURL, "http://127.0.0.1:") || len(first.Users) != 4 {
		t.Errorf("facts %+v", first)
	}
	for _, u := range first.Users {
		if !strings.Contains(s.told, u.UserName) || !strings.Contains(s.told, u.AccessPass) || time.Until(u.Expires) < 23*time.Hour {
			t.Errorf("user %+v is not told of:\n%s", u, s.told)
		}
	}
	if code, _ := get(t, strings.Replace(first.Issuer, "localhost", "127.0.0.1", 1)+"/.well-known/openid-configuration"); code != http.StatusMisdirectedRequest {
		t.Errorf("another host name answers %d", code)
	}
	if code, page := get(t, first.AppURL+"/login"); code != http.StatusOK || !strings.Contains(page, `name="access_pass"`) {
		t.Errorf("the app leads to %d\n%s", code, page)
	}
	if all := must[[]object](t, "admin", "user", "list", "--data", data); len(all) != 4 {
		t.Errorf("users %v", all)
	}
	s.stop(t)

	// Again on the same folder: the same people, new passes, the app where it is now.
	startDemo(t, "--data", data, "--listen-tls", "127.0.0.1:0")
	again := facts(t, data)
	if again.TenantID != first.TenantID || again.ClientID != first.ClientID || again.Users[1].ID != first.Users[1].ID || again.Users[1].AccessPass == first.Users[1].AccessPass {
		t.Errorf("second start: %+v, first %+v", again, first)
	}
	if code, page := get(t, again.AppURL+"/login"); code != http.StatusOK || !strings.Contains(page, `name="access_pass"`) {
		t.Errorf("the app leads to %d\n%s", code, page)
	}
}

func TestDemoOnPostgres(t *testing.T) {
	if url := sqldbtest.NewPostgres(t); url != "" {
		startDemo(t, "--data", dataFolder(t), "--database", url)
	}
}

// Without --data nothing is left behind.
func TestDemoLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	s := startDemo(t)
	if left, _ := os.ReadDir(temp); len(left) != 1 {
		t.Errorf("while running: %v", left)
	}
	s.stop(t)
	if left, _ := os.ReadDir(temp); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestDemoRefuses(t *testing.T) {
	server := used(t)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"this machine only", []string{"--listen", "0.0.0.0:0"}},
		{"this machine only", []string{"--listen-app", ":8090"}},
		{"this machine only", []string{"--listen-metrics", "[::]:9090"}},
		{"this machine only", []string{"--listen-tls", "0.0.0.0:0"}},
		{"for this machine only", []string{"--base-url", "https://id.example.com"}},
		{"belongs to a server", []string{"--data", server, "--listen", "127.0.0.1:0", "--listen-tls", "off", "--listen-app", "127.0.0.1:0"}},
	} {
		if r := signet(t, append([]string{"demo"}, c.args...)...); r.code != exitFailed || !strings.Contains(r.errs, c.want) || r.out != "" {
			t.Errorf("%q: %+v", c.args, r)
		}
	}
}
