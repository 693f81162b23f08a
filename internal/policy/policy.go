package policy

import (
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// The methods that have rules of their own here. Rooms of later methods bring
// their id; Policy.Methods switches any of them.
const (
	Passkey    idp.MethodID = "passkey"
	AccessPass idp.MethodID = "accessPass"
)

// Policy is what a tenant allows. A Policy that came from a Store is shared:
// callers do not change it; Clone makes one that may be changed.
type Policy struct {
	Version    int64 // grows by one with every Put; 0 was never saved
	Methods    map[idp.MethodID]bool
	Passkey    PasskeyRules
	AccessPass AccessPassRules
	Session    SessionRules
	Strengths  []idp.Strength // the built-in ones first
}

// Attestation says what registration of a passkey asks for.
type Attestation string

// None takes what comes, Preferred asks, Required refuses what is not proven.
const (
	AttestationNone      Attestation = "none"
	AttestationPreferred Attestation = "preferred"
	AttestationRequired  Attestation = "required"
)

// Synced says whether passkeys may exist on several devices at once.
type Synced string

// Deny means that only device-bound passkeys may be registered and used.
const (
	SyncedAllow Synced = "allow"
	SyncedDeny  Synced = "deny"
)

// Counter says what a signature counter that went backwards does. It is an
// event either way.
type Counter string

// Warn lets the sign-in pass, Block refuses it.
const (
	CounterWarn  Counter = "warn"
	CounterBlock Counter = "block"
)

// ListMode says how a list of models is read.
type ListMode string

// Off ignores the list, Allow admits only what is on it, Deny admits the rest.
const (
	ListOff   ListMode = "off"
	ListAllow ListMode = "allow"
	ListDeny  ListMode = "deny"
)

// AAGUIDRules limit passkeys by model. Only attested models count as known
// (decisions 5.1).
type AAGUIDRules struct {
	Mode ListMode
	List []string // lower-case GUIDs
}

// PasskeyRules are for the passkey room to obey.
type PasskeyRules struct {
	Limit       int // passkeys a user may have
	WarnAt      int // from here on the page says that it is many
	Attestation Attestation
	AAGUIDs     AAGUIDRules
	Synced      Synced
	Counter     Counter
}

// AccessPassRules are for issuing passes, and say what one is good for.
type AccessPassRules struct {
	AppSignIn bool // a pass opens apps, not only registration (decisions 2.8)
	Default   time.Duration
	Min, Max  time.Duration
	Length    int
	Once      bool // every pass is good for one sign-in only
}

// SessionRules bound a browser session (security.md SES02).
type SessionRules struct {
	Idle     time.Duration
	Absolute time.Duration
}

// Default is the policy of a tenant that never changed anything.
func Default() Policy {
	return Policy{
		Methods: map[idp.MethodID]bool{Passkey: true, AccessPass: true},
		Passkey: PasskeyRules{
			Limit: 20, WarnAt: 15, Attestation: AttestationPreferred,
			AAGUIDs: AAGUIDRules{Mode: ListOff}, Synced: SyncedAllow, Counter: CounterWarn,
		},
		AccessPass: AccessPassRules{
			Default: time.Hour, Min: 10 * time.Minute, Max: 30 * 24 * time.Hour, Length: 12, Once: true,
		},
		Session:   SessionRules{Idle: time.Hour, Absolute: 24 * time.Hour},
		Strengths: builtIn(),
	}
}

// Clone returns a copy that shares nothing with p.
func (p Policy) Clone() Policy {
	methods := make(map[idp.MethodID]bool, len(p.Methods))
	for m, on := range p.Methods {
		methods[m] = on
	}
	p.Methods = methods
	p.Passkey.AAGUIDs.List = slices.Clone(p.Passkey.AAGUIDs.List)
	p.Strengths = slices.Clone(p.Strengths)
	for i, s := range p.Strengths {
		s.Each = slices.Clone(s.Each)
		s.Combinations = slices.Clone(s.Combinations)
		for j, c := range s.Combinations {
			s.Combinations[j] = slices.Clone(c)
		}
		p.Strengths[i] = s
	}
	return p
}
