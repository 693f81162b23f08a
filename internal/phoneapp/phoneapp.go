package phoneapp

import (
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/web"
)

//go:embed view/*.html static words/*.json worker
var files embed.FS

// Addresses of the app. Home ends in a slash because the scope of the worker
// does: a scope without it would hold every address that begins with the same
// letters, sign-in pages of some tenants among them.
const (
	Home     = "/phone/"
	add      = "/phone/add"
	manifest = "/phone/app.webmanifest"
	worker   = "/phone/worker.js"
	assets   = "/phone/assets/"
)

// typesPolicy is the Trusted Types policy of the app's script, which lets the
// worker's address through and nothing else.
const typesPolicy = "signet-phone"

// views are both pages of the app.
var views = map[string]page.View{
	"app": {Frame: "phone", Styles: []string{"app.css"}, Scripts: []string{"app.js"}, Apart: true, Types: typesPolicy},
	"add": {Frame: "phone", Styles: []string{"app.css"}, Scripts: []string{"add.js"}, Apart: true, Types: typesPolicy},
}

// modules are what the scripts of each page import, told to the browser in the
// page so that it fetches them at once and not one after the other.
var modules = map[string][]string{
	"app": {"ui.js", "wire.js", "store.js", "push.js", "passkey.js", "webauthn.js", "request.js", "history.js", "device.js"},
	"add": {"ui.js", "wire.js", "store.js", "push.js", "passkey.js", "webauthn.js"},
}

// Config is what app hands to the door.
type Config struct {
	BaseURL string // https://id.example, without a slash at the end
	// ErrorPage phrases an error as a page.
	ErrorPage func(http.ResponseWriter, *http.Request, error)
}

// App is the door.
type App struct {
	cfg     Config
	pages   *page.Set
	keys    []string // of the words that scripts use
	version string   // of everything that the worker keeps
	script  string   // the worker, without its first line
}

// New makes the door. A broken catalogue or script is an error.
func New(cfg Config) (*App, error) {
	a := &App{cfg: cfg}
	var err error
	a.pages, err = page.New(page.Config{BaseURL: cfg.BaseURL, Prefix: assets, Views: views, Parts: []string{"layout", "parts"}, Files: files})
	if err != nil {
		return nil, err
	}
	if a.keys, err = scriptKeys(); err != nil {
		return nil, err
	}
	if a.script, err = bundle(); err != nil {
		return nil, err
	}
	a.version, err = a.sum()
	return a, err
}

// told is how a script names a word of the catalogue.
var told = regexp.MustCompile(`\bt\(\s*"([a-z_.]+)"`)

// scriptKeys are the words that the scripts name.
func scriptKeys() ([]string, error) {
	names, err := fs.Glob(files, "static/*.js")
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []string
	for _, name := range names {
		raw, err := files.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, m := range told.FindAllSubmatch(raw, -1) {
			if key := string(m[1]); !seen[key] {
				seen[key] = true
				out = append(out, key)
			}
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the phone app's scripts name no words")
	}
	return out, nil
}

// shell is what a page of the app hands to its script.
type shell struct {
	Modules []string
	Boot    boot
}

// boot is read by the script as JSON.
type boot struct {
	Words   map[string]string `json:"words"`
	Worker  string            `json:"worker"`
	Types   string            `json:"types"`
	Version string            `json:"version"`
}

// show writes a page. It is the same for everyone, whatever cookies came: it
// is kept on the phone by the worker.
func (a *App) show(key string, title func(*page.Page) template.HTML) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		pg := a.pages.Begin(r, key, idp.Tenant{}, "", nil)
		pg.Theme, pg.Back = "", ""
		pg.Title = title(pg)
		words := make(map[string]string, len(a.keys))
		for _, k := range a.keys {
			words[k] = page.Plain(pg.T(k))
		}
		pg.V = shell{Modules: modules[key], Boot: boot{Words: words, Worker: worker, Types: typesPolicy, Version: a.version}}
		return a.pages.Show(w, http.StatusOK, pg)
	}
}

// Mount adds the pages and what they load. /phone/v1 is the phone room's.
func (a *App) Mount(mux *http.ServeMux) {
	get := func(path string, h web.HandlerFunc) {
		mux.Handle("GET "+path, web.Zip(web.Adapt(a.phrase, h)))
		mux.Handle(path, web.Adapt(a.phrase, wrongMethod))
	}
	get("/phone", func(w http.ResponseWriter, r *http.Request) error { return web.SeeOther(w, r, Home) })
	get("/phone/{$}", a.show("app", func(pg *page.Page) template.HTML { return pg.T("app.title") }))
	get(add, a.show("add", func(pg *page.Page) template.HTML { return pg.T("add.title") }))
	get(manifest, a.manifest)
	get(worker, a.worker)
	a.pages.MountAssets(mux)
}

// wrongMethod answers 405 and says what would do (RFC 9110, Section 15.5.6).
func wrongMethod(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Allow", "GET, HEAD")
	return idp.Invalidf("wrong_method", "method %.20q of a page of the phone app", r.Method)
}

func (a *App) phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) { a.cfg.ErrorPage(w, r, e) }
