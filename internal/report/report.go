package report

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Sources is where people and what they hold are read; signin.Corridor is one.
type Sources interface {
	// People lists the users of a tenant.
	People(context.Context, idp.TenantID) iter.Seq2[directory.Person, error]
	// Walk calls fn for every credential of a tenant, in no order.
	Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error
	// Memberships says of everybody which of the groups they are in.
	Memberships(context.Context, idp.TenantID, []idp.GroupID) (map[idp.UserID][]idp.GroupID, error)
}

// Config is what a Report needs.
type Config struct {
	DB      *sqldb.DB
	Sources Sources
	Policy  func(context.Context, idp.TenantID) (policy.Policy, error)
	Tenants func(context.Context) ([]idp.Tenant, error)
	Now     func() time.Time
}

// Report counts and remembers.
type Report struct{ cfg Config }

// New makes a report.
func New(cfg Config) *Report { return &Report{cfg} }

// Person is one row of the registration report.
type Person struct {
	idp.User
	Methods    []string // of what they hold, each once: see methodWord
	Strongest  Class    // of what lets them in today: the rules are asked, and what is switched off does not count
	Registered bool     // holds something that is no pass
	Capable    bool     // and something of it lets them in today (entra-behaviours.md §12.3)
	LastSignIn time.Time
}

// Counts are people per class. Enabled members are counted: guests bring the
// methods of their home, and who is switched off has no way in to speak of.
type Counts map[Class]int

// Total is everybody who was counted.
func (c Counts) Total() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// fold is what is remembered of one person while credentials go by: a few
// bytes, however many keys they hold.
type fold struct {
	last                                int64  // Unix milliseconds; 0: never
	methods                             uint32 // which of folded.words, a bit each
	class                               uint8  // index of Classes
	enabled, guest, registered, capable bool
}

// folded are all people of a tenant.
type folded struct {
	people map[idp.UserID]fold
	words  []string // of methods; the first 32 that come by
}

// folds reads all people and all credentials of a tenant once.
func (r *Report) folds(ctx context.Context, t idp.TenantID) (*folded, error) {
	rules, err := r.cfg.Policy(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	groups, err := r.cfg.Sources.Memberships(ctx, t, rules.NamedGroups())
	if err != nil {
		return nil, err
	}
	all := &folded{people: make(map[idp.UserID]fold)}
	for p, err := range r.cfg.Sources.People(ctx, t) {
		if err != nil {
			return nil, err
		}
		all.people[p.ID] = fold{enabled: p.Enabled, guest: p.Type == idp.Guest, class: uint8(len(Classes) - 1)}
	}
	err = r.cfg.Sources.Walk(ctx, t, func(c method.Credential) error {
		f, there := all.people[c.User]
		if !there {
			return nil // came, or went, meanwhile
		}
		who := policy.Who{User: idp.User{ID: c.User, Tenant: t, Enabled: true, Type: idp.Member}, Groups: policy.NewGroups(groups[c.User])}
		if f.guest {
			who.User.Type = idp.Guest
		}
		c.Refusal = rules.Judge(who, policy.Use, c.Method, &c.Facts).Refusal
		all.people[c.User] = f.with(c, all.bit(c))
		return nil
	})
	return all, err
}

// bit is the one of a method's word.
func (a *folded) bit(c method.Credential) uint32 {
	w := methodWord(c)
	at := slices.Index(a.words, w)
	if at < 0 {
		at = len(a.words)
		a.words = append(a.words, w)
	}
	return 1 << at // of the 33rd on nothing is left
}

// with takes one credential into account; a pass that is used or over is none.
func (f fold) with(c method.Credential, bit uint32) fold {
	if c.Bootstrap && c.Disabled {
		return f
	}
	f.methods |= bit
	if !c.LastUsed.IsZero() {
		f.last = max(f.last, c.LastUsed.UnixMilli())
	}
	f.registered = f.registered || !c.Bootstrap
	if !c.Usable() && (!c.Bootstrap || !c.Refusal.Allowed()) {
		return f
	}
	f.capable = f.capable || f.enabled && !c.Bootstrap
	f.class = min(f.class, uint8(slices.Index(Classes, ClassOf(c))))
	return f
}

// person is a row of the report.
func (a *folded) person(u idp.User) Person {
	p := Person{User: u, Strongest: Nothing}
	f, there := a.people[u.ID]
	if !there {
		return p
	}
	p.Strongest, p.Registered, p.Capable = Classes[f.class], f.registered, f.capable
	for i, w := range a.words {
		if f.methods&(1<<i) != 0 {
			p.Methods = append(p.Methods, w)
		}
	}
	if f.last > 0 {
		p.LastSignIn = time.UnixMilli(f.last).UTC()
	}
	return p
}

// methodWord tells kinds of credentials apart that count differently.
func methodWord(c method.Credential) string {
	switch {
	case c.Method != policy.Passkey:
		return string(c.Method)
	case c.Facts.Synced:
		return "passkeySynced"
	}
	return "passkeyDeviceBound"
}

// Count counts the people of a tenant as they are now.
func (r *Report) Count(ctx context.Context, t idp.TenantID) (Counts, error) {
	all, err := r.folds(ctx, t)
	if err != nil {
		return nil, err
	}
	n := make(Counts, len(Classes))
	for _, f := range all.people {
		if f.enabled && !f.guest {
			n[Classes[f.class]]++
		}
	}
	return n, nil
}

// People tells every person of a tenant, in the order of lists, guests and
// those who are switched off too.
func (r *Report) People(ctx context.Context, t idp.TenantID) iter.Seq2[Person, error] {
	return func(yield func(Person, error) bool) {
		all, err := r.folds(ctx, t)
		if err != nil {
			yield(Person{}, err)
			return
		}
		for p, err := range r.cfg.Sources.People(ctx, t) {
			if err != nil {
				yield(Person{}, err)
				return
			}
			if !yield(all.person(p.User), nil) {
				return
			}
		}
	}
}

// Store counts the people of a tenant and keeps the numbers as those of today
// (UTC); a later count of the same day takes their place.
func (r *Report) Store(ctx context.Context, t idp.TenantID) (Day, error) {
	n, err := r.Count(ctx, t)
	if err != nil {
		return Day{}, err
	}
	now := r.cfg.Now().UTC()
	d := Day{Day: now.Truncate(24 * time.Hour), Counted: now.Truncate(time.Millisecond), People: n}
	return d, r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return put(ctx, tx, t, d) })
}

// Jobs are the background work: every tenant is counted several times a day,
// so that no day is missed when a server is restarted or a run drifts over
// midnight.
func (r *Report) Jobs() []job.Job {
	return []job.Job{{Name: "report.day", Every: 6 * time.Hour, Run: func(ctx context.Context, _ time.Time) error {
		tenants, err := r.cfg.Tenants(ctx)
		if err != nil {
			return err
		}
		var errs []error
		for _, t := range tenants {
			if _, err := r.Store(ctx, t.ID); err != nil {
				errs = append(errs, fmt.Errorf("report of tenant %s: %w", t.ID, err))
			}
			if ctx.Err() != nil {
				break
			}
		}
		return errors.Join(errs...)
	}}}
}
