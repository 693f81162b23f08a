package portal

import (
	"context"
	"html/template"
	"mime"
	"net/http"
	"strings"

	"github.com/signetid/signet/internal/page"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// saying is how an error is told: catalogue keys, and the number when the
// error brings none.
type saying struct {
	title, text, what string
	code              int
	status            int // 0: that of the Kind
	do                []string
}

// kinds has a saying for every Kind (architecture.md, "Errors").
var kinds = map[idp.Kind]saying{
	idp.Internal:    {"error.internal.title", "error.internal.text", "error.internal.what", 50000, 0, []string{"desk", "account"}},
	idp.Invalid:     {"error.invalid.title", "error.invalid.text", "error.invalid.what", 90100, 0, []string{"desk", "account"}},
	idp.Unproven:    {"error.unproven.title", "error.unproven.text", "error.unproven.what", 130005, 0, []string{"again", "desk"}},
	idp.Denied:      {"error.denied.title", "error.denied.text", "error.denied.what", 53003, 0, []string{"desk", "account"}},
	idp.NotFound:    {"error.notfound.title", "error.notfound.text", "error.notfound.what", 90100, 0, []string{"account"}},
	idp.Conflict:    {"error.conflict.title", "error.conflict.text", "error.conflict.what", 90099, 0, []string{"account"}},
	idp.Expired:     {"error.expired.title", "error.expired.text", "error.expired.what", 50089, 0, []string{"again", "account"}},
	idp.Limited:     {"error.limited.title", "error.limited.text", "error.limited.what", 50196, 0, []string{"desk"}},
	idp.Unavailable: {"error.unavailable.title", "error.unavailable.text", "error.unavailable.what", 90033, 0, []string{"desk"}},
}

// reasons tell some errors better than their Kind does.
var reasons = map[string]saying{
	"page_unknown":     {"error.notfound.title", "error.notfound.text", "error.notfound.what", 90100, 0, []string{"account"}},
	"wrong_method":     {"error.method.title", "error.method.text", "error.method.what", 900561, http.StatusMethodNotAllowed, []string{"account"}},
	"other_origin":     {"error.origin.title", "error.origin.text", "error.origin.what", 90100, 0, []string{"account"}},
	"tenant_unknown":   {"error.tenant.title", "error.tenant.text", "error.notfound.what", 90002, 0, []string{"account", "desk"}},
	"other_browser":    {"error.other_browser.title", "error.other_browser.text", "error.expired.what", 50089, 0, []string{"again", "account"}},
	"flow_over":        {"error.expired.title", "error.expired.text", "error.expired.what", 50089, 0, []string{"again", "account"}},
	"flow_moved_on":    {"error.expired.title", "error.expired.text", "error.expired.what", 50089, 0, []string{"again", "account"}},
	"last_method":      {"error.last_method.title", "error.last_method.text", "error.denied.what", 53003, 0, []string{"register", "account"}},
	"user_disabled":    {"error.user_disabled.title", "error.user_disabled.text", "error.denied.what", 50057, 0, []string{"desk"}},
	"pass_session":     {"error.pass_only.title", "error.pass_only.text", "error.denied.what", 53003, 0, []string{"register", "desk"}},
	"credential_gone":  {"error.gone.title", "error.gone.text", "error.notfound.what", 90100, 0, []string{"account"}},
	"device_gone":      {"error.gone.title", "error.gone.text", "error.notfound.what", 90100, 0, []string{"account"}},
	"session_gone":     {"error.gone.title", "error.gone.text", "error.notfound.what", 90100, 0, []string{"account"}},
	"consent_gone":     {"error.gone.title", "error.gone.text", "error.notfound.what", 90100, 0, []string{"account"}},
	"strength_unknown": {"error.stronger.title", "error.stronger.text", "error.denied.what", 53003, 0, []string{"desk", "back"}},
}

// sayingOf finds the saying, and says whether it is of the error's own reason.
func sayingOf(e *idp.Error) (saying, bool) {
	if s, ok := reasons[e.Reason]; ok {
		return s, true
	}
	if s, ok := kinds[e.Kind]; ok {
		return s, false
	}
	return kinds[idp.Internal], false
}

// told is an error as this door tells it.
type told struct {
	Code   int
	Trace  string
	Title  template.HTML
	Text   template.HTML
	What   template.HTML
	Rule   string
	Time   template.HTML
	Do     []todo
	status int
}

// todo is one row of "What you can do".
type todo struct {
	Icon, Href  string
	Label, Note template.HTML
}

// app is what an error page knows of the application that is asking.
type app struct{ name, leadsTo string }

// tell phrases an error; it is the only place that does, and hands the code
// to the log, so that slip and log row name the same. A reason that the
// catalogue knows is told in its words, so that it can be translated; else the
// error's own sentence is shown, else that of its Kind.
func (p *Portal) tell(r *http.Request, ws *page.Words, e *idp.Error, rule string, a app) told {
	s, own := sayingOf(e)
	if e.Code == 0 {
		e.Code = s.code
	}
	if a.name != "" && !own && e.Kind == idp.Denied {
		s.title = "error.denied.app.title"
	}
	web.Note(r, e, e.Code)
	t := told{
		Code: e.Code, Trace: web.Trace(r.Context()), Rule: rule, Time: page.When(p.cfg.Now(), "exact"),
		Title: ws.T(s.title, "app", a.name), Text: ws.T(s.text, "app", a.name), What: ws.T(s.what), status: s.status,
	}
	if !own && e.Public != "" && e.Kind != idp.Internal {
		t.Text = template.HTML(template.HTMLEscapeString(e.Public))
	}
	if t.status == 0 {
		t.status = web.Status(e.Kind)
	}
	for _, what := range s.do {
		t.Do = append(t.Do, doing(ws, what))
	}
	if strings.HasPrefix(a.leadsTo, "http") && len(t.Do) < 3 {
		t.Do = append(t.Do, todo{"left", a.leadsTo, ws.T("error.do.back"), ws.T("error.do.back.note", "site", a.leadsTo)})
	}
	return t
}

func doing(ws *page.Words, what string) todo {
	switch what {
	case "again":
		return todo{"again", "", ws.T("error.do.again"), ws.T("error.do.again.note")}
	case "register":
		return todo{"plus", "/account/register", ws.T("error.do.register"), ws.T("error.do.register.note")}
	case "desk":
		return todo{"person", "", ws.T("error.do.desk"), ws.T("error.do.desk.note")}
	}
	return todo{"key", "/account", ws.T("error.do.account"), ws.T("error.do.account.note")}
}

// phrase answers an error: as JSON to a script of ours, else as a page.
func (p *Portal) phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	if wantsJSON(r) {
		p.phraseJSON(w, r, e, "")
		return
	}
	p.errorPage(w, r, e, "", app{}, p.whose(r))
}

// phraseJSON is phrase for scripts; next, when not empty, is where to go on.
func (p *Portal) phraseJSON(w http.ResponseWriter, r *http.Request, e *idp.Error, next string) {
	t := p.tell(r, p.pages.Pick(r), e, "", app{})
	reply := struct {
		Code    int    `json:"code"`
		Trace   string `json:"trace"`
		Message string `json:"message"`
		Page    string `json:"page,omitempty"`
	}{t.Code, t.Trace, page.Plain(t.Text), next}
	web.JSON(w, t.status, reply) // cannot fail: three words and a number
}

// ErrorPage phrases an error for another door that must not let it reach the
// application.
func (p *Portal) ErrorPage(w http.ResponseWriter, r *http.Request, err error) {
	p.errorPage(w, r, idp.AsError(err), "", app{}, p.whose(r))
}

func (p *Portal) errorPage(w http.ResponseWriter, r *http.Request, e *idp.Error, rule string, a app, t idp.Tenant) {
	ws := p.pages.Pick(r)
	v := p.tell(r, ws, e, rule, a)
	pg := p.newPage(r, "error", t, v.Title, v)
	if err := p.show(w, v.status, pg); err != nil {
		web.Note(r, err, v.Code)
		http.Error(w, "Signet could not show this page. Trace id: "+v.Trace, http.StatusInternalServerError)
	}
}

// whose tells the tenant of an error page, when the address does. Not knowing
// it is no error: the page is then one of the installation.
func (p *Portal) whose(r *http.Request) idp.Tenant {
	ref := r.PathValue("t")
	if ref == "" || p.cfg.Directory == nil {
		return idp.Tenant{}
	}
	t, err := p.cfg.Directory.Resolve(context.WithoutCancel(r.Context()), ref)
	if err != nil {
		return idp.Tenant{}
	}
	return t
}

func wantsJSON(r *http.Request) bool {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return kind == "application/json" || strings.HasPrefix(r.Header.Get("Accept"), "application/json")
}
