package browser

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/internal/securitykey/securitykeytest"
	"github.com/signetid/signet/test/running"
)

func TestMain(m *testing.M) {
	securitykeytest.Main()
	os.Exit(m.Run())
}

// TestDesktopSecurityKey: the help desk puts a passkey for somebody on a
// security key, and they sign in with it on a machine where they have nothing;
// the key itself is a stand-in behind the texts of libfido2's tools.
func TestDesktopSecurityKey(t *testing.T) {
	demo := running.StartDemo(t)
	d := enrolled(t, demo, agenttest.TPM(t))
	securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "271828"})
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("271828\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	who := demo.Users[2].Name
	demo.Admin(t, nil, "key", "provision", who, "--pin-file", pin)

	if r := d.run("314159\n", nil, "sign-in", "--security-key", "--pin-stdin"); r.code != 1 || !strings.Contains(r.errs, "that PIN is wrong") || strings.Contains(r.errs, "314159") {
		t.Errorf("a wrong PIN: %+v", r)
	}
	if r := d.run("271828\n", nil, "sign-in", "--security-key", "/dev/hidraw1", "--pin-stdin"); r.code != 1 || !strings.Contains(r.errs, "no security key is at /dev/hidraw1") {
		t.Errorf("a key that is not there: %+v", r)
	}
	signed := d.must("271828\n", nil, "sign-in", "--security-key", "/dev/hidraw7", "--pin-stdin")
	if signed["method"] != "passkey" || signed["userPrincipalName"] != who {
		t.Errorf("signed in %v", signed)
	}
	token := d.must("", nil, "token", "--user", who, "--resource", "urn:ms-drs:enterpriseregistration.windows.net")
	if token["userPrincipalName"] != who || token["accessToken"] == "" {
		t.Errorf("token %v", token)
	}
	r := d.run("", nil, "status")
	if !strings.Contains(r.out, "User "+who) || !strings.Contains(r.out, "passkey") {
		t.Errorf("status:\n%s", r.out)
	}
}
