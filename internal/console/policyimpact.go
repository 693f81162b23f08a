package console

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/page"
	"github.com/signetid/signet/internal/policy"
)

// impactView is "If you save this": what a change would do, as the page tells it.
type impactView struct {
	Title template.HTML
	Over  template.HTML // the line above the title
	Calm  bool          // nobody loses anything
	// Same says that nothing was changed, so that there is nothing to work out.
	// Stale: something was, and it is not worked out yet.
	Same, Stale bool
	Problem     template.HTML // it could not be worked out

	Plate              *plateView
	NoWay, Keep, Fine  int
	SayNoWay, SayKeep  template.HTML
	SayFine, SayStarts template.HTML
	Starts             int

	LostTitle, KeptTitle template.HTML
	Lost, Kept           []lostView
	MoreLost, MoreKept   template.HTML // how many others the lists do not name
	CanExcept            bool
	ExceptAll            template.HTML
	Reasons              []reasonView
	At                   template.HTML
	Bar                  template.HTML // the short form, in the save bar
	Stops                int
	Effects              []effect // of settings that judge no keys
}

// lostView is a person who would lose a key.
type lostView struct {
	ID             idp.UserID
	Name, Initials string
	Meta           template.HTML
	ExceptWord     template.HTML
	PassWord       template.HTML
	Except         string // value of the button that excepts them; empty: it would not help
	ExceptSay      template.HTML
	Pass           string // where a pass is given
	PassSay        template.HTML
}

type reasonView struct {
	Say  template.HTML
	Keys template.HTML
	n    int
}

// namesShown is how many names the panel shows before "All".
const namesShown = 200

// impactWords is what an impactView is made with.
type impactWords struct {
	pg      *page.Page
	models  modelList
	profile string        // whose page it is; empty: no profile's
	next    policy.Policy // for names of profiles
	at      time.Time
}

func (w *impactWords) view(im policy.Impact) impactView {
	pg := w.pg
	kept := im.Affected - im.NoWayIn
	v := impactView{
		Over: pg.T("policy.impact.over"), NoWay: im.NoWayIn, Keep: kept, Fine: im.People - im.Affected, Starts: im.Starts, Stops: im.Stops,
		Calm: im.Stops == 0, Plate: plateOf(im.People, im.NoWayIn, kept),
		SayNoWay: pg.N("policy.impact.noway", im.NoWayIn), SayKeep: pg.N("policy.impact.keep", kept), SayFine: pg.N("policy.impact.fine", im.People-im.Affected),
		At: pg.T("policy.impact.at", "when", template.HTML(`<time data-age datetime="`+w.at.UTC().Format(time.RFC3339)+`">`+template.HTMLEscapeString(w.at.UTC().Format("15:04:05 MST"))+`</time>`)),
	}
	if im.Starts > 0 {
		v.SayStarts = pg.N("policy.impact.starts", im.Starts)
	}
	if v.Calm {
		v.Title = pg.T("policy.impact.calm")
		v.Bar = pg.T("policy.impact.calm.bar")
	} else {
		v.Title = pg.T("policy.impact.title", "people", pg.N("policy.people", im.Affected), "keys", pg.N("policy.keys", im.Stops))
		v.Bar = v.Title
	}
	v.Plate.caption(pg)
	w.names(&v, im)
	for b, n := range im.Reasons {
		v.Reasons = append(v.Reasons, reasonView{Say: w.because(b), Keys: pg.N("policy.keys", n), n: n})
	}
	slices.SortFunc(v.Reasons, func(a, b reasonView) int { return cmp.Or(b.n-a.n, strings.Compare(string(a.Say), string(b.Say))) })
	return v
}

func (w *impactWords) names(v *impactView, im policy.Impact) {
	pg := w.pg
	named := map[bool]int{}
	excepted := 0
	for _, l := range im.Lost {
		if named[l.NoWayIn] >= namesShown {
			continue
		}
		named[l.NoWayIn]++
		one := w.lost(l)
		if l.NoWayIn {
			if one.Except != "" {
				excepted++
			}
			v.Lost = append(v.Lost, one)
		} else {
			v.Kept = append(v.Kept, one)
		}
	}
	byName := func(a, b lostView) int { return strings.Compare(directory.Fold(a.Name), directory.Fold(b.Name)) }
	slices.SortStableFunc(v.Lost, byName)
	slices.SortStableFunc(v.Kept, byName)
	v.LostTitle, v.KeptTitle = pg.N("policy.impact.lost", im.NoWayIn), pg.N("policy.impact.kept", v.Keep)
	if rest := im.NoWayIn - len(v.Lost); rest > 0 {
		v.MoreLost = pg.N("policy.impact.more", rest)
	}
	if rest := v.Keep - len(v.Kept); rest > 0 {
		v.MoreKept = pg.N("policy.impact.more", rest)
	}
	v.CanExcept = excepted > 0 && excepted == len(v.Lost) && v.MoreLost == ""
	v.ExceptAll = pg.N("policy.impact.except.all", im.NoWayIn)
}

func (w *impactWords) lost(l policy.Loss) lostView {
	pg, name := w.pg, cmp.Or(l.User.DisplayName, l.User.Name)
	v := lostView{
		ID: l.User.ID, Name: name, Initials: page.Initials(name, 2),
		ExceptWord: pg.T("policy.impact.except"), PassWord: pg.T("policy.impact.pass"),
		Pass: "/admin/people/" + string(l.User.ID), PassSay: pg.T("policy.impact.pass.of", "name", name),
	}
	var keys []string
	helps := true
	for _, k := range l.Keys {
		if one := w.keyName(k.Held); !slices.Contains(keys, one) {
			keys = append(keys, one)
		}
		helps = helps && w.mine(k.Rule)
	}
	what := "policy.impact.keys.kept"
	if l.NoWayIn {
		what = "policy.impact.keys.only"
	}
	v.Meta = pg.T(what, "keys", strings.Join(keys, ", "))
	if helps && w.profile != "" {
		v.Except, v.ExceptSay = "except:"+targetWord(policy.Target{User: l.User.ID}), pg.T("policy.impact.except.of", "name", name)
	}
	return v
}

// mine says whether a rule is one of the profile whose page it is: then
// excepting somebody from the profile helps.
func (w *impactWords) mine(rule string) bool {
	rest, ok := strings.CutPrefix(rule, "passkey.")
	if !ok {
		return false
	}
	if id, ok := strings.CutPrefix(rest, "profiles."); ok {
		id, _, _ = strings.Cut(id, ".")
		return id == w.profile
	}
	return w.profile == policy.DefaultProfile && rule != withdrawnRule
}

// withdrawnRule is above all profiles: no exception helps.
const withdrawnRule = "passkey.withdrawn"

// keyName is what a key is called in lists of people: the model as far as it
// is known, and whether it is only claimed.
func (w *impactWords) keyName(k policy.Held) string {
	pg := w.pg
	if k.Method != policy.Passkey {
		return page.Plain(policyMethod(pg, k.Method))
	}
	m, known := w.models.Model(k.Facts.AAGUID)
	switch {
	case known && policy.Proven(k.Facts):
		return m.Name
	case known:
		return page.Plain(pg.T("policy.key.claimed", "model", m.Name))
	case k.Facts.Synced:
		return page.Plain(pg.T("policy.key.synced"))
	}
	return page.Plain(pg.T("policy.key.unknown"))
}

// because says a reason in words, with the profile when it is another one's.
func (w *impactWords) because(b policy.Because) template.HTML {
	pg := w.pg
	reason := b.Reason
	if strings.HasPrefix(reason, "attestation_") {
		reason = "attestation"
	}
	say := pg.T("policy.because.other", "reason", b.Reason)
	if slices.Contains(reasons, reason) {
		say = pg.T("policy.because." + reason)
	}
	if strings.HasPrefix(b.Rule, "passkey.") && b.Rule != withdrawnRule && !w.mine(b.Rule) {
		return pg.T("policy.because.of", "reason", say, "profile", w.profileName(b.Rule))
	}
	return say
}

// reasons are those that have words.
var reasons = []string{
	"attestation", "model_withdrawn", "synced_not_allowed", "device_bound_not_allowed", "model_not_allowed", "aaguid_zero",
	"method_off", "excluded", "not_included", "user_disabled", "profile_unknown",
}

func (w *impactWords) profileName(rule string) template.HTML {
	if id, ok := strings.CutPrefix(rule, "passkey.profiles."); ok {
		id, _, _ = strings.Cut(id, ".")
		if i := profileIndex(w.next, id); i >= 0 {
			return template.HTML(template.HTMLEscapeString(w.next.Passkey.Profiles[i].Name))
		}
	}
	return w.pg.T("policy.profile.standard")
}

// plateView is one tick a person, worst first, as paths of an SVG.
type plateView struct {
	Width, Height    int
	Bad, Warn, Fine  string
	Rows, Each       int // people a tick
	Say              template.HTML
	people           int
	noWay, otherwise int
}

// Ticks of the plate: 3 units apart, 14 high, rows 20 apart.
const (
	plateRow  = 106
	plateRows = 6
	tickStep  = 3
	tickTall  = 14
	rowStep   = 20
)

// plateOf draws people as ticks. When they are more than there is room for, a
// tick stands for several; a single person who loses something still has one.
func plateOf(people, noWay, otherwise int) *plateView {
	v := &plateView{people: people, noWay: noWay, otherwise: otherwise}
	v.Each = max(1, (people+plateRow*plateRows-1)/(plateRow*plateRows))
	all := (people + v.Each - 1) / v.Each
	bad := (noWay + v.Each - 1) / v.Each
	warn := min((otherwise+v.Each-1)/v.Each, max(0, all-bad))
	rows := max(1, (all+plateRow-1)/plateRow)
	long := max(plateRow/2, (all+rows-1)/rows) // rows of one length; a few people are no wide gaps
	v.Rows = rows
	v.Width, v.Height = long*tickStep, (rows-1)*rowStep+tickTall
	var path [3]strings.Builder
	for i := range all {
		kind := 2
		if i < bad {
			kind = 0
		} else if i < bad+warn {
			kind = 1
		}
		fmt.Fprintf(&path[kind], "M%d.5 %dv%d", i%long*tickStep+1, i/long*rowStep, tickTall)
	}
	v.Bad, v.Warn, v.Fine = path[0].String(), path[1].String(), path[2].String()
	return v
}

func (v *plateView) caption(pg *page.Page) {
	if v.Each == 1 {
		v.Say = pg.N("policy.plate.one", v.people)
		return
	}
	v.Say = pg.N("policy.plate.many", v.people, "each", v.Each)
}

// usage counts the keys of a tenant by model.
type usage struct {
	Keys, Claimed int // all passkeys, and those that only claim their model
	Models        map[string]modelUse
	At            time.Time
}

// Counting the keys of a large tenant takes a while. What took that long is
// good for as long as somebody looks at one page.
const (
	slowCount = 300 * time.Millisecond
	countGood = 30 * time.Second
)

// counts are what was counted of tenants for which it took long.
type counts[T any] struct {
	mu sync.Mutex
	of map[idp.TenantID]countedAt[T]
}

type countedAt[T any] struct {
	what T
	at   time.Time
}

func (c *counts[T]) get(t idp.TenantID, now time.Time) (T, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.of[t]
	if ok && now.Sub(u.at) > countGood {
		delete(c.of, t)
		u, ok = countedAt[T]{}, false
	}
	return u.what, ok
}

func (c *counts[T]) put(t idp.TenantID, what T, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[idp.TenantID]countedAt[T])
	}
	c.of[t] = countedAt[T]{what, at}
}

// modelUse is how often a model is in use, and how many of those are merely
// claimed: no statement proves that they are of that model.
type modelUse struct{ Keys, Claimed int }

func (u *usage) add(k method.Credential) {
	if k.Method != policy.Passkey || k.Bootstrap {
		return
	}
	if u.Models == nil {
		u.Models = make(map[string]modelUse)
	}
	m := u.Models[k.Facts.AAGUID]
	u.Keys++
	m.Keys++
	if !policy.Proven(k.Facts) {
		u.Claimed++
		m.Claimed++
	}
	u.Models[k.Facts.AAGUID] = m
}

// methodName is what a method is called; one without words by its id.
func policyMethod(pg *page.Page, m idp.MethodID) template.HTML {
	if slices.Contains(wordedMethods, m) {
		return pg.T("policy.method." + string(m))
	}
	return template.HTML(template.HTMLEscapeString(string(m)))
}

var wordedMethods = []idp.MethodID{policy.Passkey, policy.AccessPass, policy.Phone, "hello", "platform", "certificate"}

// level is how a model is certified, in words that people compare by.
func level(m metadata.Model) string {
	var parts []string
	if m.Certification != "" && m.Certification != "FIDO" {
		parts = append(parts, "FIDO "+m.Certification)
	} else if m.Certification != "" {
		parts = append(parts, m.Certification)
	}
	if m.FIPS != "" {
		parts = append(parts, m.FIPS)
	}
	return strings.Join(parts, " · ")
}
