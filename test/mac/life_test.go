package mac

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/test/card"
	"github.com/signetid/signet/test/running"
)

// said is what the command prints as JSON.
type said struct {
	StandIn string
	Steps   []struct {
		Step     string
		Messages []struct {
			Message, URL, Fault string
			Status              int
			Signed, Inner       *struct{ Header, Claims map[string]any }
		}
		Result map[string]any
	}
}

// simulate runs the command in a folder of its own.
func simulate(t *testing.T, binary, state, stdin string, args ...string) (out, errs string, err error) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"device", "psso-simulate", "--state", state}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	return stdout.String(), stderr.String(), err
}

// A newcomer starts the demo and lets the command go through a whole life, with
// the pass that the demo printed and nothing else.
func TestWholeLifeInTheDemo(t *testing.T) {
	t.Parallel()
	d := running.StartDemo(t)
	bela := d.Users[1]
	state := filepath.Join(t.TempDir(), "mac")
	out, errs, err := simulate(t, d.Binary, state, bela.Pass+"\n", "--json", "--server", d.Base, "--tenant", d.Tenant, "--user", bela.Name, "--access-pass-file", "-", "--app", d.App+"/login")
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, errs, out)
	}
	var got said
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	var steps []string
	logins, opened := 0, 0
	for _, s := range got.Steps {
		steps = append(steps, s.Step)
		for _, m := range s.Messages {
			if m.Fault != "" || m.Status >= 300 {
				t.Errorf("%s: %s %d %s", s.Step, m.Message, m.Status, m.Fault)
			}
			if m.Message == "login" {
				logins++
				if m.Inner == nil || m.Inner.Claims["sub"] != bela.Name || m.Signed.Claims["request_nonce"] != m.Inner.Claims["request_nonce"] {
					t.Errorf("a login is shown as %+v", m)
				}
			}
		}
		if claims, ok := s.Result["claims"].(map[string]any); ok && strings.HasPrefix(s.Step, "an app") {
			opened++
			amr, _ := claims["amr"].([]any)
			if claims["preferred_username"] != bela.Name || !slices.Contains(amr, any("mfa")) || s.Result["extensionAnswered"] != true {
				t.Errorf("the app was told %v", s.Result)
			}
		}
	}
	want := []string{"configuration", "sign-in of the person", "registration of the device", "registration of the person", "login", "refresh", "unlock key",
		"unlock key, asked for again", "key exchanges, at the same time", "an app, opened by single sign-on", "other device keys", "login",
		"another key of the person", "login", "an app, opened by single sign-on", "removal of the person's key", "removal of the device"}
	if !slices.Equal(steps, want) || logins != 3 || opened != 2 {
		t.Errorf("steps %q, %d logins, app opened %d times", steps, logins, opened)
	}
	if !strings.Contains(got.StandIn, "stand-in") {
		t.Errorf("it says of itself %q", got.StandIn)
	}
	if info, err := os.Stat(state); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	var devices []struct{ ID string }
	d.Admin(t, &devices, "device", "list")
	if len(devices) != 0 {
		t.Errorf("after its life there are %+v", devices)
	}
}

// The life of a Mac with a smart card has every step but those of a key that is
// the Mac's own.
func TestWholeLifeWithACard(t *testing.T) {
	t.Parallel()
	o := office(t)
	bela, dir := o.Users[1], t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := o.Cards.Leaf(&key.PublicKey, bela.Show, bela.Name, time.Now(), card.Policies(card.CardPolicy))
	for name, content := range map[string][]byte{"cert": pkixtest.PEM(leaf), "key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, err := simulate(t, o.Binary, filepath.Join(dir, "mac"), bela.Pass+"\n", "--json", "--server", o.Base, "--tenant", o.Tenant, "--user", bela.Name, "--access-pass-file", "-",
		"--card-certificate", filepath.Join(dir, "cert"), "--card-key", filepath.Join(dir, "key"))
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, errs, out)
	}
	var got said
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for _, s := range got.Steps {
		steps = append(steps, s.Step)
	}
	want := []string{"configuration", "sign-in of the person", "registration of the device", "registration of the person", "login", "refresh", "unlock key",
		"unlock key, asked for again", "key exchanges, at the same time", "other device keys", "login", "removal of the device"}
	if !slices.Equal(steps, want) {
		t.Errorf("steps %q", steps)
	}
}

// Step by step, in words: what is secret is shortened, and every command says
// what it is.
func TestStepByStep(t *testing.T) {
	t.Parallel()
	d := running.StartDemo(t)
	bela := d.Users[1]
	state := filepath.Join(t.TempDir(), "mac")
	run := func(want string, args ...string) string {
		t.Helper()
		out, errs, err := simulate(t, d.Binary, state, bela.Pass+"\n", args...)
		if err != nil {
			t.Fatalf("%q: %v: %s\n%s", args, err, errs, out)
		}
		if !strings.Contains(out, "stand-in for a Mac") || !strings.Contains(out, want) {
			t.Errorf("%q says\n%s", args, out)
		}
		return out
	}
	run("login user name", "register", "--server", d.Base, "--tenant", d.Tenant, "--user", bela.Name, "--access-pass-file", "-")
	out := run("platformsso-login-request+jwt", "login")
	if !strings.Contains(out, "ID token:") || !strings.Contains(out, "characters)") {
		t.Errorf("a login is shown as\n%s", out)
	}
	for _, line := range strings.Split(out, "\n") {
		if strings.Contains(line, `"refresh_token":`) && !strings.Contains(line, "characters)") {
			t.Errorf("a token is printed whole: %s", line)
		}
	}
	run(`"typ": "JWT"`, "login", "--old-types", "--text-times", "--x5c", "string")
	run("platformsso-refresh-request+jwt", "refresh")
	run("unlock key", "key")
	run("secrets are those computed here", "exchange")
	run("extension answered", "open", d.App+"/login")
	run("keys before are good until", "rotate", "--signing")
	run("login user name", "status")
	run("signed in", "login")
	run("removed", "remove")
	if out, errs, err := simulate(t, d.Binary, state, "", "login"); err == nil || !strings.Contains(errs, "not registered") {
		t.Errorf("a removed one: %v: %s%s", err, out, errs)
	}
}
