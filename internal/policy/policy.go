package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// The methods that have rules of their own here. Rooms of later methods bring
// their id; Policy.Methods governs any of them.
const (
	Passkey    idp.MethodID = "passkey"
	AccessPass idp.MethodID = "accessPass"
	Hello      idp.MethodID = "hello"
	Platform   idp.MethodID = "platform"
)

// Policy is what a tenant allows: who may use which method, with which keys,
// and which proofs meet which strength. A Policy that came from a Store is
// shared: callers do not change it; Clone makes one that may be changed.
//
// The JSON names are those of the stored and the exported form, see Parse.
type Policy struct {
	Version int64     `json:"-"` // grows by one with every Put; 0 was never saved
	Changed time.Time `json:"-"` // when Version was saved

	Methods    map[idp.MethodID]MethodRules `json:"methods"` // one that is missing is off
	Passkey    PasskeyRules                 `json:"passkey"`
	AccessPass AccessPassRules              `json:"accessPass"`
	Session    SessionRules                 `json:"session"`
	Campaign   CampaignRules                `json:"campaign"`
	Order      OrderRules                   `json:"order"`
	Devices    DeviceRules                  `json:"devices"`
	Hello      HelloRules                   `json:"hello"`
	Phone      PhoneRules                   `json:"phone"`
	Platform   PlatformRules                `json:"platform"`
	Macs       MacRules                     `json:"macs"`
	// Certificate has no part in forms and stored policies that were written
	// before it was: those mean its default.
	Certificate CertificateRules `json:"certificate"`
	Strengths   []Strength       `json:"strengths"` // the built-in ones first
}

// MethodRules say who may use a method, to sign in and to register for it.
// Whoever no Include names, or any Exclude names, may do neither
// (entra-behaviours.md §1.3).
type MethodRules struct {
	On      bool      `json:"on"`
	Include []Include `json:"include"`
	Exclude []Target  `json:"exclude"`
}

// Target names whom a rule is about: exactly one field is set.
type Target struct {
	All   bool        `json:"all,omitempty"`
	Group idp.GroupID `json:"group,omitempty"`
	User  idp.UserID  `json:"user,omitempty"`
}

// Include lets a target use a method.
type Include struct {
	Target
	// Required: whoever has no credential of the method is to register one
	// (Graph's isRegistrationRequired). See Nudge.
	Required bool `json:"required,omitempty"`
	// Profiles are ids of passkey profiles that bind the target. Empty: the
	// default profile. Other methods have none.
	Profiles []string `json:"profiles,omitempty"`
}

// PasskeyRules govern passkeys. Its own KeyRules are the default profile.
type PasskeyRules struct {
	Limit       int     `json:"limit"`       // passkeys a user may have
	WarnAt      int     `json:"warnAt"`      // from here on the page says that it is many
	Counter     Counter `json:"counter"`     // what a signature counter that went back does
	SelfService bool    `json:"selfService"` // off: only administrators register keys, on behalf
	// Restrictions says whether KeyRules are obeyed. Who may use passkeys at
	// all is not theirs to say and always holds.
	Restrictions Enforcement `json:"restrictions"`
	// Withdrawn says what becomes of keys whose model is withdrawn: idp.Facts
	// of ModelRefuse. It holds above all profiles, and whether the model is
	// proven or claimed; no profile allows what it refuses.
	Withdrawn Withdrawn `json:"withdrawn"`
	// Additive lets a key in that one of several profiles of a person fully
	// allows, as Entra does. Otherwise every one of them must allow it.
	Additive bool `json:"additive"`
	KeyRules
	Profiles []Profile `json:"profiles"` // in the order in which refusals name them
}

// DefaultProfile is the id of the profile that PasskeyRules.KeyRules are.
const DefaultProfile = "00000000-0000-0000-0000-000000000001"

// Profile is a named set of rules on keys, for the targets that name it.
type Profile struct {
	ID   string `json:"id"` // a lower-case GUID, not DefaultProfile
	Name string `json:"name"`
	KeyRules
}

// KeyRules say which passkeys are good. A model counts for an allow-list only
// when it is proven; a claim is enough to be refused by a deny-list.
type KeyRules struct {
	Attestation Attestation `json:"attestation"`
	AAGUIDs     AAGUIDRules `json:"aaguids"`
	Synced      Synced      `json:"synced"`
	// Except are people whom the profile does not bind, whatever target names
	// it for them: break-glass accounts, or those who still have an old key.
	// Whom no profile binds may use any passkey.
	Except []Target `json:"except,omitempty"`
}

// AAGUIDRules limit passkeys by model.
type AAGUIDRules struct {
	Mode ListMode `json:"mode"`
	List []string `json:"list"` // GUIDs
	// Resting is what Mode will be when a list that is off is turned on again:
	// Graph's clients say and read it apart from whether the list holds. Empty
	// is ListDeny.
	Resting ListMode `json:"resting,omitempty"`
}

// Attestation says how far the model of a passkey must be proven.
type Attestation string

// None takes what comes and Preferred asks for a statement. Required refuses
// at registration what is not proven (Graph's registrationOnly), Always at each
// sign-in too, so that it judges old keys.
const (
	AttestationNone      Attestation = "none"
	AttestationPreferred Attestation = "preferred"
	AttestationRequired  Attestation = "required"
	AttestationAlways    Attestation = "always"
)

// Synced says whether passkeys may exist on several devices at once.
type Synced string

// Deny admits only device-bound passkeys, Only only such that are not.
const (
	SyncedAllow Synced = "allow"
	SyncedDeny  Synced = "deny"
	SyncedOnly  Synced = "only"
)

// Withdrawn says what becomes of keys of a model that the metadata calls
// revoked or broken (FIDO Metadata Service 3.1 §3.1.4).
type Withdrawn string

// Allow takes them like any other, Registration refuses new ones, Refuse the
// registered ones at each sign-in too.
const (
	WithdrawnAllow        Withdrawn = "allow"
	WithdrawnRegistration Withdrawn = "registration"
	WithdrawnRefuse       Withdrawn = "refuse"
)

// ListMode says how a list of models is read.
type ListMode string

// Off ignores the list, Allow admits only what is on it, Deny admits the rest.
const (
	ListOff   ListMode = "off"
	ListAllow ListMode = "allow"
	ListDeny  ListMode = "deny"
)

// Counter says what a signature counter that went backwards does. It is an
// event either way.
type Counter string

// Warn lets the sign-in pass, Block refuses it.
const (
	CounterWarn  Counter = "warn"
	CounterBlock Counter = "block"
)

// Enforcement says whether restrictions are obeyed.
type Enforcement string

// Off judges nothing. Audit allows, and says in Ruling.Would what Enforce
// would have refused.
const (
	EnforceOff   Enforcement = "off"
	EnforceAudit Enforcement = "audit"
	Enforce      Enforcement = "enforce"
)

// AccessPassRules are for issuing passes, and say what one is good for.
type AccessPassRules struct {
	AppSignIn bool          `json:"appSignIn"` // a pass opens apps, not only registration (decisions 2.8)
	Default   time.Duration `json:"default"`
	Min       time.Duration `json:"min"`
	Max       time.Duration `json:"max"`
	Length    int           `json:"length"`
	Once      bool          `json:"once"` // every pass is good for one sign-in only
}

// SessionRules bound a browser session (security.md SES02).
type SessionRules struct {
	Idle     time.Duration `json:"idle"`
	Absolute time.Duration `json:"absolute"`
}

// CampaignRules ask people after a sign-in to register a method that they
// lack (entra-behaviours.md §1.8). See Nudge.
type CampaignRules struct {
	On         bool         `json:"on"`
	Method     idp.MethodID `json:"method"`
	SnoozeDays int          `json:"snoozeDays"` // 0 to 14; 0 asks at every sign-in
	Snoozes    int          `json:"snoozes"`    // so many, then it must be; 0: never must
	Include    []Target     `json:"include"`
	Exclude    []Target     `json:"exclude"`
}

// OrderRules are the system-preferred order in which methods are offered
// (entra-behaviours.md §1.9).
type OrderRules struct {
	On      bool           `json:"on"`
	Methods []idp.MethodID `json:"methods"` // the others follow, in the order of the house
	Include []Target       `json:"include"`
	Exclude []Target       `json:"exclude"`
}

// Default is the policy of a tenant that never changed anything.
func Default() Policy {
	return Policy{
		Methods: map[idp.MethodID]MethodRules{Passkey: Everybody(), AccessPass: Everybody()},
		Passkey: PasskeyRules{
			Limit: 20, WarnAt: 15, Counter: CounterWarn, SelfService: true, Restrictions: Enforce, Withdrawn: WithdrawnRefuse,
			KeyRules: KeyRules{Attestation: AttestationPreferred, AAGUIDs: AAGUIDRules{Mode: ListOff}, Synced: SyncedAllow},
		},
		AccessPass: AccessPassRules{
			Default: time.Hour, Min: 10 * time.Minute, Max: 30 * 24 * time.Hour, Length: 12, Once: true,
		},
		Session:     SessionRules{Idle: time.Hour, Absolute: 24 * time.Hour},
		Campaign:    CampaignRules{Method: Passkey, SnoozeDays: 1, Snoozes: 3, Include: []Target{{All: true}}},
		Order:       OrderRules{On: true, Include: []Target{{All: true}}},
		Devices:     defaultDevices(),
		Hello:       HelloRules{Limit: 20, WarnAt: 15},
		Phone:       defaultPhone(),
		Platform:    PlatformRules{Limit: 20, WarnAt: 15},
		Macs:        defaultMacs(),
		Certificate: defaultCertificate(),
		Strengths:   builtIn(),
	}
}

// Everybody are the rules of a method that everybody may use.
func Everybody() MethodRules {
	return MethodRules{On: true, Include: []Include{{Target: Target{All: true}}}}
}

// Switch turns a method on or off. One that nobody was named for is then for
// everybody. p must not be a snapshot of a Store.
func (p *Policy) Switch(m idp.MethodID, on bool) {
	if p.Methods == nil {
		p.Methods = make(map[idp.MethodID]MethodRules)
	}
	r := p.Methods[m]
	if r.On = on; len(r.Include) == 0 {
		r.Include = Everybody().Include
	}
	p.Methods[m] = r
}

// Clone returns a copy that shares nothing with p.
func (p Policy) Clone() Policy {
	p.Methods = maps.Clone(p.Methods)
	for m, r := range p.Methods {
		r.Include, r.Exclude = slices.Clone(r.Include), slices.Clone(r.Exclude)
		for i := range r.Include {
			r.Include[i].Profiles = slices.Clone(r.Include[i].Profiles)
		}
		p.Methods[m] = r
	}
	p.Passkey.KeyRules = p.Passkey.KeyRules.clone()
	p.Passkey.Profiles = slices.Clone(p.Passkey.Profiles)
	for i, f := range p.Passkey.Profiles {
		p.Passkey.Profiles[i].KeyRules = f.KeyRules.clone()
	}
	p.Campaign.Include, p.Campaign.Exclude = slices.Clone(p.Campaign.Include), slices.Clone(p.Campaign.Exclude)
	p.Order.Methods = slices.Clone(p.Order.Methods)
	p.Order.Include, p.Order.Exclude = slices.Clone(p.Order.Include), slices.Clone(p.Order.Exclude)
	p.Devices.Include, p.Devices.Exclude = slices.Clone(p.Devices.Include), slices.Clone(p.Devices.Exclude)
	p.Phone.Stricter = slices.Clone(p.Phone.Stricter)
	p.Certificate = p.Certificate.clone()
	p.Strengths = slices.Clone(p.Strengths)
	for i, s := range p.Strengths {
		p.Strengths[i] = s.clone()
	}
	return p
}

func (r KeyRules) clone() KeyRules {
	r.AAGUIDs.List, r.Except = slices.Clone(r.AAGUIDs.List), slices.Clone(r.Except)
	return r
}

// NamedGroups lists the groups that any rule names: whoever judges a person by
// p needs to know of these only. Sorted, each once.
func (p Policy) NamedGroups() []idp.GroupID {
	var out []idp.GroupID
	add := func(targets ...Target) {
		for _, t := range targets {
			if t.Group != "" {
				out = append(out, t.Group)
			}
		}
	}
	for _, r := range p.Methods {
		for _, i := range r.Include {
			add(i.Target)
		}
		add(r.Exclude...)
	}
	add(p.Passkey.Except...)
	for _, f := range p.Passkey.Profiles {
		add(f.Except...)
	}
	add(slices.Concat(p.Campaign.Include, p.Campaign.Exclude, p.Order.Include, p.Order.Exclude, p.Devices.Include, p.Devices.Exclude)...)
	add(p.Phone.targets()...)
	for _, s := range p.Certificate.Scopes {
		add(s.Target)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
