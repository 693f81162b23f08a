package page

import (
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

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

// Words is the catalogue of one language. Its files are read when somebody
// first wants a text of it, see Catalogue.Read.
type Words struct {
	tag   language.Tag
	files []wordFile
	texts func() (map[string]entry, error)
}

type wordFile struct {
	in   fs.FS
	name string
}

// text finds a text.
func (w *Words) text(key string) (entry, bool) {
	texts, err := w.texts()
	if err != nil {
		return entry{}, false
	}
	e, ok := texts[key]
	return e, ok
}

// rtl are the scripts that are written from right to left.
var rtl = map[string]bool{"Arab": true, "Hebr": true, "Thaa": true, "Syrc": true, "Nkoo": true, "Adlm": true}

// Lang is the language as a tag (BCP 47).
func (w *Words) Lang() string { return w.tag.String() }

// Dir is the direction of the script: "ltr" or "rtl".
func (w *Words) Dir() string {
	if script, _ := w.tag.Script(); rtl[script.String()] {
		return "rtl"
	}
	return "ltr"
}

// T gives a text as HTML. What is put in comes in pairs of name and value;
// values are escaped unless they are template.HTML already. An unknown key is
// shown as it is: a page with a strange word is better than no page.
func (w *Words) T(key string, pairs ...any) template.HTML {
	e, ok := w.text(key)
	if !ok {
		return template.HTML(template.HTMLEscapeString(key))
	}
	return e.plain.html(pairs)
}

// N is T for a text that counts: it takes the plural form for n, which is put
// in as {n} too.
func (w *Words) N(key string, n int, pairs ...any) template.HTML {
	e, ok := w.text(key)
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

// Catalogue holds every language that a door brings.
type Catalogue struct {
	list    []*Words // the first is the default
	matcher language.Matcher
}

// LoadCatalogue finds words/<language>.json and words/<language>.<part>.json in
// all files: the parts of one language are put together. English is the
// default. What stands in them is read later, see Read.
func LoadCatalogue(files ...fs.FS) (*Catalogue, error) {
	byTag := map[string]*Words{}
	for _, src := range files {
		names, err := fs.Glob(src, "words/*.json")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			lang, _, _ := strings.Cut(path.Base(name), ".")
			tag, err := language.Parse(lang)
			if err != nil {
				return nil, fmt.Errorf("catalogue %s: %w", name, err)
			}
			w := byTag[tag.String()]
			if w == nil {
				w = &Words{tag: tag}
				w.texts = sync.OnceValues(w.read)
				byTag[tag.String()] = w
			}
			w.files = append(w.files, wordFile{src, name})
		}
	}
	if byTag["en"] == nil {
		return nil, fmt.Errorf("no English catalogue of words")
	}
	c := &Catalogue{list: []*Words{byTag["en"]}} // the first is what the matcher falls back to
	for _, tag := range slices.Sorted(maps.Keys(byTag)) {
		if tag != "en" {
			c.list = append(c.list, byTag[tag])
		}
	}
	tags := make([]language.Tag, len(c.list))
	for i, w := range c.list {
		tags[i] = w.tag
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// Read reads all languages, for a test of the door: a broken file, or a key that
// two parts of one language have, is otherwise found by whoever first wants a
// word, who sees keys in the place of texts.
func (c *Catalogue) Read() error {
	var wrong []error
	for _, w := range c.list {
		_, err := w.texts()
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

func (w *Words) read() (map[string]entry, error) {
	all := map[string]entry{}
	for _, f := range w.files {
		raw, err := fs.ReadFile(f.in, f.name)
		if err != nil {
			return nil, err
		}
		texts := map[string]entry{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", f.name, err)
		}
		for key, e := range texts {
			if _, twice := all[key]; twice {
				return nil, fmt.Errorf("catalogue %s: %q is there twice", f.name, key)
			}
			all[key] = e
		}
	}
	return all, nil
}

// Pick chooses the language of a reply: what the application asked for
// (ui_locales, OpenID Connect Core 1.0, Section 3.1.2.1), else what the
// browser accepts.
func (c *Catalogue) Pick(r *http.Request) *Words {
	if len(c.list) == 1 {
		return c.list[0]
	}
	asked := strings.ReplaceAll(r.URL.Query().Get("ui_locales"), " ", ",")
	_, n := language.MatchStrings(c.matcher, Clip(asked, 200), Clip(r.Header.Get("Accept-Language"), 400))
	return c.list[n]
}

// Clip keeps what strangers send short enough to parse. It does not cut a
// character in two: PostgreSQL takes no half ones.
func Clip(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// Plain turns a text of the catalogue into text for a script, which sets it as
// text and never as HTML.
func Plain(h template.HTML) string {
	s := strings.NewReplacer("<b>", "", "</b>", "").Replace(string(h))
	return strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&amp;", "&").Replace(s)
}
