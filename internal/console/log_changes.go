package console

import (
	"cmp"
	"context"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/page"
)

// changeKinds are what changes are sorted into, by their activities.
var changeKinds = map[string][]string{
	"people":  {"user.", "session."},
	"groups":  {"group."},
	"apps":    {"app.", "consent.", "client."},
	"methods": {"passkey.", "accessPass.", "tap.", "method.", "key."},
	"devices": {"device.", "hello.", "platform.", "mac.", "keys.", "prt."},
	"rules":   {"policy."},
	"server":  {"metadata.", "signing-key.", "kek.", "tenant.", "token", "token."},
}

// kindOrder is the order in which the page offers them.
var kindOrder = []string{"people", "groups", "apps", "methods", "devices", "rules", "server"}

// changesView is the log of changes.
type changesView struct {
	Bar     barView
	Rows    []fullChange
	Count   template.HTML
	Empty   template.HTML
	EmptyOn template.HTML
	First   string
	Next    string
	Further template.HTML
}

// fullChange is one change with everything that is on record.
type fullChange struct {
	changeRow
	State string
	Word  template.HTML
	Parts []changePart
	Facts []pair
}

// changePart is one place that was changed.
type changePart struct {
	At       template.HTML
	Old, New string
	Only     string // there is no old and new, only this
}

func (c *Console) changeLog(ctx context.Context, v *visit) error {
	const path = "/admin/changes"
	f := readLogFilter(v.r.URL.Query())
	pg := v.page("logchanges", "", nil)
	pg.Title = pg.T("log.changes.title")
	names := &names{visit: v}
	ask := f.query(audit.Changes, c.cfg.Now())
	meant, err := v.understand(ctx, &f, audit.Changes, &ask)
	if err != nil {
		return err
	}
	view := changesView{}
	if view.Bar, err = v.bar(ctx, pg, path, f, names); err != nil {
		return err
	}
	view.Bar.SearchLabel = pg.T("log.changes.search")
	view.Bar.Which = which(f, path, meant.people)
	view.Bar.Quick = kindLinks(pg, f, path)
	var part audit.Part
	if !meant.nobody && len(meant.people) == 0 {
		if part, err = c.cfg.Audit.Search(ctx, c.cfg.DB, v.tenant.ID, ask); err != nil {
			return err
		}
	}
	for _, e := range part.Events {
		row, err := v.fullChange(ctx, pg, names, e)
		if err != nil {
			return err
		}
		view.Rows = append(view.Rows, row)
	}
	var l logView
	l.Bar = view.Bar
	l.turn(pg, f, path, part)
	view.First, view.Next, view.Further = l.First, l.Next, l.NextText
	switch {
	case len(meant.people) > 0:
		view.Count = pg.N("log.which", len(meant.people), "q", f.Q)
	case meant.nobody:
		view.Empty, view.EmptyOn = pg.T("log.nobody", "q", f.Q), pg.T("log.clear")
	case len(part.Events) == 0 && f.any():
		view.Empty, view.EmptyOn = pg.T("log.changes.none.match"), pg.T("log.clear")
	case len(part.Events) == 0:
		view.Empty = pg.T("log.changes.none")
	default:
		view.Count = pg.N("log.changes.count", len(part.Events))
	}
	pg.V = view
	return v.show(http.StatusOK, pg)
}

// kindLinks are the kinds of changes as links.
func kindLinks(pg *page.Page, f logFilter, path string) []choice {
	out := make([]choice, 0, len(kindOrder)+1)
	for _, k := range append([]string{""}, kindOrder...) {
		to := f
		to.Kind = k
		out = append(out, choice{pg.T("log.kind." + cmp.Or(k, "any")), path + query(to.values()), f.Kind == k})
	}
	return out
}

// fullChange tells a record of a change with its particulars.
func (v *visit) fullChange(ctx context.Context, pg *page.Page, names *names, e audit.Event) (fullChange, error) {
	row, err := v.changeRow(ctx, pg, names, e)
	if err != nil {
		return fullChange{}, err
	}
	out := fullChange{changeRow: row, State: "good", Word: pg.T("log.change.done")}
	if e.Outcome != audit.Success {
		out.State, out.Word = "bad", pg.T("log.change.refused")
	}
	out.Parts = changeParts(e)
	fact := func(key string, value template.HTML) {
		if value != "" {
			out.Facts = append(out.Facts, pair{pg.T(key), value})
		}
	}
	if e.Agent != "" {
		fact("log.fact.from", page.AgentName(pg, e.Agent))
	}
	fact("log.fact.place", escaped(e.IP))
	if e.User != "" && e.UserName != "" {
		fact("log.id.user", template.HTML(`<a href="/admin/people/`+template.HTMLEscapeString(string(e.User))+`">`)+escaped(e.UserName)+"</a>")
	}
	if e.Reason != "" {
		fact("log.fact.reason", reasonShort(pg, e.Reason))
	}
	fact("log.id.activity", code(e.Activity))
	if e.Trace != "" {
		fact("log.id.trace", code(e.Trace))
	}
	fact("log.id.record", code(string(e.ID)))
	return out, nil
}

// arrows part old from new in records: of policies, and of the command line.
var arrows = []string{" → ", " -> "}

// changeParts reads the particulars of a record, in the order of their names.
func changeParts(e audit.Event) []changePart {
	var out []changePart
	for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
		if name == "changes" || name == "flow" || e.Detail[e.Detail[name]] != "" {
			continue // counts, ties, or names another of them
		}
		part := changePart{At: code(name), Only: e.Detail[name]}
		for _, arrow := range arrows {
			if old, next, ok := strings.Cut(part.Only, arrow); ok {
				part.Old, part.New, part.Only = unquoted(old), unquoted(next), ""
				break
			}
		}
		if part.Only == "" && part.Old == part.New {
			continue // told, and not changed
		}
		out = append(out, part)
	}
	return out
}

// unquoted takes a JSON text out of its quotes; anything else stays as it is.
func unquoted(s string) string {
	var text string
	if json.Unmarshal([]byte(s), &text) != nil {
		return s
	}
	return text
}
