package accesspass

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// List gives the person's pass, if there is one. A pass that would not work
// now is Disabled.
func (m *Method) List(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]method.Credential, error) {
	rules, err := m.cfg.Rules(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("rules of access passes: %w", err)
	}
	p, err := find(ctx, m.cfg.DB, tenant, user)
	if errors.Is(err, idp.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list access passes: %w", err)
	}
	return []method.Credential{p.credential(m.cfg.Now(), rules)}, nil
}

// Rename is refused: a pass has no name.
func (m *Method) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return idp.Invalidf("pass_no_name", "an access pass has no name").On("displayName")
}

// Remove takes the pass back.
func (m *Method) Remove(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) error {
	return remove(ctx, tx, tenant, user, id)
}

// Withdraw takes back the pass that the person has, and says which it was;
// empty: none.
func (m *Method) Withdraw(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) (idp.CredentialID, error) {
	p, err := find(ctx, tx, tenant, user)
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find access pass: %w", err)
	}
	return p.ID, remove(ctx, tx, tenant, user, p.ID)
}

// RemoveUser deletes what the room holds of a person who is deleted.
func (m *Method) RemoveUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	return removeUser(ctx, tx, tenant, user)
}

// Count is always none: a pass is no way in that may be the last one.
func (m *Method) Count(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) (int, error) {
	return 0, nil
}

// Walk calls fn for every pass of the tenant.
func (m *Method) Walk(ctx context.Context, tenant idp.TenantID, fn func(method.Credential) error) error {
	rules, err := m.cfg.Rules(ctx, tenant)
	if err != nil {
		return fmt.Errorf("rules of access passes: %w", err)
	}
	now := m.cfg.Now()
	return walk(ctx, m.cfg.DB, tenant, func(p pass) error { return fn(p.credential(now, rules)) })
}

func (p pass) mode() idp.Mode {
	if p.Once {
		return idp.ModeAccessPassOnce
	}
	return idp.ModeAccessPassMany
}

func (p pass) credential(now time.Time, rules policy.AccessPassRules) method.Credential {
	over := p.Tries >= maxTries || p.Once && !p.LastUsed.IsZero() || !now.Before(p.Expires) || rules.Once && !p.Once
	return method.Credential{
		ID: p.ID, Tenant: p.Tenant, User: p.User, Method: ID, Mode: p.mode(),
		Properties: []idp.Property{idp.Possession},
		Created:    p.Created, LastUsed: p.LastUsed, Expires: p.Expires,
		Disabled: over, Bootstrap: true,
	}
}
