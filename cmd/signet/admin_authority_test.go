package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// TestAdminAuthorities goes through the commands on the database itself, and
// over admin.sock.
func TestAdminAuthorities(t *testing.T) {
	for name, running := range map[string]bool{"stopped": false, "running": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := dataFolder(t)
			on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
			if r := signet(t, on("migrate")...); r.code != 0 {
				t.Fatal(r)
			}
			must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
			if running {
				serve(t, data)
			}
			authorityCommands(t, on)
			r := signet(t, on("cert-authority", "refresh", "Badges")...)
			if want := "fetched by a running server"; !running && (r.code != 1 || !strings.Contains(r.errs, want)) {
				t.Errorf("%+v lacks %q", r, want)
			}
			if want := "The host of the address is not known."; running && (r.code != 1 || !strings.Contains(r.errs, want)) {
				t.Errorf("%+v lacks %q", r, want)
			}
		})
	}
}

func authorityCommands(t *testing.T, on func(args ...string) []string) {
	t.Helper()
	now := time.Now()
	root := pkixtest.Root(t, "Nordhafen Root", now)
	people := root.Sub("People", now)
	path := filepath.Join(t.TempDir(), "cas.pem")
	if err := os.WriteFile(path, pkixtest.PEM(root.Cert, people.Cert), 0o600); err != nil {
		t.Fatal(err)
	}
	says := func(code int, args []string, want ...string) {
		t.Helper()
		r := signet(t, on(args...)...)
		for _, text := range want {
			if !strings.Contains(r.out+r.errs, text) {
				t.Errorf("signet %q: %+v lacks %q", args, r, text)
			}
		}
		if r.code != code {
			t.Errorf("signet %q: %+v, want code %d", args, r, code)
		}
	}
	ca := func(args ...string) []string { return append([]string{"cert-authority"}, args...) }
	says(0, ca("add", path, "--dry-run"), "Nordhafen Root", "People", "root", "intermediate", "Nothing was added", "neither a revocation list nor a responder")
	if all := must[[]object](t, on(ca("list")...)...); len(all) != 0 {
		t.Errorf("a dry run added %v", all)
	}
	says(2, ca("add", path, path), `takes a FILE alone, and no "`)
	alone := filepath.Join(t.TempDir(), "people.pem")
	if err := os.WriteFile(alone, pkixtest.PEM(people.Cert), 0o600); err != nil {
		t.Fatal(err)
	}
	says(0, ca("add", alone, "--dry-run"), "People was issued by O=Nordhafen,CN=Nordhafen Root, which is not here")
	if r := signet(t, on(ca("add", path, "--dry-run")...)...); strings.Contains(r.errs, "which is not here") {
		t.Errorf("an issuer that comes, too, is missed: %s", r.errs)
	}
	says(1, ca("add", path, "--crl", "http://crl.example/p"), "several certificates")
	says(1, ca("add", path, "--type", "leaf"), "root or intermediate")
	says(1, ca("add", path+"x"), "cannot be read")
	if all := must[[]object](t, on(ca("add", path)...)...); len(all) != 2 || all[1]["displayName"] != "People" {
		t.Errorf("added %v", all)
	}
	says(1, ca("add", path), `"Nordhafen Root" is there already`)
	says(0, ca("show", "People"), "O=Nordhafen,CN=People", "SHA-1", "key identifier")
	says(2, ca("update", "People"), "something to change")
	says(1, ca("update", "People", "--crl", "ldap://dc"), "none that can be fetched")
	says(0, ca("update", "People", "--crl", "http://crl.invalid/p", "--name", "Badges"), "http://crl.invalid/p", "Badges", "missing")
	says(0, ca("disable", "Badges"), "signet admin cert-authority enable ")
	says(0, ca("enable", "Badges"), "enabled", "yes")
	says(0, ca("remove", "Badges"), "signet admin cert-authority restore ")
	says(1, ca("show", "Badges"), "no such certificate authority")
	says(0, ca("list", "--removed"), "Badges")
	says(0, ca("restore", "Badges"), "Badges")
}
