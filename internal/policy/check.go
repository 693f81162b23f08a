package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/signetid/signet/internal/idp"
)

// Models gives the key models that are known, names by lower-case AAGUID. It
// serves to find typing errors only: a model that is not known may be listed.
// Nil: none is known.
type Models func() map[string]string

// Complaint is something in a policy that cannot stand.
type Complaint struct {
	At     string // the place: "methods.passkey.include[1]"
	Other  string // the other place, when two contradict each other
	Reason string // a stable word
	Say    string // a sentence without the places
	// Line and OtherLine are where the places stand in the form that was
	// read; 0: there is none, or it is not plain.
	Line, OtherLine int
}

func (c Complaint) String() string {
	at := inLine(c.At, c.Line)
	if c.Other != "" {
		at += " and " + inLine(c.Other, c.OtherLine)
	}
	return at + ": " + c.Say
}

func inLine(at string, line int) string {
	if line > 0 {
		at += ", line " + strconv.Itoa(line)
	}
	return at
}

// Limits of a policy, so that no document grows without bounds.
const (
	maxTargets = 500
	maxAAGUIDs = 500
	maxName    = 256
	maxShort   = 64
)

// Check refuses a policy that contradicts itself: Invalid, with every
// complaint in the sentence and the first place in Field.
func (p Policy) Check() error { return p.CheckWith(nil) }

// CheckWith is Check, and refuses AAGUIDs that look like a known one with a
// typing error.
func (p Policy) CheckWith(known Models) error { return asError(p.Complaints(known)) }

// mostSaid is how many complaints one sentence holds.
const mostSaid = 20

func asError(all []Complaint) error {
	if len(all) == 0 {
		return nil
	}
	lines := make([]string, 0, len(all))
	for _, c := range all {
		lines = append(lines, c.String())
	}
	if len(lines) > mostSaid {
		lines = append(lines[:mostSaid], fmt.Sprintf("And %d more.", len(lines)-mostSaid))
	}
	say := strings.Join(lines, "\n")
	return idp.Invalidf(all[0].Reason, "%d complaints, the first at %s", len(all), all[0].At).On(all[0].At).Say(say)
}

// Complaints lists everything that cannot stand.
func (p Policy) Complaints(known Models) []Complaint {
	c := &checker{p: &p}
	if known != nil {
		c.models = known()
	}
	c.values()
	c.bounds()
	for _, m := range slices.Sorted(maps.Keys(p.Methods)) {
		c.method(m, p.Methods[m])
	}
	c.profiles()
	c.campaign()
	c.targets("devices.include", p.Devices.Include)
	c.targets("devices.exclude", p.Devices.Exclude)
	c.disjoint("devices", p.Devices.Include, p.Devices.Exclude)
	c.targets("order.include", p.Order.Include)
	c.targets("order.exclude", p.Order.Exclude)
	c.twice("order.methods", p.Order.Methods)
	c.phone()
	c.macs()
	c.certificate()
	c.strengths()
	return c.all
}

type checker struct {
	p      *Policy
	models map[string]string
	all    []Complaint
}

func (c *checker) at(place, reason, format string, args ...any) {
	c.all = append(c.all, Complaint{At: place, Reason: reason, Say: fmt.Sprintf(format, args...) + "."})
}

func (c *checker) between(place, other, format string, args ...any) {
	c.all = append(c.all, Complaint{At: place, Other: other, Reason: "contradiction", Say: fmt.Sprintf(format, args...) + "."})
}

// values checks every setting by what Set would take.
func (c *checker) values() {
	for _, name := range Names() {
		if name == "passkey.aaguids.list" {
			continue // models says more about it
		}
		scratch := *c.p
		if value := settings[name].get(scratch); !settings[name].set(&scratch, value) {
			c.at(name, "bad_value", "%q is not %s", value, settings[name].say)
		}
	}
}

func (c *checker) bounds() {
	p := c.p
	if p.Passkey.WarnAt > p.Passkey.Limit {
		c.between("passkey.warnAt", "passkey.limit", "the warning would come above the limit")
	}
	if p.AccessPass.Min > p.AccessPass.Max {
		c.between("accessPass.min", "accessPass.max", "the shortest pass is longer than the longest")
	} else if p.AccessPass.Default < p.AccessPass.Min {
		c.between("accessPass.default", "accessPass.min", "the default is shorter than the shortest pass")
	} else if p.AccessPass.Default > p.AccessPass.Max {
		c.between("accessPass.default", "accessPass.max", "the default is longer than the longest pass")
	}
	if p.Session.Idle > p.Session.Absolute {
		c.between("session.idle", "session.absolute", "a session would end before it is idle")
	}
}

func (c *checker) method(m idp.MethodID, r MethodRules) {
	at := methodAt(m)
	if !isMethod(string(m)) {
		c.at(at, "bad_value", "a method is named by up to 40 letters and digits")
	}
	if r.On && len(r.Include) == 0 {
		c.between(at+".on", at+".include", "the method is on, and for nobody")
	}
	include := make([]Target, len(r.Include))
	for i, in := range r.Include {
		include[i] = in.Target
		c.included(m, i, in)
	}
	c.targets(at+".include", include)
	c.targets(at+".exclude", r.Exclude)
	c.disjoint(at, include, r.Exclude)
}

// included checks what an Include says besides its target.
func (c *checker) included(m idp.MethodID, i int, in Include) {
	at := includeAt(m, i)
	if in.Required && m == Passkey && !c.p.Passkey.SelfService {
		c.between(at+".required", "passkey.selfService", "people must register a passkey and may not")
	}
	if in.Required && m == Certificate {
		c.at(at+".required", "bad_value", "people cannot give themselves a certificate")
	}
	if len(in.Profiles) > 0 && m != Passkey {
		c.at(at+".profiles", "bad_value", "only passkeys have profiles")
		return
	}
	c.twice(at+".profiles", in.Profiles)
	for n, id := range in.Profiles {
		if c.p.Passkey.profile(id, 0) < 0 {
			c.between(at+".profiles["+strconv.Itoa(n)+"]", "passkey.profiles", "there is no profile %q", clip(id))
		}
	}
	if c.p.Passkey.Additive {
		return
	}
	for n := range in.Profiles {
		for k := n + 1; k < len(in.Profiles); k++ {
			c.together(at, in.Profiles[n], in.Profiles[k])
		}
	}
}

// together refuses two profiles for the same people that no key fits both.
func (c *checker) together(at, one, other string) {
	rules := func(id string) (*KeyRules, string) {
		switch i := c.p.Passkey.profile(id, 0); {
		case i < 0:
			return nil, ""
		case i == 0:
			return &c.p.Passkey.KeyRules, "passkey"
		default:
			return &c.p.Passkey.Profiles[i-1].KeyRules, "passkey.profiles[" + strconv.Itoa(i-1) + "]"
		}
	}
	a, aAt := rules(one)
	b, bAt := rules(other)
	if a == nil || b == nil || one == other {
		return
	}
	if a.Synced == SyncedDeny && b.Synced == SyncedOnly || a.Synced == SyncedOnly && b.Synced == SyncedDeny {
		c.between(aAt+".synced", bAt+".synced", "%s binds people to both, and no passkey fits", at)
	}
	if a.AAGUIDs.Mode == ListAllow && len(a.AAGUIDs.List) > 0 && !slices.ContainsFunc(a.AAGUIDs.List, b.AAGUIDs.admits) ||
		b.AAGUIDs.Mode == ListAllow && len(b.AAGUIDs.List) > 0 && !slices.ContainsFunc(b.AAGUIDs.List, a.AAGUIDs.admits) {
		c.between(aAt+".aaguids", bAt+".aaguids", "%s binds people to both, and no model is allowed by both", at)
	}
}

// admits says whether a proven model passes the list.
func (r AAGUIDRules) admits(aaguid string) bool {
	switch r.Mode {
	case ListAllow:
		return listed(r.List, aaguid)
	case ListDeny:
		return !listed(r.List, aaguid)
	}
	return true
}

// targets checks that each names exactly one thing, and none twice.
func (c *checker) targets(at string, all []Target) {
	if len(all) > maxTargets {
		c.at(at, "too_many", "at most %d targets; make a group of them", maxTargets)
	}
	seen := make(map[Target]int, len(all))
	for i, t := range all {
		here := at + "[" + strconv.Itoa(i) + "]"
		if !c.target(here, t) {
			continue
		}
		if first, twice := seen[t]; twice {
			c.between(at+"["+strconv.Itoa(first)+"]", here, "the same target stands there twice")
		}
		seen[t] = i
	}
}

// target checks that one names exactly one thing; false: it does not.
func (c *checker) target(at string, t Target) bool {
	n := 0
	for _, set := range []bool{t.All, t.Group != "", t.User != ""} {
		if set {
			n++
		}
	}
	if n != 1 {
		c.at(at, "bad_value", "a target is exactly one of all, group and user")
		return false
	}
	if t.Group != "" && !guid.MatchString(string(t.Group)) || t.User != "" && !guid.MatchString(string(t.User)) {
		c.at(at, "bad_value", "%q is not a lower-case GUID", clip(string(t.Group)+string(t.User)))
	}
	return true
}

// disjoint refuses a target that is included and excluded: the exclude would
// win, and the include say what is not so.
func (c *checker) disjoint(at string, include, exclude []Target) {
	for e, t := range exclude {
		if i := slices.Index(include, t); i >= 0 {
			c.between(fmt.Sprintf("%s.include[%d]", at, i), fmt.Sprintf("%s.exclude[%d]", at, e), "the same target is included and excluded")
		} else if t.All && len(include) > 0 {
			c.between(at+".include", fmt.Sprintf("%s.exclude[%d]", at, e), "everybody is excluded")
		}
	}
}

func (c *checker) profiles() {
	p := &c.p.Passkey
	c.keyRules("passkey", &p.KeyRules)
	ids, names := map[string]int{DefaultProfile: -1}, map[string]int{}
	for i := range p.Profiles {
		f, at := &p.Profiles[i], "passkey.profiles["+strconv.Itoa(i)+"]"
		if !guid.MatchString(f.ID) {
			c.at(at+".id", "bad_value", "%q is not a lower-case GUID", clip(f.ID))
		}
		if first, taken := ids[f.ID]; taken {
			c.between(at+".id", profileAt(first)+".id", "two profiles have one id")
		}
		if first, taken := names[strings.ToLower(f.Name)]; taken {
			c.between(at+".name", profileAt(first)+".name", "two profiles have one name")
		}
		ids[f.ID], names[strings.ToLower(f.Name)] = i, i
		c.text(at+".name", f.Name, maxShort)
		c.keyRules(at, &f.KeyRules)
	}
	if len(p.Profiles) > maxTargets {
		c.at("passkey.profiles", "too_many", "at most %d profiles", maxTargets)
	}
}

func profileAt(i int) string {
	if i < 0 {
		return "passkey"
	}
	return "passkey.profiles[" + strconv.Itoa(i) + "]"
}

func (c *checker) keyRules(at string, r *KeyRules) {
	if at != "passkey" { // values has done the default profile
		oneOf(c, at+".attestation", r.Attestation)
		oneOf(c, at+".synced", r.Synced)
		oneOf(c, at+".aaguids.mode", r.AAGUIDs.Mode)
	}
	if r := r.AAGUIDs.Resting; r != "" && r != ListAllow && r != ListDeny {
		c.at(at+".aaguids.resting", "bad_value", "%q is not one of allow, deny", clip(string(r)))
	}
	if r.Synced == SyncedOnly {
		switch {
		case r.Attestation == AttestationRequired || r.Attestation == AttestationAlways:
			c.between(at+".attestation", at+".synced", "synced passkeys cannot prove their model, so none fits")
		case r.AAGUIDs.Mode == ListAllow:
			c.between(at+".aaguids.mode", at+".synced", "synced passkeys cannot prove their model, so none fits")
		}
	}
	if r.AAGUIDs.Mode == ListAllow && len(r.AAGUIDs.List) == 0 {
		c.between(at+".aaguids.mode", at+".aaguids.list", "only listed models are allowed, and none is listed")
	}
	c.aaguids(at+".aaguids.list", r.AAGUIDs.List)
	c.targets(at+".except", r.Except)
	if i := slices.IndexFunc(r.Except, func(t Target) bool { return t.All }); i >= 0 {
		c.at(at+".except["+strconv.Itoa(i)+"]", "bad_value", "everybody is excepted, and the profile binds nobody")
	}
	if i := slices.Index(r.AAGUIDs.List, zeroAAGUID); i >= 0 && r.AAGUIDs.Mode == ListAllow {
		c.at(at+".aaguids.list["+strconv.Itoa(i)+"]", "bad_value", "the zero AAGUID is no model and cannot be proven")
	}
}

func (c *checker) campaign() {
	p := &c.p.Campaign
	c.targets("campaign.include", p.Include)
	c.targets("campaign.exclude", p.Exclude)
	if !p.On {
		return
	}
	if len(p.Include) == 0 {
		c.between("campaign.on", "campaign.include", "the campaign is on, and for nobody")
	}
	switch {
	case p.Method == AccessPass:
		c.at("campaign.method", "bad_value", "people cannot give themselves an access pass")
	case p.Method == Certificate:
		c.at("campaign.method", "bad_value", "people cannot give themselves a certificate")
	case !c.p.Methods[p.Method].On:
		c.between("campaign.method", methodAt(p.Method)+".on", "people are asked to register what is off")
	case p.Method == Passkey && !c.p.Passkey.SelfService:
		c.between("campaign.method", "passkey.selfService", "people are asked to register what they may not")
	}
}

func (c *checker) strengths() {
	custom := 0
	seen := make(map[string]string) // what asks for one, and where it stands
	for i, s := range c.p.Strengths {
		at := "strengths[" + strconv.Itoa(i) + "]"
		for _, b := range builtIn() {
			if b.ID == s.ID && !equalStrengths(b, s) {
				c.at(at, "built_in", "%s is built in and cannot be changed", b.Name)
			}
		}
		if !s.BuiltIn() {
			custom++
			c.text(at+".name", s.Name, maxShort)
		}
		if s.ID == "" {
			c.at(at+".id", "bad_value", "a strength needs an id")
		}
		if len(s.ACR) > maxShort || strings.ContainsFunc(s.ACR, func(r rune) bool { return r <= 0x20 || r >= 0x7f }) {
			c.at(at+".acr", "bad_value", "an acr value is up to %d characters without spaces", maxShort)
		}
		for _, ask := range []struct{ place, word string }{{"id", s.ID}, {"acr", s.ACR}, {"name", s.Name}, {"name", s.Asked()}} {
			key := strings.ToLower(ask.word)
			if other, taken := seen[key]; taken && other != at && key != "" {
				c.between(at+"."+ask.place, other, "two strengths would be asked for by %q", clip(ask.word))
				break
			}
			seen[key] = at
		}
		if len(s.Description) > maxName {
			c.at(at+".description", "too_long", "at most %d bytes", maxName)
		}
		for n, each := range s.Each {
			oneOf(c, at+".each["+strconv.Itoa(n)+"]", each)
		}
		c.combinations(at, s)
	}
	if custom > MaxStrengths {
		c.at("strengths", "too_many", "a tenant has at most %d strengths of its own", MaxStrengths)
	}
	if i := slices.IndexFunc(builtIn(), func(b Strength) bool { return c.p.strength(b.ID) == nil }); i >= 0 {
		c.at("strengths", "built_in", "%s is built in and cannot go", builtIn()[i].Name)
	}
}

func (c *checker) combinations(at string, s Strength) {
	if len(s.Combinations) == 0 {
		c.at(at+".combinations", "bad_value", "a strength needs a combination")
	}
	reachable := len(s.Combinations) == 0
	for i, combination := range s.Combinations {
		here := at + ".combinations[" + strconv.Itoa(i) + "]"
		if len(combination) == 0 { // would be met by nothing at all
			c.at(here, "bad_value", "a combination needs a mode")
		}
		c.twice(here, combination)
		possible := true
		for n, m := range combination {
			oneOf(c, here+"["+strconv.Itoa(n)+"]", m)
			possible = possible && !slices.Contains(foreign, m)
		}
		reachable = reachable || possible
	}
	if !reachable {
		c.at(at+".combinations", "bad_value", "no method here can prove any of them")
	}
	for i, g := range s.Configurations {
		c.configuration(at, at+".configurations["+strconv.Itoa(i)+"]", s, g)
	}
}

func (c *checker) configuration(strength, at string, s Strength, g Configuration) {
	certificate := func(m idp.Mode) bool { return m == idp.ModeCertificateSingle || m == idp.ModeCertificateMulti }
	if len(g.Modes) == 0 {
		c.at(at+".modes", "bad_value", "a configuration is for at least one mode")
	}
	if len(g.AAGUIDs)+len(g.Issuers)+len(g.PolicyOIDs) == 0 {
		c.at(at, "bad_value", "a configuration narrows something")
	}
	for _, m := range g.Modes {
		if !slices.ContainsFunc(s.Combinations, func(k []idp.Mode) bool { return slices.Contains(k, m) }) {
			c.between(at+".modes", strength+".combinations", "no combination has %s", clip(string(m)))
		}
		if len(g.AAGUIDs) > 0 && m != idp.ModeFIDO2 {
			c.between(at+".aaguids", at+".modes", "%s has no AAGUID", clip(string(m)))
		}
		if len(g.Issuers)+len(g.PolicyOIDs) > 0 && !certificate(m) {
			c.between(at+".issuers", at+".modes", "%s has no certificate", clip(string(m)))
		}
	}
	// entra-behaviours.md §8.2.
	if len(g.Issuers) > 5 || len(g.PolicyOIDs) > 5 {
		c.at(at, "too_many", "at most 5 issuers and 5 policies")
	}
	c.aaguids(at+".aaguids", g.AAGUIDs)
	for i, k := range g.Issuers {
		if !isKeyID(strings.ToLower(k)) {
			c.at(at+".issuers["+strconv.Itoa(i)+"]", "bad_value", "%q is no subject key identifier in hex", clip(k))
		}
	}
	for i, o := range g.PolicyOIDs {
		if !isOID(o) {
			c.at(at+".policyOIDs["+strconv.Itoa(i)+"]", "bad_value", "%q is no object identifier like 1.3.6.1.4.1.311.21.8.1", clip(o))
		}
	}
}

func equalStrengths(a, b Strength) bool {
	return a.Name == b.Name && a.ACR == b.ACR && slices.Equal(a.Each, b.Each) && len(b.Configurations) == 0 &&
		slices.EqualFunc(a.Combinations, b.Combinations, slices.Equal[[]idp.Mode])
}

// text checks what people read in lists.
func (c *checker) text(at, s string, longest int) {
	if strings.TrimSpace(s) == "" || len(s) > longest || strings.ContainsFunc(s, unicode.IsControl) {
		c.at(at, "bad_value", "must be text of 1 to %d bytes", longest)
	}
}

func (c *checker) twice(at string, list any) {
	var words []string
	switch l := list.(type) {
	case []string:
		words = l
	case []idp.Mode:
		for _, m := range l {
			words = append(words, string(m))
		}
	case []idp.MethodID:
		for _, m := range l {
			words = append(words, string(m))
		}
	}
	for i, w := range words {
		if first := slices.Index(words, w); first < i {
			c.between(fmt.Sprintf("%s[%d]", at, first), fmt.Sprintf("%s[%d]", at, i), "%q stands there twice", clip(w))
		}
	}
}

func clip(s string) string { return clipTo(s, maxShort) }

func clipTo(s string, most int) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
