package policy

import (
	"maps"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Nudge is what a person is asked to register after a sign-in; the zero Nudge
// is nothing.
type Nudge struct {
	Rule   string
	Method idp.MethodID
	Forced bool // it may not be put off
	// Days is after how long one that is put off is asked again, 0: at the
	// next sign-in. Left is how often it may be put off, this time included;
	// 0 of one that is not Forced: without end.
	Days, Left int
}

// Snoozed is how often somebody has put a campaign off, and when last.
type Snoozed struct {
	Times int
	Last  time.Time
}

// Nudge says what the person is asked to register: a method that a target of
// theirs requires, or the one of the campaign (entra-behaviours.md §1.3, §1.8).
// held are the methods of which they have a credential that works. Nobody is
// asked for what they may not register themselves.
func (p *Policy) Nudge(w Who, held []idp.MethodID, snoozed Snoozed, now time.Time) Nudge {
	may := func(m idp.MethodID) bool {
		return m != AccessPass && !slices.Contains(held, m) && p.Judge(w, Add, m, nil).Allowed()
	}
	for _, m := range slices.Sorted(maps.Keys(p.Methods)) {
		for i, in := range p.Methods[m].Include {
			if in.Required && in.names(&w) && may(m) {
				return Nudge{Rule: includeAt(m, i) + ".required", Method: m, Forced: true}
			}
		}
	}
	c := &p.Campaign
	if !c.On || !targeted(c.Include, c.Exclude, &w) || !may(c.Method) {
		return Nudge{}
	}
	// The last time, too, has its days: people were told so.
	if snoozed.Times > 0 && now.Before(snoozed.Last.AddDate(0, 0, c.SnoozeDays)) {
		return Nudge{}
	}
	if c.Snoozes > 0 && snoozed.Times >= c.Snoozes {
		return Nudge{Rule: "campaign", Method: c.Method, Forced: true}
	}
	return Nudge{Rule: "campaign", Method: c.Method, Days: c.SnoozeDays, Left: max(0, c.Snoozes-snoozed.Times)}
}

// Nudges says whether any rule asks anybody at all.
func (p *Policy) Nudges() bool {
	for _, r := range p.Methods {
		if slices.ContainsFunc(r.Include, func(in Include) bool { return in.Required }) {
			return true
		}
	}
	return p.Campaign.On
}

// Preferred sorts methods by the order that the tenant prefers; those that it
// does not name keep their order, behind. While nobody is known (the zero
// Who), only an order for everybody counts.
func (p *Policy) Preferred(w Who, methods []idp.MethodID) []idp.MethodID {
	out := slices.Clone(methods)
	if !p.Order.On || !targeted(p.Order.Include, p.Order.Exclude, &w) {
		return out
	}
	place := func(m idp.MethodID) int {
		if i := slices.Index(p.Order.Methods, m); i >= 0 {
			return i
		}
		return len(p.Order.Methods)
	}
	slices.SortStableFunc(out, func(a, b idp.MethodID) int { return place(a) - place(b) })
	return out
}
