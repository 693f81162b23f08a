package console

import (
	"cmp"
	"context"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/trust"
)

const (
	certsPath    = "/admin/certificates"
	certAddPath  = certsPath + "/add"
	certTestPath = certsPath + "/test"
)

func (c *Console) certificateRoutes() []route {
	const admin, desk = directory.Administrator, directory.Helpdesk
	return []route{
		{"GET " + certsPath, desk, c.certificates, ""},
		{"GET " + certAddPath, admin, c.certAddPage, ""},
		{"POST " + certAddPath, admin, c.certPreview, ""},
		{"POST " + certAddPath + "/save", admin, c.certAdd, "says.authority.add"},
		{"GET " + certTestPath, desk, c.certTestPage, ""},
		{"POST " + certTestPath, desk, c.certTest, ""},
		{"GET " + certsPath + "/{id}", desk, c.certOne, ""},
		{"POST " + certsPath + "/{id}/save", admin, c.certSave, "says.authority.update"},
		{"POST " + certsPath + "/{id}/fetch", admin, c.certFetch, ""},
		{"GET " + certsPath + "/{id}/ask", admin, c.certAsk, ""},
		{"POST " + certsPath + "/{id}/remove", admin, c.certRemove, "says.authority.remove"},
		{"POST " + certsPath + "/{id}/restore", admin, c.certRestore, "says.authority.restore"},
	}
}

// certView is a page about certificates.
func certView(scripts ...string) page.View {
	v := scripted(frame("people.css", "devices.css", "policy.css", "certificates.css"), scripts...)
	v.Files = []string{"certparts", "policyparts"}
	return v
}

func certPath(id idp.AuthorityID) string { return certsPath + "/" + url.PathEscape(string(id)) }

// certsView is the trust store.
type certsView struct {
	Tabs    []tabView
	Lead    template.HTML
	Admin   bool
	Rows    []caRow
	Removed []removedRow
	Count   template.HTML
}

// caRow is a CA of the list.
type caRow struct {
	Href, Name string
	Kind       template.HTML
	Meta       []template.HTML
	Off        bool
	People     int
	PeopleSay  template.HTML
	Ends       template.HTML // when its own certificate does
	EndsState  string
	List       revocationView
	rank       int
	next       time.Time
}

type removedRow struct {
	Name, Restore string
	Meta          template.HTML
}

// revocationView tells what is known of who was taken back.
type revocationView struct {
	State     string
	Text      template.HTML
	Notes     []template.HTML
	Failure   template.HTML
	Gauge     *gaugeView
	Fetch     string // where it is fetched at once; empty: there is nothing to fetch
	FetchSay  template.HTML
	LastFetch template.HTML
	Facts     []pair
}

// gaugeView is the life of a list as ticks: those that are over are pale.
type gaugeView struct {
	Left, Over string // paths in a box of 240 by 36
	State      string
	Say        template.HTML
}

// badges are the people who were seen with certificates, by CAs.
type badges struct {
	People map[string]map[idp.UserID]bool // by key of a CA of the path
	held   map[string][]method.Credential
}

// badges walks over all certificates that were seen in the tenant.
func (v *visit) badges(ctx context.Context) (badges, error) {
	began := v.cfg.Now()
	if b, ok := v.badgesSeen.get(v.tenant.ID, began); ok {
		return b, nil
	}
	b := badges{People: map[string]map[idp.UserID]bool{}, held: map[string][]method.Credential{}}
	err := v.cfg.Corridor.Walk(ctx, v.tenant.ID, func(c method.Credential) error {
		if c.Method != policy.Certificate || c.Disabled || c.Facts.Certificate == nil {
			return nil
		}
		for _, key := range c.Facts.Certificate.Issuers {
			key = strings.ToLower(key)
			if b.People[key] == nil {
				b.People[key] = map[idp.UserID]bool{}
			}
			b.People[key][c.User] = true
			b.held[key] = append(b.held[key], c)
		}
		return nil
	})
	if at := v.cfg.Now(); err == nil && at.Sub(began) >= slowCount {
		v.badgesSeen.put(v.tenant.ID, b, at)
	}
	return b, err
}

// certificates is the trust store.
func (c *Console) certificates(ctx context.Context, v *visit) error {
	cas, err := v.authorities(ctx)
	if err != nil {
		return err
	}
	seen, err := v.badges(ctx)
	if err != nil {
		return err
	}
	lists, err := v.lists(ctx)
	if err != nil {
		return err
	}
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	pg := v.page("certificates", v.words().T("certificates.title"), nil)
	view := certsView{Tabs: v.certTabs(pg, certsPath), Admin: v.admin(), Lead: pg.T("certificates.lead"), Count: pg.N("certificates.count", len(cas), "most", trust.MaxAuthorities)}
	for _, a := range cas {
		view.Rows = append(view.Rows, v.caRow(pg, a, lists[a.ID], len(seen.People[a.Key()]), &p.Certificate))
	}
	slices.SortStableFunc(view.Rows, func(a, b caRow) int {
		return cmp.Or(a.rank-b.rank, a.next.Compare(b.next), strings.Compare(directory.Fold(a.Name), directory.Fold(b.Name)))
	})
	if v.admin() {
		removed, err := c.cfg.Trust.Removed(ctx, c.cfg.DB, v.tenant.ID)
		if err != nil {
			return err
		}
		for _, a := range removed {
			view.Removed = append(view.Removed, removedRow{Name: a.Name, Restore: certPath(a.ID) + "/restore",
				Meta: pg.T("certificates.removed.meta", "when", page.When(a.Removed, ""), "until", page.When(a.Removed.Add(trust.KeptFor), ""))})
		}
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// certTabs are those pages about certificates that the visitor may open.
func (v *visit) certTabs(pg *page.Page, here string) []tabView {
	return slices.DeleteFunc(certTabs(pg, here), func(t tabView) bool { return t.Href == certRulesPath && !v.admin() })
}

// soonCA is how long before its end a CA's own certificate is told.
const soonCA = 30 * day

func (v *visit) caRow(pg *page.Page, a trust.Authority, l listState, people int, r *policy.CertificateRules) caRow {
	row := caRow{
		Href: certPath(a.ID), Name: a.Name, Kind: kindOf(pg, a), Off: !a.Enabled, People: people, PeopleSay: pg.N("certificates.people", people),
		List: v.listOf(pg, a, l, r), next: l.ends(),
	}
	row.EndsState, row.Ends = v.endOf(pg, a)
	row.rank = map[string]int{"bad": 0, "warn": 1, "good": 2, "off": 3}[row.List.State]
	if row.Off {
		row.rank = 4
	}
	return row
}

func kindOf(pg *page.Page, a trust.Authority) template.HTML {
	if a.Root {
		return pg.T("certificates.kind.root")
	}
	return pg.T("certificates.kind.intermediate")
}

// endOf says until when the CA's own certificate is good.
func (v *visit) endOf(pg *page.Page, a trust.Authority) (state string, text template.HTML) {
	left := a.Cert.NotAfter.Sub(v.cfg.Now())
	when := page.When(a.Cert.NotAfter, "")
	switch {
	case left <= 0:
		return "bad", pg.T("certificates.ended", "when", when)
	case left <= soonCA:
		return "warn", pg.T("certificates.ends", "when", when)
	}
	return "", pg.T("certificates.ends", "when", when)
}

// unchecked says whether the rules take a CA's certificates without a list.
func unchecked(r *policy.CertificateRules, key string) bool {
	return slices.ContainsFunc(r.Unchecked, func(u string) bool { return strings.EqualFold(u, key) })
}

// listOf puts the state of a CA's list into words.
func (v *visit) listOf(pg *page.Page, a trust.Authority, l listState, r *policy.CertificateRules) revocationView {
	now := v.cfg.Now()
	out := revocationView{State: "good"}
	if a.OCSP != "" {
		out.Notes = append(out.Notes, pg.T("certificates.list.ocsp", "host", hostOf(a.OCSP)))
	}
	if a.CRL == "" {
		switch {
		case a.OCSP != "":
			out.Text, out.Notes = out.Notes[0], nil
		case unchecked(r, a.Key()):
			out.State, out.Text = "warn", pg.T("certificates.list.unchecked")
		default:
			out.State, out.Text = "bad", pg.T("certificates.list.none")
		}
		return out
	}
	if v.admin() {
		out.Fetch, out.FetchSay = certPath(a.ID)+"/fetch", pg.T("certificates.fetch.of", "name", a.Name)
	}
	failed, why := l.failure()
	if why != "" {
		out.Failure = pg.T("certificates.list.failed", "when", page.When(failed, ""), "why", why)
	}
	if l.Number == "" {
		out.State, out.Text = "bad", pg.T("certificates.list.never")
		return out
	}
	out.LastFetch = page.When(l.Succeeded, "")
	out.Notes = append(out.Notes, pg.N("certificates.list.entries", int(l.Entries)))
	ends, believed := l.ends(), l.ends().Add(r.StaleFor)
	end := page.When(ends, "")
	switch {
	case !now.Before(ends) && now.Before(believed):
		out.State, out.Text = "warn", pg.T("certificates.list.stale", "when", end, "until", page.When(believed, ""))
	case !now.Before(ends):
		out.State, out.Text = "bad", pg.T("certificates.list.over", "when", end)
	case l.soon(now):
		out.State, out.Text = "warn", pg.T("certificates.list.soon", "when", end)
	default:
		out.Text = pg.T("certificates.list.good", "when", end)
	}
	if out.State == "good" && why != "" {
		out.State = "warn"
	}
	out.Gauge = gaugeOf(pg, l, now, out.State)
	return out
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return address
	}
	return u.Host
}

// gaugeTicks are the ticks of a gauge.
const gaugeTicks = 40

// gaugeOf draws how much of a list's life is over.
func gaugeOf(pg *page.Page, l listState, now time.Time, state string) *gaugeView {
	life := l.ends().Sub(l.ThisUpdate)
	if life <= 0 {
		return nil
	}
	share := float64(now.Sub(l.ThisUpdate)) / float64(life)
	over := min(gaugeTicks, max(0, int(share*gaugeTicks)))
	if left := l.ends().Sub(now); left > 0 {
		over = min(over, gaugeTicks-1) // as long as it is good, a tick is left
	}
	out := &gaugeView{State: state, Say: pg.T("certificates.gauge", "n", min(100, max(0, int(share*100))))}
	var before, after strings.Builder
	for i := range gaugeTicks {
		b := &after
		if i < over {
			b = &before
		}
		b.WriteString("M" + coordinate(3+float64(i)*6) + " 36V0")
	}
	out.Over, out.Left = before.String(), after.String()
	return out
}

// authority reads the CA that the address names.
func (v *visit) authority(ctx context.Context) (trust.Authority, error) {
	a, err := v.cfg.Trust.Get(ctx, v.cfg.DB, v.tenant.ID, idp.AuthorityID(v.r.PathValue("id")))
	if err != nil {
		return a, err
	}
	if !a.Removed.IsZero() && !strings.HasSuffix(v.r.URL.Path, "/restore") {
		return a, idp.NotFoundf("authority_unknown", "authority %s is removed", a.ID).Say("This CA was removed. It can be put back on the page of the trust store.")
	}
	return a, nil
}

// changeAuthority does something to a CA, with its record.
func (v *visit) changeAuthority(ctx context.Context, activity string, fn func(context.Context, *sqldb.Tx) (trust.Authority, error)) error {
	return v.change(ctx, activity, idp.User{}, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		a, err := fn(ctx, tx)
		if err == nil {
			e.Method, e.Detail = policy.Certificate, trust.Told(a)
		}
		return err
	})
}
