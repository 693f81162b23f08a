package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/report"
)

// HelloKeys are the keys that devices keep for people: Hello keys, and those of
// Macs.
type HelloKeys interface {
	List(context.Context, idp.TenantID, idp.UserID) ([]method.Credential, error)
	OnDevice(context.Context, idp.TenantID, idp.DeviceID) ([]method.Credential, error)
	// Walk calls fn for every key of the tenant, those of one person together.
	Walk(context.Context, idp.TenantID, func(method.Credential) error) error
}

func (c *Console) deviceRoutes() []route {
	const desk, admin = directory.Helpdesk, directory.Administrator
	return join([]route{
		{"GET /admin/devices", desk, c.devices, ""},
		{"GET /admin/devices/csv", admin, c.devicesCSV, ""},
		{"GET /admin/devices/{id}", desk, c.device, ""},
		{"GET /admin/devices/{id}/ask", desk, c.askDevice, ""},
		{"POST /admin/devices/{id}/disable", desk, c.disableDevice, "says.device.disable"},
		{"POST /admin/devices/{id}/remove", desk, c.removeDevice, "says.device.remove"},
		{"POST /admin/devices/{id}/enable", admin, c.enableDevice, "says.device.enable"},
		{"POST /admin/devices/{id}/name", admin, c.renameDevice, "says.device.rename"},
	}, settingsRoutes("/admin/devices/rules", c.deviceForm))
}

// quiet is how long a device is not seen before lists say so.
const quiet = 90 * day

// deviceFilter is what the list of devices is asked; it lives in the address.
type deviceFilter struct {
	Q      string
	State  string // "on", "off", "pending"
	OS     string // a word of deviceSystems
	Keys   string // a word of deviceKeys
	Seen   string // "week", "month": since then; "quiet": not since long
	Joined string // "week", "month", "year"
	Owner  idp.UserID
}

func readDeviceFilter(q url.Values) deviceFilter {
	one := func(name string, words []string) string {
		if w := q.Get(name); slices.Contains(words, w) {
			return w
		}
		return ""
	}
	f := deviceFilter{
		Q: page.Clip(strings.TrimSpace(q.Get("q")), 200), State: one("state", deviceStates), OS: one("os", deviceSystems), Keys: one("keys", deviceKeys),
		Seen: one("seen", deviceSeen), Joined: one("joined", deviceJoined), Owner: idp.UserID(strings.ToLower(q.Get("owner"))),
	}
	if !guid.MatchString(string(f.Owner)) {
		f.Owner = ""
	}
	return f
}

// Words of the filter; the first of each asks nothing.
var (
	deviceStates  = []string{"", "on", "off", "pending"}
	deviceSystems = []string{"", "linux", "windows", "mac", "other"}
	deviceKeys    = []string{"", string(device.Attested), string(device.Unattested), string(device.Unproven), "software"}
	deviceSeen    = []string{"", "week", "month", "quiet"}
	deviceJoined  = []string{"", "week", "month", "year"}
)

// never is how a time is written that never was.
const never = "1970-01-01T00:00:00Z"

// deviceClauses are the conditions of words, but for those that tell a time.
var deviceClauses = map[string]string{
	"state.on": "accountEnabled eq true", "state.off": "accountEnabled eq false and attestationDue le " + never, "state.pending": "attestationDue gt " + never,
	"os.linux": "startswith(operatingSystem,'Linux')", "os.windows": "startswith(operatingSystem,'Windows')", "os.mac": "(startswith(operatingSystem,'mac') or startswith(operatingSystem,'Mac'))",
	"os.other":      "not startswith(operatingSystem,'Linux') and not startswith(operatingSystem,'Windows') and not startswith(operatingSystem,'mac') and not startswith(operatingSystem,'Mac')",
	"keys.software": "softwareKeys eq true", "keys.attested": "assurance eq 'attested' and softwareKeys eq false",
	"keys.unattested": "assurance eq 'unattested' and softwareKeys eq false", "keys.unproven": "assurance eq 'unproven' and softwareKeys eq false",
}

func (f deviceFilter) parts() []field {
	return []field{{"q", f.Q}, {"state", f.State}, {"os", f.OS}, {"keys", f.Keys}, {"seen", f.Seen}, {"joined", f.Joined}, {"owner", string(f.Owner)}}
}

func (f deviceFilter) values() url.Values {
	v := url.Values{}
	for _, p := range f.parts() {
		if p.Value != "" {
			v.Set(p.Name, p.Value)
		}
	}
	return v
}

const devicesPath = "/admin/devices"

// with is the address of the list with one part set, or taken away.
func (f deviceFilter) with(name, value string) string {
	v := f.values()
	if v.Del(name); value != "" {
		v.Set(name, value)
	}
	return devicesPath + query(v)
}

// where makes a condition of the filter.
func (v *visit) devicesWhere(ctx context.Context, f deviceFilter) (filter.Expr, error) {
	now := v.cfg.Now().UTC()
	var clauses []string
	for _, p := range []string{"state." + f.State, "os." + f.OS, "keys." + f.Keys} {
		if text := deviceClauses[p]; text != "" {
			clauses = append(clauses, text)
		}
	}
	at := func(ago time.Duration) string { return now.Add(-ago).Format(time.RFC3339) }
	switch f.Seen {
	case "quiet":
		clauses = append(clauses, "lastSeen lt "+at(quiet)+" and registrationDateTime lt "+at(quiet))
	case "week", "month":
		clauses = append(clauses, "lastSeen ge "+at(spans[f.Seen]))
	}
	if f.Joined != "" {
		clauses = append(clauses, "registrationDateTime ge "+at(cmp.Or(spans[f.Joined], 365*day)))
	}
	if f.Owner != "" {
		clauses = append(clauses, "registeredOwner eq '"+string(f.Owner)+"'")
	}
	var where filter.Expr
	if len(clauses) > 0 {
		var err error
		if where, err = filter.Parse(strings.Join(clauses, " and "), device.Fields); err != nil {
			return where, err
		}
	}
	if f.Q == "" {
		return where, nil
	}
	found, err := v.devicesCalled(ctx, f.Q)
	return filter.And(where, found), err
}

// mostOwners is how many people a search for devices takes a name for.
const mostOwners = 20

// devicesCalled is the condition that a device, or who joined it, is called so,
// or that it is its id or the serial number of a Mac.
func (v *visit) devicesCalled(ctx context.Context, typed string) (filter.Expr, error) {
	if guid.MatchString(typed) {
		return filter.Parse("id eq '"+strings.ToLower(typed)+"'", device.Fields)
	}
	people, err := called(typed, directory.UserFields, "displayName", "userPrincipalName")
	if err != nil {
		return filter.Expr{}, err
	}
	owners, _, err := v.cfg.Directory.Users(ctx, v.tenant.ID, directory.Page{Limit: mostOwners, Where: people})
	if err != nil {
		return filter.Expr{}, err
	}
	serial := typed
	typed = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(typed)
	text := `"displayName:` + typed + `"`
	for _, o := range owners {
		text += ` OR "registeredOwner:` + string(o.ID) + `"`
	}
	macs, err := v.ofSerial(ctx, serial)
	if err != nil {
		return filter.Expr{}, err
	}
	for _, id := range macs {
		text += ` OR "id:` + id + `"`
	}
	return filter.ParseSearch(text, device.Fields)
}

// devicesView is the list of devices.
type devicesView struct {
	listView
	Rows    []deviceRow
	States  []choice
	Selects []selectView
	Open    bool
	Chips   []chip
	Clear   string
	Count   template.HTML
	Empty   template.HTML
	EmptyTo string
	EmptyOn template.HTML
	CSV     string
	Rules   bool
}

// selectView is a choice of the filter form.
type selectView struct {
	Name    string
	Label   template.HTML
	Options []option
}

// deviceRow is a device in a list.
type deviceRow struct {
	ID               idp.DeviceID
	Href, Icon, Name string
	OS, Owner        template.HTML
	OwnerTo          string
	KeysState        string
	Keys             template.HTML
	Joined, Seen     template.HTML
	State            string
	StateText        template.HTML
}

func (c *Console) devices(ctx context.Context, v *visit) error {
	q := v.r.URL.Query()
	f := readDeviceFilter(q)
	pg := v.page("devices", "", nil)
	pg.Title = pg.T("devices.title")
	where, err := v.devicesWhere(ctx, f)
	if err != nil {
		return err
	}
	list, next, err := c.cfg.Devices.List(ctx, v.tenant.ID, device.Page{After: q.Get("after"), Limit: pageSize, Where: where})
	if err != nil {
		return err
	}
	all, err := c.cfg.Devices.Count(ctx, v.tenant.ID, where)
	if err != nil {
		return err
	}
	p, err := c.cfg.Policies.Get(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	view := devicesView{listView: listView{Path: devicesPath, SearchLabel: "devices.search", Query: f.Q}, Count: pg.N("devices.count", int(all)), Rules: v.admin()}
	names := &names{visit: v}
	for _, d := range list {
		row, err := v.deviceRow(ctx, pg, names, d)
		if err != nil {
			return err
		}
		view.Rows = append(view.Rows, row)
	}
	if err := v.deviceBar(ctx, pg, f, &view, names); err != nil {
		return err
	}
	if len(list) == 0 {
		view.empty(pg, f, p.Devices.On, v.admin())
	} else if v.admin() {
		view.CSV = devicesPath + "/csv" + query(f.values())
	}
	view.page(v.r, next)
	pg.V = &view
	return v.show(http.StatusOK, pg)
}

// empty says why there is nothing, and one way on.
func (d *devicesView) empty(pg *page.Page, f deviceFilter, on, admin bool) {
	d.Count = ""
	switch {
	case len(f.values()) > 0:
		d.Empty, d.EmptyOn, d.EmptyTo = pg.T("devices.none.match"), pg.T("log.clear"), devicesPath
	case on:
		d.Empty = pg.T("devices.none.yet")
	default:
		d.Empty = pg.T("devices.none.off")
		if admin {
			d.EmptyOn, d.EmptyTo = pg.T("devices.rules"), devicesPath+"/rules"
		}
	}
}

// deviceBar fills in the filter bar.
func (v *visit) deviceBar(ctx context.Context, pg *page.Page, f deviceFilter, view *devicesView, names *names) error {
	for _, s := range deviceStates {
		view.States = append(view.States, choice{pg.T("devices.state." + cmp.Or(s, "any")), f.with("state", s), f.State == s})
	}
	for _, one := range []struct {
		name  string
		words []string
		value string
	}{{"os", deviceSystems, f.OS}, {"keys", deviceKeys, f.Keys}, {"seen", deviceSeen, f.Seen}, {"joined", deviceJoined, f.Joined}} {
		s := selectView{Name: one.name, Label: pg.T("devices.by." + one.name)}
		for _, w := range one.words {
			s.Options = append(s.Options, option{w, pg.T("devices." + one.name + "." + cmp.Or(w, "any")), one.value == w})
		}
		view.Selects = append(view.Selects, s)
		if one.value != "" {
			view.Chips = append(view.Chips, chip{pg.T("devices." + one.name + "." + one.value), f.with(one.name, "")})
		}
	}
	if f.Q != "" {
		view.Chips = append(view.Chips, chip{pg.T("log.chip.q", "q", f.Q), f.with("q", "")})
	}
	if f.Owner != "" {
		name, err := names.of(ctx, f.Owner)
		if err != nil {
			return err
		}
		view.Chips = append(view.Chips, chip{pg.T("devices.chip.owner", "name", name), f.with("owner", "")})
	}
	for _, p := range []field{{"state", f.State}, {"owner", string(f.Owner)}} {
		if p.Value != "" {
			view.Kept = append(view.Kept, p)
		}
	}
	if len(view.Chips) > 0 {
		view.Clear = devicesPath
	}
	return nil
}

func (v *visit) deviceRow(ctx context.Context, pg *page.Page, names *names, d device.Device) (deviceRow, error) {
	owner, err := names.of(ctx, d.Owner)
	row := deviceRow{
		ID: d.ID, Href: devicePath(d.ID), Icon: deviceIcon(d.OS), Name: d.Name, OS: systemOf(pg, d), Owner: owner, OwnerTo: "/admin/people/" + string(d.Owner),
		Joined: page.When(d.Created, ""),
	}
	row.KeysState, row.Keys = keysOf(pg, d)
	if !d.LastSeen.IsZero() {
		row.Seen = page.When(d.LastSeen, "")
	}
	row.State, row.StateText = deviceState(pg, d, v.cfg.Now())
	return row, err
}

func devicePath(id idp.DeviceID) string { return devicesPath + "/" + string(id) }

func deviceIcon(os string) string {
	switch strings.ToLower(os) {
	case "ios", "ipados", "android":
		return "phone"
	}
	return "laptop"
}

// systemOf is what a device says that it runs.
func systemOf(pg *page.Page, d device.Device) template.HTML {
	if system := d.System(); system != "" {
		return escaped(system)
	}
	return pg.T("device.os.unsaid")
}

// keysOf says where the keys of a device are, as far as that is proven.
func keysOf(pg *page.Page, d device.Device) (state string, text template.HTML) {
	if d.Software {
		return "warn", pg.T("device.keys.software")
	}
	switch d.Assurance {
	case device.Attested:
		return "good", pg.T(macWord(d, "device.keys.attested", "mac.keys.attested"))
	case device.Unattested:
		return "off", pg.T("device.keys.unattested")
	}
	return "warn", pg.T("device.keys.unproven")
}

// deviceState is what is off with a device; nothing when it works and is used.
func deviceState(pg *page.Page, d device.Device, now time.Time) (state string, text template.HTML) {
	last := d.LastSeen
	if last.IsZero() {
		last = d.Created
	}
	switch {
	case !d.Pending.IsZero():
		return "warn", pg.T("device.pending")
	case !d.Enabled:
		return "bad", pg.T("device.off")
	case now.Sub(last) > quiet:
		return "off", pg.T("device.quiet")
	}
	return "", ""
}

// deviceHeader are the columns of the file, under Graph's names where it has
// them.
var deviceHeader = []string{"id", "displayName", "operatingSystem", "operatingSystemVersion", "trustType", "accountEnabled", "ownerUserPrincipalName", "registeredOwner",
	"assurance", "softwareKeys", "registrationDateTime", "approximateLastSignInDateTime", "certificateExpires"}

// devicesCSV gives the filtered list as a file, as signInsCSV does.
func (c *Console) devicesCSV(ctx context.Context, v *visit) error {
	f := readDeviceFilter(v.r.URL.Query())
	where, err := v.devicesWhere(ctx, f)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	if err := w.Write(deviceHeader); err != nil {
		return err
	}
	owners := map[idp.UserID]string{}
	for ask, left := (device.Page{Where: where}), mostExported; left > 0; {
		ask.Limit = min(left, 999)
		list, next, err := c.cfg.Devices.List(ctx, v.tenant.ID, ask)
		if err != nil {
			return err
		}
		for _, d := range list {
			if _, known := owners[d.Owner]; !known {
				u, err := c.cfg.Directory.User(ctx, c.cfg.DB, v.tenant.ID, d.Owner)
				if e := idp.AsError(err); err != nil && (e == nil || e.Kind != idp.NotFound) {
					return err
				}
				owners[d.Owner] = u.Name
			}
			if err := w.Write(deviceRecord(d, owners[d.Owner])); err != nil {
				return err
			}
		}
		if left, ask.After = left-len(list), next; next == "" {
			break
		}
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return err
	}
	if err := v.exported(ctx, "device.export", f.values().Encode()); err != nil {
		return err
	}
	v.attach("devices-" + c.cfg.Now().UTC().Format(time.DateOnly) + ".csv")
	_, err = v.w.Write(b.Bytes())
	return err
}

func deviceRecord(d device.Device, owner string) []string {
	cell := report.Cell
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.UTC().Format(time.RFC3339)
	}
	return []string{
		string(d.ID), cell(d.Name), cell(d.OS), cell(d.OSVersion), string(d.Join), strconv.FormatBool(d.Enabled), cell(owner), cell(string(d.Owner)),
		string(d.Assurance), strconv.FormatBool(d.Software), at(d.Created), at(d.LastSeen), at(d.Certified),
	}
}
