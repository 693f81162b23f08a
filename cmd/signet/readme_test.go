package main

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/securitykey/securitykeytest"
)

// TestDocumentation runs the administrator's commands of README and docs as
// they are written, in order: what a newcomer copies must work.
func TestDocumentation(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "people.csv"), "userPrincipalName,displayName\nbo@example.com,Bo\n")
	write(t, filepath.Join(dir, "reports.jwks.json"), `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","alg":"ES256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`)
	write(t, filepath.Join(dir, "keys.csv"), "userPrincipalName,Id\nada@example.com,k\n")
	ca := pkixtest.Root(t, "Nordhafen Root", time.Now())
	write(t, filepath.Join(dir, "nordhafen.pem"), asPEM(ca.Cert))
	write(t, filepath.Join(dir, "ada.pem"), asPEM(ca.Leaf(pkixtest.ECKey(t).Public(), "Ada", "ada@example.com", time.Now())))
	t.Chdir(dir)
	securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device}})
	for _, page := range []string{"README.md", "docs/administrator.md", "docs/help-desk.md", "docs/phones.md", "docs/certificates.md"} {
		t.Run(page, func(t *testing.T) {
			data := dataFolder(t)
			serve(t, data)
			if page != "README.md" && page != "docs/administrator.md" {
				must[object](t, "admin", "tenant", "create", "Example", "--domain", "example.com", "--data", data)
				must[object](t, "admin", "user", "create", "root@example.com", "--role", "administrator", "--data", data)
				must[object](t, "admin", "user", "create", "ada@example.com", "--data", data)
				must[object](t, "admin", "app", "create", "Wiki", "--redirect-uri", "https://wiki.example.com/callback", "--data", data)
			}
			ran := 0
			for _, line := range commandsOf(t, page) {
				r := signet(t, append(line, "--data", data)...)
				if slices.Contains(line, "revoke-consent") && strings.Contains(r.errs, "has allowed that app nothing") {
					r.code = 0 // nobody has signed in here
				}
				if slices.Contains(line, "ws-17") && strings.Contains(r.errs, "There is no such device") {
					r.code = 0 // no machine has joined here
				}
				if slices.Contains(line, "--csv") && strings.Contains(r.errs, "this person has no such key") {
					r.code = 0 // nor has anybody a key on one
				}
				if slices.Contains(line, "provision") && strings.Contains(r.errs, "The policies do not allow this key") {
					r.code = 0 // the page asked for proof of the model, and a stand-in has none
				}
				if slices.Contains(line, "phone") && (strings.Contains(r.errs, "This person has no phone") || strings.Contains(r.errs, "no report has closed it")) {
					r.code = 0 // nobody has enrolled one here
				}
				if slices.Contains(line, "refresh") && r.code == 1 && strings.Contains(r.errs, "address") {
					r.code = 0 // nor found: its host is nobody's (RFC 2606)
				}
				if slices.Contains(line, "explain") && strings.Contains(r.errs, "would sign nobody in") {
					r.code = 0 // no list of that authority can be fetched here
				}
				if r.code != 0 {
					t.Errorf("signet %q: exit %d: %s", line, r.code, r.errs)
				}
				ran++
			}
			if ran == 0 {
				t.Error("no commands found")
			}
		})
	}
}

// root is where the repository is, found before any test changes folder.
var root = func() string {
	dir, _ := filepath.Abs("../..")
	return dir
}()

func asPEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// commandsOf are the admin commands of a page: lines of code blocks, and code
// in sentences that has arguments.
func commandsOf(t *testing.T, page string) [][]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	block := false
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			block = !block
			continue
		}
		parts := []string{line}
		if !block {
			parts = strings.Split(line, "`")
		}
		for i, part := range parts {
			if !block && i%2 == 0 {
				continue
			}
			w := words(strings.TrimPrefix(strings.TrimSpace(part), "./bin/"))
			if len(w) > 3 && w[0] == "signet" && w[1] == "admin" {
				all = append(all, w[1:])
			}
		}
	}
	return all
}

// TestDesktopPages: the commands of the pages about desktops, which need a TPM
// and a person, are at least commands with those flags and arguments. Those of
// test/browser run them.
func TestDesktopPages(t *testing.T) {
	for _, page := range []string{"docs/desktop.md", "clients/browser/README.md", "clients/linux/README.md", "clients/linux/pam.d.example", "clients/linux/signet-broker.service",
		"clients/linux/user/signet-broker.service"} {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for line := range strings.Lines(string(text)) {
			parts := strings.Split(strings.TrimSpace(line), "`")
			for i, part := range parts {
				_, after, ok := strings.Cut(part, "signet device ")
				if !ok || i%2 == 0 && len(parts) > 1 || strings.HasPrefix(part, "#") || strings.HasPrefix(part, "|") {
					continue
				}
				args := append([]string{"device"}, words(strings.NewReplacer("…", "x", "'", `"`).Replace(after))...)
				cmd, rest, err := newRoot().Find(args)
				if err == nil {
					err = cmd.ParseFlags(rest)
				}
				if err == nil {
					err = cmd.ValidateArgs(cmd.Flags().Args())
				}
				if err != nil {
					t.Errorf("%s: %q: %v", page, part, err)
				}
				found++
			}
		}
		if found == 0 && !strings.HasSuffix(page, "linux/README.md") {
			t.Errorf("%s has no commands", page)
		}
	}
}
