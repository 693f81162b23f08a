package console

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// logPage is a page of the log: they share parts of their own.
func logPage(scripts ...string) page.View {
	v := scripted(frame("log.css"), scripts...)
	v.Files = []string{"logparts"}
	return v
}

func (c *Console) logRoutes() []route {
	return []route{
		{"GET /admin/log", directory.Helpdesk, c.signIns, ""},
		{"GET /admin/log/newer", directory.Helpdesk, c.newerSignIns, ""},
		{"GET /admin/log/csv", directory.Administrator, c.signInsCSV, ""},
		{"GET /admin/log/try", directory.Helpdesk, c.tryIt, ""},
		{"GET /admin/log/{id}", directory.Helpdesk, c.signIn1, ""},
		{"GET /admin/changes", directory.Helpdesk, c.changeLog, ""},
	}
}

// logFilter is what a list of the log is asked; it lives in the address.
type logFilter struct {
	Q      string // what somebody typed: a person, an address, or the id of a request or a record
	Person idp.UserID
	App    idp.ClientID
	Result string // "success", "failure", "interrupted"
	Method idp.MethodID
	Rule   string
	Reason string
	Kind   string // of changes: see changeKinds
	Last   string // "hour", "day", "week", "month"
	From   string // days, 2026-03-12, UTC; both are included
	To     string
	Before idp.EventID
}

// readLogFilter reads an address. What makes no sense asks nothing: an address
// that somebody cut short still shows a page.
func readLogFilter(q url.Values) logFilter {
	text := func(name string) string { return page.Clip(strings.TrimSpace(q.Get(name)), 200) }
	f := logFilter{
		Q: text("q"), Person: idp.UserID(text("person")), App: idp.ClientID(text("app")), Result: text("result"),
		Method: idp.MethodID(text("method")), Rule: text("rule"), Reason: text("reason"), Kind: text("kind"),
		Last: text("last"), From: text("from"), To: text("to"), Before: idp.EventID(text("before")),
	}
	switch f.Result {
	case audit.Success, audit.Failure, audit.Interrupted:
	default:
		f.Result = ""
	}
	if _, known := spans[f.Last]; !known {
		f.Last = ""
	}
	if changeKinds[f.Kind] == nil {
		f.Kind = ""
	}
	if !guid.MatchString(string(f.Before)) {
		f.Before = ""
	}
	for _, at := range []*string{&f.From, &f.To} {
		if _, err := time.Parse(time.DateOnly, *at); err != nil {
			*at = ""
		}
	}
	return f
}

// spans are the times that one usually asks for.
var spans = map[string]time.Duration{"hour": time.Hour, "day": day, "week": 7 * day, "month": 30 * day}

// values is the filter as it stands in an address.
func (f logFilter) values() url.Values {
	out := url.Values{}
	for _, one := range f.parts() {
		if one.Value != "" {
			out.Set(one.Name, one.Value)
		}
	}
	return out
}

func (f logFilter) parts() []field {
	return []field{
		{"q", f.Q}, {"person", string(f.Person)}, {"app", string(f.App)}, {"result", f.Result}, {"method", string(f.Method)},
		{"rule", f.Rule}, {"reason", f.Reason}, {"kind", f.Kind}, {"last", f.Last}, {"from", f.From}, {"to", f.To},
	}
}

// any says whether anything is asked.
func (f logFilter) any() bool { return len(f.values()) > 0 }

// without is the address of the list without one part.
func (f logFilter) without(path string, names ...string) string {
	v := f.values()
	for _, n := range names {
		v.Del(n)
	}
	return path + query(v)
}

// query makes of the filter what the record is asked.
func (f logFilter) query(of audit.Book, now time.Time) audit.Query {
	q := audit.Query{
		Of: of, Client: f.App, Outcome: f.Result, Method: f.Method, Rule: f.Rule, Reason: f.Reason,
		Activities: changeKinds[f.Kind], Before: f.Before, Limit: pageSize,
	}
	about(&q, of, f.Person)
	if span := spans[f.Last]; span > 0 {
		q.Since = now.Add(-span)
	}
	if at, err := time.Parse(time.DateOnly, f.From); err == nil && at.After(q.Since) {
		q.Since = at
	}
	if at, err := time.Parse(time.DateOnly, f.To); err == nil {
		q.Until = at.Add(day)
	}
	return q
}

var guid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// understood is what the text in the search field turned out to mean.
type understood struct {
	event  idp.EventID // go there
	people []idp.User  // several: which one?
	nobody bool        // nobody is called so
}

// understand finds out what was typed, and puts it into the question: an
// address, the id of a record, a request or a person, or a name.
func (v *visit) understand(ctx context.Context, f *logFilter, of audit.Book, q *audit.Query) (understood, error) {
	if f.Q == "" {
		return understood{}, nil
	}
	if addr, err := netip.ParseAddr(f.Q); err == nil {
		q.IP = addr.String()
		return understood{}, nil
	}
	if guid.MatchString(f.Q) {
		return v.understandID(ctx, strings.ToLower(f.Q), of, q)
	}
	u, err := v.cfg.Directory.UserByName(ctx, v.cfg.DB, v.tenant.ID, f.Q)
	if err == nil {
		about(q, of, u.ID)
		return understood{}, nil
	}
	text := strings.ReplaceAll(f.Q, "'", "''")
	where, err := filter.Parse("startswith(displayName,'"+text+"') or startswith(userPrincipalName,'"+text+"')", directory.UserFields)
	if err != nil {
		return understood{nobody: true}, nil // too long or too strange to be a name
	}
	found, _, err := v.cfg.Directory.Users(ctx, v.tenant.ID, directory.Page{Limit: 12, Where: where})
	if err != nil {
		return understood{}, err
	}
	if len(found) == 0 && strings.Contains(f.Q, "@") {
		q.UserName = f.Q // somebody who is gone is still in the record
		return understood{}, nil
	}
	out := understood{nobody: len(found) == 0}
	for _, p := range found {
		out.people = append(out.people, p.User)
	}
	if len(found) == 1 {
		about(q, of, found[0].ID)
		out.people = nil
	}
	return out, nil
}

// about asks for a person: of sign-ins whose they are, of changes also who did
// them.
func about(q *audit.Query, of audit.Book, u idp.UserID) {
	if of == audit.Changes {
		q.Either = u
		return
	}
	q.User = u
}

func (v *visit) understandID(ctx context.Context, id string, of audit.Book, q *audit.Query) (understood, error) {
	if of == audit.SignIns {
		_, err := v.cfg.Audit.Get(ctx, v.cfg.DB, v.tenant.ID, idp.EventID(id), of)
		if err == nil || !errors.Is(err, idp.NotFound) {
			return understood{event: idp.EventID(id)}, err
		}
	}
	_, err := v.cfg.Directory.User(ctx, v.cfg.DB, v.tenant.ID, idp.UserID(id))
	if err == nil {
		about(q, of, idp.UserID(id))
		return understood{}, nil
	}
	if !errors.Is(err, idp.NotFound) {
		return understood{}, err
	}
	q.Trace = id
	return understood{}, nil
}

// chip is a filter that is set, with the address of the list without it.
type chip struct {
	Label  template.HTML
	Remove string
}

// option is one value of a choice in the filter form.
type option struct {
	Value  string
	Label  template.HTML
	Chosen bool
}

// barView is the filter bar of both logs.
type barView struct {
	Path        string
	SearchLabel template.HTML
	Filter      logFilter
	Quick       []choice // results as links
	Chips       []chip
	Apps        []option
	Methods     []option
	Kinds       []option
	Spans       []option
	Kept        []field // set by links and not by the form
	Clear       string  // the list without any filter; empty: none is set
	Which       []choice
}

// mostApps bounds the choice of applications; more are found by their page.
const mostApps = 200

func (v *visit) bar(ctx context.Context, pg *page.Page, path string, f logFilter, names *names) (barView, error) {
	b := barView{Path: path, Filter: f}
	if f.any() {
		b.Clear = path
	}
	for _, r := range []string{"", audit.Success, audit.Failure, audit.Interrupted} {
		to := f
		to.Result = r
		b.Quick = append(b.Quick, choice{pg.T("log.result." + cmp.Or(r, "any")), path + query(to.values()), f.Result == r})
	}
	for _, s := range []string{"", "hour", "day", "week", "month"} {
		b.Spans = append(b.Spans, option{s, pg.T("log.last." + cmp.Or(s, "any")), f.Last == s})
	}
	for _, m := range []idp.MethodID{"", policy.Passkey, policy.Phone, policy.Hello, policy.Platform, policy.AccessPass} {
		label := pg.T("log.method.any")
		if m != "" {
			label = methodName(pg, m)
		}
		b.Methods = append(b.Methods, option{string(m), label, f.Method == m})
	}
	apps, _, err := v.cfg.Clients.List(ctx, v.tenant.ID, "", mostApps)
	if err != nil {
		return b, err
	}
	b.Apps = appOptions(pg, apps, f.App)
	b.Kept = []field{{"person", string(f.Person)}, {"rule", f.Rule}, {"reason", f.Reason}, {"result", f.Result}, {"kind", f.Kind}}
	err = v.chips(ctx, pg, &b, names)
	return b, err
}

func appOptions(pg *page.Page, apps []client.Client, chosen idp.ClientID) []option {
	out := []option{{"", pg.T("log.app.any"), chosen == ""}}
	for _, a := range apps {
		out = append(out, option{string(a.ID), template.HTML(template.HTMLEscapeString(a.Name)), a.ID == chosen})
	}
	return out
}

// chips names the filters that are set and that nothing else on the page shows.
func (v *visit) chips(ctx context.Context, pg *page.Page, b *barView, names *names) error {
	f := b.Filter
	add := func(label template.HTML, parts ...string) {
		b.Chips = append(b.Chips, chip{label, f.without(b.Path, parts...)})
	}
	if f.Q != "" {
		add(pg.T("log.chip.q", "q", f.Q), "q")
	}
	if f.Person != "" {
		name, err := names.of(ctx, f.Person)
		if err != nil {
			return err
		}
		add(name, "person")
	}
	if f.App != "" {
		name, err := names.app(ctx, f.App)
		if err != nil {
			return err
		}
		add(name, "app")
	}
	if f.Method != "" {
		add(methodName(pg, f.Method), "method")
	}
	if f.Kind != "" {
		add(pg.T("log.kind."+f.Kind), "kind")
	}
	if f.Rule != "" {
		p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
		if err != nil {
			return err
		}
		add(pg.T("log.chip.rule", "rule", ruleName(pg, &p, f.Rule)), "rule")
	}
	if f.Reason != "" {
		add(reasonShort(pg, f.Reason), "reason")
	}
	if f.Last != "" {
		add(pg.T("log.last."+f.Last), "last")
	}
	if f.From != "" {
		add(pg.T("log.chip.from", "day", f.From), "from")
	}
	if f.To != "" {
		add(pg.T("log.chip.to", "day", f.To), "to")
	}
	return nil
}

// logView is the sign-in log.
type logView struct {
	Bar      barView
	Rows     []logRow
	Count    template.HTML // role=status
	Empty    template.HTML
	EmptyOn  template.HTML // one way on
	EmptyTo  string
	First    string
	Next     string
	NextText template.HTML
	// Newest is the id from which the script asks for newer ones; NewerTo
	// leads to the head of the same list.
	Newest  string
	NewerAt string
	NewerTo string
	CSV     string
}

// logRow is one line of the log.
type logRow struct {
	Href        string
	When        template.HTML
	Who, App    template.HTML
	Method      template.HTML
	State       string // "good", "bad", "warn", "off": the shape
	Result, Why template.HTML
}

func (c *Console) signIns(ctx context.Context, v *visit) error {
	f := readLogFilter(v.r.URL.Query())
	pg := v.page("log", "", nil)
	pg.Title = pg.T("log.title")
	names := &names{visit: v}
	ask := f.query(audit.SignIns, c.cfg.Now())
	meant, err := v.understand(ctx, &f, audit.SignIns, &ask)
	if err != nil {
		return err
	}
	if meant.event != "" {
		return v.leave("/admin/log/"+string(meant.event), "")
	}
	view := logView{}
	if view.Bar, err = v.bar(ctx, pg, "/admin/log", f, names); err != nil {
		return err
	}
	view.Bar.SearchLabel = pg.T("log.search")
	view.Bar.Which = which(f, "/admin/log", meant.people)
	var part audit.Part
	if !meant.nobody && len(meant.people) == 0 {
		if part, err = c.cfg.Audit.Search(ctx, c.cfg.DB, v.tenant.ID, ask); err != nil {
			return err
		}
	}
	if view.Rows, err = v.logRows(ctx, pg, names, f, part.Events); err != nil {
		return err
	}
	view.turn(pg, f, "/admin/log", part)
	view.empty(pg, f, meant, part)
	if len(part.Events) > 0 && f.Before == "" && f.To == "" {
		q := f.values()
		q.Set("after", string(part.Events[0].ID))
		view.Newest, view.NewerAt, view.NewerTo = string(part.Events[0].ID), "/admin/log/newer"+query(q), "/admin/log"+query(f.values())
	}
	if v.admin() && len(view.Rows) > 0 {
		view.CSV = "/admin/log/csv" + query(f.values())
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// which lists the people that a name could mean, as links.
func which(f logFilter, path string, people []idp.User) (out []choice) {
	for _, u := range people {
		to := f
		to.Q, to.Person = "", u.ID
		label := template.HTMLEscapeString(u.DisplayName) + ` <span class="ink-2">` + template.HTMLEscapeString(u.Name) + `</span>`
		out = append(out, choice{template.HTML(label), path + query(to.values()), false})
	}
	return out
}

// turn sets where the list goes on.
func (l *logView) turn(pg *page.Page, f logFilter, path string, part audit.Part) {
	if f.Before != "" {
		l.First = path + query(f.values())
	}
	if part.Next == "" {
		return
	}
	q := f.values()
	q.Set("before", string(part.Next))
	l.Next, l.NextText = path+query(q), pg.T("log.older")
	if !part.Back.IsZero() {
		l.NextText = pg.T("log.further")
	}
}

// empty says what is not there; often that is good news.
func (l *logView) empty(pg *page.Page, f logFilter, meant understood, part audit.Part) {
	switch {
	case len(meant.people) > 0:
		l.Count = pg.N("log.which", len(meant.people), "q", f.Q)
	case meant.nobody:
		l.Empty, l.EmptyOn, l.EmptyTo = pg.T("log.nobody", "q", f.Q), pg.T("log.clear"), l.Bar.Clear
	case len(part.Events) == 0 && !part.Back.IsZero():
		l.Empty = pg.T("log.none.back", "when", page.When(part.Back, ""))
	case len(part.Events) == 0 && f.Before != "":
		l.Empty = pg.T("log.none.older")
	case len(part.Events) == 0:
		l.Empty = pg.T(emptyKey(f))
		if f.any() {
			l.EmptyOn, l.EmptyTo = pg.T("log.clear"), l.Bar.Clear
		}
	case part.Next == "" && f.Before == "":
		l.Count = pg.N("log.count", len(part.Events))
	case !part.Back.IsZero():
		l.Count = pg.N("log.count.back", len(part.Events), "when", page.When(part.Back, ""))
	default:
		l.Count = pg.N("log.count.more", len(part.Events))
	}
}

// emptyKey picks the sentence for an empty list: that nobody was refused is
// good news.
func emptyKey(f logFilter) string {
	only := func(names ...string) bool {
		v := f.values()
		for _, n := range names {
			v.Del(n)
		}
		return len(v) == 0
	}
	switch {
	case !f.any():
		return "log.none"
	case f.Result == audit.Failure && only("result"):
		return "log.none.refused"
	case f.Result == audit.Failure && f.Last != "" && only("result", "last"):
		return "log.none.refused." + f.Last
	case f.Result == audit.Failure && f.Person != "" && only("result", "person", "last"):
		return "log.none.refused.person"
	}
	return "log.none.match"
}

func (v *visit) logRows(ctx context.Context, pg *page.Page, names *names, f logFilter, events []audit.Event) ([]logRow, error) {
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	out := make([]logRow, 0, len(events))
	for _, e := range events {
		row := logRow{Href: "/admin/log/" + string(e.ID) + query(f.values()), When: page.When(e.At, "start"), Method: methodName(pg, e.Method)}
		if row.Who, err = v.whoIn(ctx, pg, names, e); err != nil {
			return nil, err
		}
		if row.App, err = v.appIn(ctx, pg, names, e); err != nil {
			return nil, err
		}
		row.State, row.Result = resultOf(pg, e)
		row.Why = whyOf(pg, &p, e)
		out = append(out, row)
	}
	return out, nil
}

// whoIn names who it was; of somebody who proved nothing, whose credential
// was tried.
func (v *visit) whoIn(ctx context.Context, pg *page.Page, names *names, e audit.Event) (template.HTML, error) {
	switch {
	case e.Times > 1:
		return pg.N("log.who.many", e.Times), nil
	case e.User != "":
		name, err := names.of(ctx, e.User)
		if err == nil && e.Actor == "" && e.Outcome == audit.Failure {
			name = pg.T("log.who.as", "name", name)
		}
		return name, err
	case e.UserName != "":
		return pg.T("log.who.as", "name", e.UserName), nil
	case strings.HasPrefix(e.Actor, "client:"):
		return pg.T("log.who.app"), nil
	}
	return pg.T("log.who.nobody"), nil
}

// appIn names what was to be opened.
func (v *visit) appIn(ctx context.Context, pg *page.Page, names *names, e audit.Event) (template.HTML, error) {
	switch {
	case e.Client == "" && strings.HasPrefix(e.Activity, phoneAnswers):
		return "", nil // the record of the sign-in says it
	case e.Client == "":
		return pg.T("log.app.own"), nil
	}
	return names.app(ctx, e.Client)
}

// newerSignIns says how many records have come since the page was made.
func (c *Console) newerSignIns(ctx context.Context, v *visit) error {
	f := readLogFilter(v.r.URL.Query())
	ask := f.query(audit.SignIns, c.cfg.Now())
	meant, err := v.understand(ctx, &f, audit.SignIns, &ask)
	if err != nil {
		return err
	}
	after := idp.EventID(v.r.URL.Query().Get("after"))
	n := 0
	if !meant.nobody && len(meant.people) == 0 && guid.MatchString(string(after)) {
		ask.Limit, ask.Look = 100, 2000
		if n, _, err = c.cfg.Audit.Newer(ctx, c.cfg.DB, v.tenant.ID, after, ask); err != nil {
			return err
		}
	}
	text := ""
	if n > 0 {
		text = page.Plain(v.words().N("log.newer", n))
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(v.w).Encode(map[string]any{"count": n, "text": text})
}
