package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// TestAdminCertificateExplain goes through the command on the database itself,
// and over admin.sock.
func TestAdminCertificateExplain(t *testing.T) {
	for name, running := range map[string]bool{"stopped": false, "running": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := dataFolder(t)
			on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
			if r := signet(t, on("migrate")...); r.code != 0 {
				t.Fatal(r)
			}
			must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
			must[object](t, on("user", "create", "ada@one.example")...)
			if running {
				serve(t, data)
			}
			explainCommands(t, on)
		})
	}
}

func explainCommands(t *testing.T, on func(args ...string) []string) {
	t.Helper()
	now := time.Now()
	root := pkixtest.Root(t, "Nordhafen Root", now)
	people := root.Sub("People", now)
	leaf := people.Leaf(pkixtest.ECKey(t).Public(), "Ada \x1b[31m", "ada@one.example", now)
	put := func(name string, text []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	explain := func(code int, file string, want ...string) string {
		t.Helper()
		r := signet(t, on("certificate", "explain", file)...)
		for _, text := range want {
			if !strings.Contains(r.out+r.errs, text) {
				t.Errorf("%s: %+v lacks %q", file, r, text)
			}
		}
		if r.code != code || strings.Contains(r.out, "\x1b") {
			t.Errorf("%s: %+v, want code %d", file, r, code)
		}
		return r.out
	}
	// The issuer stands before its certificate, as some programs write them.
	both, alone := put("both.pem", pkixtest.PEM(people.Cert, leaf)), put("ada.crt", leaf.Raw)
	explain(1, both, "would sign nobody in: no path leads to an authority that is trusted", "principal name: ada@one.example", `because: no issuer is known: "O=Nordhafen,CN=Nordhafen Root"`)
	must[[]object](t, on("cert-authority", "add", put("root.pem", root.Cert.Raw))...)
	explain(1, alone, "no path leads to an authority")
	must[[]object](t, on("cert-authority", "add", put("people.pem", people.Cert.Raw))...)
	explain(1, both, "nothing says that it was not revoked", `because: "Nordhafen Root" has neither list nor responder`)
	if r := signet(t, on("policy", "set", "method.certificate", "true")...); r.code != 0 {
		t.Fatal(r)
	}
	saved := signet(t, on("policy", "export")...)
	unlisted := strings.Replace(saved.out, "unchecked: []", `unchecked: ["`+pkix.KeyID(root.Cert)+`", "`+pkix.KeyID(people.Cert)+`"]`, 1)
	if r := signet(t, on("policy", "apply", put("policy.yaml", []byte(unlisted)), "--yes")...); r.code != 0 {
		t.Fatal(r, saved.out)
	}
	out := explain(0, both, "O=Nordhafen,CN=People", "SHA-256", "checked by: nobody: the rules let it pass", "  X509:<I>O=Nordhafen,CN=People<SR>", "  X509:<PN>ada@one.example\n", "It would sign in ada@one.example, and count as single factor (certificate.mode).")
	for _, line := range []string{"path", "time", "revoked?", "level", "binding", "person", "taken away?", "policy"} {
		if !strings.Contains(out, "\n"+line+" ") {
			t.Errorf("no line %q in\n%s", line, out)
		}
	}
	explain(0, alone, "It would sign in ada@one.example")
	explain(1, put("dust", []byte("dust")), "no certificate that can be read")
	explain(1, alone+"x", "cannot be read")
	nobody := put("nobody.pem", pkixtest.PEM(people.Leaf(pkixtest.ECKey(t).Public(), "X", "nobody@one.example", now), people.Cert))
	explain(1, nobody, "it belongs to nobody")
	x := must[object](t, on("certificate", "explain", both)...)
	if x["good"] != true || x["userPrincipalName"] != "ada@one.example" || x["mode"] != "x509CertificateSingleFactor" {
		t.Errorf("as JSON: %v", x)
	}
	if r := signet(t, append(on("certificate", "explain", nobody), "-o", "json")...); r.code != 1 || !strings.Contains(r.out, `"good": false`) {
		t.Errorf("as JSON, refused: %+v", r)
	}
}
