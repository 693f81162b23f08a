package console

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/pssowire"
)

// macWeekView is the fifth step: what became of the Macs that were set up.
type macWeekView struct {
	Guide    *guideView
	Tallies  []tallyView
	Ticks    *macTicks
	TicksSay template.HTML
	Stopped  []stoppedRow
	More     template.HTML
	Calm     template.HTML
}

// tallyView is a figure that leads to what it counts.
type tallyView struct {
	Href, State string
	Label, Note template.HTML
	Count       int
}

// macTicks are paths in a box of 1000 by 36: a line a Mac.
type macTicks struct{ In, Half, Out string }

// stoppedRow is a Mac that got no further, and where and why.
type stoppedRow struct {
	State, Href, Serial string
	Name, Where, Why    template.HTML
	Times, When         template.HTML
	at                  time.Time
}

// mostStopped is how many rows of either kind the page has, and lookStopped how
// many records are read for those that were refused.
const (
	mostStopped = 50
	lookStopped = 999
)

func (c *Console) macWeek(ctx context.Context, v *visit) error {
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("macsweek", v.words().T("macs.title"), nil)
	view := macWeekView{}
	if view.Guide, err = v.guide(ctx, pg, "week", p); err != nil {
		return err
	}
	since := "registrationDateTime ge " + v.weekAgo().Format(time.RFC3339)
	all, err := v.countMacs(ctx, since)
	if err != nil {
		return err
	}
	in, err := v.countMacs(ctx, since, everSeen)
	if err != nil {
		return err
	}
	waiting, err := v.halfway(ctx, pg, since)
	if err != nil {
		return err
	}
	refused, tries, err := v.refused(ctx, pg)
	if err != nil {
		return err
	}
	view.fill(pg, all, in, tries)
	view.Stopped = append(refused, waiting...)
	slices.SortStableFunc(view.Stopped, func(a, b stoppedRow) int { return b.at.Compare(a.at) })
	if more := all - in - len(waiting); more > 0 {
		view.More = pg.N("macs.week.more", more)
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// fill puts in the figures.
func (w *macWeekView) fill(pg *page.Page, all, in, refused int) {
	tally := func(word, state, href string, n int) {
		if n == 0 {
			state = ""
		}
		w.Tallies = append(w.Tallies, tallyView{href, state, pg.T("macs.week." + word), pg.T("macs.week." + word + ".note"), n})
	}
	half := max(all-in, 0)
	list := devicesPath + query(deviceFilter{OS: "mac", Joined: "week"}.values())
	tally("registered", "", list, all)
	tally("in", "", devicesPath+query(deviceFilter{OS: "mac", Joined: "week", Seen: "week"}.values()), in)
	tally("half", "warn", "#b-stopped", half)
	tally("refused", "bad", macLog(), refused)
	if w.Calm = pg.T("macs.week.calm"); all == 0 {
		w.Calm = pg.T("macs.week.calm.none")
		return
	}
	w.Ticks, w.TicksSay = ticksOfMacs(all, in), pg.N("macs.week.ticks", all, "in", in, "half", half)
}

// mostTicks is how many Macs have a line of their own; of more, each line is a
// share.
const mostTicks = 200

func ticksOfMacs(all, in int) *macTicks {
	ticks := min(all, mostTicks)
	lit := in * ticks / max(all, 1)
	t := &macTicks{}
	var done, half strings.Builder
	for i := range ticks {
		x := coordinate((float64(i) + .5) * 1000 / float64(max(ticks, 60)))
		if i < lit {
			fmt.Fprintf(&done, "M%s 2v32", x)
		} else { // lower: the picture works without its colours
			fmt.Fprintf(&half, "M%s 18v16", x)
		}
	}
	t.In, t.Half = done.String(), half.String()
	return t
}

// halfway are the Macs that have registered and let nobody in yet.
func (v *visit) halfway(ctx context.Context, pg *page.Page, since string) ([]stoppedRow, error) {
	where, err := ofMacs(since, "lastSeen le "+never)
	if err != nil {
		return nil, err
	}
	devices, _, err := v.cfg.Devices.List(ctx, v.tenant.ID, device.Page{Limit: mostStopped, Where: where})
	if err != nil {
		return nil, err
	}
	list, err := v.lookAt(ctx, devices)
	if err != nil {
		return nil, err
	}
	out := make([]stoppedRow, 0, len(list))
	for _, m := range list {
		row := stoppedRow{State: "warn", Href: devicePath(m.ID), Serial: m.mac.Serial, Name: escaped(m.Name), When: page.When(m.mac.Registered, ""), at: m.mac.Registered}
		switch {
		case !m.Enabled && m.Pending.IsZero():
			row.State, row.Where, row.Why = "bad", pg.T("macs.track.off"), pg.T("macs.why.off")
		case !m.Pending.IsZero():
			row.Where, row.Why = pg.T("macs.where.waits.person"), pg.T("macs.why.pending", "when", page.When(m.Pending, ""))
		case len(m.people) == 0:
			row.Where, row.Why = pg.T("macs.where.waits.person"), pg.T("macs.why.person")
		default:
			row.State, row.Where, row.Why = "off", pg.T("macs.where.waits.login"), pg.T("macs.why.login")
		}
		out = append(out, row)
	}
	return out, nil
}

// refused are the tries of Macs that got nowhere, those of one Mac for one
// reason together, and how many they are.
func (v *visit) refused(ctx context.Context, pg *page.Page) (out []stoppedRow, tries int, err error) {
	asks := []audit.Query{
		{Of: audit.Changes, Activities: []string{"device.join", "platform.", "mac."}, Outcome: audit.Failure},
		{Of: audit.SignIns, Client: pssowire.ClientID, Outcome: audit.Failure},
	}
	type group struct{ who, stop, reason string }
	at, times := map[group]int{}, map[group]int{}
	for _, ask := range asks {
		ask.Since, ask.Limit = v.weekAgo(), lookStopped
		part, err := v.cfg.Audit.Search(ctx, v.cfg.DB, v.tenant.ID, ask)
		if err != nil {
			return nil, 0, err
		}
		for _, e := range part.Events {
			if !aboutMac(e) {
				continue
			}
			n := max(e.Times, 1)
			tries += n
			g := group{cmp.Or(e.Detail["device"], e.Detail["serial"], e.Detail["name"], string(e.User)), stopOf(e), e.Reason}
			if times[g] += n; times[g] > n || len(out) == mostStopped {
				continue
			}
			row, err := v.refusedMac(ctx, pg, e)
			if err != nil {
				return nil, 0, err
			}
			at[g] = len(out)
			out = append(out, row)
		}
	}
	for g, i := range at {
		if times[g] > 1 {
			out[i].Times = pg.T("macs.week.times", "n", times[g])
		}
	}
	return out, tries, nil
}

func (v *visit) refusedMac(ctx context.Context, pg *page.Page, e audit.Event) (stoppedRow, error) {
	plain := refusedRow(pg, e)
	row := stoppedRow{State: "bad", Name: plain.Name, Serial: plain.Serial, Where: pg.T("macs.where." + stopOf(e)), When: plain.When, at: e.At}
	if row.Why = plain.Why; e.Rule != "" {
		p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
		if err != nil {
			return row, err
		}
		row.Why = pg.T("log.by", "rule", ruleName(pg, &p, e.Rule))
	}
	id := idp.DeviceID(e.Detail["device"])
	if id == "" {
		return row, nil
	}
	d, err := v.cfg.Devices.Load(ctx, v.cfg.DB, v.tenant.ID, id)
	if known := idp.AsError(err); err != nil && (known == nil || known.Kind != idp.NotFound) {
		return row, err
	}
	if err == nil {
		row.Name, row.Href = escaped(d.Name), devicePath(d.ID)
		known, err := v.cfg.Macs.Registry.List(ctx, v.tenant.ID, []idp.DeviceID{id})
		if err != nil {
			return row, err
		}
		row.Serial = cmp.Or(row.Serial, known[id].Serial)
	}
	return row, nil
}
