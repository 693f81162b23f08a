package console

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/page"
)

// macTestView is the third step: one Mac, and what becomes of it.
type macTestView struct {
	Guide     *guideView
	Todo      []template.HTML
	List      macListView
	Profile   string // where a profile for one Mac is made
	Serial    string
	BadSerial template.HTML
}

// macListView is the list of Macs as they come. It is the same for a script
// that reads it again and again, and for the page that loads itself.
type macListView struct {
	Live string // where it is read again
	Say  template.HTML
	Rows []macRow
}

// macRow is a Mac that has come, or one that was turned away.
type macRow struct {
	State, Icon, Href string
	Name              template.HTML
	Serial            string
	Track             []effect
	Why               template.HTML
	When              template.HTML
}

// liveEvery is after how many seconds a page without a script loads itself.
const liveEvery = 8

func (c *Console) macTest(ctx context.Context, v *visit) error {
	return v.testPage(ctx, http.StatusOK, "", "")
}

func (v *visit) testPage(ctx context.Context, status int, serial string, bad template.HTML) error {
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("macstest", v.words().T("macs.title"), nil)
	if v.r.Method == http.MethodGet {
		pg.Refresh = liveEvery
	}
	view := macTestView{Profile: macTestPath + "/profile", Serial: serial, BadSerial: bad}
	if view.Guide, err = v.guide(ctx, pg, "test", p); err != nil {
		return err
	}
	for _, word := range []string{"app", "profile", "notice", "check", "stuck"} {
		view.Todo = append(view.Todo, pg.T("macs.todo."+word))
	}
	if view.List, err = v.arrivals(ctx, pg); err != nil {
		return err
	}
	view.Guide.Main = slices.ContainsFunc(view.List.Rows, func(r macRow) bool { return r.State == "good" })
	pg.V = view
	return v.show(status, pg)
}

// macList is the list alone, for the script.
func (c *Console) macList(ctx context.Context, v *visit) error {
	pg := v.page("macstest", v.words().T("macs.title"), nil)
	list, err := v.arrivals(ctx, pg)
	if err != nil {
		return err
	}
	pg.Frame, pg.V = "livefragment", list
	v.w.Header().Set("Cache-Control", "no-store")
	return v.show(http.StatusOK, pg)
}

// mostArrivals is how many Macs the list shows, and lookArrivals how many
// records are read for them.
const (
	mostArrivals = 8
	lookArrivals = 400
)

// arrivals are the Macs that came last, and the tries that were refused, the
// newest first.
func (v *visit) arrivals(ctx context.Context, pg *page.Page) (macListView, error) {
	view := macListView{Live: macTestPath + "/list", Say: pg.T("macs.live.wait")}
	part, err := v.cfg.Audit.Search(ctx, v.cfg.DB, v.tenant.ID, audit.Query{Activities: []string{"device.join", "platform.register"}, Since: v.weekAgo(), Limit: lookArrivals})
	if err != nil {
		return view, err
	}
	names, seen := &names{visit: v}, map[idp.DeviceID]bool{}
	for _, e := range part.Events {
		if len(view.Rows) == mostArrivals {
			break
		}
		if !aboutMac(e) {
			continue
		}
		if e.Outcome != audit.Success {
			view.Rows = append(view.Rows, refusedRow(pg, e))
			continue
		}
		id := idp.DeviceID(e.Detail["device"])
		if id == "" || seen[id] {
			continue
		}
		seen[id] = true
		row, ok, err := v.arrival(ctx, pg, names, id)
		if err != nil {
			return view, err
		}
		if ok {
			view.Rows = append(view.Rows, row)
		}
	}
	n, err := v.countMacs(ctx, "registrationDateTime ge "+v.weekAgo().Format("2006-01-02T15:04:05Z"))
	if n > 0 {
		view.Say = pg.N("macs.live.count", n)
	}
	return view, err
}

// aboutMac says whether a record is about a Mac: other devices join, too.
func aboutMac(e audit.Event) bool { return e.Activity != "device.join" || e.Detail["os"] == mac.OS }

// arrival is the row of a Mac; ok is false when it is gone again.
func (v *visit) arrival(ctx context.Context, pg *page.Page, names *names, id idp.DeviceID) (row macRow, ok bool, err error) {
	d, err := v.cfg.Devices.Load(ctx, v.cfg.DB, v.tenant.ID, id)
	if errors.Is(err, idp.NotFound) {
		return macRow{}, false, nil
	}
	if err != nil {
		return macRow{}, false, err
	}
	list, err := v.lookAt(ctx, []device.Device{d})
	if err != nil || len(list) == 0 {
		return macRow{}, false, err
	}
	row, err = v.macRow(ctx, pg, names, list[0])
	return row, true, err
}

func (v *visit) macRow(ctx context.Context, pg *page.Page, names *names, m macView) (macRow, error) {
	row := macRow{Icon: "laptop", Href: devicePath(m.ID), Name: escaped(m.Name), Serial: m.mac.Serial, When: page.When(m.mac.Registered, "")}
	add := func(state string, text template.HTML) { row.Track = append(row.Track, effect{state, text}) }
	switch m.mac.Source {
	case mac.ByToken:
		add("good", pg.T("macs.track.registered.token"))
	default:
		owner, err := names.of(ctx, m.Owner)
		if err != nil {
			return row, err
		}
		add("good", pg.T("macs.track.registered.person", "name", owner))
	}
	switch {
	case len(m.people) == 1:
		name, err := names.of(ctx, m.people[0])
		if err != nil {
			return row, err
		}
		add("good", pg.T("macs.track.key", "name", name))
	case len(m.people) > 1:
		add("good", pg.N("macs.track.keys", len(m.people)))
	case !m.Pending.IsZero():
		add("warn", pg.T("macs.track.pending", "when", page.When(m.Pending, "")))
	default:
		add("off", pg.T("macs.track.key.none"))
	}
	switch {
	case !m.Enabled && m.Pending.IsZero():
		add("bad", pg.T("macs.track.off"))
	case m.in:
		row.State = "good"
		add("good", pg.T("macs.track.in"))
	case len(m.people) > 0:
		add("off", pg.T("macs.track.in.none"))
	}
	return row, nil
}

// refusedRow is a try that got nowhere.
func refusedRow(pg *page.Page, e audit.Event) macRow {
	return macRow{
		State: "bad", Icon: "warn", Name: cmp.Or(escaped(audit.Clean(e.Detail["name"], 60)), escaped(e.UserName), pg.T("macs.week.unknown")), Serial: audit.Clean(e.Detail["serial"], 32),
		Track: []effect{{"bad", pg.T("macs.track.refused", "where", pg.T("macs.where."+stopOf(e)))}}, Why: reasonShort(pg, e.Reason), When: page.When(e.At, ""),
	}
}

// stopOf is the step at which a record says that a Mac was refused.
func stopOf(e audit.Event) string {
	switch e.Activity {
	case "device.join", "mac.token.use":
		return "register"
	case "platform.register":
		return "person"
	case "platform.rotate", "mac.rotate":
		return "rotate"
	case "mac.unlock.provision", "mac.unlock.exchange":
		return "key"
	}
	return "login"
}
