package agenttest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/signetid/signet/internal/agent"
)

// crashMark has the operation that a test program is to do and not to survive.
const crashMark = "SIGNET_TEST_CRASH"

// Op is one operation of a device, to be done here or in a process that is
// killed on the way.
type Op struct {
	Folder, TPM string
	Do          string // join, enrol, reset, change-pin, sign-in, renew, leave
	PIN, Old    string
	Server      string
	CA          []byte
	KillAt      string // the step at which the process ends
}

// Run does the operation. open is the person's browser.
func (o Op) Run(ctx context.Context, open func(string) error, step func(string)) error {
	a, err := agent.New(agent.Config{Folder: o.Folder, TPM: o.TPM, Now: time.Now, Child: Child, Step: step})
	if err != nil {
		return err
	}
	signIn := agent.Browser{Open: open}
	switch o.Do {
	case "join":
		_, err = a.Join(ctx, agent.JoinOptions{Server: o.Server, CA: o.CA, Name: "ws-17", OS: "Debian 12", Type: agent.Joined, SignIn: signIn})
	case "enrol":
		_, err = a.Enrol(ctx, agent.EnrolOptions{PIN: o.PIN, SignIn: signIn})
	case "reset":
		_, err = a.Reset(ctx, agent.EnrolOptions{PIN: o.PIN, SignIn: signIn})
	case "change-pin":
		err = a.ChangePIN(ctx, "", o.Old, o.PIN)
	case "sign-in":
		_, err = a.SignIn(ctx, "", o.PIN)
	case "renew":
		_, err = a.Renew(ctx, "")
	case "leave":
		_, err = a.Leave(ctx, false)
	default:
		err = fmt.Errorf("no operation %q", o.Do)
	}
	return err
}

// Steps does the operation here and gives the steps it went by.
func (o Op) Steps(t testing.TB, open func(string) error) []string {
	t.Helper()
	var all []string
	if err := o.Run(t.Context(), open, func(name string) { all = append(all, name) }); err != nil {
		t.Fatalf("%s: %v", o.Do, err)
	}
	return all
}

// Crash does the operation in a process that is killed at o.KillAt, as kill -9
// does it.
func (o Op) Crash(t testing.TB, open func(string) error) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashMark+"="+string(text))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if address, ok := strings.CutPrefix(lines.Text(), "open "); ok {
			if err := open(address); err != nil {
				t.Error(err)
			}
		}
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s was to be killed at %q, but ended with %v: %s", o.Do, o.KillAt, err, complaint.String())
	}
}

func crash(text string) {
	var o Op
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	err := o.Run(context.Background(), func(address string) error {
		fmt.Println("open " + address)
		return nil
	}, func(name string) {
		if name == o.KillAt {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it does not come back from this
		}
	})
	fmt.Fprintln(os.Stderr, "was not killed:", err)
	os.Exit(1)
}
