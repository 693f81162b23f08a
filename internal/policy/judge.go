package policy

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
)

// Act is what somebody would do with a credential.
type Act string

// The acts.
const (
	Use    Act = "use"     // sign in with it
	Add    Act = "add"     // register it for oneself
	AddFor Act = "add-for" // register it on somebody's behalf, as an administrator
)

// Ruling is what the rules say of one act.
type Ruling struct {
	Refusal         // why not; the zero Refusal: it is allowed
	Would   Refusal // what would be refused if Restrictions were Enforce and not Audit
}

// Refusal says which rule refused, and why.
type Refusal struct {
	Rule   string // where the rule stands: "methods.passkey.exclude[0]", "passkey.profiles.<id>.aaguids"
	Reason string // a stable word; empty: nothing is refused
	Code   int    // AADSTS number
	Help   Help
}

// Allowed says that nothing was refused.
func (r Refusal) Allowed() bool { return r.Reason == "" }

// Help is what would have let the person go on. Doors phrase it.
type Help struct {
	Models        []string       // AAGUIDs that are allowed; empty: the model does not matter
	Attested      bool           // the key must prove its model
	OtherModel    bool           // a key of another model: this one is withdrawn
	DeviceBound   bool           // the key must be one that cannot be copied
	Synced        bool           // or one that can
	Methods       []idp.MethodID // methods that the person may use instead
	Combinations  [][]idp.Mode   // one of these is to be proven
	Fresh         bool           // the proofs would do if they were made now
	Administrator bool           // only an administrator can change it
}

// AADSTS numbers of rulings.
const (
	CodeMethod = 130500 // [K] the method is not for this person
	CodeKey    = 130501 // [K] the method is, this credential is not
)

// PlatformAAGUID is the model of the macOS Platform Credential.
const PlatformAAGUID = "7fd635b3-2ef9-4542-8d9d-164f2c771efc"

const zeroAAGUID = "00000000-0000-0000-0000-000000000000"

// Proven says whether the model that f names is more than a claim: attested,
// or for the macOS Platform Credential the very key of one that is registered
// for this user (decisions 5.1).
func Proven(f idp.Facts) bool {
	if f.AAGUID == PlatformAAGUID {
		return f.PlatformKey
	}
	return f.Attested
}

// Judge is the one evaluator of methods and keys: registration, sign-in,
// reports and previews all ask it, and Decide does for each proof. It says
// whether the person may do the act with a method, and when key is not nil,
// with this credential of it. It is pure.
func (p *Policy) Judge(w Who, act Act, m idp.MethodID, key *idp.Facts) Ruling {
	v := view{p: p, who: w}
	return v.judge(act, m, key)
}

// view is a policy as one person meets it. What it says of each method is
// worked out once, whatever the number of credentials.
type view struct {
	p      *Policy
	who    Who
	scopes []scope // of the methods that came up so far
}

func (v *view) of(m idp.MethodID) *scope {
	for i := range v.scopes {
		if v.scopes[i].method == m {
			return &v.scopes[i]
		}
	}
	v.scopes = append(v.scopes, v.p.scope(&v.who, m))
	return &v.scopes[len(v.scopes)-1]
}

func (v *view) judge(act Act, m idp.MethodID, key *idp.Facts) Ruling {
	return v.of(m).judge(&v.who, act, key)
}

// may says whether the person may use the method at all.
func (v *view) may(m idp.MethodID) bool { return v.of(m).refusal.Allowed() }

// scope is what a policy has to say about one person and one method, whatever
// the credential.
type scope struct {
	p       *Policy
	method  idp.MethodID
	refusal Refusal // the method is not theirs
	bound   []bound // rules that their keys obey
}

// bound is a profile that binds somebody; id is empty for the default one.
type bound struct {
	id    string
	rules *KeyRules
}

func (b bound) at() string {
	if b.id == "" {
		return "passkey"
	}
	return "passkey.profiles." + b.id
}

func (p *Policy) scope(w *Who, m idp.MethodID) scope {
	s := scope{p: p, method: m}
	r, known := p.Methods[m]
	if !known || !r.On {
		s.refusal = refusal(methodAt(m)+".on", "method_off", CodeMethod)
		return s
	}
	if i := among(r.Exclude, w); i >= 0 {
		s.refusal = refusal(methodAt(m)+".exclude["+strconv.Itoa(i)+"]", "excluded", CodeMethod)
		return s
	}
	theirs := false
	var binds binding
	for i := range r.Include {
		// Of a stranger it is not known yet: a method for some is offered to
		// all, or the page would tell who is who (decisions 2.7).
		if !r.Include[i].names(w) && w.User.Known() {
			continue
		}
		theirs = true
		if m == Passkey && !binds.add(&p.Passkey, r.Include[i].Profiles) {
			// Check lets no such policy in. If one is here all the same, a
			// rule that cannot be read allows nothing.
			s.refusal = refusal(includeAt(Passkey, i)+".profiles", "profile_unknown", CodeMethod)
			return s
		}
	}
	if !theirs {
		s.refusal = refusal(methodAt(m)+".include", "not_included", CodeMethod)
		return s
	}
	s.bound = binds.inOrder(&p.Passkey, w)
	return s
}

// binding gathers the profiles that a person's targets name.
type binding struct {
	standard bool   // the default one
	named    []bool // by their place in PasskeyRules.Profiles
	n, last  int
}

// add notes the profiles of one target; false: there is none of such an id.
func (b *binding) add(p *PasskeyRules, ids []string) bool {
	if len(ids) == 0 {
		b.standard = true
	}
	for _, id := range ids {
		at := p.profile(id, b.last)
		switch {
		case at < 0:
			return false
		case at == 0:
			b.standard = true
			continue
		case b.named == nil:
			b.named = make([]bool, len(p.Profiles))
		}
		if b.last = at; !b.named[at-1] {
			b.named[at-1] = true
			b.n++
		}
	}
	return true
}

// inOrder lists them as refusals name them: the default one first. A profile
// does not bind whom it excepts.
func (b *binding) inOrder(p *PasskeyRules, w *Who) []bound {
	if !b.standard && b.n == 0 {
		return nil
	}
	out := make([]bound, 0, b.n+1)
	if b.standard && among(p.Except, w) < 0 {
		out = append(out, bound{"", &p.KeyRules})
	}
	for i, yes := range b.named {
		if yes && among(p.Profiles[i].Except, w) < 0 {
			out = append(out, bound{p.Profiles[i].ID, &p.Profiles[i].KeyRules})
		}
	}
	return out
}

// profile finds a profile: 0 is the default one, -1 none. It looks first
// behind from, since targets name them mostly in their order.
func (p *PasskeyRules) profile(id string, from int) int {
	if id == DefaultProfile {
		return 0
	}
	for k := range p.Profiles {
		if i := (from + k) % len(p.Profiles); p.Profiles[i].ID == id {
			return i + 1
		}
	}
	return -1
}

func (s *scope) judge(w *Who, act Act, key *idp.Facts) Ruling {
	switch {
	case w.User.Known() && !w.User.Enabled:
		return Ruling{Refusal: refusal("user.enabled", "user_disabled", CodeUserDisabled)}
	case act != Use && w.User.Type == idp.Guest:
		// security.md POL08: guests bring the methods of their home.
		return Ruling{Refusal: refusal("user.guest", "guest_may_not_register", CodeBlocked)}
	case !s.refusal.Allowed():
		return Ruling{Refusal: s.refusal}
	case act == Add && s.method == Passkey && !s.p.Passkey.SelfService:
		return Ruling{Refusal: refusal("passkey.selfService", "self_service_off", CodeMethod)}
	case act != Use && s.method == Certificate:
		// Whose a certificate is says the directory, not whoever holds it.
		return Ruling{Refusal: refusal("certificate.bindings", "certificate_not_registered", CodeMethod)}
	case key != nil && s.method == Certificate:
		return Ruling{Refusal: s.p.Certificate.refuses(w, key)}
	case key != nil && s.method == Phone:
		return Ruling{Refusal: s.p.Phone.refuses(key)}
	case key == nil || s.method != Passkey || s.p.Passkey.Restrictions == EnforceOff:
		return Ruling{}
	}
	no := s.restricted(act, key)
	if s.p.Passkey.Restrictions == EnforceAudit {
		return Ruling{Would: no}
	}
	return Ruling{Refusal: no}
}

// restricted asks whether the key's model is withdrawn, and then the profiles
// that bind the person. Deny wins: all of them must allow the key, unless
// PasskeyRules.Additive.
func (s *scope) restricted(act Act, key *idp.Facts) Refusal {
	if s.p.Passkey.withdraws(act, key) {
		// What the person may use instead is what they could use before.
		help := Help{OtherModel: true}
		if len(s.bound) > 0 { // not excepted from all
			help = s.bound[0].rules.help(act)
			help.OtherModel = true
		}
		return Refusal{Rule: "passkey.withdrawn", Reason: "model_withdrawn", Code: CodeKey, Help: help}
	}
	var first Refusal
	for _, b := range s.bound {
		reason, part := b.rules.refuses(act, key)
		switch {
		case reason == "" && s.p.Passkey.Additive:
			return Refusal{}
		case reason != "" && first.Allowed():
			first = Refusal{Rule: b.at() + "." + part, Reason: reason, Code: CodeKey, Help: b.rules.help(act)}
			if !s.p.Passkey.Additive {
				return first
			}
		}
	}
	return first
}

// withdraws says whether the key is of a model that is not to be used any more.
// A claim is enough: nobody claims such a model to get in. A word that is
// none refuses, as everything here does that cannot be read.
func (r *PasskeyRules) withdraws(act Act, f *idp.Facts) bool {
	return f.Status == idp.ModelRefuse && r.Withdrawn != WithdrawnAllow && (act != Use || r.Withdrawn != WithdrawnRegistration)
}

// refuses judges a key by one profile: the reason, and the part of the profile
// that gave it (WAN07, WAN09; entra-behaviours.md §1.4).
func (r *KeyRules) refuses(act Act, f *idp.Facts) (reason, part string) {
	proven := Proven(*f)
	if !proven && r.mustProve(act) {
		return "attestation_" + cmp.Or(f.Statement, "missing"), "attestation"
	}
	switch {
	case f.Synced && r.Synced == SyncedDeny:
		return "synced_not_allowed", "synced"
	case !f.Synced && r.Synced == SyncedOnly:
		return "device_bound_not_allowed", "synced"
	}
	switch r.AAGUIDs.Mode {
	case ListAllow:
		if f.AAGUID == zeroAAGUID {
			return "aaguid_zero", "aaguids"
		}
		if !proven || !listed(r.AAGUIDs.List, f.AAGUID) {
			return "model_not_allowed", "aaguids"
		}
	case ListDeny:
		if listed(r.AAGUIDs.List, f.AAGUID) {
			return "model_not_allowed", "aaguids"
		}
	}
	return "", ""
}

// mustProve says whether a key must prove its model. A list of allowed models
// implies it: an unproven one is a claim of the client.
func (r *KeyRules) mustProve(act Act) bool {
	return r.Attestation == AttestationAlways || act != Use && (r.Attestation == AttestationRequired || r.AAGUIDs.Mode == ListAllow)
}

func (r *KeyRules) help(act Act) Help {
	h := Help{
		Attested:    r.mustProve(act) || r.AAGUIDs.Mode == ListAllow,
		DeviceBound: r.Synced == SyncedDeny, Synced: r.Synced == SyncedOnly,
	}
	if r.AAGUIDs.Mode == ListAllow {
		h.Models = r.AAGUIDs.List
	}
	return h
}

// listed compares without letter case, as Entra does.
func listed(list []string, id string) bool {
	for _, one := range list {
		// Most differ in their length or their first digit: lists are long.
		if len(one) == len(id) && (id == "" || one[0]|0x20 == id[0]|0x20) && strings.EqualFold(one, id) {
			return true
		}
	}
	return false
}

func refusal(rule, reason string, code int) Refusal {
	return Refusal{Rule: rule, Reason: reason, Code: code, Help: Help{Administrator: true}}
}

func methodAt(m idp.MethodID) string { return "methods." + string(m) }

func includeAt(m idp.MethodID, i int) string {
	return methodAt(m) + ".include[" + strconv.Itoa(i) + "]"
}

// Wishes are what a registration asks of a browser, so that it does not make a
// key that would be refused. They never replace Judge: a browser may ignore
// them.
type Wishes struct {
	Statement   bool // ask for an attestation statement; it costs one more prompt
	DeviceBound bool // a security key or this device, rather than a synced passkey
}

// Wishes are those for the person.
func (p *Policy) Wishes(w Who) Wishes {
	s := p.scope(&w, Passkey)
	var out Wishes
	for i, b := range s.bound {
		one := b.rules.Wishes()
		out.Statement = out.Statement || one.Statement
		if i == 0 || !p.Passkey.Additive {
			out.DeviceBound = out.DeviceBound || one.DeviceBound
		} else {
			out.DeviceBound = out.DeviceBound && one.DeviceBound
		}
	}
	return out
}

// Wishes are those of one profile.
func (r KeyRules) Wishes() Wishes {
	must := r.mustProve(Add)
	return Wishes{
		Statement:   must || r.Attestation == AttestationPreferred || r.AAGUIDs.Mode == ListDeny,
		DeviceBound: must || r.Synced == SyncedDeny,
	}
}
