package browser

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// Badge is a certificate with its key, as a computer holds it.
type Badge struct {
	Cert *x509.Certificate
	Key  crypto.Signer
}

// ChromiumWith starts a browser whose certificate store holds badges, and which
// shows the server at tlsBase one of them without asking, as an administrator
// sets that up (the policy AutoSelectCertificateForUrls). It believes what the
// authority in caFile signs.
//
// Both are of this browser alone: the store is in a home of its own, and the
// folder of policies, which Chromium reads at a fixed place, is one that only it
// sees there.
func ChromiumWith(t *testing.T, tlsBase, caFile string, badges ...Badge) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no chromium on this machine: `make test` installs it")
	}
	dir := t.TempDir()
	store, policies := filepath.Join(dir, ".pki", "nssdb"), filepath.Join(dir, "etc", "policies", "managed")
	for _, folder := range []string{store, policies} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "certutil", "-N", "-d", "sql:"+store, "--empty-password")
	tool(t, "certutil", "-A", "-d", "sql:"+store, "-n", "server", "-t", "C,,", "-i", caFile)
	for n, b := range badges {
		tool(t, "pk12util", "-d", "sql:"+store, "-W", "badge", "-i", b.packed(t, filepath.Join(dir, fmt.Sprint("badge", n))))
	}
	rule, err := json.Marshal(map[string]any{"pattern": tlsBase, "filter": map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := json.Marshal(map[string][]string{"AutoSelectCertificateForUrls": {string(rule)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(policies, "badges.json"), policy, 0o600); err != nil {
		t.Fatal(err)
	}
	// Whoever is not root is root in a name space of its own.
	namespace := "unshare --mount"
	if os.Geteuid() != 0 {
		namespace += " --map-root-user"
	}
	script := fmt.Sprintf("#!/bin/sh\nexport HOME='%s'\nexec %s sh -c 'mount --bind \"$HOME/etc\" /etc/chromium && exec \"$0\" \"$@\"' '%s' \"$@\"\n", dir, namespace, path)
	wrapper := filepath.Join(dir, "chromium")
	if err := os.WriteFile(wrapper, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return start(t, wrapper)
}

// packed is the badge as a file that stores import (PKCS#12).
func (b Badge) packed(t *testing.T, file string) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(b.Key)
	if err != nil {
		t.Fatal(err)
	}
	both := append(pkixtest.PEM(b.Cert), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file+".pem", both, 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "openssl", "pkcs12", "-export", "-passout", "pass:badge", "-name", b.Cert.Subject.CommonName, "-in", file+".pem", "-out", file)
	return file
}

func tool(t *testing.T, program string, args ...string) {
	t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v (`make test` installs what the tests need)\n%s", program, err, out)
	}
}
