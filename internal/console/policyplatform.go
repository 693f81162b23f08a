package console

import (
	"context"
	"html/template"
	"net/url"
	"strconv"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// platformDraft is the form about the keys that Macs keep for people.
type platformDraft struct {
	methodDraft
	Limit, WarnAt string
}

func readPlatform(v url.Values) platformDraft {
	return platformDraft{readMethod(v, policy.Platform), v.Get("limit"), v.Get("warnAt")}
}

func (d *platformDraft) values() url.Values {
	v := d.methodDraft.values()
	v.Set("limit", d.Limit)
	v.Set("warnAt", d.WarnAt)
	return v
}

func platformDraftOf(p policy.Policy) platformDraft {
	return platformDraft{methodDraftOf(p, policy.Platform), strconv.Itoa(p.Platform.Limit), strconv.Itoa(p.Platform.WarnAt)}
}

func (d *platformDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	m := p.Methods[policy.Platform]
	m.On = d.On
	m.Include = a.include(m.Include, d.Include, d.Required, "")
	m.Exclude = a.targets("exclude", m.Exclude, d.Exclude)
	if _, there := p.Methods[policy.Platform]; there || m.On || len(m.Include)+len(m.Exclude) > 0 {
		setMethod(&p, policy.Platform, m)
	}
	a.number("limit", d.Limit, &p.Platform.Limit)
	a.number("warnAt", d.WarnAt, &p.Platform.WarnAt)
	a.complaints(p, known, platformField)
	return p, a.wrongs
}

// platformField is where a place of the policy stands on the page.
func platformField(place string) string {
	if under(place, "methods.platform") {
		return below(place, "methods.platform.")
	}
	return below(place, "platform.")
}

// platformForm is the page of rules about the keys that Macs keep.
func (c *Console) platformForm(ctx context.Context, v *visit) (*settings, error) {
	s, err := c.settings(ctx, v)
	if err != nil {
		return nil, err
	}
	was := platformDraftOf(s.saved)
	s.was, s.draft, s.judged = &was, &was, true
	if v.form != nil {
		sent := readPlatform(v.form)
		s.draft = &sent
	}
	s.title, s.lead = policyMethod(&page.Page{Words: v.words()}, policy.Platform), "policy.platform.lead"
	s.also = s.platformEffects
	s.fill = func(p *parts, view *settingsView) (err error) {
		view.On = p.box("on", "method.on")
		if view.Required, view.RequiredOpen, err = p.required(); err != nil {
			return err
		}
		view.Sections = []sectionView{{ID: "keys", Title: p.pg.T("policy.platform.keys"), Lead: p.pg.T("policy.platform.keys.lead"), Entries: []entryView{
			p.entry("limit", "platform.limit", true), p.entry("warnAt", "platform.warnAt", true)}}}
		return nil
	}
	return s, nil
}

// platformEffects says what saving would do besides what it does to keys.
func (s *settings) platformEffects(pg *page.Page, _ policy.Impact) (out []effect, err error) {
	old, next := s.saved, s.next
	if next.Methods[policy.Platform].On && !next.Devices.On {
		out = append(out, effect{"warn", pg.T("policy.platform.tell.devices")})
	}
	if next.Methods[policy.Platform].On && !old.Methods[policy.Platform].On && next.Macs.Method == policy.MacCard {
		out = append(out, effect{"off", pg.T("policy.platform.tell.card")})
	}
	if next.Platform.Limit >= old.Platform.Limit {
		return out, nil
	}
	n, err := s.overMacs(next.Platform.Limit)
	return append(out, effect{"off", pg.N("policy.platform.tell.limit", n, "limit", next.Platform.Limit)}), err
}

// overMacs counts the people who hold more Mac keys than a number.
func (s *settings) overMacs(limit int) (n int, err error) {
	held := map[idp.UserID]int{}
	err = s.v.walkMacKeys(s.ctx, func(k method.Credential) {
		if held[k.User]++; held[k.User] == limit+1 {
			n++
		}
	})
	return n, err
}

// walkMacKeys calls fn for every key that a Mac keeps for somebody.
func (v *visit) walkMacKeys(ctx context.Context, fn func(method.Credential)) error {
	return v.cfg.Hello.Walk(ctx, v.tenant.ID, func(k method.Credential) error {
		if k.Method == policy.Platform {
			fn(k)
		}
		return nil
	})
}

// platformFacts are the lines about Mac keys in the list of methods.
func platformFacts(pg *page.Page, p policy.Policy) []template.HTML {
	out := []template.HTML{pg.N("policy.platform.fact.limit", p.Platform.Limit)}
	if p.Macs.Method == policy.MacCard {
		out = append(out, pg.T("policy.platform.fact.card"))
	}
	return out
}
