package console

import (
	"context"
	"encoding/hex"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/secret"
)

// cleaning is what a form says of the keys that are to go.
type cleaning struct {
	By       string // "rule", "file", "picked"
	Orphaned bool
	Weak     bool
	Unused   string   // days
	Before   string   // a day, 2026-03-12, UTC
	File     string   // as it was pasted
	Keys     []string // that were ticked
	Seen     string   // digest of the keys that the page before named
}

func readCleaning(v url.Values) cleaning {
	c := cleaning{
		By: v.Get("by"), Orphaned: ticked(v, "orphaned"), Weak: ticked(v, "weak"), Unused: strings.TrimSpace(v.Get("unused")),
		Before: strings.TrimSpace(v.Get("before")), File: v.Get("file"), Keys: list(v, "key"), Seen: v.Get("seen"),
	}
	if c.By != "file" && c.By != "picked" {
		c.By = "rule"
	}
	return c
}

// fields are the form again, for the page that asks once more.
func (c cleaning) fields() []field {
	out := []field{{"by", c.By}}
	add := func(name, value string) {
		if value != "" {
			out = append(out, field{name, value})
		}
	}
	switch c.By {
	case "file":
		add("file", c.File)
	case "picked":
		for _, k := range c.Keys {
			add("key", k)
		}
	default:
		if c.Orphaned {
			add("orphaned", "1")
		}
		if c.Weak {
			add("weak", "1")
		}
		add("unused", c.Unused)
		add("before", c.Before)
	}
	return out
}

// cleanView is the form that says which keys are to go.
type cleanView struct {
	Problems []template.HTML
	Form     cleaning
	Bad      []badRow
	Rows     int
}

type badRow struct {
	Line   int
	Field  string
	Reason string
}

func (c *Console) cleanForm(_ context.Context, v *visit) error {
	q := v.r.URL.Query()
	return v.cleanPage(http.StatusOK, cleanView{Form: cleaning{By: "rule", Orphaned: q.Get("show") == "orphaned", Weak: q.Get("show") == "weak"}})
}

func (v *visit) cleanPage(status int, view cleanView) error {
	pg := v.page("keysclean", "", view)
	pg.Title = pg.T("keys.clean.title")
	return v.show(status, pg)
}

// cleanTryView is what a clean would do, before it is done.
type cleanTryView struct {
	Fields    []field
	Done      []keyRow
	Refused   []keyRow
	DoneTitle template.HTML
	StayTitle template.HTML
	More      template.HTML
	Changed   bool
	Ends      template.HTML
	Yes       template.HTML
	Back      string
}

// DoneTable are the keys that would go.
func (t cleanTryView) DoneTable() keyTable { return keyTable{Caption: t.DoneTitle, Rows: t.Done} }

// StayTable are those that would stay.
func (t cleanTryView) StayTable() keyTable {
	return keyTable{Caption: t.StayTitle, Rows: t.Refused, Says: true}
}

// cleanTry says exactly what would go and what would stay, and does nothing.
func (c *Console) cleanTry(ctx context.Context, v *visit) error {
	in := readCleaning(v.form)
	r, err := v.clean(ctx, in, true)
	return v.cleanTried(ctx, in, r, err, false)
}

// cleanTried shows what was found out, or what was wrong with the form.
func (v *visit) cleanTried(ctx context.Context, in cleaning, r hygiene.Report, err error, changed bool) error {
	if e := told400(err); e != nil {
		return v.cleanPage(http.StatusBadRequest, cleanView{Form: in, Problems: []template.HTML{say(e)}})
	}
	if err != nil {
		return err
	}
	if len(r.Bad) > 0 {
		view := cleanView{Form: in, Problems: []template.HTML{v.words().N("keys.clean.bad", len(r.Bad))}}
		for _, b := range r.Bad[:min(len(r.Bad), mostBad)] {
			view.Bad = append(view.Bad, badRow{b.Line, b.Field, b.Reason})
		}
		return v.cleanPage(http.StatusBadRequest, view)
	}
	pg := v.page("keystry", "", nil)
	names := &names{visit: v}
	view := cleanTryView{
		Fields: append(in.fields(), field{"seen", digestOf(r.Done)}), Changed: changed, Back: keysPath + "/clean",
		DoneTitle: pg.N("keys.try.done", len(r.Done)), StayTitle: pg.N("keys.try.stay", len(r.Refused)), Ends: pg.T("keys.try.ends"),
		Yes: pg.N("keys.try.yes", len(r.Done)),
	}
	for _, k := range r.Done {
		row, err := v.hygieneRow(ctx, pg, names, k)
		if err != nil {
			return err
		}
		view.Done = append(view.Done, row)
	}
	for _, x := range r.Refused {
		row, err := v.hygieneRow(ctx, pg, names, x.Key)
		if err != nil {
			return err
		}
		row.Say = escaped(x.Say)
		view.Refused = append(view.Refused, row)
	}
	if r.More {
		view.More = pg.T("keys.try.more")
	}
	pg.Title, pg.V = pg.N("keys.try.title", len(r.Done)), view
	status := http.StatusOK
	if changed {
		status = http.StatusConflict
	}
	return v.show(status, pg)
}

// mostBad is how many wrong rows are named.
const mostBad = 50

// cleanDo does what the page before named, and nothing else: when something
// changed meanwhile, it asks again.
func (c *Console) cleanDo(ctx context.Context, v *visit) error {
	in := readCleaning(v.form)
	r, err := v.clean(ctx, in, true)
	if err != nil || len(r.Bad) > 0 || digestOf(r.Done) != in.Seen {
		return v.cleanTried(ctx, in, r, err, true)
	}
	if len(r.Done) == 0 {
		return v.leave(keysPath, "keys-none")
	}
	var b strings.Builder
	if err := hygiene.CSV(&b, r.Done, true); err != nil {
		return err
	}
	done, err := c.cfg.Hygiene.CleanFile(ctx, v.tenant, b.String(), hygiene.Options{Actor: string(v.user.ID)}, false)
	if err != nil || len(done.Bad) > 0 {
		return v.cleanTried(ctx, in, done, err, true)
	}
	if len(done.Refused) > 0 { // somebody lost another way in at this very moment
		return v.leave(keysPath+"/removed", "keys-partly")
	}
	return v.leave(keysPath+"/removed", "keys-gone")
}

// clean finds out what would go.
func (v *visit) clean(ctx context.Context, in cleaning, try bool) (hygiene.Report, error) {
	who := hygiene.Options{Actor: string(v.user.ID)}
	switch {
	case in.By == "file":
		return v.cfg.Hygiene.CleanFile(ctx, v.tenant, strings.TrimSpace(in.File), who, try)
	case in.By == "picked":
		return v.cleanKeys(ctx, who, try, func(k method.Credential) bool { return slices.Contains(in.Keys, keyName(k.User, k.ID)) })
	case in.Weak:
		now := v.cfg.Now()
		rule, err := in.rule(now)
		if err != nil {
			return hygiene.Report{}, err
		}
		return v.cleanKeys(ctx, who, try, func(k method.Credential) bool {
			last := k.LastUsed
			if last.IsZero() {
				last = k.Created
			}
			return k.Weak && (k.Orphaned || !rule.Orphaned) && (rule.Created.IsZero() || k.Created.Before(rule.Created)) &&
				(rule.Used.IsZero() || last.Before(rule.Used))
		})
	}
	rule, err := in.rule(v.cfg.Now())
	if err != nil {
		return hygiene.Report{}, err
	}
	return v.cfg.Hygiene.CleanByRule(ctx, v.tenant, rule, who, try)
}

// rule is what the form says, but for keys that can be factored, which the
// keeper has no rule for.
func (in cleaning) rule(now time.Time) (hygiene.Rule, error) {
	r := hygiene.Rule{Orphaned: in.Orphaned}
	if in.Unused != "" {
		n := atoi(in.Unused)
		if n < 1 || n > 3650 {
			return r, idp.Invalidf("bad_days", "days %.20q", in.Unused).On("unused").Say("Say for how many days, from 1 to 3650.")
		}
		r.Used = now.Add(-time.Duration(n) * day)
	}
	if in.Before != "" {
		at, err := time.Parse(time.DateOnly, in.Before)
		if err != nil {
			return r, idp.Invalidf("bad_day", "day %.20q", in.Before).On("before").Say("Write the day as 2026-03-12.")
		}
		r.Created = at
	}
	return r, nil
}

// cleanKeys clears those Hello keys of the tenant for which keep holds, or finds
// out what would become of them.
func (v *visit) cleanKeys(ctx context.Context, who hygiene.Options, try bool, takes func(method.Credential) bool) (hygiene.Report, error) {
	owners := map[idp.UserID]idp.User{}
	var keys []hygiene.Key
	more := false
	err := v.cfg.Hello.Walk(ctx, v.tenant.ID, func(k method.Credential) error {
		if !takes(k) {
			return nil
		}
		if len(keys) >= hygiene.MaxRows {
			more = true
			return nil
		}
		u, known := owners[k.User]
		if !known {
			var err error
			if u, err = v.cfg.Directory.User(ctx, v.cfg.DB, v.tenant.ID, k.User); err != nil {
				return err
			}
			owners[k.User] = u
		}
		keys = append(keys, hygiene.Key{User: u.ID, UserName: u.Name, Tenant: v.tenant.Domain, Device: k.Facts.Device, Usage: hygiene.NGC, ID: k.ID, Created: k.Created})
		return nil
	})
	if err != nil || len(keys) == 0 {
		return hygiene.Report{}, err
	}
	var b strings.Builder
	if err := hygiene.CSV(&b, keys, true); err != nil {
		return hygiene.Report{}, err
	}
	r, err := v.cfg.Hygiene.CleanFile(ctx, v.tenant, b.String(), who, try)
	r.More = more
	return r, err
}

// digestOf names a set of keys.
func digestOf(keys []hygiene.Key) string {
	var ids []string
	for _, k := range keys {
		ids = append(ids, keyName(k.User, k.ID))
	}
	slices.Sort(ids)
	return hex.EncodeToString(secret.Digest(strings.Join(ids, "\n")))
}
