package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/securitykey/securitykeytest"
)

// TestKeyProvision puts passkeys on a key that a stand-in for libfido2's tools
// pretends to have, through a running server.
func TestKeyProvision(t *testing.T) {
	data := dataFolder(t)
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("1234\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plugged := securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "1234", Model: [16]byte{0x11, 0x22}}
	state, set := securitykeytest.Plug(t, plugged)
	server := serve(t, data)
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	provision := func(args ...string) []string { return on(append([]string{"key", "provision"}, args...)...) }
	refused := func(want string, args ...string) {
		t.Helper()
		r := signet(t, provision(args...)...)
		last := r.errs[strings.LastIndex(strings.TrimSpace(r.errs), "\n")+1:]
		if r.code != exitFailed || !strings.HasPrefix(last, "signet: ") || !strings.Contains(last, want) || r.out != "" {
			t.Errorf("%q: %+v; want exit 1 and %q", args, r, want)
		}
	}
	methods := func() (all []string) { // of passkey.provision in the audit
		for _, e := range must[[]object](t, on("audit", "--category", "change")...) {
			if e["activity"] == "passkey.provision" {
				if actor, _ := e["actor"].(string); !strings.HasPrefix(actor, "cli:") || e["userName"] != "ada@one.example" {
					t.Errorf("event %v", e)
				}
				all = append(all, e["outcome"].(string))
			}
		}
		return all
	}
	must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
	must[object](t, on("user", "create", "ada@one.example", "--name", "Ada")...)

	key := must[object](t, provision("ada@one.example", "--pin-file", pin, "--name", "Blue key")...)
	if key["displayName"] != "Blue key" || key["userPrincipalName"] != "ada@one.example" || key["aaGuid"] != "11220000-0000-0000-0000-000000000000" || key["attestationLevel"] != "notAttested" {
		t.Errorf("passkey %v", key)
	}
	if k := state(); len(k.Asked) != 4 || k.Asked[1] != "localhost" || k.Asked[2] != "ada@one.example" || len(k.Held) != 1 {
		t.Errorf("the key was asked %q", k.Asked)
	}
	if got := methods(); len(got) != 1 || got[0] != "success" {
		t.Errorf("on record: %v", got)
	}
	refused("holds a passkey of ada@one.example already", "ada@one.example", "--pin-file", pin)

	// Another key, with a certificate; the tool asks for the PIN by itself.
	set(securitykeytest.Key{Devices: append(plugged.Devices, "/dev/hidraw8: vendor=0x20a0, product=0x42b1 (Other key)"), PIN: "1234", Certified: true})
	refused("2 security keys are plugged in: say which", "ada@one.example")
	r := atTerminal(t, "1234\n", provision("ada@one.example", "--device", "/dev/hidraw8")...)
	if r.code != 0 || !strings.Contains(r.errs, "A passkey for ada@one.example on Other key (/dev/hidraw8).\nTouch the key") || !strings.Contains(r.out, "ada@one.example") {
		t.Errorf("at a terminal: %+v", r)
	}
	refused("no security key is at /dev/hidraw1", "ada@one.example", "--device", "/dev/hidraw1")

	set(securitykeytest.Key{Devices: plugged.Devices, PIN: "9999"})
	refused("FIDO_ERR_PIN_INVALID: that PIN is wrong", "ada@one.example", "--pin-file", pin)
	set(securitykeytest.Key{})
	refused("no security key is plugged in", "ada@one.example")
	set(plugged)
	refused("no such user", "nobody@one.example")
	refused("PIN file cannot be read", "ada@one.example", "--pin-file", pin+"-not")
	if err := os.WriteFile(pin+"-short", []byte("123"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("4 to 63 bytes", "ada@one.example", "--pin-file", pin+"-short")

	// Policy holds: before the key is asked, and for what it made.
	must[object](t, on("policy", "set", "passkey.attestation", "required")...)
	refused("The passkey on the key is of no use now", "ada@one.example", "--pin-file", pin)
	if got := methods(); len(got) != 3 || got[0] == "success" {
		t.Errorf("on record: %v", got)
	}
	must[object](t, on("policy", "set", "passkey.attestation", "none")...)
	must[object](t, on("policy", "set", "method.passkey", "false")...)
	held := len(state().Held)
	refused("method_off", "ada@one.example", "--pin-file", pin)
	if len(state().Held) != held {
		t.Error("a passkey was made that policy does not allow at all")
	}

	if r := signet(t, provision()...); r.code != exitUsage || !strings.Contains(r.errs, "needs a USER") {
		t.Errorf("without a USER: %+v", r)
	}
	server.stop(t)
	refused("start signet serve first", "ada@one.example")
	t.Setenv("PATH", t.TempDir())
	refused("sudo apt-get install fido2-tools", "ada@one.example")
}
