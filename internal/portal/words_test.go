package portal

import (
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// quoted are the string literals of templates and sources that look like keys.
var quoted = regexp.MustCompile(`"([a-z_]+(?:\.[a-zA-Z_]+)+)"`)

// asked are the literals that certainly are keys.
var asked = regexp.MustCompile(`\b(?:T|N|t|n) "([^"]+)"|\b(?:ws|pg|w|words)\.(?:T|N|t|n)\("([^"]+)"`)

// TestCatalogue fails on keys that pages use and the catalogue lacks, and on
// texts that no page uses.
func TestCatalogue(t *testing.T) {
	used, certain := map[string]bool{}, map[string]string{}
	scan := func(name, src string) {
		for _, m := range quoted.FindAllStringSubmatch(src, -1) {
			used[m[1]] = true
		}
		for _, m := range asked.FindAllStringSubmatch(src, -1) {
			certain[m[1]+m[2]] = name
		}
	}
	views, _ := fs.Glob(viewFiles, "view/*.html")
	for _, name := range views {
		b, err := viewFiles.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scan(name, string(b))
	}
	sources, _ := filepath.Glob("*.go")
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		scan(name, string(b))
	}
	// The keys that method rooms name in their View.
	for _, o := range offers {
		used[o.View.Label], used[o.View.Note] = true, true
		certain[o.View.Label], certain[o.View.Note] = "a room's View", "a room's View"
	}
	if len(certain) < 100 {
		t.Fatalf("found only %d keys in use: the search is broken", len(certain))
	}
	c, err := loadCatalogue(wordFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range c.list {
		for key, where := range certain {
			if _, ok := w.texts[key]; !ok {
				t.Errorf("%s: %s uses %q, which is missing", w.lang(), where, key)
			}
		}
		for key := range w.texts {
			if !used[key] {
				t.Errorf("%s: nothing uses %q", w.lang(), key)
			}
		}
		compare(t, c.list[0], w)
	}
}

// compare holds a language against the default: same keys, same insertions.
func compare(t *testing.T, base, w *words) {
	slot := regexp.MustCompile(`\{[a-z]+\}`)
	slots := func(e entry) map[string]bool {
		out := map[string]bool{}
		all := string(e.plain)
		for _, f := range e.forms {
			all += string(f)
		}
		for _, s := range slot.FindAllString(all, -1) {
			out[s] = true
		}
		return out
	}
	for key, e := range base.texts {
		other, ok := w.texts[key]
		if !ok {
			t.Errorf("%s: %q is missing", w.lang(), key)
			continue
		}
		for s := range slots(e) {
			if !slots(other)[s] {
				t.Errorf("%s: %q lacks %s", w.lang(), key, s)
			}
		}
		if len(e.forms) > 0 && other.forms["other"] == "" {
			t.Errorf("%s: %q has no form \"other\"", w.lang(), key)
		}
		if strings.Count(string(other.plain), "*")%2 != 0 {
			t.Errorf("%s: %q opens bold and does not close it", w.lang(), key)
		}
	}
}

// TestSayings: every key in the tables of errors exists.
func TestSayings(t *testing.T) {
	w := bare(t).catalogue.list[0]
	check := func(where string, s saying) {
		for _, key := range []string{s.title, s.text, s.what} {
			if _, ok := w.texts[key]; !ok {
				t.Errorf("%s: no text %q", where, key)
			}
		}
		if s.code == 0 || len(s.do) == 0 || len(s.do) > 3 {
			t.Errorf("%s: code %d, %d things to do", where, s.code, len(s.do))
		}
	}
	for k, s := range kinds {
		check(string(k), s)
	}
	for r, s := range reasons {
		check(r, s)
	}
}

// TestVoice holds the texts against design.md §5.
func TestVoice(t *testing.T) {
	never := regexp.MustCompile(`(?i)\b(please|oops|sorry|invalid|illegal|failed to|failed|log ?in|logon|authenticate|credential|authenticator|fido2|webauthn|mfa|access denied|forbidden|denied)\b|!`)
	for key, e := range bare(t).catalogue.list[0].texts {
		all := []pattern{e.plain}
		for _, f := range e.forms {
			all = append(all, f)
		}
		for _, p := range all {
			if m := never.FindString(string(p)); m != "" {
				t.Errorf("%s says %q: %s", key, m, p)
			}
		}
	}
}

func TestPattern(t *testing.T) {
	for _, c := range []struct {
		name string
		p    pattern
		args []any
		want string
	}{
		{"plain", "a < b", nil, "a &lt; b"},
		{"bold", "*{a}* b", []any{"a", "x"}, "<b>x</b> b"},
		{"hostile value", "{a}", []any{"a", "<img src=x>*{a}*"}, "&lt;img src=x&gt;*{a}*"},
		{"html value", "{a}", []any{"a", template.HTML("<i>x</i>")}, "<i>x</i>"},
		{"unknown slot", "{b}", []any{"a", "x"}, "{b}"},
		{"open brace", "{b", nil, "{b"},
		{"number", "{n}", []any{"n", 3}, "3"},
	} {
		if got := string(c.p.html(c.args)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestOtherLanguages shows that another catalogue is all that another
// language needs: choice, direction and plural forms follow.
func TestOtherLanguages(t *testing.T) {
	plural := func(forms map[string]string) string {
		b, _ := json.Marshal(map[string]any{"k": forms, "p": "plain"})
		return string(b)
	}
	c, err := loadCatalogue(fstest.MapFS{
		"words/ar.json": {Data: []byte(plural(map[string]string{"two": "TWO", "few": "FEW {n}", "other": "OTHER {n}"}))},
		"words/en.json": {Data: []byte(plural(map[string]string{"one": "one", "other": "{n} many"}))},
		"words/pl.json": {Data: []byte(plural(map[string]string{"one": "jeden", "few": "{n} kilka", "many": "{n} wiele", "other": "{n} inne"}))},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ query, accept, lang, dir, five string }{
		{"", "", "en", "ltr", "5 many"},
		{"", "fr, pl;q=0.5", "pl", "ltr", "5 wiele"},
		{"?ui_locales=ar-EG+en", "pl", "ar", "rtl", "FEW 5"},
		{"?ui_locales=xx", "pl-PL", "pl", "ltr", "5 wiele"},
		{"?ui_locales=%00%ff", "*;q=x", "en", "ltr", "5 many"},
	} {
		r := httptest.NewRequest("GET", "/"+row.query, nil)
		r.Header.Set("Accept-Language", row.accept)
		w := c.pick(r)
		if w.lang() != row.lang || w.dir() != row.dir || string(w.n("k", 5)) != row.five {
			t.Errorf("%q, %q: got %s %s %q, want %s %s %q", row.query, row.accept, w.lang(), w.dir(), w.n("k", 5), row.lang, row.dir, row.five)
		}
	}
	if got := string(c.list[0].t("no.such.<key>")); got != "no.such.&lt;key&gt;" {
		t.Errorf("unknown key: %q", got)
	}
}
