// Package macos_test holds the sample to what can be checked without a Mac.
package macos_test

import (
	"encoding/xml"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/pssowire"
)

// files are the sample's, by path.
func files(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, ".go") {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil || len(all) < 10 {
		t.Fatalf("%d files, %v", len(all), err)
	}
	return all
}

// Nobody can take the sample for more than it is.
func TestFirstLines(t *testing.T) {
	for path, text := range files(t) {
		first, _, _ := strings.Cut(text, "\n")
		if !strings.Contains(first, "Unbuilt and untested") {
			t.Errorf("%s begins with %q", path, first)
		}
	}
}

func TestPropertyLists(t *testing.T) {
	n := 0
	for path, text := range files(t) {
		if !strings.HasSuffix(path, ".plist") && !strings.HasSuffix(path, ".entitlements") {
			continue
		}
		n++
		for d := xml.NewDecoder(strings.NewReader(text)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", path, err)
				break
			}
		}
	}
	if n != 4 {
		t.Errorf("%d property lists", n)
	}
}

// names are the members of messages.
func names(messages ...any) map[string]bool {
	out := map[string]bool{}
	var add func(reflect.Type)
	add = func(t reflect.Type) {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		for f := range t.Fields() {
			tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous {
				add(f.Type)
			} else if tag != "" {
				out[tag] = true
				if f.Type == reflect.TypeFor[*pssowire.Attestation]() {
					add(f.Type)
				}
			}
		}
	}
	for _, m := range messages {
		add(reflect.TypeOf(m))
	}
	return out
}

// What the sample sends and reads has the names that the server has for it.
func TestNames(t *testing.T) {
	all := files(t)
	wire := all["Extension/Wire.swift"]
	for swift, want := range map[string]string{
		"device": pssowire.TypeDevice, "user": pssowire.TypeUser, "userKey": pssowire.TypeUserKey, "rotation": pssowire.TypeRotation,
		"deviceKey": pssowire.TypeDeviceKey, "sso": pssowire.TypeSSO, "header": pssowire.HeaderSSO,
	} {
		if line := "static let " + swift + ` = "` + want + `"`; !strings.Contains(wire, line) {
			t.Errorf("Wire.swift lacks %s", line)
		}
	}
	known := func(path, pattern string, names map[string]bool) {
		t.Helper()
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(all[path], -1)
		if len(found) == 0 {
			t.Errorf("%s: nothing of %s", path, pattern)
		}
		for _, m := range found {
			if !names[m[1]] {
				t.Errorf("%s: the server knows no %q", path, m[1])
			}
		}
	}
	sent := names(pssowire.Device{}, pssowire.User{}, pssowire.KeyProof{}, pssowire.Rotation{})
	known("Extension/Registration.swift", `(?:claims|proof)\["([a-z_]+)"\]`, sent)
	known("Extension/Registration.swift", `"([a-z_]+)": (?:await|c\.|url\.|now|nonce|chain)`, sent)
	known("Extension/SingleSignOn.swift", `"([a-z_]+)": (?:c\.|now|nonce|Data|token)`, names(pssowire.SSO{}))
	server := all["Extension/Server.swift"]
	from, to := strings.Index(server, "struct Configuration"), strings.Index(server, "struct Nonce")
	all["configuration"], all["replies"] = server[from:to], server[to:]
	config := names(pssowire.Configuration{})
	known("configuration", `= "([a-z_]+)"`, config)
	for _, bare := range []string{"issuer", "audience", "method", "attestation"} {
		if !config[bare] {
			t.Errorf("the configuration has no %s", bare)
		}
	}
	known("replies", `[a-zA-Z]+ID? = "([a-z_]+)"`, names(pssowire.Registered{}))
	known("replies", `loginUserName = "([a-z_]+)"`, names(pssowire.RegisteredUser{}))
	known("replies", `exchangeKey = "([a-z_]+)"`, names(pssowire.Nonce{}))
}
