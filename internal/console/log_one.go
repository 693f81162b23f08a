package console

import (
	"context"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// oneView is one sign-in, explained.
type oneView struct {
	Back           string // to the list, as it was asked
	When           template.HTML
	Earlier, Later string
	Verdict        template.HTML // the sentence under the title
	State          string        // the shape of the verdict
	Person         string        // their page; empty: nobody, or gone

	Asked, Proved, Answered step
	Weighed                 *weighed // nil: no rule was asked
	Journey                 []journeyRow
	Ways                    *waysView
	IDs                     []pair
	Same                    string // the log, for the same refusal
}

// step is one part of the story.
type step struct {
	At    stamp
	Text  []template.HTML
	Facts []pair
}

// stamp is a time of day; the script writes it for where the reader is.
type stamp struct{ Machine, Clock string }

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return stamp{}
	}
	t = t.UTC()
	return stamp{t.Format("2006-01-02T15:04:05.000Z"), t.Format("15:04:05")}
}

// pair is a fact with its name.
type pair struct{ Name, Value template.HTML }

// weighed is the table of rules.
type weighed struct {
	step
	Title  template.HTML
	Rows   []ruleRow
	Notice template.HTML // that something was worked out and not on record
}

type ruleRow struct {
	Name, About template.HTML
	State       string
	Result      template.HTML
	Because     template.HTML
	Deciding    bool
}

type journeyRow struct {
	At    stamp
	Text  template.HTML
	Href  string
	State string
}

// waysView is what would have let the person in.
type waysView struct {
	Title  template.HTML
	Rows   []wayRow
	None   template.HTML
	TryTo  string
	PassTo string
	Today  bool // judged by the rules of today
}

type wayRow struct {
	State      string
	Name, Note template.HTML
}

func (c *Console) signIn1(ctx context.Context, v *visit) error {
	id := strings.ToLower(v.r.PathValue("id"))
	if !guid.MatchString(id) {
		return idp.NotFoundf("event_unknown", "event %.40q", id).Say("There is no such record in this log. It may be older than records are kept.")
	}
	e, err := c.cfg.Audit.Get(ctx, c.cfg.DB, v.tenant.ID, idp.EventID(id), audit.SignIns)
	if idp.AsError(err) != nil && idp.AsError(err).Kind == idp.NotFound {
		return idp.NotFoundf("event_unknown", "event %s", id).Say("There is no such record in this log. It may be older than records are kept.")
	}
	if err != nil {
		return err
	}
	f, err := v.factsOf(ctx, e)
	if err != nil {
		return err
	}
	pg := v.page("logone", "", nil)
	view, err := v.oneView(ctx, pg, f, tell(f))
	if err != nil {
		return err
	}
	if err := v.neighbours(ctx, &view, e); err != nil {
		return err
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// factsOf looks up all that a story is told from.
func (v *visit) factsOf(ctx context.Context, e audit.Event) (facts, error) {
	f := facts{event: e, told: signin.Tell(e)}
	var err error
	if f.rules, err = v.cfg.Policies.Get(ctx, v.tenant.ID); err != nil {
		return f, err
	}
	if e.Client != "" {
		app, err := v.cfg.Clients.Get(ctx, v.tenant.ID, e.Client)
		if err != nil && !gone(err) {
			return f, err
		}
		f.demand = app.ACR
	}
	if e.User == "" {
		return f, nil
	}
	if f.user, err = v.cfg.Directory.User(ctx, v.cfg.DB, v.tenant.ID, e.User); err != nil && !gone(err) {
		return f, err
	}
	if f.user.Known() {
		_, who, err := v.cfg.Policies.For(ctx, v.tenant.ID, f.user)
		if err != nil {
			return f, err
		}
		f.groups = who.Groups
		if f.held, err = v.cfg.Corridor.Credentials(ctx, v.tenant.ID, e.User); err != nil {
			return f, err
		}
	}
	if f.told.Flow != "" {
		part, err := v.cfg.Audit.Search(ctx, v.cfg.DB, v.tenant.ID, audit.Query{
			User: e.User, Since: e.At.Add(-nearby), Until: e.At.Add(nearby), Limit: 100,
		})
		if err != nil {
			return f, err
		}
		f.near = part.Events
	}
	return f, nil
}

func gone(err error) bool { return idp.AsError(err) != nil && idp.AsError(err).Kind == idp.NotFound }

// neighbours sets the links to the records before and after, in the list that
// the visitor came from.
func (v *visit) neighbours(ctx context.Context, view *oneView, e audit.Event) error {
	f := readLogFilter(v.r.URL.Query())
	view.Back = "/admin/log" + query(f.values())
	ask := f.query(audit.SignIns, v.cfg.Now())
	meant, err := v.understand(ctx, &f, audit.SignIns, &ask)
	if err != nil {
		return err
	}
	if meant.nobody || len(meant.people) > 0 {
		return nil
	}
	ask.Limit, ask.Look = 1, 2000
	_, next, err := v.cfg.Audit.Newer(ctx, v.cfg.DB, v.tenant.ID, e.ID, ask)
	if err != nil {
		return err
	}
	if next != "" {
		view.Later = "/admin/log/" + string(next) + query(f.values())
	}
	ask.Before = e.ID
	part, err := v.cfg.Audit.Search(ctx, v.cfg.DB, v.tenant.ID, ask)
	if err != nil {
		return err
	}
	if len(part.Events) > 0 {
		view.Earlier = "/admin/log/" + string(part.Events[0].ID) + query(f.values())
	}
	return nil
}

// oneView puts a story into words, and sets the title of the page.
func (v *visit) oneView(ctx context.Context, pg *page.Page, f facts, s story) (oneView, error) {
	names := &names{visit: v}
	e := f.event
	view := oneView{When: page.When(e.At, "exact"), State: stateOf(s.verdict)}
	who, err := v.whoIn(ctx, pg, names, e)
	if err != nil {
		return view, err
	}
	app, err := v.appIn(ctx, pg, names, e)
	if err != nil {
		return view, err
	}
	key := keyIn(pg, f, s)
	w := wording{pg: pg, p: &f.rules, f: f, s: s, who: who, app: app, key: key}
	pg.Title, view.Verdict = w.title(), w.verdict()
	if f.user.Known() {
		view.Person = "/admin/people/" + string(f.user.ID)
	}
	view.Asked, view.Proved, view.Answered = w.asked(), w.proved(), w.answered()
	view.Weighed = w.weighed()
	for _, o := range s.journey {
		row, err := v.journeyRow(ctx, pg, names, o)
		if err != nil {
			return view, err
		}
		view.Journey = append(view.Journey, row)
	}
	view.Ways = v.waysView(pg, w)
	view.IDs = ids(pg, e)
	if s.verdict == refused || s.verdict == halfway {
		same := logFilter{Rule: e.Rule, Reason: e.Reason, Last: "week"}
		view.Same = "/admin/log" + query(same.values())
	}
	return view, nil
}

// keyIn names what was used, as its owner calls it.
func keyIn(pg *page.Page, f facts, s story) template.HTML {
	switch {
	case s.key != nil && s.key.Name != "" && f.event.Method == policy.Certificate: // it bears its person's name
		return pg.T("log.key.certificate", "name", s.key.Name)
	case s.key != nil && s.key.Name != "":
		return template.HTML("<b>" + template.HTMLEscapeString(s.key.Name) + "</b>")
	case f.event.Method == "":
		return ""
	case f.event.Credential != "" && s.key == nil && f.user.Known():
		return pg.T("log.key.gone", "method", methodName(pg, f.event.Method))
	}
	return methodName(pg, f.event.Method)
}

func (v *visit) journeyRow(ctx context.Context, pg *page.Page, names *names, e audit.Event) (journeyRow, error) {
	row := journeyRow{At: stampOf(e.At)}
	if e.Category == audit.SignIn || e.Category == audit.Token {
		row.Href = "/admin/log/" + string(e.ID)
		row.State, row.Text = resultOf(pg, e)
		if p, err := v.cfg.Policies.Get(ctx, v.tenant.ID); err == nil {
			if why := whyOf(pg, &p, e); why != "" {
				row.Text += ", " + why
			}
		}
		return row, nil
	}
	told, err := v.changeRow(ctx, pg, names, e)
	row.State, row.Text = "off", told.Text
	return row, err
}

// waysView says what would have let the person in; nil when there is nothing
// to say.
func (v *visit) waysView(pg *page.Page, w wording) *waysView {
	if w.s.verdict != refused && w.s.verdict != halfway || !w.f.user.Known() || w.f.event.Reason == "consent_needed" {
		return nil
	}
	name := escaped(w.f.user.DisplayName)
	out := &waysView{Title: pg.T("log.ways", "who", name), Today: w.s.changed}
	for _, one := range w.s.ways {
		out.Rows = append(out.Rows, wayRowOf(pg, w.p, one))
	}
	for _, one := range w.s.would {
		out.Rows = append(out.Rows, wayRow{"off", v.wouldName(pg, one), pg.T("log.ways.none_held")})
	}
	if !w.f.user.Enabled {
		out.Rows, out.None = nil, pg.T("log.ways.off", "who", name)
	} else if len(out.Rows) == 0 {
		out.None = pg.T("log.ways.nothing")
	}
	try := tryForm{Person: w.f.user.Name, App: w.f.event.Client, Key: string(w.f.event.Credential), Strength: w.f.told.Required}
	out.TryTo, out.PassTo = "/admin/log/try"+query(try.values()), "/admin/people/"+string(w.f.user.ID)
	return out
}

// wouldName names what the person does not hold.
func (v *visit) wouldName(pg *page.Page, one wouldDo) template.HTML {
	switch {
	case one.model != "" && v.cfg.Metadata != nil && v.cfg.Metadata.Name(one.model) != "":
		return escaped(v.cfg.Metadata.Name(one.model))
	case one.model != "":
		return code(one.model)
	case one.kind != "":
		return pg.T("log.ways.key." + one.kind)
	}
	return modesName(pg, one.modes)
}

func wayRowOf(pg *page.Page, p *policy.Policy, w wayIn) wayRow {
	row := wayRow{State: "good", Name: credentialLabel(pg, w.credential)}
	if w.opens {
		row.Note = pg.T("log.ways.registered.never")
		if !w.credential.LastUsed.IsZero() {
			row.Note = pg.T("log.ways.registered", "when", page.When(w.credential.LastUsed, ""))
		}
		return row
	}
	row.State = "bad"
	row.Note = because(pg, policy.Check{Reason: w.reason})
	if w.rule != "" {
		row.Note = pg.T("log.ways.no", "rule", ruleName(pg, p, w.rule), "because", row.Note)
	}
	return row
}

// credentialLabel is how a list names something that somebody holds.
func credentialLabel(pg *page.Page, c method.Credential) template.HTML {
	switch {
	case c.Name != "":
		return escaped(c.Name)
	case c.Model != "":
		return escaped(c.Model)
	}
	return methodName(pg, c.Method)
}

// ids are what goes into a ticket.
func ids(pg *page.Page, e audit.Event) []pair {
	var out []pair
	add := func(key, value string) {
		if value != "" {
			out = append(out, pair{pg.T("log.id." + key), code(value)})
		}
	}
	add("record", string(e.ID))
	add("trace", e.Trace)
	add("session", string(e.Session))
	add("user", string(e.User))
	add("app", string(e.Client))
	if e.Code != 0 {
		add("code", "AADSTS"+strconv.Itoa(e.Code))
	}
	add("rule", e.Rule)
	add("reason", e.Reason)
	return out
}
