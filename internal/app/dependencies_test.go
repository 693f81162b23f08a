package app_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// allowed are the modules that this one may use directly, each with the reason
// why we do not write it ourselves. A new one needs a line here.
var allowed = map[string]string{
	"filippo.io/age":                          "encrypted backups; inventing a file format for secrets is not ours",
	"github.com/SherClockHolmes/webpush-go":   "Web Push: encryption (RFC 8291) and VAPID (RFC 8292) are not ours to write",
	"github.com/coreos/go-oidc/v3":            "the demo app: an independent relying party",
	"github.com/fxamacker/cbor/v2":            "CBOR of WebAuthn, strict; payloads of sealed values",
	"github.com/go-jose/go-jose/v4":           "JWS, JWE and JWK",
	"github.com/go-webauthn/webauthn":         "WebAuthn parsing, COSE keys, attestation statements",
	"github.com/google/go-attestation":        "what TPMs say of keys: statements verified, credential activation",
	"github.com/google/go-cmp":                "readable differences in tests",
	"github.com/google/go-tpm":                "TPM 2.0 structures, and talking to a TPM",
	"github.com/google/uuid":                  "UUIDv4 and v7",
	"github.com/jackc/pgx/v5":                 "PostgreSQL",
	"github.com/knadh/koanf/parsers/yaml":     "the configuration file",
	"github.com/knadh/koanf/providers/env/v2": "the configuration from the environment",
	"github.com/knadh/koanf/v2":               "file and environment as one configuration",
	"github.com/maypok86/otter/v2":            "bounded caches with expiry",
	"github.com/pressly/goose/v3":             "migrations on both databases",
	"github.com/prometheus/client_golang":     "the metrics that every administrator expects",
	"github.com/rogpeppe/go-internal":         "scripts of the command line in tests",
	"github.com/spf13/cobra":                  "commands, help and shell completion",
	"github.com/spf13/pflag":                  "cobra's flags, which are also our settings",
	"go.yaml.in/yaml/v3":                      "lines of what is wrong in a policy file; the configuration's parser is made of it",
	"go.uber.org/goleak":                      "goroutines left behind, in tests",
	"golang.org/x/crypto":                     "DER that crypto/x509 does not read, and OCSP",
	"golang.org/x/net":                        "an HTML parser for tests of our pages",
	"golang.org/x/oauth2":                     "the demo app's OAuth client",
	"golang.org/x/sync":                       "errgroup: goroutines with an end",
	"golang.org/x/sys":                        "peer credentials of the administration socket",
	"golang.org/x/text":                       "Unicode normalisation and cases of names",
	"golang.org/x/time":                       "rate limits",
	"modernc.org/sqlite":                      "SQLite without cgo",
	"pgregory.net/rapid":                      "properties of state machines, in tests",
	"rsc.io/qr":                               "QR codes",
}

func TestDependencies(t *testing.T) {
	for _, p := range packages(t) {
		for _, imports := range [][]string{p.Imports, p.TestImports, p.XTestImports} {
			for _, path := range imports {
				if !foreign(path) {
					continue
				}
				if moduleOf(path) == "" {
					t.Errorf("%s imports %s, which no allowed module has: add it to allowed with the reason, or do without", p.ImportPath, path)
				}
			}
		}
	}
}

// foreign says whether an import path is of another module: those begin with
// a host name.
func foreign(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return strings.Contains(first, ".") && !strings.HasPrefix(path, "github.com/signetid/signet/")
}

func moduleOf(path string) string {
	best := ""
	for m := range allowed {
		if (path == m || strings.HasPrefix(path, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// TestModuleFile holds go.mod to the same list, and to what dependencies.md
// pins and forbids.
func TestModuleFile(t *testing.T) {
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || !regexp.MustCompile(`^v\d`).MatchString(fields[1]) || strings.Contains(line, "// indirect") {
			continue
		}
		if allowed[fields[0]] == "" {
			t.Errorf("go.mod requires %s directly, which is not allowed: add it to allowed with the reason, or do without", fields[0])
		}
	}
	for _, want := range []string{"go 1.26", "modernc.org/sqlite v1.60.1", "github.com/go-webauthn/webauthn v0.18.2"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("go.mod lacks %q", want)
		}
	}
	if regexp.MustCompile(`(?m)^\s*replace\b`).Match(text) {
		t.Error("go.mod replaces a module")
	}
}
