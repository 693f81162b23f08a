package console

import (
	"cmp"
	"context"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

func (c *Console) overviewRoutes() []route {
	return []route{
		{"GET /admin", directory.Helpdesk, c.overview, ""},
		{"GET /admin/{$}", directory.Helpdesk, c.overview, ""},
		{"GET /admin/prove", directory.Helpdesk, c.proveRoute, ""},
	}
}

// overviewView is the first page.
type overviewView struct {
	Lead    template.HTML
	Needs   []need
	Stats   []stat
	Methods []bar
	Devices *deviceTile
	Changes []changeRow
	Partly  template.HTML // not everything was counted
}

// need is something that an administrator should look at.
type need struct {
	Kind        string // "bad", "warn", "note"
	Icon        string
	Title, Text template.HTML
	Since       template.HTML
	Href        string
	Verb        template.HTML
}

// stat is one figure with its ticks.
type stat struct {
	Label, Figure, Note, Spoken template.HTML
	Ticks, Off                  string // paths in a box of 240 by 36
}

// bar is a share of a whole.
type bar struct {
	Label          template.HTML
	Count, Percent int
}

const day = 24 * time.Hour

// mostTallied bounds what the figures of a day read.
const mostTallied = 20_000

func (c *Console) overview(ctx context.Context, v *visit) error {
	now := c.cfg.Now()
	tally, err := c.cfg.Audit.Tally(ctx, c.cfg.DB, v.tenant.ID, now.Add(-day), mostTallied)
	if err != nil {
		return err
	}
	pg := v.page("overview", "", nil)
	view := overviewView{}
	rules, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	if view.Needs, err = v.needs(ctx, pg, rules, tally); err != nil {
		return err
	}
	if view.Changes, err = v.changes(ctx, pg, 5); err != nil {
		return err
	}
	view.Stats, view.Methods = stats(pg, &rules, tally), methodBars(pg, tally)
	if view.Devices, err = v.deviceTile(ctx, pg, rules); err != nil {
		return err
	}
	if tally.Since.After(now.Add(-day)) {
		view.Partly = pg.T("overview.partly", "when", page.When(tally.Since, ""))
	}
	view.Lead = pg.T("overview.lead", "when", page.When(now, ""))
	pg.Title, pg.V = needTitle(pg, len(view.Needs)), view
	return v.show(http.StatusOK, pg)
}

// needTitle begins with a word up to nine, as titles do.
func needTitle(pg *page.Page, n int) template.HTML {
	if n == 0 {
		return pg.T("overview.calm")
	}
	word := template.HTML(strconv.Itoa(n))
	if n < 10 {
		word = pg.T("number." + strconv.Itoa(n))
	}
	return pg.N("overview.needs", n, "number", word)
}

// needs lists what should be looked at, the worst first.
func (v *visit) needs(ctx context.Context, pg *page.Page, p policy.Policy, t audit.Tally) ([]need, error) {
	var out []need
	if rule, n := worstRule(t); n >= 3 {
		out = append(out, need{"warn", "warn", pg.N("need.refused", n, "rule", ruleName(pg, &p, rule)), pg.T("need.refused.text"), pg.T("need.today"),
			"/admin/log" + query(logFilter{Result: audit.Failure, Rule: rule, Last: "day"}.values()), pg.T("need.refused.verb")})
	}
	phones, err := v.phoneNeeds(ctx, pg)
	if err != nil {
		return nil, err
	}
	out = append(out, phones...)
	slices.SortStableFunc(out, func(a, b need) int { return urgency(a.Kind) - urgency(b.Kind) })
	if !v.admin() {
		return out, nil
	}
	withRole, err := v.cfg.Directory.WithRole(ctx, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	lists, err := v.listNeeds(ctx, pg, p)
	if err != nil {
		return nil, err
	}
	out = append(out, lists...)
	more, err := v.adminNeeds(ctx, pg, withRole)
	if err != nil {
		return nil, err
	}
	out = append(out, more...)
	if p.Passkey.Restrictions == policy.EnforceAudit {
		out = append(out, need{"note", "rules", pg.T("need.trial"), pg.T("need.trial.text"), pg.T("need.since", "when", page.When(p.Changed, "")),
			"/admin/methods/passkey", pg.T("need.trial.verb")})
	}
	if n, ok := v.modelNeed(pg); ok {
		out = append(out, n)
	}
	keys, err := v.keyNeeds(ctx, pg)
	if err != nil {
		return nil, err
	}
	out = append(out, keys...)
	slices.SortStableFunc(out, func(a, b need) int { return urgency(a.Kind) - urgency(b.Kind) })
	return out, nil
}

func urgency(kind string) int { return strings.Index("bad warn note", kind) }

// adminNeeds looks at the administrators: one alone, or one with a single key,
// is one lost key away from a locked door.
func (v *visit) adminNeeds(ctx context.Context, pg *page.Page, withRole []directory.Person) ([]need, error) {
	var out []need
	admins := 0
	for _, p := range withRole {
		if p.Role != directory.Administrator || !p.Enabled {
			continue
		}
		admins++
		if admins > 20 {
			break // who has so many need not be told of each
		}
		creds, err := v.cfg.Corridor.Credentials(ctx, v.tenant.ID, p.ID)
		if err != nil {
			return nil, err
		}
		works := 0
		for _, c := range creds {
			if c.Usable() {
				works++
			}
		}
		if works < 2 {
			key := "need.admin.one"
			if works == 0 {
				key = "need.admin.none"
			}
			out = append(out, need{"warn", "key", pg.T(key, "name", p.DisplayName), pg.T("need.admin.text"), "",
				"/admin/people/" + string(p.ID), pg.T("need.admin.verb")})
		}
	}
	if admins == 1 {
		out = append(out, need{"warn", "person", pg.T("need.alone"), pg.T("need.alone.text"), "", "/admin/people", pg.T("need.alone.verb")})
	}
	return out, nil
}

// modelNeed tells when the list of key models is old.
func (v *visit) modelNeed(pg *page.Page) (need, bool) {
	if v.cfg.Metadata == nil {
		return need{}, false
	}
	switch v.cfg.Metadata.Condition() {
	case metadata.Overdue:
		return need{"bad", "usb", pg.T("need.models.old"), pg.T("need.models.old.text"), "", "/admin/methods/passkey", pg.T("need.models.verb")}, true
	case metadata.Late:
		return need{"note", "usb", pg.T("need.models.late"), pg.T("need.models.late.text"), "", "/admin/methods/passkey", pg.T("need.models.verb")}, true
	}
	return need{}, false
}

// worstRule is the rule with the most refusals; those without a rule proved
// nothing, and are everywhere.
func worstRule(t audit.Tally) (rule string, n int) {
	for _, r := range slices.Sorted(maps.Keys(t.Rules)) {
		if r != "" && t.Rules[r] > n {
			rule, n = r, t.Rules[r]
		}
	}
	return rule, n
}

func stats(pg *page.Page, p *policy.Policy, t audit.Tally) []stat {
	done, refused := make([]int, len(t.Hours)), make([]int, len(t.Hours))
	for i, h := range t.Hours {
		done[i], refused[i] = h.Done, h.Refused
	}
	in := stat{Label: pg.T("stat.done"), Figure: figure(t.Done), Note: pg.T("stat.done.note"), Ticks: ticks(done, -1)}
	in.Spoken = peak(pg, t.Hours, done)
	out := stat{Label: pg.T("stat.refused"), Figure: figure(t.Refused), Note: pg.T("stat.refused.none")}
	if rule, n := worstRule(t); n > 0 {
		out.Note = pg.N("stat.refused.note", n, "rule", ruleName(pg, p, rule))
	} else if t.Refused > 0 {
		out.Note = pg.T("stat.refused.unproven")
	}
	worst := highest(refused)
	out.Ticks = ticks(refused, worst)
	out.Off, out.Spoken = tick(refused, worst), peak(pg, t.Hours, refused)
	share := 0
	for m, n := range t.Methods {
		if m == policy.Passkey {
			share += n
		}
	}
	strong := stat{Label: pg.T("stat.resistant"), Figure: pg.T("stat.resistant.none"), Note: pg.T("stat.resistant.note")}
	if t.Done > 0 {
		percent := share * 100 / t.Done
		strong.Figure = template.HTML(strconv.Itoa(percent) + " %")
		strong.Ticks, strong.Spoken = filled(percent), pg.T("stat.resistant.spoken", "n", percent)
	}
	return []stat{in, out, strong}
}

// figure writes a number with its thousands apart.
func figure(n int) template.HTML {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return template.HTML(s)
}

func highest(list []int) int {
	at := -1
	for i, n := range list {
		if n > 0 && (at < 0 || n > list[at]) {
			at = i
		}
	}
	return at
}

// ticks draws one line an hour, from zero; without is left out.
func ticks(list []int, without int) string {
	var b strings.Builder
	for i := range list {
		if i != without {
			b.WriteString(tick(list, i))
		}
	}
	return b.String()
}

func tick(list []int, i int) string {
	if i < 0 || len(list) == 0 {
		return ""
	}
	most := max(1, slices.Max(list))
	x := 5 + float64(i)*230/float64(max(1, len(list)-1))
	y := 34 - 34*float64(list[i])/float64(most)
	return "M" + coordinate(x) + " 36V" + coordinate(y)
}

func coordinate(f float64) string { return strconv.FormatFloat(f, 'f', 1, 64) }

// filled draws a share as so many of 44 ticks.
func filled(percent int) string {
	var b strings.Builder
	for i := range (percent*44 + 50) / 100 {
		b.WriteString("M" + coordinate(2.7+float64(i)*5.4) + " 36V0")
	}
	return b.String()
}

func peak(pg *page.Page, hours []audit.Hour, list []int) template.HTML {
	at := highest(list)
	if at < 0 {
		return pg.T("stat.none")
	}
	return pg.N("stat.peak", list[at], "when", page.When(hours[at].From, ""))
}

func methodBars(pg *page.Page, t audit.Tally) []bar {
	var out []bar
	for m, n := range t.Methods {
		out = append(out, bar{methodName(pg, m), n, n * 100 / max(1, t.Done)})
	}
	slices.SortFunc(out, func(a, b bar) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Label, b.Label))
	})
	return out
}

// methodName is the name that people know a method by.
func methodName(pg *page.Page, m idp.MethodID) template.HTML {
	switch m {
	case policy.Passkey:
		return pg.T("method.passkey")
	case policy.AccessPass:
		return pg.T("method.accessPass")
	case policy.Phone:
		return pg.T("kind.phone")
	case policy.Hello:
		return pg.T("kind.hello")
	case policy.Platform:
		return pg.T("kind.platform")
	case policy.Certificate:
		return pg.T("policy.method.certificate")
	}
	return template.HTML(template.HTMLEscapeString(string(m)))
}
