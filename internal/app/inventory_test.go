package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/nonce"
)

// TestInventory holds docs/crypto.md to the code (security.md KEY08).
func TestInventory(t *testing.T) {
	raw, err := os.ReadFile("../../docs/crypto.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(raw)
	got := map[string][]string{}
	for _, p := range packages(t) {
		short := strings.TrimPrefix(p.ImportPath, "github.com/signetid/signet/")
		if strings.HasSuffix(short, "test") || strings.HasPrefix(short, "test/") {
			continue
		}
		for _, imported := range p.Imports {
			if name := cryptography(imported); name != "" && !slices.Contains(got[name], short) {
				got[name] = append(got[name], short)
			}
		}
	}
	want := map[string][]string{}
	rows := doc[strings.Index(doc, "## Packages"):]
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.*) \\|$").FindAllStringSubmatch(rows, -1) {
		for _, owner := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[2], -1) {
			want[row[1]] = append(want[row[1]], owner[1])
		}
	}
	for name, owners := range got {
		slices.Sort(owners)
		if !slices.Equal(owners, want[name]) {
			t.Errorf("%s is imported by %v, and docs/crypto.md says %v", name, owners, want[name])
		}
	}
	for name := range want {
		if got[name] == nil {
			t.Errorf("docs/crypto.md lists %s, which nothing imports", name)
		}
	}
	for _, alg := range keyring.Algorithms {
		if !strings.Contains(doc, "("+alg+")") {
			t.Errorf("docs/crypto.md lacks the signing algorithm %s", alg)
		}
	}
}

// cryptography gives the name under which an import is listed, or nothing.
func cryptography(path string) string {
	if path == "crypto" || strings.HasPrefix(path, "crypto/") {
		return path
	}
	for _, module := range []string{"filippo.io/age", "github.com/SherClockHolmes/webpush-go", "github.com/go-jose/go-jose/v4", "github.com/go-webauthn/webauthn"} {
		if path == module || strings.HasPrefix(path, module+"/") {
			return module
		}
	}
	return ""
}

// TestInventoryOfPurposes uses a server and then looks which sealing keys it
// made: each is in the inventory.
func TestInventoryOfPurposes(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "crypto.md"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, nil)
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, s.made.Users[1])
	s.tokens(t, b, "openid", "offline_access")
	b.get(s.BaseURL() + "/" + s.made.TenantID + "/oauth2/v2.0/logout")
	rows, err := s.DB.Query(t.Context(), `select purpose from sealing_key where tenant_id in ($1, $2)`, s.made.TenantID, nonce.CommonScope)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var purpose string
		if err := rows.Scan(&purpose); err != nil {
			t.Fatal(err)
		}
		n++
		if !strings.Contains(string(raw), "| `"+purpose+"` |") {
			t.Errorf("docs/crypto.md lacks the sealing key %q", purpose)
		}
	}
	if n < 6 {
		t.Errorf("only %d sealing keys were made", n)
	}
}
