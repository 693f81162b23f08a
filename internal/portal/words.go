package portal

import (
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

//go:embed words/*.json
var wordFiles embed.FS

// pattern is a text with {name} for what is put in and *…* for what is bold.
type pattern string

// entry is one text of the catalogue: one pattern, or one per plural form.
type entry struct {
	plain pattern
	forms map[string]pattern
}

func (e *entry) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &e.forms)
	}
	return json.Unmarshal(b, &e.plain)
}

// words is the catalogue of one language.
type words struct {
	tag   language.Tag
	texts map[string]entry
}

// rtl are the scripts that are written from right to left.
var rtl = map[string]bool{"Arab": true, "Hebr": true, "Thaa": true, "Syrc": true, "Nkoo": true, "Adlm": true}

func (w *words) lang() string { return w.tag.String() }

func (w *words) dir() string {
	if script, _ := w.tag.Script(); rtl[script.String()] {
		return "rtl"
	}
	return "ltr"
}

// t gives a text as HTML. What is put in comes in pairs of name and value;
// values are escaped unless they are template.HTML already. An unknown key is
// shown as it is: a page with a strange word is better than no page.
func (w *words) t(key string, pairs ...any) template.HTML {
	e, ok := w.texts[key]
	if !ok {
		return template.HTML(template.HTMLEscapeString(key))
	}
	return e.plain.html(pairs)
}

// n is t for a text that counts: it takes the plural form for n, which is put
// in as {n} too.
func (w *words) n(key string, n int, pairs ...any) template.HTML {
	e, ok := w.texts[key]
	if !ok {
		return template.HTML(template.HTMLEscapeString(key))
	}
	p, ok := e.forms[forms[plural.Cardinal.MatchPlural(w.tag, n, 0, 0, 0, 0)]]
	if !ok {
		p = e.forms["other"]
	}
	return p.html(append([]any{"n", n}, pairs...))
}

// forms names the plural forms as CLDR does.
var forms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

// html puts the pairs in. Only the pattern's own stars make bold, never those
// of a value.
func (p pattern) html(pairs []any) template.HTML {
	var b strings.Builder
	bold := false
	for rest := string(p); rest != ""; {
		i := strings.IndexAny(rest, "{*")
		if i < 0 {
			b.WriteString(template.HTMLEscapeString(rest))
			break
		}
		b.WriteString(template.HTMLEscapeString(rest[:i]))
		if rest[i] == '*' {
			b.WriteString(map[bool]string{false: "<b>", true: "</b>"}[bold])
			bold, rest = !bold, rest[i+1:]
			continue
		}
		name, after, ok := strings.Cut(rest[i+1:], "}")
		if !ok {
			b.WriteString(template.HTMLEscapeString(rest[i:]))
			break
		}
		b.WriteString(value(pairs, name))
		rest = after
	}
	return template.HTML(b.String())
}

func value(pairs []any, name string) string {
	for n := 0; n+1 < len(pairs); n += 2 {
		if pairs[n] != name {
			continue
		}
		if h, ok := pairs[n+1].(template.HTML); ok {
			return string(h)
		}
		return template.HTMLEscapeString(fmt.Sprint(pairs[n+1]))
	}
	return "{" + name + "}"
}

// catalogue holds every language that the program brings.
type catalogue struct {
	list    []*words // the first is the default
	matcher language.Matcher
}

func loadCatalogue(files fs.FS) (*catalogue, error) {
	names, err := fs.Glob(files, "words/*.json")
	if err != nil {
		return nil, err
	}
	c := &catalogue{}
	var tags []language.Tag
	for _, name := range names {
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		w := &words{}
		if w.tag, err = language.Parse(strings.TrimSuffix(path.Base(name), ".json")); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		if err := json.Unmarshal(raw, &w.texts); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", name, err)
		}
		if w.lang() == "en" { // the default is what the matcher falls back to
			c.list, tags = append([]*words{w}, c.list...), append([]language.Tag{w.tag}, tags...)
			continue
		}
		c.list, tags = append(c.list, w), append(tags, w.tag)
	}
	if len(c.list) == 0 {
		return nil, fmt.Errorf("no catalogue of words")
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// pick chooses the language of a reply: what the application asked for
// (ui_locales, OpenID Connect Core 1.0, Section 3.1.2.1), else what the
// browser accepts.
func (c *catalogue) pick(r *http.Request) *words {
	if len(c.list) == 1 {
		return c.list[0]
	}
	asked := strings.ReplaceAll(r.URL.Query().Get("ui_locales"), " ", ",")
	_, n := language.MatchStrings(c.matcher, clip(asked, 200), clip(r.Header.Get("Accept-Language"), 400))
	return c.list[n]
}

// clip keeps what strangers send short enough to parse.
func clip(s string, max int) string {
	if len(s) > max {
		return s[:max]
	}
	return s
}
