package portal

import (
	"embed"
	"html/template"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
)

//go:embed view/*.html static words/*.json
var files embed.FS

// views are all pages.
var views = map[string]page.View{
	"signin":    {Frame: "door", Styles: []string{"door.css"}, Scripts: []string{"signin.js"}, Short: true, Alone: true},
	"try":       {Name: "signin", Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Scripts: []string{"signin.js"}, Wide: true, Short: true, Alone: true},
	"wait":      {Frame: "door", Styles: []string{"door.css", "wait.css"}, Scripts: []string{"wait.js"}, Alone: true},
	"pick":      {Frame: "door", Styles: []string{"door.css"}, Short: true, Alone: true},
	"org":       {Frame: "door", Styles: []string{"door.css"}, Short: true, Alone: true, Apart: true},
	"consent":   {Frame: "door", Styles: []string{"door.css"}, Scripts: []string{"page.js"}, Alone: true},
	"device":    {Frame: "door", Styles: []string{"door.css"}, Scripts: []string{"device.js"}, Alone: true, Apart: true},
	"nudge":     {Frame: "door", Styles: []string{"door.css"}, Alone: true},
	"register":  {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Scripts: []string{"register.js"}, Wide: true, Alone: true, Apart: true},
	"rename":    {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Wide: true, Alone: true, Apart: true},
	"remove":    {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Wide: true, Alone: true, Apart: true},
	"machine":   {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Wide: true, Alone: true, Apart: true},
	"takeback":  {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Wide: true, Alone: true, Apart: true},
	"account":   {Frame: "chapters", Styles: []string{"door.css", "parts.css", "account.css"}, Scripts: []string{"account.js"}, Apart: true, Files: []string{"phonerows"}},
	"phoneadd":  {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css", "phoneadd.css"}, Scripts: []string{"phoneadd.js"}, Wide: true, Alone: true, Apart: true},
	"phonedone": {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Wide: true, Alone: true, Apart: true},
	"phonelost": {Frame: "door", Styles: []string{"door.css", "parts.css", "account.css"}, Wide: true, Alone: true, Apart: true},
	"error":     {Frame: "door", Styles: []string{"door.css"}, Scripts: []string{"error.js"}, Wide: true, Alone: true},
	"logout":    {Frame: "door", Styles: []string{"door.css"}, Short: true, Alone: true},
	"out":       {Frame: "door", Styles: []string{"door.css"}, Short: true, Alone: true},
	"home":      {Frame: "door", Styles: []string{"door.css"}, Short: true, Alone: true},
}

// newPage begins a page of the tenant for this request.
func (p *Portal) newPage(r *http.Request, key string, t idp.Tenant, title template.HTML, v any) *page.Page {
	return p.pages.Begin(r, key, t, title, v)
}

// show writes a page.
func (p *Portal) show(w http.ResponseWriter, status int, pg *page.Page) error {
	return p.pages.Show(w, status, pg)
}
