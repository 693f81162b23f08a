package page

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

//go:embed view/*.html
var viewFiles embed.FS

//go:embed static
var staticFiles embed.FS

//go:embed words/*.json
var wordFiles embed.FS

// View is a page: its template, its frame, and what it loads.
type View struct {
	Name    string   // view/<name>.html; empty: called as its key
	Frame   string   // the template that holds "main"
	Styles  []string // besides tokens.css and base.css
	Scripts []string // ES modules
	Wide    bool     // the wider sheet
	Short   bool     // room for the ring on a phone
	Alone   bool     // one question, which is the title then
	Apart   bool     // no opener and no form to elsewhere
	// Types names the one Trusted Types policy that a script of the page makes;
	// empty: none may make any.
	Types string
	// Files are parts that this page shares with some others only.
	Files []string
}

func (v View) file(key string) string {
	if v.Name != "" {
		return v.Name
	}
	return key
}

// Page is what a template gets. V is the page's own part.
type Page struct {
	View
	Key     string     // of the view in its Set
	Tenant  idp.Tenant // zero: a page of the installation
	Title   template.HTML
	Theme   string
	Back    string // where the appearance switch leads back; empty: no switch here
	RPID    string
	Refresh int    // seconds after which a browser without script loads the page again; 0: never
	LeadsTo string // origin that forms of this page may end at, besides our own
	// Also are origins of this server's own, and no others, that they may pass
	// through on the way.
	Also []string
	// Hushed pages are at an address that holds what was meant for us alone:
	// only the origin is told to whatever they link to.
	Hushed bool
	V      any
	Shell  any // the part of the frame around it

	Words  *Words
	assets *web.Assets
}

// Hush makes of it a page whose address nobody else hears of, and that does not
// repeat it.
func (p *Page) Hush() { p.Hushed, p.Back = true, "" }

// T gives a text of the catalogue.
func (p *Page) T(key string, pairs ...any) template.HTML { return p.Words.T(key, pairs...) }

// N gives a text that counts.
func (p *Page) N(key string, n int, pairs ...any) template.HTML { return p.Words.N(key, n, pairs...) }

func (p *Page) Lang() string             { return p.Words.Lang() }
func (p *Page) Dir() string              { return p.Words.Dir() }
func (p *Page) Asset(name string) string { return p.assets.URL(name) }

// With is the page with another part, for a form inside of it.
func (p *Page) With(v any) *Page {
	c := *p
	c.V = v
	return &c
}

// OrgName is whose page it is.
func (p *Page) OrgName() string {
	if p.Tenant.Name == "" {
		return string(p.T("org.none"))
	}
	return p.Tenant.Name
}

// Initial is the letter in the ring beside the name.
func (p *Page) Initial() string { return Initials(p.OrgName(), 1) }

// Initials are the first letters of the first and the last word.
func Initials(name string, max int) string {
	fields := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })
	if len(fields) == 0 {
		return "·"
	}
	pick := fields[:1]
	if max > 1 && len(fields) > 1 {
		pick = []string{fields[0], fields[len(fields)-1]}
	}
	var b strings.Builder
	for _, f := range pick {
		r, _ := utf8.DecodeRuneInString(f)
		b.WriteRune(unicode.ToUpper(r))
	}
	return b.String()
}

// Config is what a Set is made of.
type Config struct {
	BaseURL string          // https://id.example, without a slash at the end
	Prefix  string          // where files with a hash in their name are served: "/assets/"
	Views   map[string]View // by key
	Parts   []string        // views that every page has: "layout", "parts"
	Files   fs.FS           // view/*.html, static/*, words/*.json of the door
}

// Set is the pages of one door.
type Set struct {
	cfg       Config
	rpID      string
	secure    bool
	assets    *web.Assets
	catalogue *Catalogue
	templates map[string]parsed
}

// parsed gives the template of a page.
type parsed func() (*template.Template, error)

// New reads the shared parts, and a broken one is an error. A page's own template
// is parsed when it is first shown, and words are read when they are first wanted:
// see ParseAll.
func New(cfg Config) (*Set, error) {
	base, err := url.Parse(cfg.BaseURL)
	if err != nil || base.Hostname() == "" {
		return nil, fmt.Errorf("base URL %q of the pages: %w", cfg.BaseURL, err)
	}
	s := &Set{cfg: cfg, rpID: base.Hostname(), secure: base.Scheme == "https"}
	own, err := fs.Sub(cfg.Files, "static")
	if err != nil {
		return nil, err
	}
	common, err := fs.Sub(staticFiles, "static")
	if err != nil {
		return nil, err
	}
	if s.assets, err = web.NewAssets(cfg.Prefix, common, own); err != nil {
		return nil, err
	}
	if s.catalogue, err = LoadCatalogue(wordFiles, cfg.Files); err != nil {
		return nil, err
	}
	s.templates, err = s.parse()
	return s, err
}

// parse parses the shared parts, and says how each page is parsed with them:
// when somebody first sees it, since a server starts with all pages and few are
// seen every day.
func (s *Set) parse() (map[string]parsed, error) {
	base, err := template.New("").Funcs(template.FuncMap{"icon": Icon}).ParseFS(viewFiles, "view/base.html")
	if err != nil {
		return nil, err
	}
	if base, err = base.ParseFS(s.cfg.Files, files(s.cfg.Parts)...); err != nil {
		return nil, err
	}
	out := make(map[string]parsed, len(s.cfg.Views))
	for key, v := range s.cfg.Views {
		out[key] = sync.OnceValues(func() (*template.Template, error) {
			t, err := base.Clone()
			if err == nil {
				t, err = t.ParseFS(s.cfg.Files, files(append([]string{v.file(key)}, v.Files...))...)
			}
			if err != nil {
				return nil, fmt.Errorf("page %s: %w", key, err)
			}
			return t, nil
		})
	}
	return out, nil
}

// ParseAll parses every page and reads all words, for a test of the door: what is
// broken is otherwise found by whoever first wants to see it.
func (s *Set) ParseAll() error {
	wrong := []error{s.catalogue.Read()}
	for _, page := range s.templates {
		_, err := page()
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

func files(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = "view/" + name + ".html"
	}
	return out
}

// Begin begins a page of the tenant for this request.
func (s *Set) Begin(r *http.Request, key string, t idp.Tenant, title template.HTML, v any) *Page {
	pg := &Page{
		View: s.cfg.Views[key], Key: key, Tenant: t, Title: title, Theme: s.Theme(r), RPID: s.rpID, V: v,
		Words: s.Pick(r), assets: s.assets,
	}
	if r.Method == http.MethodGet {
		if uri := r.URL.RequestURI(); len(uri) <= 8<<10 && LocalPath(uri) {
			pg.Back = uri
		}
	}
	return pg
}

// Pick is the catalogue in the language of the reply.
func (s *Set) Pick(r *http.Request) *Words { return s.catalogue.Pick(r) }

// Languages are all that the door has words in, the default first.
func (s *Set) Languages() []*Words { return s.catalogue.list }

// Show writes a page. Nothing is written when the template fails, so that the
// person gets an error page and not half of one.
func (s *Set) Show(w http.ResponseWriter, status int, pg *Page) error {
	var b bytes.Buffer
	if err := s.Render(&b, pg); err != nil {
		return err
	}
	headers(w.Header(), pg)
	w.WriteHeader(status)
	w.Write(b.Bytes()) // a browser that has gone away is nobody's error
	return nil
}

// Render writes a page's HTML.
func (s *Set) Render(b *bytes.Buffer, pg *Page) error { return s.Part(b, pg, pg.Frame) }

// Part writes one template of a page, for scripts that put it in its place.
func (s *Set) Part(b *bytes.Buffer, pg *Page, name string) error {
	page, there := s.templates[pg.Key]
	if !there {
		return fmt.Errorf("there is no page %q", pg.Key)
	}
	t, err := page()
	if err != nil {
		return err
	}
	if err := t.ExecuteTemplate(b, name, pg); err != nil {
		return fmt.Errorf("render %s of page %s: %w", name, pg.Key, err)
	}
	return nil
}

// Assets are the files that the pages load.
func (s *Set) Assets() *web.Assets { return s.assets }

// MountAssets serves the files.
func (s *Set) MountAssets(mux *http.ServeMux) {
	for _, url := range s.assets.URLs() {
		// One pattern for each file: "/assets/{file}" would meet
		// "/{t}/signin" half-way.
		mux.Handle("GET "+url, s.assets)
	}
}

// When shows a time: the browser's script rewrites it for where the reader is.
// style is "" in running text, "start" where it begins a line, "exact" in a slip, "day"
// without the time of day.
func When(t time.Time, style string) template.HTML {
	layout := "2 Jan 2006, 15:04 MST"
	switch style {
	case "exact":
		layout = "2 January 2006, 15:04:05 MST"
	case "day":
		layout = "2 January 2006"
	}
	t = t.UTC()
	attr := ""
	if style != "" {
		attr = ` data-style="` + template.HTMLEscapeString(style) + `"`
	}
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `"` + attr + `>` + t.Format(layout) + `</time>`)
}
