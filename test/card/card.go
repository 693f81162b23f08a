package card

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// module is the PKCS#11 library of SoftHSM, where Debian puts it.
const module = "/usr/lib/softhsm/libsofthsm2.so"

// pin is what a card's owner types.
const pin = "123456"

// Kind is a sort of key, as PKCS#11 tools name it.
type Kind string

// The keys that cards have.
const (
	RSA  Kind = "rsa:2048"
	P256 Kind = "EC:prime256v1"
)

// Card is a smart card in a reader: one key that was made on it and cannot be
// read, and the certificate that was put beside it.
type Card struct {
	Public crypto.PublicKey
	Cert   *x509.Certificate // nil until Put

	t      testing.TB
	config string // SOFTHSM2_CONF: the reader, with nothing but this card in it
	file   string // the certificate as a file, for chains that are sent whole
}

// New takes a blank card and makes a key on it.
func New(t testing.TB, kind Kind) *Card {
	t.Helper()
	dir := t.TempDir()
	c := &Card{t: t, config: filepath.Join(dir, "softhsm2.conf"), file: filepath.Join(dir, "certificates.pem")}
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens)
	if err := os.WriteFile(c.config, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run("softhsm2-util", "--init-token", "--free", "--label", "card", "--pin", pin, "--so-pin", "87654321")
	c.tool("--keypairgen", "--key-type", string(kind), "--usage-sign")
	public := filepath.Join(dir, "public.der")
	c.tool("--read-object", "--type", "pubkey", "-o", public)
	der, err := os.ReadFile(public)
	if err != nil {
		t.Fatal(err)
	}
	if c.Public, err = x509.ParsePKIXPublicKey(der); err != nil {
		t.Fatalf("the card's key: %v", err)
	}
	return c
}

// Put writes a certificate onto the card. What is above it in the chain, if
// anything, is sent along with it from a file, as middleware does.
func (c *Card) Put(cert *x509.Certificate, above ...*x509.Certificate) {
	c.t.Helper()
	c.Cert = cert
	der := c.file + ".der"
	if err := os.WriteFile(der, cert.Raw, 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.tool("--write-object", der, "--type", "cert")
	if err := os.RemoveAll(c.file); err != nil {
		c.t.Fatal(err)
	}
	if len(above) > 0 {
		if err := os.WriteFile(c.file, pemOf(append([]*x509.Certificate{cert}, above...)), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// Environment is what a program needs to reach the card.
func (c *Card) Environment() []string {
	return append(os.Environ(), "SOFTHSM2_CONF="+c.config, "PKCS11_MODULE_PATH="+module)
}

// flags are those with which curl uses the card: the engine finds the module by
// itself, and the key by its name.
func (c *Card) flags() []string {
	key := "pkcs11:token=card;object=card;type=private;pin-value=" + pin
	flags := []string{"--engine", "pkcs11", "--key-type", "ENG", "--key", key}
	if _, err := os.Stat(c.file); err == nil {
		return append(flags, "--cert", c.file)
	}
	return append(flags, "--cert-type", "ENG", "--cert", "pkcs11:token=card;object=card;type=cert")
}

// tool runs OpenSC's tool on the card.
func (c *Card) tool(args ...string) {
	c.t.Helper()
	c.run("pkcs11-tool", append([]string{"--module", module, "--token-label", "card", "--login", "--pin", pin, "--id", "01", "--label", "card"}, args...)...)
}

func (c *Card) run(program string, args ...string) {
	c.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = c.Environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v (`make test` installs what the tests need)\n%s", program, err, out)
	}
}
