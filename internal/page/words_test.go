package page

import (
	"encoding/json"
	"html/template"
	"net/http/httptest"
	"testing"
	"testing/fstest"
)

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
	c, err := LoadCatalogue(fstest.MapFS{
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
		w := c.Pick(r)
		if w.Lang() != row.lang || w.Dir() != row.dir || string(w.N("k", 5)) != row.five {
			t.Errorf("%q, %q: got %s %s %q, want %s %s %q", row.query, row.accept, w.Lang(), w.Dir(), w.N("k", 5), row.lang, row.dir, row.five)
		}
	}
	if got := string(c.list[0].T("no.such.<key>")); got != "no.such.&lt;key&gt;" {
		t.Errorf("unknown key: %q", got)
	}
}
