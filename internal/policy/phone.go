package policy

import (
	"strconv"

	"github.com/signetid/signet/internal/idp"
)

// Phone is the method that asks a person's phone.
const Phone idp.MethodID = "phone"

// PhoneRules govern approval on a phone (Graph's MicrosoftAuthenticator).
// Numbers are matched always.
type PhoneRules struct {
	Limit  int `json:"limit"`  // phones a user may have
	WarnAt int `json:"warnAt"` // from here on pages say that it is many
	// From says which browsers may ask a phone, for whom no Stricter names.
	From PhoneFrom `json:"from"`
	// Stricter are rules for some: of those that name a person the strictest
	// holds, and From if that is stricter still.
	Stricter []PhoneFromFor `json:"stricter"`
	// Synced says whether the passkey on the phone may exist elsewhere:
	// SyncedAllow or SyncedDeny.
	Synced Synced `json:"synced"`
	// ShowApp and ShowPlace say whose phones name the application, and the
	// place that a request comes from.
	ShowApp   Feature `json:"showApp"`
	ShowPlace Feature `json:"showPlace"`
	// Report says what a person's "this was not me" does.
	Report ReportRules `json:"report"`
}

// PhoneFrom says which browsers may ask a phone (passkeys-and-phone.md §6.7).
type PhoneFrom string

// FromKnown admits browsers in which the person has proven themselves
// phishing-resistantly before; FromNetwork those, and others on the network that
// the phone is on.
const (
	FromAnywhere PhoneFrom = "anywhere"
	FromNetwork  PhoneFrom = "knownOrNetwork"
	FromKnown    PhoneFrom = "known"
)

// PhoneFromFor is a rule for a target.
type PhoneFromFor struct {
	Target
	From PhoneFrom `json:"from"`
}

// Feature is something that is shown to some (Graph's authenticationMethodFeatureConfiguration).
type Feature struct {
	On      bool   `json:"on"`
	Include Target `json:"include"`
	Exclude Target `json:"exclude,omitzero"` // zero: nobody
}

// ReportRules say what becomes of a report (Graph's reportSuspiciousActivitySettings).
type ReportRules struct {
	On      bool   `json:"on"` // phones offer to report
	Include Target `json:"include"`
	// Block keeps the person from signing in by phone until an administrator
	// has looked. Without it that lasts a day.
	Block bool `json:"block"`
}

func defaultPhone() PhoneRules {
	all := Target{All: true}
	return PhoneRules{
		Limit: 20, WarnAt: 15, From: FromAnywhere, Synced: SyncedAllow,
		ShowApp: Feature{On: true, Include: all}, ShowPlace: Feature{On: true, Include: all},
		Report: ReportRules{On: true, Include: all},
	}
}

// PhoneFor is what the rules say of one person.
type PhoneFor struct {
	From      PhoneFrom
	ShowApp   bool
	ShowPlace bool
	Report    bool // may report
	Block     bool // a report closes the method until an administrator has looked
}

// PhoneFor says what the rules on phones mean for a person.
func (p *Policy) PhoneFor(w Who) PhoneFor {
	r := &p.Phone
	out := PhoneFor{
		From: r.From, ShowApp: r.ShowApp.on(&w), ShowPlace: r.ShowPlace.on(&w),
		Report: r.Report.On && among([]Target{r.Report.Include}, &w) >= 0, Block: r.Report.Block,
	}
	for _, s := range r.Stricter {
		if among([]Target{s.Target}, &w) >= 0 && s.From.strictness() > out.From.strictness() {
			out.From = s.From
		}
	}
	return out
}

func (f Feature) on(w *Who) bool {
	return f.On && among([]Target{f.Include}, w) >= 0 && (f.Exclude == Target{} || among([]Target{f.Exclude}, w) < 0)
}

func (f PhoneFrom) strictness() int {
	switch f {
	case FromKnown:
		return 2
	case FromNetwork:
		return 1
	}
	return 0
}

// targets are all that the rules name.
func (r *PhoneRules) targets() []Target {
	out := []Target{r.ShowApp.Include, r.ShowApp.Exclude, r.ShowPlace.Include, r.ShowPlace.Exclude, r.Report.Include}
	for _, s := range r.Stricter {
		out = append(out, s.Target)
	}
	return out
}

// refuses judges the passkey on a phone. From is not its affair: which browser
// asked is known before anything is proven, and to the room.
func (r *PhoneRules) refuses(f *idp.Facts) Refusal {
	// A word that is none refuses, as everything here does that cannot be read.
	if f.Synced && r.Synced != SyncedAllow {
		return Refusal{Rule: "phone.synced", Reason: "synced_not_allowed", Code: CodeKey, Help: Help{DeviceBound: true}}
	}
	return Refusal{}
}

// phone checks what settings have no word for, and what two of them contradict.
func (c *checker) phone() {
	p := &c.p.Phone
	if p.WarnAt > p.Limit {
		c.between("phone.warnAt", "phone.limit", "the warning would come above the limit")
	}
	stricter := make([]Target, len(p.Stricter))
	for i, s := range p.Stricter {
		stricter[i] = s.Target
		oneOf(c, "phone.stricter["+strconv.Itoa(i)+"].from", s.From)
	}
	c.targets("phone.stricter", stricter)
	c.feature("phone.showApp", p.ShowApp)
	c.feature("phone.showPlace", p.ShowPlace)
	c.target("phone.report.include", p.Report.Include)
}

func (c *checker) feature(at string, f Feature) {
	c.target(at+".include", f.Include)
	if f.Exclude == (Target{}) {
		return
	}
	c.target(at+".exclude", f.Exclude)
	switch f.Exclude {
	case f.Include:
		c.between(at+".include", at+".exclude", "the same target is included and excluded")
	case Target{All: true}:
		c.between(at+".include", at+".exclude", "everybody is excluded")
	}
}
