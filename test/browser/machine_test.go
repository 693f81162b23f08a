package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/test/running"
)

// somebody is an account of every Debian that is not root's.
const somebody = "nobody"

// asAccount runs fn on a thread that has another uid: the kernel tells the
// other end of a socket which one connected.
func asAccount(t *testing.T, uid int, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		fn() // one's own account is all there is
		return
	}
	done := make(chan error)
	go func() {
		// The thread is never unlocked, so it ends with the goroutine.
		runtime.LockOSThread()
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0))
		if errno != 0 {
			done <- errno
			return
		}
		fn()
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// askBroker sends one line to a broker.
func askBroker(t *testing.T, socket, line string) map[string]any {
	t.Helper()
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Error(err)
		return nil
	}
	defer c.Close()
	fmt.Fprintln(c, line)
	var v map[string]any
	if err := json.NewDecoder(c).Decode(&v); err != nil {
		t.Error(err)
	}
	return v
}

// accountsFile says that somebody is the second demo person.
func accountsFile(t *testing.T, demo *running.Demo) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(file, []byte(somebody+" "+demo.Users[1].Name+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// The broker of a machine serves each account its own person's tokens, and its
// memory never holds a session key (decisions 4.7): whoever reads it all has
// nothing to use the PRT with.
func TestMachineBroker(t *testing.T) {
	demo := running.StartDemo(t)
	d := enrolled(t, demo, agenttest.TPM(t))
	folder, err := os.MkdirTemp("", "signet-broker-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if os.Geteuid() == 0 { // or no other account gets there
		if err := os.Chmod(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	socket := filepath.Join(folder, "broker.sock")
	args := []string{"device", "broker", "--state", d.state, "--tpm", d.tpm, "--socket", socket, "--accounts", accountsFile(t, demo)}
	broker := running.StartBinary(t, demo.Binary, args, nil)
	if out, err := exec.Command(demo.Binary, args...).CombinedOutput(); err == nil || !bytes.Contains(out, []byte("listens on")) {
		t.Errorf("a second broker: %v, %s", err, out)
	}

	const wants = `{"do":"token","resource":"urn:ms-drs:enterpriseregistration.windows.net"}`
	header := `{"do":"header","url":"` + demo.Base + `/` + demo.Tenant + `/oauth2/v2.0/authorize?client_id=x"}`
	var prt string
	asAccount(t, 65534, func() {
		if v := askBroker(t, socket, wants); v["token"] == nil {
			t.Errorf("token: %v", v)
		}
		if v := askBroker(t, socket, header); v["header"] == nil {
			t.Errorf("header: %v", v)
		}
	})
	if os.Geteuid() == 0 {
		if v := askBroker(t, socket, wants); v["token"] != nil || !strings.Contains(fmt.Sprint(v["error"]), "account_root") {
			t.Errorf("root was given %v", v)
		}
		asAccount(t, 4242, func() {
			if v := askBroker(t, socket, wants); v["token"] != nil || v["error"] == nil {
				t.Errorf("an account that nobody knows was given %v", v)
			}
		})
	}
	d.must("", nil, "renew") // beside the broker, which must see what came of it
	asAccount(t, 65534, func() {
		if v := askBroker(t, socket, wants); v["token"] == nil {
			t.Errorf("token after a renewal elsewhere: %v", v)
		}
	})
	var state struct {
		People []struct {
			PRT struct{ Value string }
		}
	}
	text, err := os.ReadFile(filepath.Join(d.state, "state.json"))
	if err != nil || json.Unmarshal(text, &state) != nil || len(state.People) != 1 {
		t.Fatalf("state: %v, %s", err, text)
	}
	prt = state.People[0].PRT.Value
	memory := memoryOf(t, broker.Process.Pid)
	if !bytes.Contains(memory, []byte(prt)) {
		t.Error("the search does not find what must be there: the PRT")
	}
	key := sessionKey(t, demo, prt)
	if bytes.Contains(memory, key) {
		t.Error("the broker's memory has the session key")
	}
	if bytes.Contains(text, key) {
		t.Error("the state has the session key")
	}
}

// sessionKey is what the server knows of a PRT: read from its data folder, once
// it has stopped.
func sessionKey(t *testing.T, demo *running.Demo, value string) []byte {
	t.Helper()
	demo.Stop()
	cfg := app.Default()
	cfg.Data, cfg.Demo = demo.Data, true
	house, err := app.Open(t.Context(), cfg, demo.Base)
	if err != nil {
		t.Fatal(err)
	}
	defer house.Close()
	got, err := house.PRTs.Find(t.Context(), idp.TenantID(demo.Tenant), value)
	if err != nil || len(got.SessionKey) != 32 {
		t.Fatalf("the PRT: %d bytes of session key, %v", len(got.SessionKey), err)
	}
	return got.SessionKey
}

// memoryOf reads everything that a process has written to its memory, as a
// debugger would.
func memoryOf(t *testing.T, pid int) []byte {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var all []byte
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var perms string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); n != 3 || !strings.HasPrefix(perms, "rw") || to-from > 1<<30 {
			continue
		}
		part := make([]byte, to-from)
		n, _ := mem.ReadAt(part, from) // pages that were never touched cannot be read
		all = append(all, part[:n]...)
	}
	if len(all) < 1<<20 {
		t.Fatalf("only %d bytes could be read", len(all))
	}
	return all
}

// TestPAM is a local account whose PIN lets it in, by pam_exec and pamtester:
// with the server, without it, and not for whoever else comes.
func TestPAM(t *testing.T) {
	const wrapper = "libpam_wrapper.so"
	if _, err := exec.LookPath("pamtester"); err != nil {
		t.Fatal("no pamtester on this machine: `make test` installs it")
	}
	demo := running.StartDemo(t)
	d := enrolled(t, demo, agenttest.TPM(t))
	services := t.TempDir()
	log := filepath.Join(t.TempDir(), "log")
	accounts := accountsFile(t, demo)
	line := fmt.Sprintf("auth required pam_exec.so quiet log=%s expose_authtok %s device pam --state %s --tpm %s --accounts %s\n", log, demo.Binary, d.state, d.tpm, accounts)
	for _, service := range []string{"login", "sshd", "wiki"} {
		if err := os.WriteFile(filepath.Join(services, service), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	try := func(service, account, pin string) (bool, string) {
		t.Helper()
		os.Remove(log)
		args := []string{service, account, "authenticate"}
		cmd := exec.CommandContext(t.Context(), "pamtester", args...)
		if os.Geteuid() != 0 {
			// The file of accounts is root's in a namespace where we are root.
			cmd = exec.CommandContext(t.Context(), "unshare", append([]string{"--user", "--map-root-user", "pamtester"}, args...)...)
		}
		cmd.Env = append(os.Environ(), "LD_PRELOAD="+wrapper, "PAM_WRAPPER=1", "PAM_WRAPPER_SERVICE_DIR="+services)
		cmd.Stdin = strings.NewReader(pin + "\n")
		out, err := cmd.CombinedOutput()
		said, _ := os.ReadFile(log)
		return err == nil && bytes.Contains(out, []byte("successfully authenticated")), string(out) + string(said)
	}
	for _, c := range []struct {
		name, service, account, pin, says string
		in                                bool
	}{
		{"the PIN", "login", somebody, "424289", "", true},
		{"another PIN", "login", somebody, "424288", "the PIN is wrong", false},
		{"over ssh", "sshd", somebody, "424289", "not over a network", false},
		{"by a service that may be on a network", "wiki", somebody, "424289", "add --service", false},
		{"root", "login", "root", "424289", "root never signs in", false},
		{"an account that is nobody's", "login", "daemon", "424289", "add a line", false},
	} {
		if in, said := try(c.service, c.account, c.pin); in != c.in || !strings.Contains(said, c.says) {
			t.Errorf("%s: in %t, %s", c.name, in, said)
		}
	}
	demo.Stop()
	if in, said := try("login", somebody, "424289"); !in || !strings.Contains(said, "without the server") {
		t.Errorf("without the server: in %t, %s", in, said)
	}
	if in, said := try("login", somebody, "424280"); in || !strings.Contains(said, "the PIN is wrong") {
		t.Errorf("without the server, another PIN: in %t, %s", in, said)
	}
}
