package portal

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// Devices is what the account pages know of machines.
type Devices struct {
	Registry *device.Registry
	PRTs     *prt.Service
	// OnDevice gives the Hello keys and Mac keys that a device keeps, for whomever.
	OnDevice func(context.Context, idp.TenantID, idp.DeviceID) ([]method.Credential, error)
	// Rules are the tenant's; the pages tell for how long a machine may open
	// its own screen, and how many Hello keys are many.
	Rules func(context.Context, idp.TenantID) (policy.DeviceRules, policy.HelloRules, error)
	// MacKeys are the rules about the keys that Macs keep; nil: there are none.
	MacKeys func(context.Context, idp.TenantID) (policy.PlatformRules, error)
	// Serials gives the serial numbers of those devices that are Macs; nil:
	// none is told.
	Serials func(context.Context, idp.TenantID, []idp.DeviceID) (map[idp.DeviceID]string, error)
}

// ownDevice is a device of the visitor: they joined it, or sign in with it.
type ownDevice struct {
	device.Device
	mine   bool // they joined it
	serial string
	prts   []prt.PRT
	keys   []method.Credential // their Hello keys and Mac keys on it
}

// machines are those of the visitor: their own first, newest first.
func (p *Portal) machines(ctx context.Context, v *visit, creds []method.Credential) ([]ownDevice, error) {
	if p.cfg.Devices == nil {
		return nil, nil
	}
	owned, err := p.cfg.Devices.Registry.Owned(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return nil, err
	}
	prts, err := p.cfg.Devices.PRTs.OfUser(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return nil, err
	}
	var out []ownDevice
	at := func(id idp.DeviceID) (*ownDevice, error) {
		if i := slices.IndexFunc(out, func(m ownDevice) bool { return m.ID == id }); i >= 0 {
			return &out[i], nil
		}
		d, err := p.cfg.Devices.Registry.Get(ctx, v.tenant.ID, id)
		if errors.Is(err, idp.NotFound) {
			return nil, nil // an orphaned key tells of itself
		}
		if err != nil {
			return nil, err
		}
		out = append(out, ownDevice{Device: d})
		return &out[len(out)-1], nil
	}
	for _, d := range owned {
		out = append(out, ownDevice{Device: d, mine: true})
	}
	for _, one := range prts {
		m, err := at(one.Device)
		if err != nil {
			return nil, err
		}
		if m != nil {
			m.prts = append(m.prts, one)
		}
	}
	for _, c := range creds {
		if !ofMachine(c.Method) || c.Facts.Device == "" || c.Orphaned {
			continue
		}
		m, err := at(c.Facts.Device)
		if err != nil {
			return nil, err
		}
		if m != nil {
			m.keys = append(m.keys, c)
		}
	}
	return out, p.fillSerials(ctx, v, out)
}

// deviceRow is one device on the account page.
type deviceRow struct {
	ID                idp.DeviceID
	Icon, Name        string
	Here, Lent        bool
	Meta              template.HTML
	KeysState         string
	Keys              template.HTML
	State             string
	Standing          template.HTML
	Hello             template.HTML
	SignOut, Off, Rid string // addresses of questions; empty: there is nothing to ask
}

func deviceRowOf(pg *page.Page, m ownDevice, s idp.SessionID, here idp.DeviceID) deviceRow {
	row := deviceRow{ID: m.ID, Icon: "laptop", Name: m.Name, Here: m.ID == here, Lent: !m.mine}
	if slices.Contains([]string{"ios", "ipados", "android"}, strings.ToLower(m.OS)) {
		row.Icon = "phone"
	}
	var meta []template.HTML
	if system := m.System(); system != "" {
		meta = append(meta, template.HTML(template.HTMLEscapeString(system)))
	}
	if m.serial != "" {
		meta = append(meta, pg.T("devices.serial", "serial", m.serial))
	}
	meta = append(meta, pg.T("devices.joined", "when", page.When(m.Created, "")))
	if !m.LastSeen.IsZero() {
		meta = append(meta, pg.T("devices.seen", "when", page.When(m.LastSeen, "")))
	}
	row.Meta = dots(pg, meta)
	row.KeysState, row.Keys = deviceKeys(pg, m.Device)
	for _, k := range m.keys {
		word := "devices.hello"
		if k.Method == policy.Platform {
			word = "devices.mackey"
		}
		if k.LastUsed.IsZero() {
			row.Hello = pg.T(word + ".unused")
		} else {
			row.Hello = pg.T(word, "when", page.When(k.LastUsed, ""))
		}
	}
	row.State, row.Standing = m.standing(pg)
	ask := func(what string) string {
		return "/account/device?" + url.Values{"session": {string(s)}, "device": {string(m.ID)}, "what": {what}}.Encode()
	}
	if len(m.prts) > 0 {
		row.SignOut = ask("sign-out")
	}
	if m.mine && m.Enabled {
		row.Off = ask("disable")
	}
	if m.mine {
		row.Rid = ask("remove")
	}
	return row
}

// deviceKeys says in plain words where the keys of a device are.
func deviceKeys(pg *page.Page, d device.Device) (state string, text template.HTML) {
	switch {
	case d.Software:
		return "warn", pg.T("devices.keys.software")
	case d.Assurance == device.Attested && isMac(d):
		return "good", pg.T("devices.keys.enclave")
	case d.Assurance == device.Attested:
		return "good", pg.T("devices.keys.attested")
	case d.Assurance == device.Unattested:
		return "", pg.T("devices.keys.unattested")
	}
	return "warn", pg.T("devices.keys.unproven")
}

// standing says whether the person is signed in with the device, and until when.
func (m *ownDevice) standing(pg *page.Page) (state string, text template.HTML) {
	switch {
	case !m.Pending.IsZero():
		return "warn", pg.T("devices.pending")
	case !m.Enabled:
		return "bad", pg.T("devices.off")
	case len(m.prts) == 0:
		return "", pg.T("devices.idle")
	}
	var last time.Time
	for _, p := range m.prts {
		if p.Expires.After(last) {
			last = p.Expires
		}
	}
	return "good", pg.T("devices.until", "when", page.When(last, ""))
}

// fillDevices fills in what the account page says of devices.
func (p *Portal) fillDevices(ctx context.Context, pg *page.Page, v *visit, view *accountView, creds []method.Credential) error {
	if p.cfg.Devices == nil {
		return nil
	}
	all, err := p.machines(ctx, v, creds)
	if err != nil {
		return err
	}
	rules, hello, err := p.cfg.Devices.Rules(ctx, v.tenant.ID)
	if err != nil {
		return err
	}
	view.OfDevices = rules.On || len(all) > 0
	for _, m := range all {
		view.Devices = append(view.Devices, deviceRowOf(pg, m, v.session.ID, v.session.Device))
		for i, row := range view.Methods {
			if ofMachine(row.Method) && row.Name != m.Name && slices.ContainsFunc(m.keys, func(k method.Credential) bool { return k.ID == row.ID }) {
				view.Methods[i].Meta = dots(pg, []template.HTML{pg.T("meta.on", "device", m.Name), row.Meta})
			}
		}
	}
	if held := heldOf(creds, policy.Hello); hello.WarnAt > 0 && held >= hello.WarnAt {
		view.HelloWarn = pg.T("devices.hello.many", "n", held, "limit", hello.Limit)
	}
	if p.cfg.Devices.MacKeys == nil {
		return nil
	}
	macs, err := p.cfg.Devices.MacKeys(ctx, v.tenant.ID)
	if held := heldOf(creds, policy.Platform); macs.WarnAt > 0 && held >= macs.WarnAt {
		view.MacWarn = pg.T("devices.mackey.many", "n", held, "limit", macs.Limit)
	}
	return err
}

// deviceQuestion is the page that tells what follows from a deed.
type deviceQuestion struct {
	Session idp.SessionID
	Device  idp.DeviceID
	What    string
	Effects []deviceEffect
	Last    template.HTML // why it cannot be; empty: it can
	Add     bool          // a passkey can be added here
	Yes     template.HTML
	Harm    bool
}

type deviceEffect struct {
	State string
	Text  template.HTML
}

// deviceDeeds are what a page asks about, and their activity on record.
var deviceDeeds = map[string]string{"sign-out": "device.signOut", "disable": "device.disable", "remove": "device.remove"}

// theMachine finds one of the visitor's, for a deed that they may do.
func (p *Portal) theMachine(ctx context.Context, v *visit, id idp.DeviceID, what string) (ownDevice, error) {
	gone := idp.NotFoundf("device_gone", "device %.40q of %s, to %.20q", id, v.user.ID, what)
	if deviceDeeds[what] == "" {
		return ownDevice{}, gone
	}
	creds, err := p.cfg.Corridor.Credentials(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return ownDevice{}, err
	}
	all, err := p.machines(ctx, v, creds)
	if err != nil {
		return ownDevice{}, err
	}
	i := slices.IndexFunc(all, func(m ownDevice) bool { return m.ID == id })
	if i < 0 || what != "sign-out" && !all[i].mine {
		return ownDevice{}, gone
	}
	return all[i], nil
}

// machinePage is GET /account/device: what follows, before it happens.
func (p *Portal) machinePage(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v, instead, err := p.owner(w, r, q.Get("session"))
	if err != nil {
		return err
	}
	if instead != nil {
		return instead(w, r)
	}
	id, what := idp.DeviceID(q.Get("device")), q.Get("what")
	m, err := p.theMachine(r.Context(), v, id, what)
	if err != nil {
		return err
	}
	if !p.fresh(v.session) {
		return p.prove(w, r, v, ask{Then: "machine", Device: id, What: what})
	}
	return p.showDevice(w, r, v, m, what)
}

func (p *Portal) showDevice(w http.ResponseWriter, r *http.Request, v *visit, m ownDevice, what string) error {
	ctx := r.Context()
	pg := p.newPage(r, "machine", v.tenant, "", nil)
	pg.Title = pg.T("machine."+what+".title", "name", m.Name)
	view := &deviceQuestion{Session: v.session.ID, Device: m.ID, What: what, Yes: pg.T("machine." + what + ".go"), Harm: what != "sign-out"}
	var err error
	if view.Effects, err = p.deviceEffects(ctx, pg, v, m, what); err != nil {
		return err
	}
	if what != "sign-out" {
		stranded, err := p.cfg.Corridor.Stranded(ctx, v.tenant.ID, m.keys)
		if err != nil {
			return err
		}
		if slices.Contains(stranded, v.user.ID) {
			refusal, err := p.cfg.Corridor.MayAdd(ctx, v.tenant.ID, v.user.ID, passkey)
			if err != nil {
				return err
			}
			view.Last, view.Add = pg.T(m.keyWord("machine.last")), refusal.Allowed()
		}
	}
	pg.V = view
	return p.show(w, http.StatusOK, pg)
}

// deviceEffects says what follows from a deed.
func (p *Portal) deviceEffects(ctx context.Context, pg *page.Page, v *visit, m ownDevice, what string) (out []deviceEffect, err error) {
	add := func(state string, text template.HTML) { out = append(out, deviceEffect{state, text}) }
	if v.session.Device == m.ID {
		add("bad", pg.T("machine.effect.here"))
	}
	if len(m.prts) > 0 {
		add("bad", pg.T("machine.effect.out"))
	} else {
		add("", pg.T("machine.effect.idle"))
	}
	if what == "sign-out" {
		if len(m.keys) > 0 {
			add("good", pg.T(m.keyWord("machine.effect.key.stays")))
		}
		add("good", pg.T("machine.effect.again"))
		return out, nil
	}
	if len(m.keys) > 0 {
		add("bad", pg.T(m.keyWord("machine.effect."+what+".key")))
	}
	others, err := p.others(ctx, v, m)
	if err != nil {
		return nil, err
	}
	if others > 0 {
		add("bad", pg.N("machine.effect.others", others))
	}
	rules, _, err := p.cfg.Devices.Rules(ctx, v.tenant.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case isMac(m.Device): // it opens by a password of its own, for as long as it likes
		add("warn", pg.T("machine.mac.effect.offline"))
	case rules.OfflineDays > 0:
		add("warn", pg.N("machine.effect.offline", rules.OfflineDays))
	}
	add("warn", pg.T("machine.effect."+what+".back"))
	return out, nil
}

// others counts who else signs in with a machine.
func (p *Portal) others(ctx context.Context, v *visit, m ownDevice) (int, error) {
	people := map[idp.UserID]bool{}
	prts, err := p.cfg.Devices.PRTs.OfDevice(ctx, v.tenant.ID, m.ID)
	if err != nil {
		return 0, err
	}
	for _, one := range prts {
		people[one.User] = true
	}
	keys, err := p.cfg.Devices.OnDevice(ctx, v.tenant.ID, m.ID)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		people[k.User] = true
	}
	delete(people, v.user.ID)
	return len(people), nil
}

// machineDeed is POST /account/device: the deed.
func (p *Portal) machineDeed(w http.ResponseWriter, r *http.Request) error {
	form, v, instead, err := p.accountForm(w, r)
	if err != nil {
		return err
	}
	if instead != nil {
		return p.toAccount(w, r)
	}
	id, what := idp.DeviceID(form.Get("device")), form.Get("what")
	m, err := p.theMachine(r.Context(), v, id, what)
	if err != nil {
		return err
	}
	err = p.cfg.Corridor.GiveUp(r.Context(), v.session, id, deviceDeeds[what], map[string]string{"displayName": m.Name}, v.peer,
		func(ctx context.Context, tx *sqldb.Tx) error { return p.giveUp(ctx, tx, v, m, what) })
	if e := idp.AsError(err); e != nil && e.Reason == "fresh_proof_needed" {
		return p.prove(w, r, v, ask{Then: "machine", Device: id, What: what})
	}
	if errors.Is(err, idp.NotFound) {
		return idp.NotFoundf("device_gone", "%w", err)
	}
	if err != nil {
		return err
	}
	done := map[string]string{"sign-out": "deviceout", "disable": "deviceoff", "remove": "devicegone"}[what]
	q := url.Values{"session": {string(v.session.ID)}, "done": {done}}
	return web.SeeOther(w, r, "/account?"+q.Encode()+"#devices")
}

// giveUp does a deed to a machine that is the visitor's still.
func (p *Portal) giveUp(ctx context.Context, tx *sqldb.Tx, v *visit, m ownDevice, what string) error {
	d, err := p.cfg.Devices.Registry.Load(ctx, tx, v.tenant.ID, m.ID)
	if err != nil {
		return err
	}
	switch {
	case what == "sign-out":
		return p.signOutOn(ctx, tx, v, m)
	case d.Owner != v.user.ID:
		return idp.NotFoundf("device_gone", "device %s is not of %s any more", m.ID, v.user.ID)
	case what == "disable":
		return p.cfg.Devices.Registry.SetEnabled(ctx, tx, v.tenant.ID, m.ID, false)
	}
	return p.cfg.Devices.Registry.Remove(ctx, tx, v.tenant.ID, m.ID)
}

// signOutOn ends what the visitor has open on a machine, and nobody else's.
func (p *Portal) signOutOn(ctx context.Context, tx *sqldb.Tx, v *visit, m ownDevice) error {
	for _, one := range m.prts {
		if err := p.cfg.Devices.PRTs.Revoke(ctx, tx, v.tenant.ID, one.ID); err != nil && !errors.Is(err, idp.NotFound) {
			return err
		}
	}
	sessions, err := p.cfg.Sessions.List(ctx, v.tenant.ID, v.user.ID)
	if err != nil {
		return err
	}
	for _, s := range sessions {
		if s.Device != m.ID {
			continue
		}
		if err := p.cfg.Sessions.End(ctx, tx, v.tenant.ID, s.ID); err != nil {
			return err
		}
		if p.cfg.RevokeSession != nil {
			if err := p.cfg.RevokeSession(ctx, tx, v.tenant.ID, v.user.ID, s.ID); err != nil {
				return err
			}
		}
	}
	return nil
}
