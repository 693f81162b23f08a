package policy

import (
	"context"
	"iter"

	"github.com/signetid/signet/internal/idp"
)

// Subject is one person in a preview, with what they hold.
type Subject struct {
	Who
	Keys []Held
}

// Held is a credential that somebody holds.
type Held struct {
	ID     idp.CredentialID
	Method idp.MethodID
	Facts  idp.Facts
	// Dead credentials (disabled, orphaned, expired) and passes are no way in
	// under any policy.
	Dead bool
}

// Impact is what a change of policy would do to people and keys as they are
// now. Counts are exact; the lists have the first of each, see PreviewOptions.
type Impact struct {
	People, Keys int // judged
	// Stops counts keys that work and would not; Starts the other way round.
	Stops, Starts int
	// Affected counts people who lose a key; of them NoWayIn would have none
	// left, the others keep another way.
	Affected, NoWayIn int
	// Narrowed counts people with a phone that works before and after, and may be
	// asked from fewer browsers then; of them OnlyPhone have nothing else that
	// works. They are not locked out: browsers that know them stay.
	Narrowed, OnlyPhone int
	// Reasons counts the keys of Stops by what would refuse them.
	Reasons map[Because]int
	// Who and what, as many as asked for: those with no way in first.
	Lost   []Loss
	Regain []Loss     // people whose keys would work again
	Narrow []idp.User // of Narrowed, those of OnlyPhone first
}

// Because is the rule and the reason of a refusal.
type Because struct{ Rule, Reason string }

// Loss is one person and their keys that change.
type Loss struct {
	User    idp.User
	NoWayIn bool
	Keys    []LostKey
}

// LostKey is a key and what would refuse it.
type LostKey struct {
	Held
	Refusal
}

// PreviewOptions bound the work of a preview.
type PreviewOptions struct {
	// Names is how many people each list of Impact has at most; 0: 1000.
	Names int
	// Progress, when not nil, is told every thousand people how many are done.
	Progress func(people int)
}

// Preview says what would happen if next took the place of old. It asks Judge
// and nothing else, so it says what sign-ins would then find. It ends with the
// error of ctx or of people; the Impact is then of no use.
func Preview(ctx context.Context, old, next Policy, people iter.Seq2[Subject, error], o PreviewOptions) (Impact, error) {
	if o.Names == 0 {
		o.Names = 1000
	}
	v := preview{old: &old, next: &next, names: o.Names, out: Impact{Reasons: make(map[Because]int)}}
	for s, err := range people {
		if err != nil {
			return v.out, err
		}
		if v.out.People%1000 == 0 {
			if err := ctx.Err(); err != nil {
				return v.out, err
			}
			if o.Progress != nil && v.out.People > 0 {
				o.Progress(v.out.People)
			}
		}
		v.person(&s)
	}
	if o.Progress != nil {
		o.Progress(v.out.People)
	}
	v.out.Narrow = append(v.onlyPhone, v.narrow[:min(len(v.narrow), o.Names-len(v.onlyPhone))]...)
	v.out.Lost = append(v.stranded, v.others[:min(len(v.others), o.Names-len(v.stranded))]...)
	return v.out, ctx.Err()
}

type preview struct {
	old, next        *Policy
	names            int
	out              Impact
	stranded, others []Loss

	onlyPhone, narrow []idp.User
}

func (v *preview) person(s *Subject) {
	v.out.People++
	was, will := view{p: v.old, who: s.Who}, view{p: v.next, who: s.Who}
	var lost, regained []LostKey
	left, phones, rest := false, false, false
	for _, k := range s.Keys {
		v.out.Keys++
		before, after := was.works(&k), will.works(&k)
		left = left || after.Allowed()
		if k.Method == Phone {
			phones = phones || before.Allowed() && after.Allowed()
		} else {
			rest = rest || after.Allowed()
		}
		switch {
		case before.Allowed() && !after.Allowed():
			lost = append(lost, LostKey{k, after})
			v.out.Reasons[Because{after.Rule, after.Reason}]++
		case !before.Allowed() && after.Allowed():
			regained = append(regained, LostKey{k, before})
		}
	}
	if phones {
		v.narrowed(s, !rest)
	}
	v.out.Stops += len(lost)
	v.out.Starts += len(regained)
	if len(regained) > 0 && len(v.out.Regain) < v.names {
		v.out.Regain = append(v.out.Regain, Loss{User: s.User, Keys: regained})
	}
	if len(lost) == 0 {
		return
	}
	v.out.Affected++
	list := &v.others
	if !left {
		v.out.NoWayIn++
		list = &v.stranded
	}
	if len(*list) < v.names {
		*list = append(*list, Loss{User: s.User, NoWayIn: !left, Keys: lost})
	}
}

// narrowed notes somebody with a phone if fewer browsers may ask it then.
func (v *preview) narrowed(s *Subject, only bool) {
	if v.next.PhoneFor(s.Who).From.strictness() <= v.old.PhoneFor(s.Who).From.strictness() {
		return
	}
	v.out.Narrowed++
	list := &v.narrow
	if only {
		v.out.OnlyPhone++
		list = &v.onlyPhone
	}
	if len(*list) < v.names {
		*list = append(*list, s.User)
	}
}

// works says whether a credential is a way in; the zero Refusal: it is.
func (v *view) works(k *Held) Refusal {
	if k.Dead || k.Method == AccessPass {
		return Refusal{Rule: "credential", Reason: "credential_dead"}
	}
	return v.judge(Use, k.Method, &k.Facts).Refusal
}

// WayIn says whether the policy leaves the person one: a credential that works
// and is no pass.
func (p *Policy) WayIn(s Subject) bool {
	v := view{p: p, who: s.Who}
	for i := range s.Keys {
		if v.works(&s.Keys[i]).Allowed() {
			return true
		}
	}
	return false
}

// LocksOut refuses a change that would take every way in from the acting
// administrator, or from all administrators: Denied, "locks_out_actor" or
// "locks_out_administrators". admins are all administrators of the tenant,
// actor may be somebody else, such as a command line. Who has no way in as it
// is loses none.
func LocksOut(old, next Policy, admins []Subject, actor idp.UserID) error {
	had, have := 0, 0
	for _, a := range admins {
		before, after := old.WayIn(a), next.WayIn(a)
		if before && !after && a.User.ID == actor {
			return idp.Deniedf("locks_out_actor", "%s would have no way in", actor).
				Say("You would have no way in yourself after this change, so it is not saved. Register a method that it allows, or except yourself.")
		}
		if before {
			had++
		}
		if after {
			have++
		}
	}
	if had > 0 && have == 0 {
		return idp.Deniedf("locks_out_administrators", "none of %d administrators would have a way in", had).
			Say("No administrator would have a way in after this change, so it is not saved.")
	}
	return nil
}
