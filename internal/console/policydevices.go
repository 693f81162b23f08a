package console

import (
	"context"
	"html/template"
	"net/url"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// deviceDraft is the form about devices, their primary refresh tokens and Hello
// keys.
type deviceDraft struct {
	Version          string
	On, DeviceCode   bool
	Include, Exclude []string
	Attestation      string
	Numbers          map[string]string // by field of deviceNumbers
	Idle, Absolute   span
	Compat           map[string]bool // by field of compatSwitches
	Extra            string          // one more RP ID
}

// deviceNumbers are the fields that hold a number, with what they change.
var deviceNumbers = []struct {
	field, at string
	in        func(*policy.Policy) *int
}{
	{"quota", "devices.quota", func(p *policy.Policy) *int { return &p.Devices.Quota }},
	{"offlineDays", "devices.offlineDays", func(p *policy.Policy) *int { return &p.Devices.OfflineDays }},
	{"helloLimit", "hello.limit", func(p *policy.Policy) *int { return &p.Hello.Limit }},
	{"helloWarnAt", "hello.warnAt", func(p *policy.Policy) *int { return &p.Hello.WarnAt }},
}

// compatSwitches bend strict rules for published clients. Each tells its risk
// where it stands (decisions 4.5).
var compatSwitches = []struct {
	field string
	in    func(*policy.CompatRules) *bool
}{
	{"kdfV1", func(c *policy.CompatRules) *bool { return &c.KDFv1 }},
	{"cbcResponses", func(c *policy.CompatRules) *bool { return &c.CBCResponses }},
	{"deviceCodeToPrt", func(c *policy.CompatRules) *bool { return &c.DeviceCodeToPRT }},
	{"deviceCodeToHello", func(c *policy.CompatRules) *bool { return &c.DeviceCodeToHello }},
	{"nativeClientRedirect", func(c *policy.CompatRules) *bool { return &c.NativeClientRedirect }},
	{"sharedDeviceKey", func(c *policy.CompatRules) *bool { return &c.SharedDeviceKey }},
	{"brokerWithoutPkce", func(c *policy.CompatRules) *bool { return &c.BrokerWithoutPKCE }},
}

const extraField = "extraRelyingPartyId"

func readDevices(v url.Values) deviceDraft {
	d := deviceDraft{
		Version: v.Get("version"), On: ticked(v, "on"), DeviceCode: ticked(v, "deviceCode"), Include: list(v, "include"), Exclude: list(v, "exclude"),
		Attestation: v.Get("attestation"), Idle: readSpan(v, "idle"), Absolute: readSpan(v, "absolute"), Extra: strings.TrimSpace(v.Get(extraField)),
		Numbers: map[string]string{}, Compat: map[string]bool{},
	}
	for _, n := range deviceNumbers {
		d.Numbers[n.field] = v.Get(n.field)
	}
	for _, c := range compatSwitches {
		d.Compat[c.field] = ticked(v, c.field)
	}
	return d
}

func (d *deviceDraft) values() url.Values {
	v := url.Values{"version": {d.Version}, "include": d.Include, "exclude": d.Exclude, "attestation": {d.Attestation}, extraField: {d.Extra}}
	setTick(v, "on", d.On)
	setTick(v, "deviceCode", d.DeviceCode)
	d.Idle.put(v, "idle")
	d.Absolute.put(v, "absolute")
	for _, n := range deviceNumbers {
		v.Set(n.field, d.Numbers[n.field])
	}
	for _, c := range compatSwitches {
		setTick(v, c.field, d.Compat[c.field])
	}
	return v
}

func devicesDraftOf(p policy.Policy) deviceDraft {
	r := p.Devices
	d := deviceDraft{
		Version: strconv.FormatInt(p.Version, 10), On: r.On, DeviceCode: r.DeviceCode, Include: targetWords(r.Include), Exclude: targetWords(r.Exclude),
		Attestation: string(r.Attestation), Idle: spanOf(r.Idle), Absolute: spanOf(r.Absolute), Extra: r.Compat.ExtraRelyingPartyID,
		Numbers: map[string]string{}, Compat: map[string]bool{},
	}
	for _, n := range deviceNumbers {
		d.Numbers[n.field] = strconv.Itoa(*n.in(&p))
	}
	for _, c := range compatSwitches {
		d.Compat[c.field] = *c.in(&p.Devices.Compat)
	}
	return d
}

func (d *deviceDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	r := &p.Devices
	r.On, r.DeviceCode, r.Attestation = d.On, d.DeviceCode, policy.Attestation(d.Attestation)
	r.Include, r.Exclude = a.targets("include", r.Include, d.Include), a.targets("exclude", r.Exclude, d.Exclude)
	a.span("idle", d.Idle, &r.Idle)
	a.span("absolute", d.Absolute, &r.Absolute)
	for _, n := range deviceNumbers {
		a.number(n.field, d.Numbers[n.field], n.in(&p))
	}
	for _, c := range compatSwitches {
		*c.in(&r.Compat) = d.Compat[c.field]
	}
	r.Compat.ExtraRelyingPartyID = d.Extra
	a.complaints(p, known, deviceField)
	return p, a.wrongs
}

// deviceField is where a place of the policy stands on the page.
func deviceField(place string) string {
	for _, n := range deviceNumbers {
		if under(place, n.at) {
			return n.field
		}
	}
	if field := below(place, "devices.compat."); field != "" {
		return field
	}
	return below(place, "devices.")
}

// deviceForm is the page of rules about devices.
func (c *Console) deviceForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	was := devicesDraftOf(s.saved)
	s.was, s.draft = &was, &was
	if v.form != nil {
		sent := readDevices(v.form)
		s.draft = &sent
	}
	s.title, s.lead = v.words().T("policy.devices.title"), "policy.devices.lead"
	s.crumb = crumbView{devicesPath, v.words().T("devices.title")}
	s.tells = s.deviceEffects
	s.fill = func(p *parts, view *settingsView) error {
		view.On = p.box("on", "devices.on")
		view.Sections = deviceSections(p)
		return nil
	}
	return s, nil
}

// deviceSections are the parts of the page below who may join.
func deviceSections(p *parts) []sectionView {
	pg := p.pg
	attested := p.radios("attestation", "deviceAttestation", false, string(policy.AttestationPreferred), string(policy.AttestationRequired), string(policy.AttestationNone))
	compat := sectionView{ID: "compat", Title: pg.T("policy.devices.compat"), Lead: pg.T("policy.devices.compat.lead")}
	for _, c := range compatSwitches {
		compat.Boxes = append(compat.Boxes, p.risky(c.field))
	}
	extra := p.entry(extraField, "extraRelyingPartyId", false)
	extra.Hint = pg.T("policy.compat.risk", "risk", pg.T("policy.risk."+extraField))
	compat.Entries = []entryView{extra}
	return []sectionView{
		{ID: "joining", Title: pg.T("policy.devices.join"), Radios: []radiosView{attested}, Entries: []entryView{p.entry("quota", "quota", true)}, Boxes: []boxView{p.box("deviceCode", "deviceCode")}},
		{ID: "lives", Title: pg.T("policy.devices.lives"), Lead: pg.T("policy.devices.lives.lead"), Entries: []entryView{
			p.length("idle", "prt.idle"), p.length("absolute", "prt.absolute"), p.entry("offlineDays", "offlineDays", true)}},
		{ID: "hello", Title: pg.T("policy.devices.hello"), Lead: pg.T("policy.devices.hello.lead"), Entries: []entryView{
			p.entry("helloLimit", "helloLimit", true), p.entry("helloWarnAt", "helloWarnAt", true)}},
		compat,
	}
}

// risky is a switch with its risk.
func (p *parts) risky(field string) boxView {
	b := p.box(field, "compat."+field)
	b.Risk = p.pg.T("policy.compat.risk", "risk", p.pg.T("policy.risk."+field))
	return b
}

// mostOwned bounds how many devices are looked at for who owns many.
const mostOwned = 50_000

// deviceEffects says what saving the form would do. stops is set when something
// stops working at once.
func (s *settings) deviceEffects(pg *page.Page) (out []effect, stops bool, err error) {
	old, next := s.saved, s.next
	add := func(state string, text template.HTML) { out = append(out, effect{state, text}) }
	joined, err := s.v.cfg.Devices.Count(s.ctx, s.v.tenant.ID, filter.Expr{})
	if err != nil {
		return nil, false, err
	}
	if old.Devices.On && !next.Devices.On {
		stops = joined > 0
		add(map[bool]string{true: "bad", false: "off"}[stops], pg.N("policy.devices.tell.off", int(joined)))
	}
	if !old.Devices.On && next.Devices.On {
		add("good", pg.N("policy.devices.tell.on", int(joined)))
	}
	if next.Devices.On && !next.Methods[policy.Hello].On {
		add("warn", pg.T("policy.devices.tell.nohello"))
	}
	if differ(old.Devices.Include, next.Devices.Include) || differ(old.Devices.Exclude, next.Devices.Exclude) {
		add("off", pg.T("policy.devices.tell.who"))
	}
	if next.Devices.Attestation == policy.AttestationRequired && old.Devices.Attestation != policy.AttestationRequired {
		n, err := s.unattested()
		if err != nil {
			return nil, false, err
		}
		add("warn", pg.N("policy.devices.tell.attest", n))
	}
	if next.Devices.Quota < old.Devices.Quota {
		n, err := s.overQuota(next.Devices.Quota)
		if err != nil {
			return nil, false, err
		}
		add("off", pg.N("policy.devices.tell.quota", n, "quota", next.Devices.Quota))
	}
	if next.Devices.Idle < old.Devices.Idle || next.Devices.Absolute < old.Devices.Absolute {
		add("warn", pg.T("policy.devices.tell.shorter"))
	}
	if next.Hello.Limit < old.Hello.Limit {
		n, err := s.overHello(next.Hello.Limit)
		if err != nil {
			return nil, false, err
		}
		add("off", pg.N("policy.devices.tell.hello", n, "limit", next.Hello.Limit))
	}
	return append(out, compatEffects(pg, old.Devices.Compat, next.Devices.Compat)...), stops, nil
}

// compatEffects tell the risks that are taken, and those that are not any more.
func compatEffects(pg *page.Page, old, next policy.CompatRules) (out []effect) {
	for _, c := range compatSwitches {
		switch was, is := *c.in(&old), *c.in(&next); {
		case is && !was:
			out = append(out, effect{"bad", pg.T("policy.devices.tell.risk", "what", pg.T("policy.box.compat."+c.field), "risk", pg.T("policy.risk."+c.field))})
		case was && !is:
			out = append(out, effect{"good", pg.T("policy.devices.tell.strict", "what", pg.T("policy.box.compat."+c.field))})
		}
	}
	if next.ExtraRelyingPartyID != "" && next.ExtraRelyingPartyID != old.ExtraRelyingPartyID {
		out = append(out, effect{"bad", pg.T("policy.devices.tell.risk", "what", next.ExtraRelyingPartyID, "risk", pg.T("policy.risk."+extraField))})
	}
	return out
}

func differ(a, b []policy.Target) bool {
	return strings.Join(targetWords(a), " ") != strings.Join(targetWords(b), " ")
}

// unattested counts the devices whose keys are not shown to be in a TPM.
func (s *settings) unattested() (int, error) {
	where, err := filter.Parse("assurance ne 'attested'", device.Fields)
	if err != nil {
		return 0, err
	}
	n, err := s.v.cfg.Devices.Count(s.ctx, s.v.tenant.ID, where)
	return int(n), err
}

// overQuota counts the people who own more devices than a number.
func (s *settings) overQuota(quota int) (n int, err error) {
	owned, looked := map[idp.UserID]int{}, 0
	for ask := (device.Page{Limit: 999}); looked < mostOwned; {
		list, next, err := s.v.cfg.Devices.List(s.ctx, s.v.tenant.ID, ask)
		if err != nil {
			return 0, err
		}
		for _, d := range list {
			if d.Owner == "" {
				continue // it waits for its first person
			}
			if owned[d.Owner]++; owned[d.Owner] == quota+1 {
				n++
			}
		}
		looked += len(list)
		if ask.After = next; next == "" {
			break
		}
	}
	return n, nil
}

// overHello counts the people who hold more Hello keys than a number.
func (s *settings) overHello(limit int) (n int, err error) {
	t, err := s.v.tallyKeys(s.ctx, "", "", 0)
	for _, held := range t.Held {
		if held > limit {
			n++
		}
	}
	return n, err
}
