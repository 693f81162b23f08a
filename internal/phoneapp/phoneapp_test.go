package phoneapp

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/page/pagetest"
)

func door(t *testing.T) (*App, *http.ServeMux) {
	t.Helper()
	a, err := New(Config{BaseURL: "https://id.example", ErrorPage: func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusTeapot)
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Mount(mux)
	return a, mux
}

func get(mux http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Add(header[n], header[n+1])
	}
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, r)
	return rec
}

func TestCatalogue(t *testing.T) {
	keys, err := scriptKeys()
	if err != nil {
		t.Fatal(err)
	}
	pagetest.Catalogue(t, files, keys...)
}

// TestScriptsNameWords: every literal in a script that looks like a key of the
// catalogue is one that the page hands over.
func TestScriptsNameWords(t *testing.T) {
	a, _ := door(t)
	known := map[string]bool{}
	var all map[string]json.RawMessage
	raw, err := files.ReadFile("words/en.json")
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range a.keys {
		known[k] = true
	}
	found := 0
	for _, name := range append(modules["app"], "app.js", "add.js") {
		src, err := files.ReadFile("static/" + name)
		if err != nil {
			continue // a module of the pages of all doors
		}
		for _, m := range regexp.MustCompile(`"([a-z_]+(?:\.[a-z_]+)+)"`).FindAllStringSubmatch(string(src), -1) {
			if all[m[1]] == nil {
				continue
			}
			if found++; !known[m[1]] {
				t.Errorf("%s names %q where the door does not see it", name, m[1])
			}
		}
	}
	if found < 60 {
		t.Fatalf("only %d words: the search is broken", found)
	}
}

func TestHeaders(t *testing.T) {
	_, mux := door(t)
	for _, path := range []string{Home, add} {
		h := get(mux, path).Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "worker-src 'self'", "manifest-src 'self'",
			"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "require-trusted-types-for 'script'", "trusted-types signet-phone;",
		} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "'none'; form-action") {
			t.Errorf("%s: %q", path, csp)
		}
		for name, want := range map[string]string{
			"Permissions-Policy": "camera=()", "Cross-Origin-Opener-Policy": "same-origin-allow-popups", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
		} {
			if got := h.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if got := h.Get("Set-Cookie"); got != "" {
			t.Errorf("%s sets a cookie: %q", path, got)
		}
	}
	if rec := get(mux, "/phone"); rec.Code != http.StatusSeeOther || rec.Header().Get("Location") != Home {
		t.Errorf("/phone: %d to %q", rec.Code, rec.Header().Get("Location"))
	}
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest("POST", add, nil))
	if rec.Code != http.StatusTeapot || rec.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d, Allow %q", rec.Code, rec.Header().Get("Allow"))
	}
}

// TestSameForAll: the worker keeps the pages, so nothing of one visit may be in
// them.
func TestSameForAll(t *testing.T) {
	_, mux := door(t)
	for _, path := range []string{Home, add} {
		plain := get(mux, path).Body.String()
		if !strings.HasSuffix(plain, "</html>\n") {
			t.Fatalf("%s does not end", path)
		}
		mine := get(mux, path+"?ui_locales=x&secret=1", "Cookie", "__Host-signet-theme=dark; __Host-signet-browser=abc", "Authorization", "Bearer x").Body.String()
		if plain != mine {
			t.Errorf("%s differs by what the visitor sends", path)
		}
		for _, not := range []string{" style=", " onclick=", "<style", "javascript:"} {
			if strings.Contains(plain, not) {
				t.Errorf("%s holds %q", path, not)
			}
		}
		if n := strings.Count(plain, "<script"); n != 2 { // the module, and the words as data
			t.Errorf("%s has %d scripts", path, n)
		}
	}
}

func TestManifest(t *testing.T) {
	a, mux := door(t)
	read := func(query string) (m about) {
		rec := get(mux, manifest+query)
		if got := rec.Header().Get("Content-Type"); got != "application/manifest+json" {
			t.Errorf("Content-Type %q", got)
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := read("")
	if m.ID != "/phone/" || m.Name != "Signet" || m.Short == "" || m.Scope != "/phone/" || m.Display != "standalone" || m.Theme == "" || m.Background == "" || m.Lang != "en" || m.Dir != "ltr" {
		t.Errorf("manifest %+v", m)
	}
	maskable := false
	for _, i := range m.Icons {
		rec := get(mux, i.Src)
		if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != i.Type {
			t.Errorf("icon %s: %d %s", i.Src, rec.Code, rec.Header().Get("Content-Type"))
		}
		maskable = maskable || i.Purpose == "maskable"
		if i.Type != "image/png" {
			continue
		}
		pic, err := png.DecodeConfig(rec.Body)
		if err != nil || i.Sizes != map[int]string{192: "192x192", 512: "512x512"}[pic.Width] || pic.Width != pic.Height {
			t.Errorf("icon %s is %dx%d, said %s: %v", i.Src, pic.Width, pic.Height, i.Sizes, err)
		}
	}
	if !maskable || len(m.Icons) < 4 {
		t.Errorf("icons %+v", m.Icons)
	}
	if pic, err := png.DecodeConfig(get(mux, a.pages.Assets().URL("touch.png")).Body); err != nil || pic.Width != 180 {
		t.Errorf("touch icon: %+v, %v", pic, err)
	}
	for query, want := range map[string]string{
		"":                           "/phone/",
		"?e=YSBjb2RlIG9mIDE2IGJ5dA":  "/phone/add#YSBjb2RlIG9mIDE2IGJ5dA",
		"?e=K7QF2M9X":                "/phone/add#K7QF2M9X",
		"?e=k7qf2m9x":                "/phone/", // not as it is sent
		"?e=K7QF2M9U":                "/phone/", // U is not in the alphabet
		"?e=YSBjb2RlIG9mIDE2IGJ5dAA": "/phone/",
		"?e=%22%3E//evil.example%0a": "/phone/",
		"?e=//evil.example/aaaaaaaa": "/phone/",
	} {
		m := read(query)
		if m.Start != want {
			t.Errorf("%q starts at %q, want %q", query, m.Start, want)
		}
		if !strings.HasPrefix(m.Start, m.Scope) || m.ID != "/phone/" {
			t.Errorf("%q: %q is outside of %q", query, m.Start, m.Scope)
		}
	}
	if got := get(mux, manifest+"?e=K7QF2M9X").Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("a manifest with a code may be kept: %q", got)
	}
}

func TestWorker(t *testing.T) {
	a, mux := door(t)
	rec := get(mux, worker)
	body, h := rec.Body.String(), rec.Header()
	if got := h.Get("Service-Worker-Allowed"); got != "" {
		t.Errorf("the scope is widened to %q", got)
	}
	if h.Get("Content-Type") != "text/javascript; charset=utf-8" || h.Get("Cache-Control") != "no-cache" || h.Get("Content-Security-Policy") != workerPolicy {
		t.Errorf("headers %v", h)
	}
	if regexp.MustCompile(`(?m)^(import|export) `).MatchString(body) {
		t.Error("the worker has module syntax, which not every browser takes")
	}
	line := regexp.MustCompile(`const known = (\{.*\});\n`).FindStringSubmatch(body)
	if line == nil {
		t.Fatal("the worker knows nothing")
	}
	var known struct {
		Version     string
		Home        string
		Pages       []string
		Files       []string
		Icon        string
		Title, Body string
	}
	if err := json.Unmarshal([]byte(line[1]), &known); err != nil {
		t.Fatal(err)
	}
	if known.Title != "Someone is signing in. Is it you?" || known.Body == "" || known.Version != a.version || len(a.version) != 16 || !slices.Equal(known.Pages, []string{Home, add}) {
		t.Errorf("it knows %+v", known)
	}
	// What it keeps are the app's own files, each under an address that changes
	// with its content; and everything that a page loads is among them.
	hashed := regexp.MustCompile(`^/phone/assets/[a-z0-9-]+\.[0-9a-f]{12}\.(js|css|svg|png)$`)
	for _, f := range known.Files {
		if !hashed.MatchString(f) {
			t.Errorf("it keeps %s", f)
		}
	}
	for _, path := range []string{Home, add} {
		for _, f := range loads(t, mux, path) {
			if f != manifest && !slices.Contains(known.Files, f) && f != a.pages.Assets().URL("touch.png") {
				t.Errorf("without a connection %s has no %s", path, f)
			}
		}
	}
	if !slices.Contains(known.Files, known.Icon) {
		t.Error("the notification's picture is not kept")
	}
}

var (
	linked   = regexp.MustCompile(`(?:src|href)="(/phone/[^"#]*)"`)
	imports  = regexp.MustCompile(`from "(/phone/assets/[^"]+)"`)
	preloads = regexp.MustCompile(`rel="modulepreload" href="([^"]+)"`)
)

// loads are the addresses that a page has a browser fetch, with all modules
// that modules import.
func loads(t *testing.T, mux http.Handler, path string) []string {
	t.Helper()
	var out []string
	body := get(mux, path).Body.String()
	for _, m := range linked.FindAllStringSubmatch(body, -1) {
		if m[1] != Home && m[1] != add && !slices.Contains(out, m[1]) { // links to the other page
			out = append(out, m[1])
		}
	}
	for n := 0; n < len(out); n++ {
		if !strings.HasSuffix(out[n], ".js") {
			continue
		}
		for _, m := range imports.FindAllStringSubmatch(get(mux, out[n]).Body.String(), -1) {
			if !slices.Contains(out, m[1]) {
				t.Errorf("%s: %s is found only when %s is there", path, m[1], out[n])
				out = append(out, m[1])
			}
		}
	}
	for _, m := range preloads.FindAllStringSubmatch(body, -1) {
		used := false
		for _, js := range out {
			used = used || strings.HasSuffix(js, ".js") && strings.Contains(get(mux, js).Body.String(), `from "`+m[1]+`"`)
		}
		if !used {
			t.Errorf("%s loads %s, which nothing imports", path, m[1])
		}
	}
	return out
}

// firstLoad is what all of it together may weigh on the way, compressed: a
// phone on a slow line waits for it once.
const firstLoad = 60 << 10

// TestFirstLoad adds up what the first visit fetches: the page, all that it
// loads, the worker, the pictures of the manifest that a browser looks at, and
// what the worker fetches to keep, both pages included.
func TestFirstLoad(t *testing.T) {
	a, mux := door(t)
	all := append(loads(t, mux, Home), loads(t, mux, add)...)
	all = append(all, Home, add, worker, a.pages.Assets().URL("icon.svg"), a.pages.Assets().URL("icon-192.png"))
	all = append(all, a.kept()...)
	slices.Sort(all)
	sum := 0
	for _, path := range slices.Compact(all) {
		rec := get(mux, path, "Accept-Encoding", "br, gzip")
		if rec.Code != http.StatusOK {
			t.Fatalf("%s: %d", path, rec.Code)
		}
		size := rec.Body.Len()
		sum += size
		if rec.Header().Get("Content-Encoding") != "gzip" {
			if !strings.HasSuffix(path, ".png") {
				t.Errorf("%s goes out as it is: %d bytes", path, size)
			}
			continue
		}
		gz, err := gzip.NewReader(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(gz)
		if err != nil || !bytes.Equal(body, get(mux, path).Body.Bytes()) {
			t.Errorf("%s is another when compressed: %v", path, err)
		}
	}
	t.Logf("first load: %d bytes", sum)
	if sum > firstLoad {
		t.Errorf("the first load is %d bytes, more than %d", sum, firstLoad)
	}
}

// TestTemplates: every page can be parsed, also those that no test shows.
func TestTemplates(t *testing.T) {
	a, _ := door(t)
	if err := a.pages.ParseAll(); err != nil {
		t.Fatal(err)
	}
}
