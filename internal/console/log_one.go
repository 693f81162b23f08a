package console

import (
	"context"
	"html/template"
	"net/http"
	"slices"
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

// wording is one story on its way into words.
type wording struct {
	pg            *page.Page
	p             *policy.Policy
	f             facts
	s             story
	who, app, key template.HTML
}

// byPhone says that it is an answer of a phone, and no sign-in.
func (w wording) byPhone() bool { return w.s.verdict == saidYes || w.s.verdict == saidNo }

// phoneSays is what a phone's answer means, in the words of one step.
func (w wording) phoneSays(step string) template.HTML {
	what := strings.TrimPrefix(w.f.event.Activity, phoneAnswers)
	text, ok := known(w.pg, "log.phone."+step+"."+what)
	if !ok { // an answer that has no words yet
		return w.pg.T("log.phone." + step + ".denied")
	}
	return text
}

func (w wording) own() bool { return w.f.event.Client == "" }

// title is the verdict.
func (w wording) title() template.HTML {
	e := w.f.event
	if text, ok := known(w.pg, "log.title."+e.Activity+"."+e.Outcome, "who", w.who, "app", w.app); ok {
		return text
	}
	key := "log.title." + string(w.s.verdict)
	switch {
	case e.Reason == "consent_needed":
		key = "log.title.consent"
	case e.Reason == "only_a_pass":
		key = "log.title.pass"
	case e.Times > 1:
		key = "log.title.many"
	}
	if w.own() && (w.s.verdict == letIn || w.s.verdict == refused || w.s.verdict == halfway) && e.Times <= 1 && key == "log.title."+string(w.s.verdict) {
		key += ".own"
	}
	return w.pg.T(key, "who", w.who, "app", w.app, "ip", e.IP)
}

// verdict is the sentence that names the rule.
func (w wording) verdict() template.HTML {
	e := w.f.event
	rule := ruleName(w.pg, w.p, e.Rule)
	with := w.key
	switch {
	case w.byPhone():
		return w.phoneSays("says")
	case w.s.verdict == left:
		return w.pg.T("log.says.left")
	case w.s.verdict == letIn && e.Category == audit.Token:
		return w.pg.T("log.says.token")
	case w.s.verdict == letIn && e.Rule != "":
		return w.pg.T("log.says.in", "key", with, "rule", rule)
	case w.s.verdict == letIn:
		return w.pg.T("log.says.in.plain", "key", with)
	case e.Times > 1:
		return w.pg.N("log.says.many", e.Times, "ip", e.IP)
	case w.s.verdict == unproven:
		return w.pg.T("log.says.nobody", "reason", w.reasonSentence())
	case e.Reason == "consent_needed":
		return w.pg.T("log.says.consent", "app", w.app)
	case e.Reason == "only_a_pass":
		return w.pg.T("log.says.pass")
	case w.key == "":
		return w.pg.T("log.says.refused.plain", "rule", rule, "because", because(w.pg, policy.Check{Reason: e.Reason}))
	}
	return w.pg.T("log.says.refused", "key", with, "rule", rule, "because", because(w.pg, policy.Check{Reason: e.Reason}))
}

func (w wording) reasonSentence() template.HTML {
	if text, ok := known(w.pg, "log.because."+w.f.event.Reason); ok {
		return text
	}
	return w.pg.T("log.reason.is", "reason", reasonShort(w.pg, w.f.event.Reason))
}

// asked is what the application wanted.
func (w wording) asked() step {
	e, t := w.f.event, w.f.told
	out := step{At: stampOf(w.s.asked)}
	switch {
	case w.byPhone() && e.Detail["asked"] != "":
		out.Text = append(out.Text, w.pg.T("log.phone.asked", "address", e.Detail["asked"]))
		return out
	case w.byPhone():
		out.Text = append(out.Text, w.pg.T("log.phone.asked.somewhere"))
		return out
	case e.Category == audit.Token:
		out.Text = append(out.Text, w.pg.T("log.asked.token", "app", w.app))
	case w.own():
		out.Text = append(out.Text, w.pg.T("log.asked.own"))
	default:
		out.Text = append(out.Text, w.pg.T("log.asked.app", "app", w.app))
	}
	fact := func(key string, value template.HTML) {
		if value != "" {
			out.Facts = append(out.Facts, pair{w.pg.T(key), value})
		}
	}
	if e.Agent != "" {
		fact("log.fact.from", page.AgentName(w.pg, e.Agent))
	}
	fact("log.fact.place", escaped(e.IP))
	fact("log.fact.demands", w.strengthName(t.Required))
	var asks []string
	for _, a := range t.ACR {
		if name := w.strengthName(a); name != w.strengthName(t.Required) { // the door asks for what the app demands
			asks = append(asks, string(name))
		}
	}
	fact("log.fact.asks", template.HTML(strings.Join(asks, ", ")))
	if t.Login {
		fact("log.fact.new", w.pg.T("log.fact.new.login"))
	}
	if t.MaxAge >= 0 && t.Judged {
		fact("log.fact.age", w.pg.N("log.fact.age.seconds", int(t.MaxAge/time.Second)))
	}
	return out
}

func (w wording) strengthName(ask string) template.HTML {
	if ask == "" {
		return ""
	}
	if s, ok := w.p.Strength(ask); ok {
		return escaped(s.Name)
	}
	return code(ask)
}

// proved is what came back.
func (w wording) proved() step {
	e := w.f.event
	out := step{At: stampOf(e.At)}
	say := func(text template.HTML) { out.Text = append(out.Text, text) }
	switch {
	case e.Activity == phoneUnanswered:
		say(w.pg.T("log.phone.unanswered"))
	case w.byPhone():
		say(w.pg.T("log.phone.answered", "key", w.key))
		if e.IP != "" {
			out.Facts = append(out.Facts, pair{w.pg.T("log.phone.place"), escaped(e.IP)})
		}
	case e.Times > 1:
		say(w.pg.N("log.proved.many", e.Times))
	case w.s.verdict == unproven:
		if e.Method != "" {
			say(w.pg.T("log.proved.tried", "method", methodName(w.pg, e.Method)))
		}
		say(w.reasonSentence())
	case w.s.verdict == left:
		say(w.pg.T("log.proved.left"))
	case w.s.proven:
		say(w.pg.T("log.proved.with", "key", w.key))
		say(countsAs(w.pg, w.s.proof))
	case e.Method != "":
		say(w.pg.T("log.proved.with", "key", w.key))
	default:
		say(w.pg.T("log.proved.before"))
	}
	if k := w.s.key; k != nil && k.Model != "" {
		label := "log.fact.model"
		if k.Method == policy.Phone {
			label = "log.phone.app"
		}
		if k.Method != policy.Certificate { // its issuer stands below
			out.Facts = append(out.Facts, pair{w.pg.T(label), escaped(k.Model)})
		}
	}
	out.Facts = append(out.Facts, certificateTold(w.pg, w.p, e)...)
	return out
}

// weighed is the table of rules; nil when none was asked.
func (w wording) weighed() *weighed {
	if len(w.s.checks) == 0 {
		return nil
	}
	out := &weighed{step: step{At: stampOf(w.f.event.At)}, Title: w.pg.N("log.weighed", len(w.s.checks))}
	switch {
	case w.s.changed:
		out.Notice = w.pg.T("log.weighed.changed")
	case w.s.rebuilt:
		out.Notice = w.pg.T("log.weighed.rebuilt")
	}
	out.Rows = ruleRows(w.pg, w.p, w.s.checks, w.s.deciding, w.s.verdict == letIn)
	return out
}

// ruleRows puts checks into words: the deciding rule first, then those that
// had something to say.
func ruleRows(pg *page.Page, p *policy.Policy, checks []policy.Check, deciding int, good bool) []ruleRow {
	rows := make([]ruleRow, 0, len(checks))
	for i, c := range checks {
		row := ruleRow{Name: ruleName(pg, p, c.Rule), About: ruleAbout(pg, c.Rule), Because: because(pg, c), Deciding: i == deciding}
		row.State, row.Result = shapes[c.Result], pg.T("log.check."+string(c.Result))
		rows = append(rows, row)
	}
	order := map[string]int{"bad": 1, "warn": 2, "good": 3, "off": 4}
	rank := func(r ruleRow) int {
		if r.Deciding {
			return 0
		}
		return order[r.State]
	}
	slices.SortStableFunc(rows, func(a, b ruleRow) int { return rank(a) - rank(b) })
	return rows
}

var shapes = map[policy.Result]string{policy.Met: "good", policy.Refused: "bad", policy.OnTrial: "warn", policy.NotAsked: "off"}

// answered is what the person and the application got.
func (w wording) answered() step {
	e := w.f.event
	out := step{At: stampOf(e.At)}
	say := func(text template.HTML) { out.Text = append(out.Text, text) }
	switch {
	case w.byPhone():
		say(w.phoneSays("then"))
		return out
	case w.s.verdict == left:
		say(w.pg.T("log.answered.left"))
		return out
	case w.s.verdict == letIn && e.Category == audit.Token:
		say(w.pg.T("log.answered.token", "app", w.app))
		return out
	case w.s.verdict == letIn:
		say(w.pg.T("log.answered.in"))
	case e.Reason == "consent_needed":
		say(w.pg.T("log.answered.consent", "app", w.app))
	case e.Reason == "only_a_pass":
		say(w.pg.T("log.answered.pass"))
	case w.s.verdict == halfway:
		say(w.pg.T("log.answered.halfway"))
	default:
		say(w.pg.T("log.answered.refused"))
	}
	if e.Code != 0 {
		say(w.pg.T("log.answered.code", "code", code("AADSTS"+strconv.Itoa(e.Code))))
	}
	if rule := e.Detail["wouldRefuse"]; rule != "" {
		say(w.pg.T("log.answered.trial", "rule", ruleName(w.pg, w.p, rule), "because", because(w.pg, policy.Check{Reason: e.Detail["wouldReason"]})))
	}
	return out
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
