package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// desk is somebody of a demo, signed in at their account page.
type desk struct {
	*person.Person
	t       *testing.T
	demo    *running.Demo
	user    running.User
	session string
}

func newDesk(t *testing.T, d *running.Demo, u running.User) *desk {
	t.Helper()
	k := &desk{Person: browser(t, d), t: t, demo: d, user: u}
	page, err := k.Get(t.Context(), d.Base+"/account")
	if err != nil {
		t.Fatal(err)
	}
	if page, err = k.UsePass(t.Context(), page, u.Name, u.Pass); err != nil {
		t.Fatal(err)
	}
	if page, err = k.AddPasskey(t.Context(), page); err != nil {
		t.Fatal(err)
	}
	if page, err = k.UsePasskey(t.Context(), page); err != nil {
		t.Fatal(err)
	}
	if k.session, err = page.Session(); err != nil {
		t.Fatal(err)
	}
	return k
}

func browser(t *testing.T, d *running.Demo) *person.Person {
	t.Helper()
	p, err := person.New(d.Base, person.At(strings.TrimPrefix(strings.Replace(d.Base, "localhost", "127.0.0.1", 1), "http://")))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// asks opens the account page in a new browser, and asks the person's phones.
func (k *desk) asks() (*person.Person, person.Page) {
	k.t.Helper()
	b := browser(k.t, k.demo)
	page, err := b.Get(k.t.Context(), k.demo.Base+"/account")
	if err != nil {
		k.t.Fatal(err)
	}
	if page, err = b.AskPhone(k.t.Context(), page, k.user.Name); err != nil || page.Number() == "" {
		k.t.Fatalf("no number: %d %.300s, %v", page.Status, page.Text, err)
	}
	return b, page
}

// handset is a phone in a folder.
type handset struct {
	t             *testing.T
	binary, state string
}

func (h *handset) command(args ...string) *exec.Cmd {
	return exec.Command(h.binary, append(append([]string{"phone"}, args...), "--state", h.state)...)
}

// run gives what a command printed, and what it complained about.
func (h *handset) run(args ...string) (out, errs string, err error) {
	cmd := h.command(args...)
	var o, e strings.Builder
	cmd.Stdout, cmd.Stderr = &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// must is a command that has to work, with its JSON.
func must[T any](h *handset, args ...string) (v T) {
	h.t.Helper()
	out, errs, err := h.run(append(args, "-o", "json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil {
		h.t.Fatalf("signet phone %q: %v: %s%s", args, err, out, errs)
	}
	return v
}

// fails is a command that has to fail in one line that says what to do.
func (h *handset) fails(want string, args ...string) {
	h.t.Helper()
	out, errs, err := h.run(args...)
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || out != "" || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
		h.t.Errorf("signet phone %q: %q %q, %v; want one line with %q", args, out, errs, err, want)
	}
}

// screen is what a running command shows.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// shows waits until the screen shows something.
func (s *screen) shows(t *testing.T, want string) string {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		text := s.text.String()
		s.mu.Unlock()
		if strings.Contains(text, want) {
			return text
		}
	}
	t.Fatalf("the screen never shows %q:\n%s", want, s.text.String())
	return ""
}

// start runs a command that goes on, with a line to type on.
func (h *handset) start(args ...string) (*exec.Cmd, *screen, io.WriteCloser) {
	h.t.Helper()
	cmd, s := h.command(args...), &screen{}
	cmd.Stdout, cmd.Stderr = s, s
	in, err := cmd.StdinPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, s, in
}

// add adds the handset to an account as a person at both screens does.
func (h *handset) add(k *desk, typed bool, flags ...string) {
	h.t.Helper()
	code, err := k.AddPhone(h.t.Context(), k.session)
	if err != nil {
		h.t.Fatal(err)
	}
	args := []string{"add", code.Link}
	if typed {
		args = []string{"add", "--server", k.demo.Base, "--code", strings.ToLower(code.Typed)}
	}
	cmd, s, in := h.start(append(args, flags...)...)
	io.WriteString(in, "2468\n")
	s.shows(h.t, "This phone shows:")
	if err := k.ConfirmPhone(h.t.Context(), k.session, code); err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		h.t.Fatalf("%v: %s", err, s.text.String())
	}
	if !strings.Contains(s.text.String(), "active") {
		h.t.Errorf("added: %s", s.text.String())
	}
}

// account, request and outcome are what the commands print.
type (
	account struct {
		ID, Server, Name, State string
		User                    string `json:"userPrincipalName"`
		PIN                     bool
	}
	request struct {
		ID      string
		Context struct {
			Known bool
			Time  time.Time
		}
	}
	outcome struct{ Request, Result string }
)

// A phone without a PIN: from the link to its removal.
func TestHandset(t *testing.T) {
	d := running.StartDemo(t)
	k := newDesk(t, d, d.Users[1])
	h := &handset{t, d.Binary, filepath.Join(t.TempDir(), "phone")}
	h.fails("has no account yet: signet phone add", "requests")
	h.add(k, false, "--yes", "--name", "The terminal")

	all := must[[]account](h, "list")
	if len(all) != 1 || all[0].State != "active" || all[0].Name != "The terminal" || all[0].User != k.user.Name || all[0].PIN {
		t.Errorf("the list is %+v", all)
	}
	if page, err := k.Get(t.Context(), d.Base+"/account"); err != nil || !strings.Contains(page.Text, "The terminal") {
		t.Errorf("the account page does not have the phone, %v", err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "phone.json": 0o600} {
		if info, err := os.Stat(filepath.Join(h.state, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q is %v, %v", name, info, err)
		}
	}
	h.fails("nothing waits", "approve", "47", "--yes")

	b, page := k.asks()
	waiting := must[[]request](h, "requests")
	if len(waiting) != 1 || waiting[0].Context.Known || waiting[0].Context.Time.IsZero() {
		t.Fatalf("waiting: %+v", waiting)
	}
	h.fails("no such request waits", "approve", page.Number(), "--yes", "--request", "AAAA")
	h.fails("two digits", "approve", "4", "--yes")
	h.fails("--yes", "approve", page.Number()) // nobody at a terminal
	if got := must[outcome](h, "approve", page.Number(), "--yes", "--request", waiting[0].ID); got.Result != "approved" || got.Request != waiting[0].ID {
		t.Errorf("approve: %+v", got)
	}
	if in, err := b.Collect(t.Context(), page); err != nil || in.URL.Path != "/account" {
		t.Errorf("the browser is at %v, %v", in.URL, err)
	}

	_, page = k.asks()
	wrong := "47"
	if page.Number() == wrong {
		wrong = "48"
	}
	h.fails("not the number", "approve", wrong, "--yes")
	k.asks()
	if got := must[outcome](h, "deny"); got.Result != "denied" {
		t.Errorf("deny: %+v", got)
	}
	// What was denied may still be reported, by its id.
	past := must[[]outcome](h, "history")
	if len(past) != 3 || past[0].Result != "denied" || past[1].Result != "wrong_number" || past[2].Result != "approved" {
		t.Errorf("history: %+v", past)
	}
	ids := must[[]struct{ ID string }](h, "history")
	if got := must[outcome](h, "deny", "--report", "--request", ids[0].ID); got.Result != "reported" {
		t.Errorf("report: %+v", got)
	}

	if got := must[account](h, "rename", "Another name"); got.Name != "Another name" {
		t.Errorf("rename: %+v", got)
	}
	if got := must[struct{ Result, Text string }](h, "test"); got.Result != "none" || got.Text == "" {
		t.Errorf("test: %+v", got)
	}
	if out, errs, err := h.run("history"); err != nil || !strings.Contains(out, "reported") {
		t.Errorf("history: %s%s, %v", out, errs, err)
	}
	if got := must[account](h, "remove"); got.ID != all[0].ID {
		t.Errorf("remove: %+v", got)
	}
	if left := must[[]account](h, "list"); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// A phone with a PIN that watches, added by the code that is typed.
func TestWatch(t *testing.T) {
	d := running.StartDemo(t)
	k := newDesk(t, d, d.Users[1])
	h := &handset{t, d.Binary, filepath.Join(t.TempDir(), "phone")}
	h.add(k, true, "--pin-stdin")
	if all := must[[]account](h, "list"); len(all) != 1 || !all[0].PIN {
		t.Errorf("the list is %+v", all)
	}
	cmd, s, in := h.start("watch", "--pin-stdin")
	b, page := k.asks()
	s.shows(t, "Number (n: no")
	io.WriteString(in, "x\n")
	s.shows(t, "note: the number has two digits")
	io.WriteString(in, page.Number()+"\n1357\n")
	s.shows(t, "note: that is not the PIN")
	io.WriteString(in, page.Number()+"\n2468\n")
	s.shows(t, "approved")
	if at, err := b.Collect(t.Context(), page); err != nil || at.URL.Path != "/account" {
		t.Errorf("the browser is at %v, %v", at.URL, err)
	}
	k.asks()
	for end := time.Now().Add(30 * time.Second); strings.Count(s.shows(t, "Someone is signing in"), "Someone is signing in") < 2; {
		if time.Now().After(end) {
			t.Fatal("the second request is not shown")
		}
		time.Sleep(20 * time.Millisecond)
	}
	io.WriteString(in, "n\n")
	s.shows(t, "denied")
	in.Close()
	k.asks() // the end of what is typed is the end of the command
	if err := cmd.Wait(); err != nil {
		t.Errorf("watch ended with %v: %s", err, s.text.String())
	}

	// A phone that was taken out elsewhere says so, and can be forgotten.
	d.Admin(t, nil, "phone", "remove", k.user.Name)
	if all := must[[]account](h, "list"); len(all) != 1 || all[0].State != "gone" {
		t.Errorf("the list is %+v", all)
	}
	h.fails("does not know this phone any more", "requests")
	h.fails("remove --force", "remove")
	must[account](h, "remove", "--force")
	if left := must[[]account](h, "list"); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// What a newcomer gets wrong with a link.
func TestAddRefused(t *testing.T) {
	d := running.StartDemo(t)
	k := newDesk(t, d, d.Users[1])
	h := &handset{t, d.Binary, filepath.Join(t.TempDir(), "phone")}
	h.fails("this code does not work", "add", d.Base+"/phone/add#AAAAAAAAAAAAAAAAAAAAAA", "--yes")
	h.add(k, false, "--yes")
	again, err := k.AddPhone(t.Context(), k.session)
	if err != nil {
		t.Fatal(err)
	}
	h.fails("has an account on this phone", "add", again.Link, "--yes")
}
