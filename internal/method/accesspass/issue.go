package accesspass

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// What the house allows, whatever a tenant's policy says (POL04).
const (
	minLifetime     = 10 * time.Minute
	maxLifetime     = 30 * 24 * time.Hour
	defaultLifetime = time.Hour
	defaultLength   = 12
)

// Options of a pass. The zero Options are the tenant's defaults.
type Options struct {
	Lifetime time.Duration
	Length   int
	// Once makes the pass good for one sign-in. The tenant's policy, as it
	// comes, forces it on.
	Once   bool
	Starts time.Time // zero: now
}

// Issue gives the person a new pass, in the place of any other, and returns
// its code, which is nowhere else and cannot be shown again. Options outside
// of the tenant's policy are idp.Invalid and name the field; a person whom the
// policy does not let use one is idp.Denied. That the person
// exists, and may get a pass from whoever asks, is the caller's affair.
func (m *Method) Issue(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, o Options) (code string, c method.Credential, err error) {
	rules, err := m.cfg.Rules(ctx, tenant)
	if err != nil {
		return "", c, fmt.Errorf("rules of access passes: %w", err)
	}
	if o, err = o.within(rules); err != nil {
		return "", c, err
	}
	no, err := m.cfg.May(ctx, tenant, user)
	if err != nil {
		return "", c, fmt.Errorf("whether %s may use a pass: %w", user, err)
	}
	if !no.Allowed() {
		return "", c, idp.Deniedf(no.Reason, "rule %s", no.Rule).Coded(no.Code).
			Say("A pass would not let this person in: the rule " + no.Rule + " keeps access passes from them.")
	}
	key, err := m.cfg.Key(ctx, tenant)
	if err != nil {
		return "", c, fmt.Errorf("key of access passes: %w", err)
	}
	now := m.cfg.Now()
	p := pass{Tenant: tenant, User: user, ID: idp.CredentialID(secret.NewUUID4()), Once: o.Once, Created: now, Starts: now}
	if o.Starts.After(now) {
		p.Starts = o.Starts
	}
	p.Expires = p.Starts.Add(o.Lifetime)
	code = secret.Typed(o.Length)
	p.Selector, p.Code = macs(key, tenant, user, code)
	if err := replace(ctx, tx, p); err != nil {
		return "", c, fmt.Errorf("issue access pass: %w", err)
	}
	return secret.Spell(code), p.credential(now, rules), nil
}

// within fills in the tenant's defaults and checks its limits.
func (o Options) within(rules policy.AccessPassRules) (Options, error) {
	shortest := max(minLifetime, rules.Min)
	longest := maxLifetime
	if rules.Max > 0 {
		longest = min(longest, rules.Max)
	}
	o.Lifetime = cmp.Or(o.Lifetime, rules.Default, defaultLifetime)
	o.Length = cmp.Or(o.Length, rules.Length, defaultLength)
	o.Once = o.Once || rules.Once
	if o.Lifetime < shortest || o.Lifetime > longest {
		return o, idp.Invalidf("pass_lifetime", "lifetime %s, allowed are %s to %s", o.Lifetime, shortest, longest).
			On("lifetimeInMinutes").
			Say(fmt.Sprintf("A pass lasts from %d to %d minutes here.", int(shortest.Minutes()), int(longest.Minutes())))
	}
	if o.Length < minLength || o.Length > maxLength {
		return o, idp.Invalidf("pass_length", "length %d, allowed are %d to %d", o.Length, minLength, maxLength).
			On("length").
			Say(fmt.Sprintf("A pass has from %d to %d characters.", minLength, maxLength))
	}
	return o, nil
}
