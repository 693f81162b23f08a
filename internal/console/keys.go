package console

import (
	"bytes"
	"cmp"
	"context"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

const keysPath = "/admin/keys"

func (c *Console) keyRoutes() []route {
	const desk, admin = directory.Helpdesk, directory.Administrator
	return []route{
		{"GET /admin/keys", desk, c.keys, ""},
		{"GET /admin/keys/csv", admin, c.keysCSV, ""},
		{"GET /admin/keys/clean", admin, c.cleanForm, ""},
		{"POST /admin/keys/clean", admin, c.cleanTry, ""},
		{"POST /admin/keys/clean/do", admin, c.cleanDo, "says.keys.clean"},
		{"GET /admin/keys/removed", desk, c.removedKeys, ""},
		{"POST /admin/keys/restore", admin, c.restoreKeys, "says.keys.restore"},
	}
}

// keyShows are the parts of the list of keys, by the word in the address.
var keyShows = []string{"", "orphaned", "weak", "unused", "off"}

// unusedFor is how long a key is not used before it counts as unused.
const unusedFor = 90 * day

// keyIs says whether a key belongs to a part of the list.
func keyIs(show string, k method.Credential, now time.Time) bool {
	switch show {
	case "orphaned":
		return k.Orphaned
	case "weak":
		return k.Weak
	case "off":
		return k.Disabled && !k.Orphaned
	case "unused":
		last := k.LastUsed
		if last.IsZero() {
			last = k.Created
		}
		return now.Sub(last) > unusedFor
	}
	return true
}

// keyName names a key in forms and addresses: its owner and its id.
func keyName(u idp.UserID, id idp.CredentialID) string { return string(u) + "/" + string(id) }

// keyTally counts the keys of a tenant that machines keep.
type keyTally struct {
	By        map[string]int // by part of the list
	Holders   map[idp.UserID]bool
	Held      map[idp.UserID]int // Hello keys
	Many      []idp.UserID       // who hold as many as is said to be many
	People    int
	Limit     int
	WarnAt    int
	Requested []method.Credential
	Next      string
}

// tallyKeys counts them, and takes some of a part of the list.
func (v *visit) tallyKeys(ctx context.Context, show, after string, limit int) (keyTally, error) {
	p, err := v.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return keyTally{}, err
	}
	now, t := v.cfg.Now(), keyTally{By: map[string]int{}, Holders: map[idp.UserID]bool{}, Held: map[idp.UserID]int{}, Limit: p.Hello.Limit, WarnAt: p.Hello.WarnAt}
	err = v.cfg.Hello.Walk(ctx, v.tenant.ID, func(k method.Credential) error {
		for _, s := range keyShows {
			if keyIs(s, k, now) {
				t.By[s]++
			}
		}
		// How many keys of Macs are many is another rule; the person's page says it.
		if t.Holders[k.User] = true; k.Method == policy.Hello {
			if t.Held[k.User]++; t.WarnAt > 0 && t.Held[k.User] == t.WarnAt {
				t.Many = append(t.Many, k.User)
			}
		}
		if !keyIs(show, k, now) || keyName(k.User, k.ID) <= after {
			return nil
		}
		if len(t.Requested) < limit {
			t.Requested = append(t.Requested, k)
		} else if t.Next == "" && limit > 0 {
			last := t.Requested[limit-1]
			t.Next = keyName(last.User, last.ID)
		}
		return nil
	})
	t.People = len(t.Holders)
	return t, err
}

// keysView is the list of keys that devices keep.
type keysView struct {
	listView
	Lead           template.HTML
	Shows          []keyShow
	Rows           []keyRow
	Many           []manyRow
	ManyTitle      template.HTML
	Empty          template.HTML
	CSV            string
	Admin, Removed bool
}

// keyShow is a part of the list, with how many keys it has.
type keyShow struct {
	Label  template.HTML
	Count  int
	Note   template.HTML
	Href   string
	State  string
	Chosen bool
}

// keyRow is a key in the list.
type keyRow struct {
	Value     string // in forms
	Person    template.HTML
	PersonTo  string
	Name      string
	Kind      template.HTML
	Device    string
	DeviceTo  string
	Made      template.HTML
	Used      template.HTML
	Removed   template.HTML
	State     string
	StateText template.HTML
	Say       template.HTML // why it stays
}

// keyTable is a table of keys, with what it has beside them.
type keyTable struct {
	Caption             template.HTML
	Rows                []keyRow
	Tick, Undo, Removed bool
	Says                bool // the last column says why they stay
}

// Table, with the others of this name, is what the page shows.
func (k *keysView) Table() keyTable {
	return keyTable{Caption: k.Lead, Rows: k.Rows, Tick: k.Admin}
}

// Table are the keys that can be given back.
func (r removedView) Table() keyTable {
	return keyTable{Caption: r.Title, Rows: r.Rows, Tick: r.Admin, Undo: r.Admin, Removed: true}
}

// StayTable are those that were not.
func (r removedView) StayTable() keyTable {
	return keyTable{Caption: r.Title, Rows: r.Refused, Says: true}
}

// manyRow is somebody with many keys.
type manyRow struct {
	Name template.HTML
	Href string
	Text template.HTML
}

func (c *Console) keys(ctx context.Context, v *visit) error {
	q := v.r.URL.Query()
	show := ""
	for _, s := range keyShows {
		if q.Get("show") == s {
			show = s
		}
	}
	pg := v.page("keys", "", nil)
	pg.Title = pg.T("keys.title")
	t, err := v.tallyKeys(ctx, show, page.Clip(q.Get("after"), 200), pageSize)
	if err != nil {
		return err
	}
	view := keysView{listView: listView{Path: keysPath}, Lead: pg.N("keys.lead", t.By[""], "people", pg.N("policy.people", t.People)), Admin: v.admin()}
	names := &names{visit: v}
	for _, s := range keyShows {
		one := keyShow{Label: pg.T("keys.show." + cmp.Or(s, "all")), Note: pg.T("keys.show." + cmp.Or(s, "all") + ".note"), Count: t.By[s], Chosen: s == show, Href: keysPath}
		if s != "" {
			one.Href += "?show=" + s
		}
		if one.Count > 0 && s != "" {
			one.State = map[string]string{"weak": "bad", "orphaned": "warn"}[s]
		}
		view.Shows = append(view.Shows, one)
	}
	for _, k := range t.Requested {
		row, err := v.keyRow(ctx, pg, names, k)
		if err != nil {
			return err
		}
		view.Rows = append(view.Rows, row)
	}
	if err := v.manyKeys(ctx, pg, &view, t, names); err != nil {
		return err
	}
	if len(t.Requested) == 0 {
		view.Empty = pg.T("keys.none." + cmp.Or(show, "all"))
	} else if v.admin() {
		view.CSV = keysPath + "/csv" + query(url.Values{"show": {show}})
	}
	view.page(v.r, t.Next)
	pg.V = &view
	return v.show(http.StatusOK, pg)
}

// mostMany is how many people with many keys are named.
const mostMany = 20

func (v *visit) manyKeys(ctx context.Context, pg *page.Page, view *keysView, t keyTally, names *names) error {
	view.ManyTitle = pg.N("keys.many", len(t.Many), "warn", t.WarnAt)
	for _, u := range t.Many[:min(len(t.Many), mostMany)] {
		name, err := names.of(ctx, u)
		if err != nil {
			return err
		}
		view.Many = append(view.Many, manyRow{name, "/admin/people/" + string(u), pg.T("keys.many.of", "n", t.Held[u], "limit", t.Limit)})
	}
	return nil
}

func (v *visit) keyRow(ctx context.Context, pg *page.Page, names *names, k method.Credential) (keyRow, error) {
	person, err := names.of(ctx, k.User)
	row := keyRow{
		Value: keyName(k.User, k.ID), Person: person, PersonTo: "/admin/people/" + string(k.User), Name: k.Name, Kind: methodName(pg, k.Method), Device: string(k.Facts.Device),
		Made: page.When(k.Created, ""),
	}
	if !k.Orphaned {
		row.DeviceTo = devicePath(k.Facts.Device)
	}
	if !k.LastUsed.IsZero() {
		row.Used = page.When(k.LastUsed, "")
	}
	row.State, row.StateText = helloState(pg, k)
	if row.State == "good" && keyIs("unused", k, v.cfg.Now()) {
		row.State, row.StateText = "off", pg.T("keys.state.unused")
	}
	return row, err
}

// keysCSV gives them as a file in the columns of existing tools, as
// signInsCSV does: what comes out can be pasted where keys are cleared.
func (c *Console) keysCSV(ctx context.Context, v *visit) error {
	show := v.r.URL.Query().Get("show")
	var b bytes.Buffer
	if err := hygiene.CSV(&b, nil, true); err != nil {
		return err
	}
	now, left := c.cfg.Now(), mostExported
	for ask := (hygiene.Query{People: 999}); left > 0; {
		part, err := c.cfg.Hygiene.Keys(ctx, v.tenant, ask)
		if err != nil {
			return err
		}
		var some []hygiene.Key
		for _, k := range part.Keys {
			asCredential := method.Credential{Orphaned: k.Orphaned, Weak: k.Roca, Disabled: k.Disabled, LastUsed: k.LastUsed, Created: k.Created}
			if k.Usage == hygiene.NGC && keyIs(show, asCredential, now) && len(some) < left {
				some = append(some, k)
			}
		}
		if err := hygiene.CSV(&b, some, false); err != nil {
			return err
		}
		if left, ask.After = left-len(some), part.After; ask.After == "" {
			break
		}
	}
	if err := v.exported(ctx, "keys.export", strings.TrimSuffix("show="+page.Clip(show, 20), "show=")); err != nil {
		return err
	}
	v.attach("device-keys-" + now.UTC().Format(time.DateOnly) + ".csv")
	_, err := v.w.Write(b.Bytes())
	return err
}

// removedView is the list of keys that can be given back.
type removedView struct {
	Title   template.HTML
	Rows    []keyRow
	Refused []keyRow
	Empty   template.HTML
	More    template.HTML
	Admin   bool
}

// mostRemoved is how many removed keys a page shows.
const mostRemoved = 200

func (c *Console) removedKeys(ctx context.Context, v *visit) error {
	return v.removedPage(ctx, http.StatusOK, nil)
}

func (v *visit) removedPage(ctx context.Context, status int, refused []hygiene.Refused) error {
	pg := v.page("keysremoved", "", nil)
	pg.Title = pg.T("keys.removed.title")
	view := removedView{Title: pg.Title, Admin: v.admin()}
	names, n := &names{visit: v}, 0
	err := v.cfg.Hygiene.Removed(ctx, v.tenant, idp.User{}, func(k hygiene.Key) error {
		if n++; k.Usage != hygiene.NGC || len(view.Rows) >= mostRemoved {
			return nil
		}
		row, err := v.hygieneRow(ctx, pg, names, k)
		view.Rows = append(view.Rows, row)
		return err
	})
	if err != nil {
		return err
	}
	if n > len(view.Rows) {
		view.More = pg.N("keys.removed.more", n-len(view.Rows))
	}
	for _, r := range refused {
		row, err := v.hygieneRow(ctx, pg, names, r.Key)
		if err != nil {
			return err
		}
		row.Say = escaped(r.Say)
		view.Refused = append(view.Refused, row)
	}
	if len(view.Rows) == 0 {
		view.Empty = pg.T("keys.removed.none")
	}
	pg.V = view
	return v.show(status, pg)
}

// hygieneRow is a key as the keeper of keys has it.
func (v *visit) hygieneRow(ctx context.Context, pg *page.Page, names *names, k hygiene.Key) (keyRow, error) {
	row, err := v.keyRow(ctx, pg, names, method.Credential{
		ID: k.ID, User: k.User, Method: k.Method, Name: k.Name, Facts: idp.Facts{Device: k.Device}, Created: k.Created, LastUsed: k.LastUsed,
		Orphaned: k.Orphaned, Disabled: k.Disabled, Weak: k.Roca,
	})
	if !k.Removed.IsZero() {
		row.Removed = page.When(k.Removed, "")
	}
	return row, err
}

// restoreKeys gives removed keys back: one, or those that are ticked.
func (c *Console) restoreKeys(ctx context.Context, v *visit) error {
	wanted := list(v.form, "key")
	if one := v.form.Get("one"); one != "" {
		wanted = []string{one}
	}
	file, n, err := v.fileOf(ctx, wanted, func(fn func(hygiene.Key) error) error {
		return c.cfg.Hygiene.Removed(ctx, v.tenant, idp.User{}, fn)
	})
	if err != nil {
		return err
	}
	if n == 0 {
		return idp.NotFoundf("key_not_removed", "%d keys named", len(wanted)).Say("None of these keys was removed in the last 30 days, or none is ticked.")
	}
	done, err := c.cfg.Hygiene.RestoreFile(ctx, v.tenant, file, hygiene.Options{Actor: string(v.user.ID)}, false)
	if err != nil {
		return err
	}
	if len(done.Refused) > 0 {
		return v.removedPage(ctx, http.StatusConflict, done.Refused)
	}
	if len(done.Bad) > 0 {
		return idp.Conflictf("keys_changed", "%d keys changed meanwhile", len(done.Bad)).Say("Some of these keys changed at this moment. Look at the list again.")
	}
	return v.leave(keysPath+"/removed", "keys-back")
}

// fileOf is the file of those keys that are wanted, and how many it has.
func (v *visit) fileOf(_ context.Context, wanted []string, each func(func(hygiene.Key) error) error) (file string, n int, err error) {
	want := make(map[string]bool, len(wanted))
	for _, w := range wanted {
		want[w] = true
	}
	var keys []hygiene.Key
	err = each(func(k hygiene.Key) error {
		if want[keyName(k.User, k.ID)] {
			keys = append(keys, k)
		}
		return nil
	})
	if err != nil {
		return "", 0, err
	}
	var b strings.Builder
	err = hygiene.CSV(&b, keys, true)
	return b.String(), len(keys), err
}

// atoi is a number of a form, or 0.
func atoi(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
