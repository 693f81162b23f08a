package console

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// passkeyDraft is the form of one profile of passkeys. The page of the
// default profile is about all passkeys too.
type passkeyDraft struct {
	Version string // of the policy that the form began with
	Profile string // its id
	Name    string // of any but the default one

	Include, Required, Except []string // words of targets
	Attestation, Synced, Mode string
	Models                    []string // AAGUIDs
	Paste                     string   // AAGUIDs that are still to be read

	// On the page of the default profile only.
	On, SelfService, Additive bool
	Exclude                   []string
	Limit, WarnAt, Counter    string
	Withdrawn                 string
}

// standard says whether the page is that of the default profile.
func (d *passkeyDraft) standard() bool { return d.Profile == policy.DefaultProfile }

func readPasskey(v url.Values, profile string) passkeyDraft {
	d := passkeyDraft{
		Version: v.Get("version"), Profile: profile, Name: v.Get("name"),
		Include: list(v, "include"), Required: list(v, "required"), Except: list(v, "except"),
		Attestation: v.Get("attestation"), Synced: v.Get("synced"), Mode: v.Get("mode"),
		Models: list(v, "model"), Paste: v.Get("paste"),
	}
	if d.standard() {
		d.On, d.SelfService, d.Additive = ticked(v, "on"), ticked(v, "selfService"), ticked(v, "additive")
		d.Exclude = list(v, "exclude")
		d.Limit, d.WarnAt, d.Counter, d.Withdrawn = v.Get("limit"), v.Get("warnAt"), v.Get("counter"), v.Get("withdrawn")
	}
	return d
}

// values are the fields again.
func (d *passkeyDraft) values() url.Values {
	v := url.Values{
		"version": {d.Version}, "include": d.Include, "required": d.Required, "except": d.Except,
		"attestation": {d.Attestation}, "synced": {d.Synced}, "mode": {d.Mode}, "model": d.Models, "paste": {d.Paste},
	}
	if !d.standard() {
		v.Set("name", d.Name)
		return v
	}
	setTick(v, "on", d.On)
	setTick(v, "selfService", d.SelfService)
	setTick(v, "additive", d.Additive)
	v["exclude"] = d.Exclude
	v.Set("limit", d.Limit)
	v.Set("warnAt", d.WarnAt)
	v.Set("counter", d.Counter)
	v.Set("withdrawn", d.Withdrawn)
	return v
}

// passkeyDraftOf is the form of a profile as it is saved; of one that is not,
// it begins with the rules of the default one and for nobody.
func passkeyDraftOf(p policy.Policy, profile string) passkeyDraft {
	rules, name := p.Passkey.KeyRules, ""
	if i := profileIndex(p, profile); i >= 0 {
		rules, name = p.Passkey.Profiles[i].KeyRules, p.Passkey.Profiles[i].Name
	}
	d := passkeyDraft{
		Version: strconv.FormatInt(p.Version, 10), Profile: profile, Name: name,
		Except: targetWords(rules.Except), Attestation: string(rules.Attestation), Synced: string(rules.Synced),
		Mode: string(rules.AAGUIDs.Mode), Models: slices.Clone(rules.AAGUIDs.List),
	}
	m := p.Methods[policy.Passkey]
	d.Include, d.Required = includeWords(m.Include, profile)
	if d.standard() {
		d.On, d.SelfService, d.Additive = m.On, p.Passkey.SelfService, p.Passkey.Additive
		d.Exclude = targetWords(m.Exclude)
		d.Limit, d.WarnAt, d.Counter = strconv.Itoa(p.Passkey.Limit), strconv.Itoa(p.Passkey.WarnAt), string(p.Passkey.Counter)
		d.Withdrawn = string(p.Passkey.Withdrawn)
	}
	return d
}

// profileIndex finds a profile of its own in the policy; -1: there is none.
func profileIndex(p policy.Policy, id string) int {
	return slices.IndexFunc(p.Passkey.Profiles, func(f policy.Profile) bool { return f.ID == id })
}

// apply gives the saved policy with what the form says of the profile. What
// cannot stand is complained about by field; a field that cannot be read
// leaves its setting as it was saved.
func (d *passkeyDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	rules := &p.Passkey.KeyRules
	at := "passkey"
	if !d.standard() {
		i := profileIndex(p, d.Profile)
		if i < 0 {
			p.Passkey.Profiles = append(p.Passkey.Profiles, policy.Profile{ID: d.Profile})
			i = len(p.Passkey.Profiles) - 1
		}
		p.Passkey.Profiles[i].Name = d.Name
		rules, at = &p.Passkey.Profiles[i].KeyRules, "passkey.profiles["+strconv.Itoa(i)+"]"
	}
	rules.Attestation, rules.Synced = policy.Attestation(d.Attestation), policy.Synced(d.Synced)
	switchList(&rules.AAGUIDs, policy.ListMode(d.Mode))
	rules.AAGUIDs.List = sameModels(rules.AAGUIDs.List, d.Models)
	rules.Except = a.targets("except", rules.Except, d.Except)

	m := p.Methods[policy.Passkey]
	m.Include = a.include(m.Include, d.Include, d.Required, d.Profile)
	if d.standard() {
		m.On = d.On
		m.Exclude = a.targets("exclude", m.Exclude, d.Exclude)
		p.Passkey.SelfService, p.Passkey.Additive = d.SelfService, d.Additive
		p.Passkey.Counter, p.Passkey.Withdrawn = policy.Counter(d.Counter), policy.Withdrawn(d.Withdrawn)
		a.number("limit", d.Limit, &p.Passkey.Limit)
		a.number("warnAt", d.WarnAt, &p.Passkey.WarnAt)
	}
	setMethod(&p, policy.Passkey, m)
	a.complaints(p, known, func(place string) string { return d.field(place, at) })
	return p, a.wrongs
}

func setMethod(p *policy.Policy, m idp.MethodID, r policy.MethodRules) {
	if p.Methods == nil {
		p.Methods = make(map[idp.MethodID]policy.MethodRules)
	}
	p.Methods[m] = r
}

// field is where a place of the policy stands on the page; at is the place of
// the profile.
func (d *passkeyDraft) field(place, at string) string {
	for _, f := range []struct{ at, field string }{
		{"methods.passkey.on", "on"}, {"methods.passkey.include", "include"}, {"methods.passkey.exclude", "exclude"},
		{"passkey.limit", "limit"}, {"passkey.warnAt", "warnAt"}, {"passkey.counter", "counter"}, {"passkey.withdrawn", "withdrawn"},
		{"passkey.selfService", "selfService"}, {"passkey.additive", "additive"},
		{at + ".attestation", "attestation"}, {at + ".synced", "synced"}, {at + ".aaguids.mode", "mode"},
		{at + ".aaguids", "model"}, {at + ".except", "except"}, {at + ".name", "name"},
	} {
		if under(place, f.at) {
			return f.field
		}
	}
	return ""
}

// switchList changes how a list is read; one that is turned off remembers what
// it was, as Graph's clients expect.
func switchList(r *policy.AAGUIDRules, mode policy.ListMode) {
	switch {
	case mode == r.Mode:
	case mode == policy.ListOff && r.Mode == policy.ListAllow:
		r.Mode, r.Resting = mode, policy.ListAllow
	default:
		r.Mode, r.Resting = mode, ""
	}
}

// sameModels are the models that were chosen, in the order and the spelling
// in which they stand already.
func sameModels(old, chosen []string) []string {
	left := make(map[string]string, len(chosen))
	var order []string
	for _, c := range chosen {
		key := strings.ToLower(c)
		if _, twice := left[key]; !twice {
			left[key] = key
			order = append(order, key)
		}
	}
	var out []string
	for _, o := range old {
		if key := strings.ToLower(o); left[key] != "" {
			out = append(out, o)
			delete(left, key)
		}
	}
	for _, key := range order {
		if left[key] != "" {
			out = append(out, key)
		}
	}
	return unchanged(old, out)
}

// dropProfile takes a profile away, and out of every target that names it. A
// target that it alone bound is of the default profile then.
func dropProfile(saved policy.Policy, id string) policy.Policy {
	p := saved.Clone()
	p.Passkey.Profiles = slices.DeleteFunc(p.Passkey.Profiles, func(f policy.Profile) bool { return f.ID == id })
	m := p.Methods[policy.Passkey]
	for i, in := range m.Include {
		if m.Include[i].Profiles = slices.DeleteFunc(in.Profiles, func(one string) bool { return one == id }); len(m.Include[i].Profiles) == 0 {
			m.Include[i].Profiles = nil
		}
	}
	setMethod(&p, policy.Passkey, m)
	return p
}

// methodDraft is the form of any other method, and of what a pass is good for.
type methodDraft struct {
	Version                    string
	Method                     idp.MethodID
	On                         bool
	Include, Required, Exclude []string

	// Of access passes only.
	Default, Min, Max span
	Length            string
	Once, AppSignIn   bool
}

func readMethod(v url.Values, m idp.MethodID) methodDraft {
	d := methodDraft{
		Version: v.Get("version"), Method: m, On: ticked(v, "on"),
		Include: list(v, "include"), Required: list(v, "required"), Exclude: list(v, "exclude"),
	}
	if m == policy.AccessPass {
		d.Default, d.Min, d.Max = readSpan(v, "default"), readSpan(v, "min"), readSpan(v, "max")
		d.Length, d.Once, d.AppSignIn = v.Get("length"), ticked(v, "once"), ticked(v, "appSignIn")
	}
	return d
}

func (d *methodDraft) values() url.Values {
	v := url.Values{"version": {d.Version}, "include": d.Include, "required": d.Required, "exclude": d.Exclude}
	setTick(v, "on", d.On)
	if d.Method == policy.AccessPass {
		d.Default.put(v, "default")
		d.Min.put(v, "min")
		d.Max.put(v, "max")
		v.Set("length", d.Length)
		setTick(v, "once", d.Once)
		setTick(v, "appSignIn", d.AppSignIn)
	}
	return v
}

func methodDraftOf(p policy.Policy, m idp.MethodID) methodDraft {
	r := p.Methods[m]
	d := methodDraft{Version: strconv.FormatInt(p.Version, 10), Method: m, On: r.On, Exclude: targetWords(r.Exclude)}
	d.Include, d.Required = includeWords(r.Include, "")
	if m == policy.AccessPass {
		d.Default, d.Min, d.Max = spanOf(p.AccessPass.Default), spanOf(p.AccessPass.Min), spanOf(p.AccessPass.Max)
		d.Length, d.Once, d.AppSignIn = strconv.Itoa(p.AccessPass.Length), p.AccessPass.Once, p.AccessPass.AppSignIn
	}
	return d
}

func (d *methodDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	m := p.Methods[d.Method]
	m.On = d.On
	m.Include = a.include(m.Include, d.Include, d.Required, "")
	m.Exclude = a.targets("exclude", m.Exclude, d.Exclude)
	setMethod(&p, d.Method, m)
	if d.Method == policy.AccessPass {
		pass := &p.AccessPass
		a.span("default", d.Default, &pass.Default)
		a.span("min", d.Min, &pass.Min)
		a.span("max", d.Max, &pass.Max)
		a.number("length", d.Length, &pass.Length)
		pass.Once, pass.AppSignIn = d.Once, d.AppSignIn
	}
	at := "methods." + string(d.Method)
	a.complaints(p, known, func(place string) string {
		switch {
		case under(place, at+".on"):
			return "on"
		case under(place, at+".include"):
			return "include"
		case under(place, at+".exclude"):
			return "exclude"
		}
		if field, ok := strings.CutPrefix(place, "accessPass."); ok && d.Method == policy.AccessPass {
			return field
		}
		return ""
	})
	return p, a.wrongs
}

// offered are the methods that the policy knows; those with rules of their own
// first.
func offered(p policy.Policy) []idp.MethodID {
	out := []idp.MethodID{policy.Passkey, policy.AccessPass, policy.Phone, policy.Certificate}
	for _, m := range slices.Sorted(maps.Keys(p.Methods)) {
		if !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

// campaignDraft is the form of the registration campaign.
type campaignDraft struct {
	Version, Method     string
	On                  bool
	SnoozeDays, Snoozes string
	Include, Exclude    []string
}

func readCampaign(v url.Values) campaignDraft {
	return campaignDraft{
		Version: v.Get("version"), Method: v.Get("method"), On: ticked(v, "on"), SnoozeDays: v.Get("snoozeDays"), Snoozes: v.Get("snoozes"),
		Include: list(v, "include"), Exclude: list(v, "exclude"),
	}
}

func (d *campaignDraft) values() url.Values {
	v := url.Values{
		"version": {d.Version}, "method": {d.Method}, "snoozeDays": {d.SnoozeDays}, "snoozes": {d.Snoozes},
		"include": d.Include, "exclude": d.Exclude,
	}
	setTick(v, "on", d.On)
	return v
}

func campaignDraftOf(p policy.Policy) campaignDraft {
	c := p.Campaign
	return campaignDraft{
		Version: strconv.FormatInt(p.Version, 10), Method: string(c.Method), On: c.On, SnoozeDays: strconv.Itoa(c.SnoozeDays),
		Snoozes: strconv.Itoa(c.Snoozes), Include: targetWords(c.Include), Exclude: targetWords(c.Exclude),
	}
}

func (d *campaignDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	c := &p.Campaign
	c.On = d.On
	if c.Method = idp.MethodID(d.Method); !slices.Contains(offered(saved), c.Method) {
		a.say("method", "“"+cut(d.Method, 40)+"” is no method here.")
	}
	a.number("snoozeDays", d.SnoozeDays, &c.SnoozeDays)
	a.number("snoozes", d.Snoozes, &c.Snoozes)
	c.Include, c.Exclude = a.targets("include", c.Include, d.Include), a.targets("exclude", c.Exclude, d.Exclude)
	a.complaints(p, known, func(place string) string { return below(place, "campaign.") })
	return p, a.wrongs
}

// orderDraft is the form of the order in which methods are offered.
type orderDraft struct {
	Version          string
	On               bool
	Methods          []string
	Include, Exclude []string
}

func readOrder(v url.Values) orderDraft {
	return orderDraft{Version: v.Get("version"), On: ticked(v, "on"), Methods: list(v, "method"), Include: list(v, "include"), Exclude: list(v, "exclude")}
}

func (d *orderDraft) values() url.Values {
	v := url.Values{"version": {d.Version}, "method": d.Methods, "include": d.Include, "exclude": d.Exclude}
	setTick(v, "on", d.On)
	return v
}

func orderDraftOf(p policy.Policy) orderDraft {
	o := p.Order
	d := orderDraft{Version: strconv.FormatInt(p.Version, 10), On: o.On, Include: targetWords(o.Include), Exclude: targetWords(o.Exclude)}
	for _, m := range o.Methods {
		d.Methods = append(d.Methods, string(m))
	}
	return d
}

// move puts a method one place up (-1) or down (1); at the end nothing moves.
func (d *orderDraft) move(method string, by int) {
	i := slices.Index(d.Methods, method)
	if k := i + by; i >= 0 && k >= 0 && k < len(d.Methods) {
		d.Methods[i], d.Methods[k] = d.Methods[k], d.Methods[i]
	}
}

func (d *orderDraft) apply(saved policy.Policy, known policy.Models) (policy.Policy, []wrong) {
	p, a := saved.Clone(), &applying{}
	o := &p.Order
	o.On = d.On
	var order []idp.MethodID
	for _, m := range d.Methods {
		if !slices.Contains(offered(saved), idp.MethodID(m)) && !slices.Contains(o.Methods, idp.MethodID(m)) {
			a.say("methods", "“"+cut(m, 40)+"” is no method here.")
			continue
		}
		order = append(order, idp.MethodID(m))
	}
	o.Methods = unchanged(o.Methods, order)
	o.Include, o.Exclude = a.targets("include", o.Include, d.Include), a.targets("exclude", o.Exclude, d.Exclude)
	a.complaints(p, known, func(place string) string { return below(place, "order.") })
	return p, a.wrongs
}

// below is the member of a part of the policy that a place is in.
func below(place, part string) string {
	rest, ok := strings.CutPrefix(place, part)
	if !ok {
		return ""
	}
	if i := strings.IndexAny(rest, ".["); i >= 0 {
		rest = rest[:i]
	}
	return rest
}
