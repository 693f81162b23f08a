// Package running starts the built signet binary for tests, as its operator or a
// newcomer would.
package running

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Demo is a running `signet demo`, as a newcomer starts it.
type Demo struct {
	Base   string `json:"base_url"`
	App    string `json:"app_url"`
	Tenant string `json:"tenant_id"`
	Issuer string `json:"issuer"`
	Users  []User `json:"users"`
	TLS    string `json:"tls_base_url"` // where it asks for certificates
	CAFile string `json:"ca_file"`      // of the authority of that listener
	Data   string `json:"-"`
	Binary string `json:"-"`

	process *exec.Cmd
}

// User is a demo person with a pass for one use.
type User struct {
	ID   string `json:"id"`
	Name string `json:"username"`
	Show string `json:"display_name"`
	Pass string `json:"access_pass"`
}

var build = sync.OnceValues(func() (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	// One file for each test package, built anew and never piling up; packages
	// are tested at the same time.
	out := filepath.Join(here, "../../build/test", filepath.Base(here), "signet")
	cmd := exec.Command("go", "build", "-o", out, "./cmd/signet")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build signet: %w\n%s", err, msg)
	}
	return out, nil
})

// Binary builds signet once for the package.
func Binary(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FreeAddr is a loopback address that nobody listens on.
func FreeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// StartDemo starts the built binary, with more flags if any, and waits for its
// ready line.
func StartDemo(t *testing.T, more ...string) *Demo {
	t.Helper()
	data := filepath.Join(t.TempDir(), "demo")
	args := []string{"demo", "--data", data, "--listen", FreeAddr(t), "--listen-app", FreeAddr(t), "--listen-tls", FreeAddr(t)}
	d := &Demo{Data: data, Binary: Binary(t)}
	d.process = StartBinary(t, d.Binary, append(args, more...), nil)
	raw, err := os.ReadFile(filepath.Join(data, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Stop ends the demo as its operator would, and returns once it has stopped.
func (d *Demo) Stop() {
	d.process.Process.Signal(syscall.SIGTERM)
	d.process.Wait()
}

// StartBinary runs signet until the test ends and returns once it said ready.
func StartBinary(t *testing.T, binary string, args, env []string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("signet said:\n%s", said.String())
		}
	})
	ready := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), "ready ") {
				ready <- true
			}
		}
		ready <- false
	}()
	select {
	case ok := <-ready:
		if !ok {
			t.Fatalf("signet %s ended before it was ready", strings.Join(args, " "))
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("signet %s is not ready after 30 s", strings.Join(args, " "))
	}
	return cmd
}

// Admin runs `signet admin …` on the demo's data and decodes its JSON.
func (d *Demo) Admin(t *testing.T, into any, args ...string) {
	t.Helper()
	args = append(append([]string{"admin"}, args...), "--data", d.Data, "-o", "json")
	cmd := exec.Command(d.Binary, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if into != nil {
		if err := json.Unmarshal(out, into); err != nil {
			t.Fatalf("signet %s: %v in %s", strings.Join(args, " "), err, out)
		}
	}
}

// Machine is a device of somebody's.
type Machine struct {
	ID  string `json:"id"`
	Key string `json:"key"` // the Hello key on it, of its owner
}

// Join gives a person of the demo a device with a Hello key on it.
func (d *Demo) Join(t *testing.T, u User, name string) (m Machine) {
	t.Helper()
	d.add(t, "./machine", u, name, &m)
	return m
}

// Handset gives a person of the demo a phone, and says its id. With "-reported"
// a request was reported on it.
func (d *Demo) Handset(t *testing.T, u User, name string, more ...string) string {
	t.Helper()
	var phone struct {
		ID string `json:"id"`
	}
	d.add(t, "./handset", u, name, &phone, more...)
	return phone.ID
}

// add runs one of the programs that write into the demo's database.
func (d *Demo) add(t *testing.T, program string, u User, name string, into any, more ...string) {
	t.Helper()
	args := append([]string{"run", program, "-data", d.Data, "-tenant", d.Tenant, "-owner", u.ID, "-name", name}, more...)
	cmd := exec.Command("go", args...)
	cmd.Dir = "../../test"
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, name, err, stderr.String())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatal(err)
	}
}
