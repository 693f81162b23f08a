package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/signetid/signet/internal/app"
)

func readConfig(t *testing.T, file string, environ []string, args ...string) (app.Config, error) {
	t.Helper()
	c := app.Default()
	fs := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	addSettings(fs, &c)
	addServerSettings(fs, &c)
	addServeOnlySettings(fs, &c)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	path := ""
	if file != "" {
		path = filepath.Join(t.TempDir(), "signet.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := fillIn(fs, &c, path, environ)
	return c, err
}

func TestPrecedence(t *testing.T) {
	c, err := readConfig(t,
		"base-url: https://file.example\nlisten: 127.0.0.1:1\ndrain: 7s\nlog-level: warn\ntrusted-proxy: [10.0.0.1, 10.1.0.0/16]\n",
		[]string{"SIGNET_BASE_URL=https://env.example", "SIGNET_LISTEN=127.0.0.1:2", "SIGNET_KEK=abc", "HOME=/x", "SIGNET_TEST_POSTGRES=x", "SIGNET_SERVICE_HOST=10.9.9.9"},
		"--base-url", "https://flag.example")
	if err != nil {
		t.Fatal(err)
	}
	if c.BaseURL != "https://flag.example" || c.Listen != "127.0.0.1:2" || c.Drain != 7*time.Second || c.LogLevel != "warn" || c.KEK != "abc" ||
		strings.Join(c.TrustedProxy, " ") != "10.0.0.1 10.1.0.0/16" {
		t.Errorf("got %+v", c)
	}
}

func TestUnknownKeys(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		want       []string
	}{
		{"in the file", "base_url: https://x.example\n", nil, []string{`unknown key "base_url": did you mean "base-url"?`}},
		{"in the environment", "", []string{"SIGNET_BASEURL=x"}, []string{`SIGNET_BASEURL`, `did you mean "base-url"?`}},
		{"nested", "listen:\n  pages: x\n", nil, []string{`"listen.pages"`}},
		{"like nothing", "quux-frobnicator-of-doom: 1\n", nil, []string{`see signet serve --help`}},
		{"all at once", "lsten: x\ndrain: soon\n", []string{"SIGNET_DATABSE=x"}, []string{`"listen"`, `"database"`, `drain cannot be "soon"`}},
		{"a switch for one start", "accept-rollback: true\n", nil, []string{`"accept-rollback"`}},
		{"not YAML", "a: [\n", nil, []string{"is not YAML"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := readConfig(t, c.file, c.environ)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestEditDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"listen", "listen", 0}, {"lisen", "listen", 1}, {"base_url", "base-url", 1}, {"kitten", "sitting", 3}, {"abc", "", 3}} {
		if got := editDistance(c.a, c.b); got != c.want {
			t.Errorf("%q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func FuzzConfigFile(f *testing.F) {
	f.Add("base-url: https://x.example\ntrusted-proxy: [a, b]\n")
	f.Add("drain: {a: 1}")
	f.Add("- a\n- b")
	f.Fuzz(func(t *testing.T, file string) {
		readConfig(t, file, nil) // must not panic
	})
}
