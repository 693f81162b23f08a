package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/signetid/signet/internal/securitykey/securitykeytest"
)

// program is the binary under test: the real thing, as make build makes it.
// (Built as the tests are, with the race detector, it would start fifty times
// slower than anybody's; internal/app runs the same house in its own process.)
var program string

func TestMain(m *testing.M) {
	securitykeytest.Main()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "signet-program-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "signet")
		build := exec.Command("go", "build", "-trimpath", "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, program, args...)
}

// result is what a command left behind.
type result struct {
	out, errs string
	code      int
}

func signet(t *testing.T, args ...string) result {
	t.Helper()
	return signetEnv(t, nil, args...)
}

func signetEnv(t *testing.T, env []string, args ...string) result {
	t.Helper()
	// A command that should have refused and serves instead must not hang.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, args...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that has to work and decodes its JSON.
func must[T any](t *testing.T, args ...string) T {
	t.Helper()
	r := signet(t, append(args, "-o", "json")...)
	if r.code != 0 {
		t.Fatalf("signet %q: exit %d: %s", args, r.code, r.errs)
	}
	var v T
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("signet %q printed %q: %v", args, r.out, err)
	}
	return v
}

// server is a running signet serve or demo.
type server struct {
	cmd  *exec.Cmd
	base string
	log  *bytes.Buffer // standard error
	told string        // standard output before the ready line
}

func start(t *testing.T, args ...string) *server {
	t.Helper()
	cmd := command(context.Background(), args...)
	s := &server{cmd: cmd, log: &bytes.Buffer{}}
	cmd.Stderr = s.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if base, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			s.base = base
			go io.Copy(io.Discard, out)
			return s
		}
		s.told += lines.Text() + "\n"
	}
	cmd.Wait()
	t.Fatalf("signet %q never was ready: %s", args, s.log)
	return nil
}

// stop asks the server to stop, as an operator would, and wants it to have
// stopped well.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Errorf("stop the server: %v", err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("the server stopped with %v: %s", err, s.log)
	}
}

// serve starts a server of its own for a test.
func serve(t *testing.T, data string, args ...string) *server {
	t.Helper()
	return start(t, append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0", "--drain", "0s", "--metadata-url", "off"}, args...)...)
}

func dataFolder(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }

func TestVersion(t *testing.T) {
	v := must[versionInfo](t, "version")
	if v.Version == "" || v.Commit == "" || !strings.HasPrefix(v.Go, "go1.") {
		t.Errorf("version says %+v", v)
	}
	if r := signet(t, "version"); !strings.Contains(r.out, "signet ") || r.code != 0 {
		t.Errorf("version printed %+v", r)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"srve"}, "did you mean serve?"},
		{[]string{"serve", "--lsten", "x"}, "unknown flag"},
		{[]string{"serve", "extra"}, `takes no "extra"`},
		{[]string{"admin", "user", "show"}, "needs a USER"},
		{[]string{"admin", "user", "frobnicate"}, "there is no signet admin user frobnicate"},
		{[]string{"admin", "user", "list", "-o", "xml"}, "use table or json"},
		{[]string{"admin", "tenant", "create", "x"}, "required flag"},
		{[]string{"admin", "restore", "x"}, "needs --identity"},
	} {
		r := signet(t, c.args...)
		if r.code != exitUsage || !strings.Contains(r.errs, c.want) || strings.Count(r.errs, "\n") != 1 || r.out != "" {
			t.Errorf("signet %q: exit %d, %q, %q; want exit 2 and one line with %q", c.args, r.code, r.errs, r.out, c.want)
		}
	}
}

// Every command says what it does and shows how; every admin command can
// print JSON.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		if cmd.Short == "" || cmd.Example == "" {
			t.Errorf("%s has no description or no example", cmd.CommandPath())
		}
		for _, line := range strings.Split(cmd.Example, "\n") {
			if !strings.HasPrefix(strings.TrimSpace(line), "signet ") {
				t.Errorf("%s: the example %q is no command", cmd.CommandPath(), line)
			}
		}
		if strings.HasPrefix(cmd.CommandPath(), "signet admin") && cmd.InheritedFlags().Lookup("output") == nil && cmd.Flag("output") == nil {
			t.Errorf("%s has no -o", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(newRoot())
}

// The examples of the help are command lines that parse.
func TestExamplesParse(t *testing.T) {
	root := newRoot()
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, line := range strings.Split(cmd.Example, "\n") {
			args := words(strings.TrimSpace(line))
			if len(args) < 2 {
				continue
			}
			found, rest, err := root.Find(args[1:])
			if err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if found.Args != nil {
				if err := found.Args(found, found.Flags().Args()); err != nil {
					t.Errorf("%q: %v", line, err)
				}
			}
		}
		for _, sub := range cmd.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				walk(sub)
			}
		}
	}
	walk(root)
}

// words splits a command line with quotes; a redirection ends it.
func words(line string) []string {
	var all []string
	var word strings.Builder
	quoted := false
	flush := func() {
		if word.Len() > 0 {
			all = append(all, word.String())
			word.Reset()
		}
	}
	for _, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '>' && !quoted:
			flush()
			return all
		case r == ' ' && !quoted:
			flush()
		default:
			word.WriteRune(r)
		}
	}
	flush()
	return all
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := signet(t, "completion", shell); r.code != 0 || !strings.Contains(r.out, "signet") {
			t.Errorf("completion %s: exit %d", shell, r.code)
		}
	}
	data := dataFolder(t)
	serve(t, data)
	must[map[string]any](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	must[map[string]any](t, "admin", "user", "create", "ada@one.example", "--data", data)
	if r := signet(t, "__complete", "admin", "user", "show", "--data", data, ""); !strings.Contains(r.out, "ada@one.example\n") {
		t.Errorf("completed users: %q", r.out)
	}
	if r := signet(t, "__complete", "admin", "user", "show", "--data", data+"-not", ""); r.code != 0 || strings.Contains(r.out, "@") {
		t.Errorf("completion without a server: %+v", r)
	}
}
