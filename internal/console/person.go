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
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
)

// someone is a person that a page is about.
type someone struct {
	idp.User
	role  string
	creds []method.Credential
}

// subject reads the person that the address names.
func (v *visit) subject(ctx context.Context) (*someone, error) {
	id := idp.UserID(v.r.PathValue("id"))
	u, err := v.cfg.Directory.User(ctx, v.cfg.DB, v.tenant.ID, id)
	if err != nil {
		return nil, err
	}
	roles, err := v.cfg.Directory.Roles(ctx, v.tenant.ID, id)
	if err != nil {
		return nil, err
	}
	s := &someone{User: u}
	if len(roles) > 0 {
		s.role = roles[0]
	}
	s.creds, err = v.cfg.Corridor.Credentials(ctx, v.tenant.ID, id)
	return s, err
}

// helped is subject for deeds: the help desk may not act on somebody with a
// role, who could then be stepped into (security.md ADM03).
func (v *visit) helped(ctx context.Context) (*someone, error) {
	s, err := v.subject(ctx)
	if err != nil {
		return nil, err
	}
	if !v.mayHelp(s) {
		return nil, notYours(s.ID, s.role)
	}
	return s, nil
}

// notYours keeps the help desk from somebody with a role.
func notYours(id idp.UserID, role string) error {
	return idp.Deniedf("target_is_administrator", "%s has the role %s", id, role).
		Say("This person has a role here. Only an administrator may do this for them.")
}

func (v *visit) mayHelp(s *someone) bool { return v.admin() || s.role == "" }

func (s *someone) path() string { return "/admin/people/" + string(s.ID) }

func (s *someone) usable() []method.Credential {
	return slices.DeleteFunc(slices.Clone(s.creds), func(c method.Credential) bool { return !c.Usable() })
}

// personView is the page of one person.
type personView struct {
	Path       string
	Name, User string
	Tags       []template.HTML
	Today      template.HTML // what they can sign in with today
	TodayState string
	Desk       *deskView
	NotDesk    template.HTML
	Methods    []methodRow
	ManyKeys   template.HTML // that they hold many Hello keys
	ManyMacs   template.HTML // that they hold many Mac keys
	ManyPhones template.HTML // that they have many phones
	Block      *blockView    // what a report has closed; nil: nothing
	Devices    []deviceRow
	DevicesAll string // all their devices, when the page has only some; empty: it has all
	// Certificate is what says which certificates are theirs; nil: there are none here.
	Certificate *certPerson
	OfDevices   bool // there are devices in this console
	Sessions    []sessionRow
	Groups      []groupLink
	Events      []changeRow
	Log         string
	Admin       bool
	Self        bool
	Enabled     bool
	Role        string
	BadName     template.HTML
	Created     template.HTML
}

// deskView is "If they call you": what the help desk can safely do now.
type deskView struct {
	Lives    []choiceOption
	Once     bool
	OnceOnly bool
	Sessions template.HTML
	HasPass  template.HTML
	Off      bool // they are switched off: a pass would open nothing
	Self     bool // nobody gives a pass or a key to themselves
	Lost     lostDevice
}

// lostDevice is the way on when somebody's device is lost or stolen.
type lostDevice struct {
	Text, Go template.HTML
	Href     string
}

type choiceOption struct {
	Value    string
	Label    template.HTML
	Selected bool
}

type methodRow struct {
	ID         idp.CredentialID
	Method     idp.MethodID
	Icon, Name string
	Kind       template.HTML
	Meta       []template.HTML
	State      string
	StateText  template.HTML
	Rule       string
	Remove     string
	Test       string // where a message for a test is sent from; empty: it cannot
	Tested     *testedView
}

type sessionRow struct {
	Icon string
	Name template.HTML
	Meta []template.HTML
}

type groupLink struct{ Name, Href string }

func (c *Console) person(ctx context.Context, v *visit) error {
	s, err := v.subject(ctx)
	if err != nil {
		return err
	}
	return v.personPage(ctx, http.StatusOK, s, personSays{})
}

// personSays is what a page of a person says of something that was just tried.
type personSays struct {
	badName template.HTML     // why the name was not taken
	tested  *phonewire.Tested // what became of a message to phone
	phone   idp.CredentialID
	cert    *certSays
}

func (v *visit) personPage(ctx context.Context, status int, s *someone, says personSays) error {
	pg := v.page("person", template.HTML(template.HTMLEscapeString(s.DisplayName)), nil)
	sessions, err := v.cfg.Sessions.List(ctx, v.tenant.ID, s.ID)
	if err != nil {
		return err
	}
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	view := personView{
		Path: s.path(), Name: s.DisplayName, User: s.Name, Admin: v.admin(), Self: s.ID == v.user.ID, Enabled: s.Enabled, Role: s.role,
		Log: "/admin/log?person=" + string(s.ID), BadName: says.badName, Tags: personTags(pg, s),
	}
	view.TodayState, view.Today = today(pg, s)
	if v.mayHelp(s) {
		view.Desk = deskOf(pg, s, p, len(sessions))
		view.Desk.Self = s.ID == v.user.ID
	} else {
		view.NotDesk = pg.T("desk.not_yours")
	}
	for _, c := range s.creds {
		if c.Bootstrap && c.Disabled {
			continue
		}
		row := v.methodRow(pg, s, c)
		if !v.mayHelp(s) {
			row.Remove = ""
		}
		view.Methods = append(view.Methods, row)
	}
	if err := v.personPhones(ctx, pg, s, &view, says); err != nil {
		return err
	}
	if err := v.personDevices(ctx, pg, s, &view, p); err != nil {
		return err
	}
	if err := v.personCertificates(ctx, pg, s, &view, says.cert); err != nil {
		return err
	}
	for _, se := range sessions {
		view.Sessions = append(view.Sessions, sessionRowOf(pg, se))
	}
	if view.Groups, err = v.groupLinks(ctx, s.ID); err != nil {
		return err
	}
	if view.Events, err = v.personEvents(ctx, pg, s); err != nil {
		return err
	}
	pg.V = view
	return v.show(status, pg)
}

// mostDevices is how many devices a person's page shows.
const mostDevices = 10

// personDevices fills in the devices of a person, and what to do when one is
// lost.
func (v *visit) personDevices(ctx context.Context, pg *page.Page, s *someone, view *personView, p policy.Policy) error {
	lost := lostDevice{pg.T("desk.lost.text"), pg.T("desk.lost.go"), "#b-methods"}
	if v.cfg.Devices == nil {
		if view.Desk != nil {
			view.Desk.Lost = lost
		}
		return nil
	}
	view.OfDevices = true
	owned, err := v.cfg.Devices.Owned(ctx, v.tenant.ID, s.ID)
	if err != nil {
		return err
	}
	names := &names{visit: v}
	for _, d := range owned[:min(len(owned), mostDevices)] {
		row, err := v.deviceRow(ctx, pg, names, d)
		if err != nil {
			return err
		}
		view.Devices = append(view.Devices, row)
	}
	if len(owned) > mostDevices {
		view.DevicesAll = devicesPath + "?owner=" + string(s.ID)
	}
	held := 0
	for _, c := range s.creds {
		if c.Method == policy.Hello {
			held++
		}
	}
	if p.Hello.WarnAt > 0 && held >= p.Hello.WarnAt {
		view.ManyKeys = pg.T("person.keys.many", "n", held, "limit", p.Hello.Limit)
	}
	view.ManyMacs = manyMacs(pg, s, p)
	switch {
	case view.Desk == nil:
		return nil
	case len(owned) == 1 && owned[0].Enabled:
		lost = lostDevice{pg.T("desk.lost.one", "device", owned[0].Name), pg.T("desk.lost.one.go"), devicePath(owned[0].ID) + "/ask?what=disable"}
	case len(owned) > 0:
		lost = lostDevice{pg.T("desk.lost.several"), pg.T("desk.lost.several.go"), "#b-devices"}
	}
	view.Desk.Lost = lost
	return nil
}

func personTags(pg *page.Page, s *someone) []template.HTML {
	var out []template.HTML
	if s.role != "" {
		out = append(out, pg.T("role."+s.role))
	}
	if s.Type == idp.Guest {
		out = append(out, pg.T("person.guest"))
	}
	return out
}

// today says what the person can sign in with now.
func today(pg *page.Page, s *someone) (state string, text template.HTML) {
	if !s.Enabled {
		return "bad", pg.T("today.off")
	}
	works := s.usable()
	switch len(works) {
	case 0:
		for _, c := range s.creds {
			if c.Bootstrap && !c.Disabled {
				return "warn", pg.T("today.pass")
			}
		}
		return "warn", pg.T("today.nothing")
	case 1:
		return "good", pg.T("today.one", "name", nameOf(pg, works[0]))
	}
	return "good", pg.N("today.more", len(works)-1, "name", nameOf(pg, works[0]))
}

// nameOf is what a credential is called.
func nameOf(pg *page.Page, c method.Credential) string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Bootstrap:
		return page.Plain(pg.T("method.accessPass"))
	case c.Model != "":
		return c.Model
	}
	return page.Plain(pg.T("kind.passkey"))
}

// lives are the lifetimes of passes that are offered.
var lives = []time.Duration{10 * time.Minute, time.Hour, 8 * time.Hour, day, 3 * day, 7 * day, 30 * day}

func deskOf(pg *page.Page, s *someone, p policy.Policy, sessions int) *deskView {
	d := &deskView{OnceOnly: p.AccessPass.Once, Once: true, Off: !s.Enabled, Sessions: pg.N("desk.sessions", sessions)}
	rules := p.AccessPass
	list := append(slices.Clone(lives), rules.Default)
	slices.Sort(list)
	for _, l := range slices.Compact(list) {
		if l < rules.Min || l > rules.Max {
			continue
		}
		d.Lives = append(d.Lives, choiceOption{strconv.Itoa(int(l / time.Minute)), lasting(pg, l), l == rules.Default})
	}
	for _, c := range s.creds {
		if c.Bootstrap && !c.Disabled {
			d.HasPass = pg.T("desk.has_pass", "when", page.When(c.Expires, ""))
		}
	}
	return d
}

// lasting is a length of time in words.
func lasting(pg *page.Page, d time.Duration) template.HTML {
	switch {
	case d >= day && d%day == 0:
		return pg.N("lasting.days", int(d/day))
	case d >= time.Hour && d%time.Hour == 0:
		return pg.N("lasting.hours", int(d/time.Hour))
	}
	return pg.N("lasting.minutes", int(d/time.Minute))
}

func (v *visit) methodRow(pg *page.Page, s *someone, c method.Credential) methodRow {
	m := markOf(pg, c)
	row := methodRow{ID: c.ID, Method: c.Method, Icon: m.Icon, Kind: m.Label, Name: nameOf(pg, c)}
	if c.Method == policy.Certificate {
		row.Meta = append(row.Meta, badgeMeta(pg, c)...)
	} else if c.Model != "" && c.Model != row.Name && c.Method != policy.Phone {
		row.Meta = append(row.Meta, template.HTML(template.HTMLEscapeString(c.Model)))
	}
	if !c.Bootstrap && c.Method != policy.Hello && c.Method != policy.Platform && c.Method != policy.Phone && c.Method != policy.Certificate {
		key := "model.claimed"
		if policy.Proven(c.Facts) {
			key = "model.proven"
		}
		row.Meta = append(row.Meta, pg.T(key))
	}
	added := "meta.added"
	if c.Method == policy.Certificate {
		added = "meta.first"
	}
	row.Meta = append(row.Meta, pg.T(added, "when", page.When(c.Created, "")))
	switch {
	case c.Bootstrap && !c.Expires.IsZero() && c.Method != policy.Certificate:
		row.Meta = append(row.Meta, pg.T("meta.until", "when", page.When(c.Expires, "")))
	case c.LastUsed.IsZero():
		row.Meta = append(row.Meta, pg.T("meta.unused"))
	default:
		row.Meta = append(row.Meta, pg.T("meta.used", "when", page.When(c.LastUsed, "")))
	}
	switch {
	case (c.Method == policy.Hello || c.Method == policy.Platform) && (c.Weak || c.Orphaned || c.Disabled):
		row.State, row.StateText = helloState(pg, c)
	case c.Method == policy.Certificate && c.Disabled:
		row.State, row.StateText = "bad", pg.T("method.badge.over")
	case c.Disabled:
		row.State, row.StateText = "bad", pg.T("method.off")
	case !c.Refusal.Allowed():
		row.State, row.StateText, row.Rule = "bad", pg.T("method.refused"), c.Refusal.Rule
	default:
		row.State, row.StateText = "good", pg.T("method.works")
	}
	row.Remove = s.path() + "/ask?what=remove-method&method=" + string(c.Method) + "&credential=" + string(c.ID)
	return row
}

// badgeMeta says of a certificate who issued it and until when it is good.
func badgeMeta(pg *page.Page, c method.Credential) (out []template.HTML) {
	if c.Model != "" {
		out = append(out, pg.T("meta.issued", "issuer", page.Clip(c.Model, 120)))
	}
	if !c.Expires.IsZero() {
		out = append(out, pg.T("meta.until", "when", page.When(c.Expires, "")))
	}
	if slices.Contains(certificateModes, c.Mode) {
		out = append(out, pg.T("meta.counts."+string(c.Mode)))
	}
	return out
}

func sessionRowOf(pg *page.Page, s session.Session) sessionRow {
	row := sessionRow{Icon: page.AgentIcon(s.Agent), Name: page.AgentName(pg, s.Agent)}
	if s.IP != "" {
		row.Meta = append(row.Meta, template.HTML(template.HTMLEscapeString(s.IP)))
	}
	row.Meta = append(row.Meta, pg.T("meta.since", "when", page.When(s.Opened, "")), pg.T("meta.seen", "when", page.When(s.LastSeen, "")))
	return row
}

func (v *visit) groupLinks(ctx context.Context, u idp.UserID) ([]groupLink, error) {
	ids, err := v.cfg.Directory.GroupsOf(ctx, v.tenant.ID, u)
	if err != nil {
		return nil, err
	}
	var out []groupLink
	for _, id := range ids {
		g, err := v.cfg.Directory.Group(ctx, v.cfg.DB, v.tenant.ID, id)
		if e := idp.AsError(err); e != nil && e.Kind == idp.NotFound {
			continue // removed between the two reads
		}
		if err != nil {
			return nil, err
		}
		out = append(out, groupLink{g.Name, "/admin/groups/" + string(g.ID)})
	}
	return out, nil
}

// personEvents are the newest records about the person.
func (v *visit) personEvents(ctx context.Context, pg *page.Page, s *someone) ([]changeRow, error) {
	events, err := v.cfg.Audit.List(ctx, v.cfg.DB, v.tenant.ID, audit.Filter{User: s.ID, Limit: 40})
	if err != nil {
		return nil, err
	}
	names := &names{visit: v}
	var out []changeRow
	for _, e := range events {
		if e.Category == audit.Token || len(out) == 8 {
			continue
		}
		row, err := v.eventRow(ctx, pg, names, e)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// eventRow tells a sign-in or a change.
func (v *visit) eventRow(ctx context.Context, pg *page.Page, names *names, e audit.Event) (changeRow, error) {
	if e.Category != audit.SignIn && e.Category != audit.Token {
		return v.changeRow(ctx, pg, names, e)
	}
	app, err := names.app(ctx, e.Client)
	if err != nil {
		return changeRow{}, err
	}
	row := changeRow{ID: e.ID, When: page.When(e.At, "start"), Bad: e.Outcome == audit.Failure, Href: "/admin/log/" + string(e.ID)}
	key := map[string]string{audit.Success: "event.in", audit.Failure: "event.refused", audit.Interrupted: "event.interrupted"}[e.Outcome]
	row.Text = pg.T(key, "method", methodName(pg, e.Method))
	if app != "" {
		row.Text = pg.T(key+".app", "method", methodName(pg, e.Method), "app", app)
	}
	if !strings.HasPrefix(e.Activity, "signin.") {
		who, err := v.whoIn(ctx, pg, names, e)
		if err != nil {
			return changeRow{}, err
		}
		text, ok := known(pg, "log.title."+e.Activity+"."+e.Outcome, "who", who, "app", app)
		if !ok {
			return v.changeRow(ctx, pg, names, e)
		}
		row.Text = text
	}
	if e.Rule != "" && row.Bad {
		p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
		if err != nil {
			return changeRow{}, err
		}
		row.Meta = pg.T("event.rule", "rule", ruleName(pg, &p, e.Rule))
	}
	return row, nil
}
