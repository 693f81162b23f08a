package portal

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
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

// view is a page: its template, its frame, and what it loads.
type view struct {
	name    string   // view/<name>.html
	frame   string   // "door" or "chapters"
	scripts []string // ES modules
	wide    bool     // needs account.css
	sheet   bool     // the wider sheet
	short   bool     // room for the ring on a phone
	account bool     // an account page: no opener, no form to elsewhere
}

// views are all pages.
var views = map[string]view{
	"signin":   {frame: "door", scripts: []string{"signin.js"}, short: true},
	"try":      {name: "signin", frame: "door", scripts: []string{"signin.js"}, wide: true, sheet: true, short: true},
	"pick":     {frame: "door", short: true},
	"org":      {frame: "door", short: true, account: true},
	"consent":  {frame: "door", scripts: []string{"page.js"}},
	"register": {frame: "door", scripts: []string{"register.js"}, wide: true, sheet: true, account: true},
	"rename":   {frame: "door", wide: true, sheet: true, account: true},
	"remove":   {frame: "door", wide: true, sheet: true, account: true},
	"takeback": {frame: "door", wide: true, sheet: true, account: true},
	"account":  {frame: "chapters", scripts: []string{"account.js"}, wide: true, account: true},
	"error":    {frame: "door", scripts: []string{"error.js"}, sheet: true},
	"logout":   {frame: "door", short: true},
	"out":      {frame: "door", short: true},
	"home":     {frame: "door", short: true},
}

// page is what a template gets. V is the page's own part.
type page struct {
	Tenant  idp.Tenant // zero: a page of the installation
	Title   template.HTML
	Theme   string
	Back    string // where the appearance switch leads back; empty: no switch here
	RPID    string
	LeadsTo string // origin that forms of this page may end at, besides our own
	V       any

	view
	words  *words
	assets *web.Assets
}

// T gives a text of the catalogue.
func (p *page) T(key string, pairs ...any) template.HTML { return p.words.t(key, pairs...) }

// N gives a text that counts.
func (p *page) N(key string, n int, pairs ...any) template.HTML { return p.words.n(key, n, pairs...) }

func (p *page) Lang() string             { return p.words.lang() }
func (p *page) Dir() string              { return p.words.dir() }
func (p *page) Asset(name string) string { return p.assets.URL(name) }
func (p *page) Scripts() []string        { return p.view.scripts }
func (p *page) Wide() bool               { return p.view.wide }
func (p *page) WideSheet() bool          { return p.view.sheet }
func (p *page) Short() bool              { return p.view.short }

// Alone says that the page is one question, which is its title then.
func (p *page) Alone() bool { return p.view.frame == "door" }

// With is the page with another part, for a form inside of it.
func (p *page) With(v any) *page {
	c := *p
	c.V = v
	return &c
}

// OrgName is whose page it is.
func (p *page) OrgName() string {
	if p.Tenant.Name == "" {
		return string(p.T("org.none"))
	}
	return p.Tenant.Name
}

// Initial is the letter in the ring beside the name.
func (p *page) Initial() string { return initials(p.OrgName(), 1) }

// initials are the first letters of the first and the last word.
func initials(name string, max int) string {
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

// parseViews parses every page with its frame and the shared parts.
func parseViews() (map[string]*template.Template, error) {
	base, err := template.New("").Funcs(template.FuncMap{"icon": icon}).
		ParseFS(viewFiles, "view/layout.html", "view/parts.html")
	if err != nil {
		return nil, err
	}
	out := make(map[string]*template.Template, len(views))
	for key, v := range views {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if out[key], err = t.ParseFS(viewFiles, "view/"+v.file(key)+".html"); err != nil {
			return nil, fmt.Errorf("page %s: %w", key, err)
		}
	}
	return out, nil
}

func (v view) file(key string) string {
	if v.name != "" {
		return v.name
	}
	return key
}

// newPage begins a page of the tenant for this request.
func (p *Portal) newPage(r *http.Request, key string, t idp.Tenant, title template.HTML, v any) *page {
	pg := &page{
		Tenant: t, Title: title, Theme: p.theme(r), RPID: p.rpID, V: v,
		view: views[key], words: p.catalogue.pick(r), assets: p.assets,
	}
	pg.view.name = pg.view.file(key)
	if r.Method == http.MethodGet {
		if uri := r.URL.RequestURI(); len(uri) <= 8<<10 && localPath(uri) {
			pg.Back = uri
		}
	}
	return pg
}

// show writes a page. Nothing is written when the template fails, so that the
// person gets an error page and not half of one.
func (p *Portal) show(w http.ResponseWriter, status int, key string, pg *page) error {
	var b bytes.Buffer
	if err := p.views[key].ExecuteTemplate(&b, pg.view.frame, pg); err != nil {
		return fmt.Errorf("render page %s: %w", key, err)
	}
	pageHeaders(w.Header(), pg)
	w.WriteHeader(status)
	w.Write(b.Bytes()) // a browser that has gone away is nobody's error
	return nil
}

// when shows a time: the browser's script rewrites it for where the reader is.
// style is "" in running text, "start" where it begins a line, "exact" in a slip.
func when(t time.Time, style string) template.HTML {
	layout := "2 Jan 2006, 15:04 MST"
	if style == "exact" {
		layout = "2 January 2006, 15:04:05 MST"
	}
	t = t.UTC()
	attr := ""
	if style != "" {
		attr = ` data-style="` + template.HTMLEscapeString(style) + `"`
	}
	return template.HTML(`<time datetime="` + t.Format(time.RFC3339) + `"` + attr + `>` + t.Format(layout) + `</time>`)
}
