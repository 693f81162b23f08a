package console

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// machine is a device that a page is about, with all that stands on it.
type machine struct {
	device.Device
	prts []prt.PRT
	keys []method.Credential
	mac  *mac.Mac // nil: it is none
	// roled says that somebody with a role owns it, or signs in with it.
	roled bool
}

// concerned reads the device that the address names.
func (v *visit) concerned(ctx context.Context) (*machine, error) {
	d, err := v.cfg.Devices.Load(ctx, v.cfg.DB, v.tenant.ID, idp.DeviceID(v.r.PathValue("id")))
	if err != nil {
		return nil, err
	}
	m := &machine{Device: d}
	if m.prts, err = v.cfg.PRTs.OfDevice(ctx, v.tenant.ID, d.ID); err != nil {
		return nil, err
	}
	if m.keys, err = v.cfg.Hello.OnDevice(ctx, v.tenant.ID, d.ID); err != nil {
		return nil, err
	}
	if err := v.macOf(ctx, m); err != nil {
		return nil, err
	}
	for _, u := range m.people() {
		roles, err := v.cfg.Directory.Roles(ctx, v.tenant.ID, u)
		if err != nil && !errors.Is(err, idp.NotFound) {
			return nil, err
		}
		m.roled = m.roled || len(roles) > 0
	}
	return m, nil
}

// people are those who own the device or sign in with it, each once.
func (m *machine) people() []idp.UserID {
	var out []idp.UserID
	add := func(u idp.UserID) {
		if u != "" && !slices.Contains(out, u) { // a Mac may wait for its first person
			out = append(out, u)
		}
	}
	add(m.Owner)
	for _, k := range m.keys {
		add(k.User)
	}
	for _, p := range m.prts {
		add(p.User)
	}
	return out
}

func (m *machine) path() string { return devicePath(m.ID) }

// changeable is concerned for deeds: the help desk keeps its hands off what
// somebody with a role signs in with (security.md ADM04).
func (v *visit) changeable(ctx context.Context) (*machine, error) {
	m, err := v.concerned(ctx)
	if err == nil && m.roled && !v.admin() {
		err = roledDevice(m.ID)
	}
	return m, err
}

func roledDevice(id idp.DeviceID) error {
	return idp.Deniedf("target_is_administrator", "somebody with a role uses device %s", id).
		Say("Somebody with a role here owns this device or signs in with it. Only an administrator may do this.")
}

// changeDevice is change for a device: the roles are those that its people have
// in the transaction.
func (v *visit) changeDevice(ctx context.Context, activity string, m *machine, fn func(context.Context, *sqldb.Tx, *audit.Event) error) error {
	return v.change(ctx, activity, idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		for _, u := range m.people() {
			if v.admin() {
				break
			}
			role, err := v.cfg.Directory.RoleIn(ctx, tx, v.tenant.ID, u)
			if err != nil && !errors.Is(err, idp.NotFound) {
				return err
			}
			if role != "" {
				return roledDevice(m.ID)
			}
		}
		e.User, e.Detail["device"], e.Detail["displayName"] = m.Owner, string(m.ID), m.Name
		return fn(ctx, tx, e)
	})
}

// deviceView is the page of one device.
type deviceView struct {
	Path, Name        string
	OS, Owner         template.HTML
	OwnerTo           string
	Tags              []template.HTML
	Today             template.HTML
	TodayState        string
	Desk, Admin       bool
	NotDesk           template.HTML
	Enabled, Pending  bool
	KeysState         string
	Keys, KeysMeaning template.HTML
	PRTs              []prtRow
	Hello             []helloRow
	HelloTitle        template.HTML
	RemoveText        template.HTML
	Facts             []pair
	Events            []changeRow
	BadName           template.HTML
	Log               string
}

// prtRow is somebody who is signed in with a device.
type prtRow struct {
	Name template.HTML
	To   string
	Meta []template.HTML
}

// helloRow is a Hello key.
type helloRow struct {
	ID        idp.CredentialID
	Title     template.HTML
	To        string
	Meta      []template.HTML
	State     string
	StateText template.HTML
	Remove    string
}

func (c *Console) device(ctx context.Context, v *visit) error {
	m, err := v.concerned(ctx)
	if err != nil {
		return err
	}
	return v.devicePage(ctx, http.StatusOK, m, "")
}

func (v *visit) devicePage(ctx context.Context, status int, m *machine, badName template.HTML) error {
	pg := v.page("device", escaped(m.Name), nil)
	names := &names{visit: v}
	owner, err := names.of(ctx, m.Owner)
	if err != nil {
		return err
	}
	view := deviceView{
		Path: m.path(), Name: m.Name, OS: systemOf(pg, m.Device), Owner: owner, OwnerTo: "/admin/people/" + string(m.Owner), Admin: v.admin(),
		Desk: v.admin() || !m.roled, Enabled: m.Enabled, Pending: !m.Pending.IsZero(), BadName: badName, Log: "/admin/log" + query(logFilter{Person: m.Owner}.values()),
		Tags: []template.HTML{pg.T("device.join." + strings.ToLower(string(m.Join)))},
	}
	if !view.Desk {
		view.NotDesk = pg.T("device.not_yours")
	}
	view.TodayState, view.Today = m.today(pg)
	view.KeysState, view.Keys = keysOf(pg, m.Device)
	view.KeysMeaning = pg.T(macWord(m.Device, "device", "mac") + ".meaning." + keysWord(m.Device))
	view.HelloTitle, view.RemoveText = pg.T(macWord(m.Device, "device.hello", "mac.hello")), pg.T(macWord(m.Device, "device.desk.remove.text", "mac.desk.remove.text"))
	for _, p := range m.prts {
		row, err := v.prtRow(ctx, pg, names, p, m.keys)
		if err != nil {
			return err
		}
		view.PRTs = append(view.PRTs, row)
	}
	for _, k := range m.keys {
		row := helloRowOf(pg, k)
		if row.Title, err = names.of(ctx, k.User); err != nil {
			return err
		}
		if row.To = "/admin/people/" + string(k.User); view.Desk {
			row.Remove = row.To + "/ask?what=remove-method&method=" + string(k.Method) + "&credential=" + string(k.ID)
		}
		view.Hello = append(view.Hello, row)
	}
	view.Facts = deviceFacts(pg, m.Device)
	if m.mac != nil {
		view.Facts = append(view.Facts, macFacts(pg, *m.mac)...)
	}
	if view.Events, err = v.deviceEvents(ctx, pg, names, m.ID); err != nil {
		return err
	}
	pg.V = view
	return v.show(status, pg)
}

// keysWord is what is known of where the keys of a device are, in a word.
func keysWord(d device.Device) string {
	if d.Software {
		return "software"
	}
	return string(d.Assurance)
}

// today says whether the device lets anybody in now.
func (m *machine) today(pg *page.Page) (state string, text template.HTML) {
	switch {
	case !m.Pending.IsZero():
		return "warn", pg.T("device.today.pending", "when", page.When(m.Pending, ""))
	case !m.Enabled && !m.Voided.IsZero():
		return "bad", pg.T("device.today.off", "when", page.When(m.Voided, ""))
	case !m.Enabled:
		return "bad", pg.T("device.today.off.plain")
	case len(m.prts) == 0:
		return "off", pg.T("device.today.idle")
	}
	people := map[idp.UserID]bool{}
	for _, p := range m.prts {
		people[p.User] = true
	}
	return "good", pg.N("device.today.in", len(people))
}

func (v *visit) prtRow(ctx context.Context, pg *page.Page, names *names, p prt.PRT, keys []method.Credential) (prtRow, error) {
	name, err := names.of(ctx, p.User)
	row := prtRow{Name: name, To: "/admin/people/" + string(p.User)}
	if len(p.Proofs) > 0 {
		row.Meta = append(row.Meta, pg.T("device.prt.by", "method", methodName(pg, p.Proofs[len(p.Proofs)-1].Method)))
	}
	row.Meta = append(row.Meta, pg.T("meta.since", "when", page.When(p.Issued, "")), pg.T("meta.used", "when", page.When(p.LastUsed, "")),
		pg.T("device.prt.until", "when", page.When(p.Expires, "")))
	if p.IP != "" {
		row.Meta = append(row.Meta, escaped(p.IP))
	}
	return row, err
}

// helloRowOf is a Hello key but for its title.
func helloRowOf(pg *page.Page, k method.Credential) helloRow {
	row := helloRow{ID: k.ID, Meta: []template.HTML{escaped(k.Name), pg.T("meta.added", "when", page.When(k.Created, ""))}}
	if k.LastUsed.IsZero() {
		row.Meta = append(row.Meta, pg.T("meta.unused"))
	} else {
		row.Meta = append(row.Meta, pg.T("meta.used", "when", page.When(k.LastUsed, "")))
	}
	row.State, row.StateText = helloState(pg, k)
	return row
}

// helloState is what a Hello key is worth now, the worst first.
func helloState(pg *page.Page, k method.Credential) (state string, text template.HTML) {
	switch {
	case k.Weak:
		return "bad", pg.T("keys.state.weak")
	case k.Orphaned:
		return "bad", pg.T("keys.state.orphaned")
	case k.Disabled:
		return "bad", pg.T("keys.state.off")
	}
	return "good", pg.T("method.works")
}

// deviceFacts are the particulars of a device.
func deviceFacts(pg *page.Page, d device.Device) []pair {
	out := []pair{
		{pg.T("device.fact.id"), code(string(d.ID))},
		{pg.T("device.fact.join"), pg.T("device.join." + strings.ToLower(string(d.Join)))},
		{pg.T("device.fact.joined"), page.When(d.Created, "")},
	}
	seen := pg.T("people.never")
	if !d.LastSeen.IsZero() {
		seen = page.When(d.LastSeen, "")
	}
	out = append(out, pair{pg.T("device.fact.seen"), seen}, pair{pg.T("device.fact.key"), escaped(device.KeyKind(d.Key))})
	if d.Transport != nil {
		kind := escaped(device.KeyKind(d.Transport))
		if device.Same(d.Key, d.Transport) {
			kind = pg.T("device.key.shared")
		}
		out = append(out, pair{pg.T("device.fact.transport"), kind})
	}
	if !d.Certified.IsZero() {
		out = append(out, pair{pg.T("device.fact.certified"), page.When(d.Certified, "")})
	}
	if d.Thumbprint != "" {
		out = append(out, pair{pg.T("device.fact.thumbprint"), code(d.Thumbprint)})
	}
	return out
}

// deviceShown is how many records the page of a device has.
const deviceShown = 12

// deviceEvents are the newest records that name the device.
func (v *visit) deviceEvents(ctx context.Context, pg *page.Page, names *names, id idp.DeviceID) ([]changeRow, error) {
	part, err := v.cfg.Audit.Search(ctx, v.cfg.DB, v.tenant.ID, audit.Query{Device: id, Limit: deviceShown})
	if err != nil {
		return nil, err
	}
	out := make([]changeRow, 0, len(part.Events))
	for _, e := range part.Events {
		delete(e.Detail, "device") // it is this one
		if !strings.Contains(e.Detail["displayName"], "→") {
			delete(e.Detail, "displayName")
		}
		row, err := v.eventRow(ctx, pg, names, e)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// effect is one line of what follows from a deed.
type effect struct {
	State string
	Text  template.HTML
}

// followsView is the question before a device is switched off or removed, with
// what follows from it.
type followsView struct {
	Action, Keep  string
	Lead          template.HTML
	Effects       []effect
	Stranded      []groupLink
	StrandedTitle template.HTML
	Yes, No       template.HTML
}

// strand tells who could not sign in any more without the credentials.
func (v *visit) strand(ctx context.Context, pg *page.Page, view *followsView, without []method.Credential) error {
	stranded, err := v.cfg.Corridor.Stranded(ctx, v.tenant.ID, without)
	if err != nil {
		return err
	}
	names := &names{visit: v}
	for _, u := range stranded {
		name, err := names.of(ctx, u)
		if err != nil {
			return err
		}
		view.Stranded = append(view.Stranded, groupLink{page.Plain(name), "/admin/people/" + string(u)})
	}
	view.StrandedTitle = pg.N("device.ask.stranded", len(stranded))
	return nil
}

// askDevice asks before a device is switched off or removed.
func (c *Console) askDevice(ctx context.Context, v *visit) error {
	m, err := v.changeable(ctx)
	if err != nil {
		return err
	}
	what := v.r.URL.Query().Get("what")
	if what == "" {
		what = "disable"
	}
	if what != "disable" && what != "remove" {
		return idp.NotFoundf("page_unknown", "question %.40q", what)
	}
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("deviceask", "", nil)
	view := followsView{
		Action: m.path() + "/" + what, Keep: m.path(), Lead: pg.T("device.ask." + what + ".lead"),
		Yes: pg.T("device.ask." + what + ".yes"), No: pg.T("ask.no"),
	}
	if view.Effects, err = v.effects(ctx, pg, m, what, p); err != nil {
		return err
	}
	if err := v.strand(ctx, pg, &view, m.keys); err != nil {
		return err
	}
	pg.Title, pg.V = pg.T("device.ask."+what+".title", "name", m.Name), view
	return v.show(http.StatusOK, pg)
}

// effects says what follows from switching a device off, or from removing it.
func (v *visit) effects(ctx context.Context, pg *page.Page, m *machine, what string, p policy.Policy) ([]effect, error) {
	var out []effect
	add := func(state string, text template.HTML) { out = append(out, effect{state, text}) }
	sessions := 0
	for _, u := range m.people() {
		list, err := v.cfg.Sessions.List(ctx, v.tenant.ID, u)
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			if s.Device == m.ID {
				sessions++
			}
		}
	}
	people, err := v.nameAll(ctx, pg, m.prts)
	if err != nil {
		return nil, err
	}
	if len(m.prts) > 0 {
		add("bad", pg.N("device.effect.prts", len(m.prts), "people", people))
		add("warn", pg.T("device.effect.access"))
	} else {
		add("off", pg.T("device.effect.noprts"))
	}
	if sessions > 0 {
		add("bad", pg.N("device.effect.sessions", sessions))
	}
	for _, of := range []struct {
		method idp.MethodID
		word   string
	}{{policy.Hello, "device"}, {policy.Platform, "mac"}} {
		if n := m.count(of.method); n > 0 {
			add("bad", pg.N(of.word+".effect."+what+".keys", n))
		}
	}
	switch {
	case isMac(m.Device): // it opens by a password of its own, for as long as it likes
		add("warn", pg.T("mac.effect.offline"))
	case p.Devices.OfflineDays > 0:
		add("warn", pg.N("device.effect.offline", p.Devices.OfflineDays))
	}
	return append(out, effect{map[string]string{"disable": "good", "remove": "warn"}[what], pg.T("device.effect." + what + ".back")}), nil
}

// nameAll names the people of PRTs, each once, at most five.
func (v *visit) nameAll(ctx context.Context, pg *page.Page, list []prt.PRT) (template.HTML, error) {
	const most = 5
	names, seen := &names{visit: v}, map[idp.UserID]bool{}
	var parts []string
	for _, p := range list {
		if seen[p.User] {
			continue
		}
		seen[p.User] = true
		if len(seen) > most {
			continue
		}
		name, err := names.of(ctx, p.User)
		if err != nil {
			return "", err
		}
		parts = append(parts, string(name))
	}
	if more := len(seen) - most; more > 0 {
		parts = append(parts, string(pg.N("device.effect.more", more)))
	}
	return template.HTML(strings.Join(parts, ", ")), nil
}

func (c *Console) disableDevice(ctx context.Context, v *visit) error {
	return v.switchDevice(ctx, false)
}
func (c *Console) enableDevice(ctx context.Context, v *visit) error { return v.switchDevice(ctx, true) }

func (v *visit) switchDevice(ctx context.Context, on bool) error {
	m, err := v.changeable(ctx)
	if err != nil {
		return err
	}
	activity, done := "device.disable", "device-off"
	if on {
		activity, done = "device.enable", "device-on"
	}
	err = v.changeDevice(ctx, activity, m, func(ctx context.Context, tx *sqldb.Tx, _ *audit.Event) error {
		return v.cfg.Devices.SetEnabled(ctx, tx, v.tenant.ID, m.ID, on)
	})
	if err != nil {
		return err
	}
	return v.leave(m.path(), done)
}

func (c *Console) removeDevice(ctx context.Context, v *visit) error {
	m, err := v.changeable(ctx)
	if err != nil {
		return err
	}
	err = v.changeDevice(ctx, "device.remove", m, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["helloKeys"], e.Detail["primaryRefreshTokens"] = strconv.Itoa(m.count(policy.Hello)), strconv.Itoa(len(m.prts))
		if n := m.count(policy.Platform); n > 0 {
			e.Detail["platformKeys"] = strconv.Itoa(n)
		}
		return c.cfg.Devices.Remove(ctx, tx, v.tenant.ID, m.ID)
	})
	if err != nil {
		return err
	}
	return v.leave(devicesPath, "device-gone")
}

func (c *Console) renameDevice(ctx context.Context, v *visit) error {
	m, err := v.changeable(ctx)
	if err != nil {
		return err
	}
	name := v.form.Get("name")
	err = v.changeDevice(ctx, "device.rename", m, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.Detail["displayName"] = m.Name + " → " + audit.Clean(name, 256)
		return c.cfg.Devices.Rename(ctx, tx, v.tenant.ID, m.ID, name)
	})
	if e := told400(err); e != nil {
		return v.devicePage(ctx, web.Status(e.Kind), m, say(e))
	}
	if err != nil {
		return err
	}
	return v.leave(m.path(), "device-renamed")
}
