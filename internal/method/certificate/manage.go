package certificate

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

// maxName is how long a name may be, in bytes.
const maxName = 64

func cleanName(s string) string { return method.CleanName(s, maxName) }

// credential is a certificate as lists have it, by the rules as they are: what
// it counted for when it was last used does not matter.
func (k row) credential(r *policy.CertificateRules, stands func([]string) bool, now time.Time) method.Credential {
	f := k.facts
	f.Name = k.name
	mode := r.Worth(policy.Presents(&f)).Mode
	c := method.Credential{
		ID: k.id, Tenant: k.tenant, User: k.user, Method: ID, Name: k.name, Model: k.issuer, Mode: mode, Facts: f,
		Properties: properties(mode), Created: k.created, LastUsed: k.lastUsed, Expires: k.notAfter,
	}
	c.Disabled = !k.alive(stands, now)
	return c
}

// alive says whether a certificate may still be a way in: it is not over, and
// those that stand above it are trusted. Whether it was revoked a list of
// credentials does not ask.
func (k row) alive(stands func([]string) bool, now time.Time) bool {
	return now.Before(k.notAfter) && k.facts.Certificate != nil && stands(k.facts.Certificate.Issuers)
}

// maker gives what makes credentials of rows.
func (m *Room) maker(ctx context.Context, q sqldb.Querier, t idp.TenantID) (func(row) method.Credential, error) {
	rules, err := m.cfg.Rules(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	stands, err := m.cfg.Stands(ctx, q, t)
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	now := m.cfg.Now()
	return func(k row) method.Credential { return k.credential(&rules, stands, now) }, nil
}

// List gives the certificates with which a person has signed in, the oldest
// first. Others may be theirs as well: only a sign-in shows.
func (m *Room) List(ctx context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	rows, err := listOf(ctx, m.db, t, u)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	show, err := m.maker(ctx, m.db, t)
	if err != nil {
		return nil, err
	}
	var out []method.Credential
	for _, k := range rows {
		out = append(out, show(k))
	}
	return out, nil
}

// Seen is what pages show of a certificate beyond its Credential.
type Seen struct {
	ID                                  idp.CredentialID
	Subject, Issuer, Serial, Thumbprint string
	NotAfter                            time.Time
}

// Seen gives what List has no place for, in the same order.
func (m *Room) Seen(ctx context.Context, t idp.TenantID, u idp.UserID) ([]Seen, error) {
	rows, err := listOf(ctx, m.db, t, u)
	var out []Seen
	for _, k := range rows {
		out = append(out, Seen{ID: k.id, Subject: k.subject, Issuer: k.facts.Certificate.IssuerName, Serial: k.serial, Thumbprint: k.thumbprint, NotAfter: k.notAfter})
	}
	return out, err
}

// Rename gives a certificate another name, cleaned and cut to 64 bytes. Invalid
// when nothing is left of it, NotFound when the person has no such one.
func (m *Room) Rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) error {
	clean := cleanName(name)
	if clean == "" {
		return idp.Invalidf("name_empty", "name %q", name).On("name")
	}
	ok, err := rename(ctx, tx, t, u, id, clean)
	return missing(ok, err, id)
}

// Remove bars a certificate for a person: it signs them in no more, for as long
// as it would be good. Another one, even of the same key, is another one. NotFound
// when they have not been seen with it.
func (m *Room) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	ok, err := bar(ctx, tx, t, u, id, m.cfg.Now())
	return missing(ok, err, id)
}

func missing(ok bool, err error, id idp.CredentialID) error {
	if err == nil && !ok {
		return idp.NotFoundf("certificate_missing", "certificate %.40s", id).Say("This person has not signed in with such a certificate.")
	}
	return err
}

// Restore lifts a bar. NotFound when there is none.
func (m *Room) Restore(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) (method.Credential, error) {
	show, err := m.maker(ctx, tx, t)
	if err != nil {
		return method.Credential{}, err
	}
	k, err := lift(ctx, tx, t, u, id)
	if errors.Is(err, idp.NotFound) {
		return method.Credential{}, idp.NotFoundf("certificate_missing", "barred certificate %.40s", id).Say("No such certificate was taken away from this person.")
	}
	if err != nil {
		return method.Credential{}, err
	}
	return show(k), nil
}

// Removed calls fn for every bar of the tenant. Unlike what other methods keep
// for thirty days, a bar stands, and can be lifted, until its certificate is
// over: else it would be good again, or lost for ever.
func (m *Room) Removed(ctx context.Context, t idp.TenantID, fn func(method.Credential, time.Time) error) error {
	return m.walk(ctx, t, true, func(k row, c method.Credential) error { return fn(c, k.removed) })
}

// RemoveUser deletes what the room holds of a person who is deleted.
func (m *Room) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	return removeUser(ctx, tx, t, u)
}

// Count says how many certificates of the person could open a session now.
func (m *Room) Count(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	rows, err := listOf(ctx, tx, t, u)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	stands, err := m.cfg.Stands(ctx, tx, t)
	if err != nil {
		return 0, fmt.Errorf("authorities: %w", err)
	}
	n, now := 0, m.cfg.Now()
	for _, k := range rows {
		if k.alive(stands, now) {
			n++
		}
	}
	return n, nil
}

// walkPage is how many rows Walk holds at a time.
const walkPage = 500

// Walk calls fn for every certificate of the tenant that was seen and not
// barred, those of one person together. No transaction is held, so that what
// changes meanwhile may or may not be seen.
func (m *Room) Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	return m.walk(ctx, t, false, func(_ row, c method.Credential) error { return fn(c) })
}

func (m *Room) walk(ctx context.Context, t idp.TenantID, barred bool, fn func(row, method.Credential) error) error {
	show, err := m.maker(ctx, m.db, t)
	if err != nil {
		return err
	}
	for after := (row{}); ; {
		rows, err := page(ctx, m.db, t, after, barred, walkPage)
		if err != nil {
			return err
		}
		for _, k := range rows {
			if err := fn(k, show(k)); err != nil {
				return err
			}
			after = k
		}
		if len(rows) < walkPage {
			return nil
		}
	}
}
