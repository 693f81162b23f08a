package pagetest

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// quoted are the string literals of templates and sources that look like keys.
var quoted = regexp.MustCompile(`"([a-z_]+(?:\.[a-zA-Z_]+)+)"`)

// asked are the literals that certainly are keys.
var asked = regexp.MustCompile(`\b(?:T|N) "([^"]+)"|\b(?:ws|pg|w|words|Words)\.(?:T|N)\("([^"]+)"`)

// shared are the keys that package page has words for.
var shared = map[string]bool{
	"title.page": true, "agent.on": true, "agent.browser": true, "agent.unknown": true, "page.skip": true, "org.none": true,
	"foot.about": true, "foot.appearance": true, "foot.appearance.auto": true, "foot.appearance.light": true, "foot.appearance.dark": true,
}

// never is what design.md §5 does not say to people.
var never = regexp.MustCompile(`(?i)\b(please|oops|sorry|invalid|illegal|failed to|failed|log ?in|logon|authenticate|credential|authenticator|fido2|webauthn|mfa|access denied|forbidden|denied)\b|!`)

var slot = regexp.MustCompile(`\{[a-z]+\}`)

// Catalogue fails on keys that the views of files, and the Go sources of the
// test's folder, use and the words of files lack; on texts that nothing uses;
// on languages that differ in keys or insertions; on bold that is not closed;
// and on words that design.md §5 does not say. used are keys that are named
// elsewhere; a prefix of keys that are put together ends in a full stop.
func Catalogue(t *testing.T, files fs.FS, used ...string) {
	t.Helper()
	seen, certain := map[string]bool{}, map[string]string{}
	var prefixes []string
	for _, key := range used {
		if strings.HasSuffix(key, ".") {
			prefixes = append(prefixes, key)
			continue
		}
		seen[key], certain[key] = true, "another package"
	}
	for name, src := range sources(t, files) {
		for _, m := range quoted.FindAllStringSubmatch(src, -1) {
			seen[m[1]] = true
		}
		for _, m := range asked.FindAllStringSubmatch(src, -1) {
			if key := m[1] + m[2]; !strings.HasSuffix(key, ".") {
				certain[key] = name
			}
		}
	}
	langs := languages(t, files)
	if len(certain) < 20 || len(langs["en"]) < 20 {
		t.Fatalf("found only %d keys in use and %d texts: the search is broken", len(certain), len(langs["en"]))
	}
	for lang, texts := range langs {
		for key, where := range certain {
			if texts[key] == nil && !shared[key] {
				t.Errorf("%s: %s uses %q, which is missing", lang, where, key)
			}
		}
		for key, forms := range texts {
			if !seen[key] && certain[key] == "" && !begins(key, prefixes) {
				t.Errorf("%s: nothing uses %q", lang, key)
			}
			check(t, lang, key, forms, langs["en"][key])
		}
		for key := range langs["en"] {
			if texts[key] == nil {
				t.Errorf("%s: %q is missing", lang, key)
			}
		}
	}
}

func begins(key string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}

func check(t *testing.T, lang, key string, forms, base map[string]string) {
	t.Helper()
	if _, ok := forms["other"]; len(forms) != 1 && !ok {
		t.Errorf("%s: %q has no form \"other\"", lang, key)
	}
	slots := map[string]bool{}
	for _, text := range forms {
		if strings.Count(text, "*")%2 != 0 {
			t.Errorf("%s: %q opens bold and does not close it", lang, key)
		}
		if m := never.FindString(text); m != "" && lang == "en" {
			t.Errorf("%s says %q: %s", key, m, text)
		}
		for _, s := range slot.FindAllString(text, -1) {
			slots[s] = true
		}
	}
	for _, text := range base {
		for _, s := range slot.FindAllString(text, -1) {
			if !slots[s] {
				t.Errorf("%s: %q lacks %s", lang, key, s)
			}
		}
	}
}

// sources are templates and Go sources by name.
func sources(t *testing.T, files fs.FS) map[string]string {
	t.Helper()
	out := map[string]string{}
	views, _ := fs.Glob(files, "view/*.html")
	for _, name := range views {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	list, _ := filepath.Glob("*.go")
	for _, name := range list {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(b)
	}
	return out
}

// languages reads the texts: by language and key, each by plural form, a text
// that does not count under "".
func languages(t *testing.T, files fs.FS) map[string]map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]map[string]string{}
	names, _ := fs.Glob(files, "words/*.json")
	for _, name := range names {
		b, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		raw := map[string]json.RawMessage{}
		if err := json.Unmarshal(b, &raw); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lang, _, _ := strings.Cut(filepath.Base(name), ".")
		if out[lang] == nil {
			out[lang] = map[string]map[string]string{}
		}
		for key, v := range raw {
			forms := map[string]string{}
			var plain string
			if json.Unmarshal(v, &plain) == nil {
				forms[""] = plain
			} else if err := json.Unmarshal(v, &forms); err != nil {
				t.Fatalf("%s: %q: %v", name, key, err)
			}
			out[lang][key] = forms
		}
	}
	return out
}
