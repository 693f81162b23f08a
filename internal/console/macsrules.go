package console

import (
	"context"
	"html/template"
	"net/url"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// macDraft is the first step: how people sign in on Macs.
type macDraft struct {
	Version, Method string
	Biometric       string // the bits that say who opens the key at each use: "0", "1" or "2"
	Reuse, Password bool   // the bits beside them
	Frequency       span
	Name            string
	On              bool // switch on what is missing
}

func readMacs(v url.Values) macDraft {
	return macDraft{
		Version: v.Get("version"), Method: v.Get("method"), Biometric: v.Get("biometric"), Reuse: ticked(v, "reuse"), Password: ticked(v, "password"),
		Frequency: readSpan(v, "frequency"), Name: strings.TrimSpace(v.Get("name")), On: ticked(v, "on"),
	}
}

func (d *macDraft) values() url.Values {
	v := url.Values{"version": {d.Version}, "method": {d.Method}, "biometric": {d.Biometric}, "name": {d.Name}}
	d.Frequency.put(v, "frequency")
	setTick(v, "reuse", d.Reuse)
	setTick(v, "password", d.Password)
	setTick(v, "on", d.On)
	return v
}

// whoseFinger are the bits that say whose finger opens a key.
const whoseFinger = policy.BiometricCurrent | policy.BiometricAny

func macDraftOf(p policy.Policy) macDraft {
	r := p.Macs
	return macDraft{
		Version: strconv.FormatInt(p.Version, 10), Method: string(r.Method), Biometric: strconv.Itoa(r.Biometric & whoseFinger),
		Reuse: r.Biometric&policy.BiometricReuse != 0, Password: r.Biometric&policy.BiometricPassword != 0,
		Frequency: spanOf(r.LoginFrequency), Name: r.AccountName,
	}
}

func (d *macDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	r := &p.Macs
	r.Method, r.AccountName = policy.MacMethod(d.Method), d.Name
	a.span("frequency", d.Frequency, &r.LoginFrequency)
	bits := 0
	a.number("biometric", d.Biometric, &bits)
	if bits != 0 { // without a finger there is nothing to be spared of one
		for bit, on := range map[int]bool{policy.BiometricReuse: d.Reuse, policy.BiometricPassword: d.Password} {
			if on {
				bits |= bit
			}
		}
	}
	r.Biometric = bits
	if d.On {
		p.Devices.On = true
		if r.Method == policy.MacKey {
			p.Switch(policy.Platform, true)
		}
	}
	a.complaints(p, known, func(place string) string {
		return map[string]string{"method": "method", "biometric": "biometric", "loginFrequency": "frequency", "accountName": "name"}[below(place, "macs.")]
	})
	return p, a.wrongs
}

// macFormView is what the first step has besides any page of settings.
type macFormView struct {
	Ways       []wayView
	WayChanged changedView
	WayWrong   []string
	Needs      []effect
	SwitchOn   *boxView
}

// wayView is a card: one of the two ways to sign in on a Mac.
type wayView struct {
	Value, Icon     string
	Name, Tag, Lead template.HTML
	Facts           []pair
	On              bool
}

// macWays are the words of the cards, by the method of the rules.
var macWays = []struct {
	method     policy.MacMethod
	word, icon string
}{{policy.MacKey, "key", "finger"}, {policy.MacCard, "card", "badge"}}

// macForm is the first step.
func (c *Console) macForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	was := macDraftOf(s.saved)
	s.was, s.draft = &was, &was
	if v.form != nil {
		sent := readMacs(v.form)
		s.draft = &sent
	}
	s.view, s.title, s.lead = "macsrules", v.words().T("macs.title"), "macs.lead"
	s.tells = s.macEffects
	s.fill = func(p *parts, view *settingsView) (err error) {
		if view.Guide, err = v.guide(ctx, p.pg, "method", s.saved); err != nil {
			return err
		}
		view.Guide.Main = false // saving is
		view.Mac = macFormOf(p, s.saved, s.next)
		view.Sections = macSections(p)
		return nil
	}
	return s, nil
}

func macFormOf(p *parts, was, next policy.Policy) *macFormView {
	pg := p.pg
	out := &macFormView{WayChanged: p.change("method"), WayWrong: p.wrong("method")}
	for _, w := range macWays {
		way := wayView{Value: string(w.method), Icon: w.icon, Name: pg.T("macs.way." + w.word), Lead: pg.T("macs.way." + w.word + ".lead"), On: p.draft.Get("method") == string(w.method)}
		if w.method == policy.MacKey {
			way.Tag = pg.T("macs.way.key.tag")
		}
		for _, fact := range []string{"suits", "needs", "counts", "not"} {
			way.Facts = append(way.Facts, pair{pg.T("macs.fact." + fact), pg.T("macs.way." + w.word + "." + fact)})
		}
		out.Ways = append(out.Ways, way)
	}
	need := func(word string, ok bool) {
		state := map[bool]string{true: "good", false: "bad"}[ok]
		out.Needs = append(out.Needs, effect{state, pg.T("macs.need."+word+"."+state, "method", policyMethod(pg, macMethod(next)))})
	}
	word := "key"
	if next.Macs.Method == policy.MacCard {
		word = "card"
	}
	need("devices", was.Devices.On)
	need(word, was.Methods[macMethod(next)].On)
	if !was.Devices.On || word == "key" && !was.Methods[policy.Platform].On {
		box := p.box("on", "macs.on")
		if word == "card" {
			box.Hint = pg.T("policy.box.macs.on.card.hint")
		}
		out.SwitchOn = &box
	}
	return out
}

// macSections are the parts of the form below the cards.
func macSections(p *parts) []sectionView {
	pg := p.pg
	password := p.box("password", "macs.password")
	password.Risk = pg.T("policy.compat.risk", "risk", pg.T("policy.risk.macs.password"))
	frequency, name := p.length("frequency", "macs.frequency"), p.entry("name", "macs.name", false)
	name.Max = 100
	return []sectionView{
		{ID: "opens", Title: pg.T("macs.opens"), Lead: pg.T("macs.opens.lead"), Radios: []radiosView{p.radios("biometric", "biometric", false, "0", "2", "1")},
			Boxes: []boxView{p.box("reuse", "macs.reuse"), password}},
		{ID: "asks", Title: pg.T("macs.asks"), Entries: []entryView{frequency, name}},
	}
}

// macEffects says what saving would do to Macs that are set up. Nothing stops
// by it: a Mac keeps what it has until it has the new profile.
func (s *settings) macEffects(pg *page.Page) (out []effect, stops bool, err error) {
	old, next := s.saved, s.next
	add := func(state string, text template.HTML) { out = append(out, effect{state, text}) }
	macs, err := s.v.countMacs(s.ctx)
	if err != nil {
		return nil, false, err
	}
	keys := 0
	err = s.v.walkMacKeys(s.ctx, func(method.Credential) { keys++ })
	if err != nil {
		return nil, false, err
	}
	if !old.Devices.On && next.Devices.On {
		add("good", pg.T("macs.tell.devices"))
	}
	if !old.Methods[policy.Platform].On && next.Methods[policy.Platform].On {
		add("good", pg.T("macs.tell.method", "method", policyMethod(pg, policy.Platform)))
	}
	if old.Macs.Method != next.Macs.Method {
		if macs > 0 {
			add("warn", pg.N("macs.tell.way", macs))
		} else {
			add("off", pg.T("macs.tell.way.none"))
		}
		if next.Macs.Method == policy.MacCard && keys > 0 {
			add("off", pg.N("macs.tell.way.keys", keys))
		}
	}
	if next.Macs.Method == policy.MacCard && !next.Methods[policy.Certificate].On {
		add("warn", pg.T("macs.tell.card", "method", policyMethod(pg, policy.Certificate)))
	}
	switch {
	case old.Macs.Biometric == next.Macs.Biometric:
	case keys > 0:
		add("warn", pg.N("macs.tell.biometric", keys))
	default:
		add("off", pg.T("macs.tell.biometric.none"))
	}
	if old.Macs.LoginFrequency != next.Macs.LoginFrequency {
		add("off", pg.T("macs.tell.frequency"))
	}
	if old.Macs.AccountName != next.Macs.AccountName {
		add("off", pg.T("macs.tell.name"))
	}
	return out, false, nil
}
