package phoneapp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/page"
)

// workerParts make up the worker, in this order. Not every browser takes a
// service worker that imports modules, so the two that it shares with the
// pages are put before it.
var workerParts = []string{"static/store.js", "static/wire.js", "worker/worker.js"}

var (
	exported = regexp.MustCompile(`(?m)^export `)
	imported = regexp.MustCompile(`(?m)^import [^\n]*\n`)
)

// bundle puts the worker together: what is exported stands in one scope.
func bundle() (string, error) {
	var b strings.Builder
	for _, name := range workerParts {
		raw, err := files.ReadFile(name)
		if err != nil {
			return "", err
		}
		b.Write(exported.ReplaceAll(imported.ReplaceAll(raw, nil), nil))
	}
	return b.String(), nil
}

// unkept are files of the app that a phone without a connection does without:
// pictures for the home screen, and what only other doors' pages use.
var unkept = []string{"parts.css", "page.js", "icon-512.png", "mask-512.png", "touch.png"}

// kept are the addresses of the files that the worker keeps.
func (a *App) kept() []string {
	out := a.pages.Assets().URLs()
	for _, name := range unkept {
		url := a.pages.Assets().URL(name)
		out = slices.DeleteFunc(out, func(u string) bool { return u == url })
	}
	return out
}

// sum names this version of everything that the worker keeps: its own text,
// pages, words, and files by their addresses.
func (a *App) sum() (string, error) {
	h := sha256.New()
	for _, pattern := range []string{"view/*.html", "words/*.json"} {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return "", err
		}
		for _, name := range names {
			raw, err := files.ReadFile(name)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%s %d\n%s", name, len(raw), raw)
		}
	}
	fmt.Fprintf(h, "%s\n%s", strings.Join(a.pages.Assets().URLs(), "\n"), a.script)
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// workerPolicy is what the worker itself may do: fetch from here.
const workerPolicy = "default-src 'none'; connect-src 'self'"

// worker serves the service worker. Its first line is what it knows: the
// version, what it keeps, and the words of a message that brings none.
func (a *App) worker(w http.ResponseWriter, r *http.Request) error {
	ws := a.pages.Pick(r)
	known, err := json.Marshal(struct {
		Version string   `json:"version"`
		Home    string   `json:"home"`
		Pages   []string `json:"pages"`
		Files   []string `json:"files"`
		Icon    string   `json:"icon"`
		Title   string   `json:"title"`
		Body    string   `json:"body"`
	}{a.version, Home, []string{Home, add}, a.kept(), a.pages.Assets().URL("icon-192.png"),
		page.Plain(ws.T("push.title")), page.Plain(ws.T("push.body"))})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Content-Security-Policy", workerPolicy)
	// Asked for again at each check for a new version; its scope is the folder
	// that it lies in, which no header widens.
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Language")
	fmt.Fprintf(w, "\"use strict\";\nconst known = %s;\n%s", known, a.script)
	return nil
}
