package phoneapp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"

	"github.com/signetid/signet/internal/page"
)

// icon is one picture of the app (W3C Web Application Manifest, §2.6).
type icon struct {
	Src     string `json:"src"`
	Sizes   string `json:"sizes"`
	Type    string `json:"type"`
	Purpose string `json:"purpose,omitempty"`
}

// about is the manifest.
type about struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Short       string   `json:"short_name"`
	Description string   `json:"description"`
	Lang        string   `json:"lang"`
	Dir         string   `json:"dir"`
	Start       string   `json:"start_url"`
	Scope       string   `json:"scope"`
	Display     string   `json:"display"`
	Background  string   `json:"background_color"`
	Theme       string   `json:"theme_color"`
	Categories  []string `json:"categories"`
	Icons       []icon   `json:"icons"`
}

// surface is the light theme's --surface: a manifest has one colour, and the
// pages bring both as meta elements.
const surface = "#FFFFFF"

// code is an enrolment code as a link holds it, or as it is typed (Crockford's
// base32); anything else is left out of the manifest.
var code = regexp.MustCompile(`^(?:[A-Za-z0-9_-]{22}|[0-9A-HJKMNP-TV-Z]{8})$`)

// manifest tells the phone how to put the app on the home screen.
//
// An app on the home screen of iOS has a storage of its own and does not see
// what the browser was told. The page of an enrolment asks for the manifest
// with its code ("?e="), and the app starts at the page that takes it up. The
// code stands in the fragment there, so that it is not sent when the app
// starts (passkeys-and-phone.md §6.2).
func (a *App) manifest(w http.ResponseWriter, r *http.Request) error {
	ws := a.pages.Pick(r)
	url := a.pages.Assets().URL
	m := about{
		ID: Home, Name: page.Plain(ws.T("app.name")), Short: page.Plain(ws.T("app.name")), Description: page.Plain(ws.T("app.about")),
		Lang: ws.Lang(), Dir: ws.Dir(), Start: start(r.URL), Scope: Home, Display: "standalone",
		Background: surface, Theme: surface, Categories: []string{"security", "utilities"},
		Icons: []icon{
			{Src: url("icon.svg"), Sizes: "any", Type: "image/svg+xml"},
			{Src: url("icon-192.png"), Sizes: "192x192", Type: "image/png"},
			{Src: url("icon-512.png"), Sizes: "512x512", Type: "image/png"},
			{Src: url("mask-512.png"), Sizes: "512x512", Type: "image/png", Purpose: "maskable"},
		},
	}
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(m); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/manifest+json")
	h.Set("Cache-Control", "no-cache")
	h.Add("Vary", "Accept-Language")
	if m.Start != Home {
		h.Set("Cache-Control", "no-store")
	}
	w.Write(b.Bytes()) // a browser that has gone away is nobody's error
	return nil
}

// start is where the app begins.
func start(u *url.URL) string {
	if e := u.Query().Get("e"); code.MatchString(e) {
		return add + "#" + e
	}
	return Home
}
