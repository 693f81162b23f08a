package passkey

import (
	"context"
	"errors"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
)

func (m *Room) credential(l listing) method.Credential {
	return method.Credential{
		ID: l.id, Tenant: l.tenant, User: l.user, Method: ID, Name: l.name, Model: m.cfg.Models.Name(l.aaguid),
		Mode:       idp.ModeFIDO2,
		Facts:      m.facts(l.row, l.be),
		Properties: properties(l.attested, l.be),
		Created:    l.created, LastUsed: l.lastUsed, Disabled: l.disabled, Needs: l.needs(),
	}
}

// facts states what is known of a passkey now. synced is said apart: a sign-in
// may show more than the row.
func (m *Room) facts(r row, synced bool) idp.Facts {
	return idp.Facts{AAGUID: r.aaguid, Attested: r.attested, Synced: synced, Name: r.name, PlatformKey: r.platform != "", Status: m.cfg.Models.Verdict(r.aaguid)}
}

// List gives the passkeys of a user, oldest first.
func (m *Room) List(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]method.Credential, error) {
	rows, err := listOf(ctx, m.db, tenant, user)
	if rows, err = m.allBacked(ctx, nil, rows, err); err != nil {
		return nil, err
	}
	out := make([]method.Credential, len(rows))
	for i, r := range rows {
		out[i] = m.credential(r)
	}
	return out, nil
}

// Rename gives a passkey another name, cleaned and cut to 64 bytes. Invalid
// when nothing is left of it, NotFound when the user has no such passkey.
func (m *Room) Rename(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID, name string) error {
	clean := cleanName(name)
	if clean == "" {
		return idp.Invalidf("name_empty", "name %q", name).On("name")
	}
	ok, err := rename(ctx, tx, tenant, user, id, clean)
	return missing(ok, err, id)
}

// Remove takes a passkey away; the next answer of it is unknown. Whether it may
// be the last is the corridor's question. NotFound when the user has none such.
func (m *Room) Remove(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) error {
	ok, err := remove(ctx, tx, tenant, user, id)
	return missing(ok, err, id)
}

func missing(ok bool, err error, id idp.CredentialID) error {
	if err == nil && !ok {
		return idp.NotFoundf("passkey_missing", "passkey %.40s", id)
	}
	return err
}

// RemoveUser takes away all that the room holds of a person.
func (m *Room) RemoveUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	return removeAll(ctx, tx, tenant, user)
}

// Count says how many passkeys of the user could open a session now, as far
// as this room knows: those that are disabled could not, nor those whose Platform
// Credential could not.
func (m *Room) Count(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) (int, error) {
	rows, err := listOf(ctx, tx, tenant, user)
	if rows, err = m.allBacked(ctx, tx, rows, err); err != nil {
		return 0, err
	}
	n := 0
	for _, r := range rows {
		if !r.disabled {
			n++
		}
	}
	return n, nil
}

// walkPage is how many rows Walk holds at a time.
const walkPage = 500

// Walk calls fn for every passkey of the tenant. No transaction is held, so
// that what changes meanwhile may or may not be seen.
func (m *Room) Walk(ctx context.Context, tenant idp.TenantID, fn func(method.Credential) error) error {
	var user idp.UserID
	var id idp.CredentialID
	for {
		rows, err := pageOf(ctx, m.db, tenant, user, id, walkPage)
		if rows, err = m.allBacked(ctx, nil, rows, err); err != nil {
			return err
		}
		for _, r := range rows {
			if err := fn(m.credential(r)); err != nil {
				return err
			}
			user, id = r.user, r.id
		}
		if len(rows) < walkPage {
			return nil
		}
	}
}

// Holding says how many passkeys somebody has of how many.
type Holding struct {
	Held   int  `json:"held"`
	Limit  int  `json:"limit"`
	WarnAt int  `json:"warnAt"`
	Warn   bool `json:"warn"` // one more would make WarnAt or beyond
}

func (r rules) holding(held int) Holding {
	return Holding{Held: held, Limit: r.limit, WarnAt: r.warnAt, Warn: r.warnAt > 0 && held+1 >= r.warnAt}
}

// Holding tells a page how near to the limit a person is.
func (m *Room) Holding(ctx context.Context, tenant idp.TenantID, user idp.UserID) (Holding, error) {
	rules, err := m.rules(ctx, tenant)
	if err != nil {
		return Holding{}, err
	}
	rows, err := listOf(ctx, m.db, tenant, user)
	return rules.holding(len(rows)), err
}

// Signal is what a browser is told so that its list of passkeys agrees with
// ours (WebAuthn Level 3, §5.1.10). Its members are those of
// signalAllAcceptedCredentials and signalCurrentUserDetails together. Every
// passkey on record is accepted, also one that a rule refuses at present: a
// browser deletes for good what is not listed.
type Signal struct {
	RPID                     string             `json:"rpId"`
	UserID                   b64                `json:"userId"`
	Name                     string             `json:"name"`
	DisplayName              string             `json:"displayName"`
	AllAcceptedCredentialIDs []idp.CredentialID `json:"allAcceptedCredentialIds"`
}

// Signal gives the signal data of a user, after a registration, a removal, a
// change of name, or a sign-in. NotFound for a person who never had a passkey.
func (m *Room) Signal(ctx context.Context, tenant idp.TenantID, user idp.UserID) (Signal, error) {
	handle, err := handleOf(ctx, m.db, tenant, user)
	if err != nil {
		return Signal{}, err
	}
	if handle == nil {
		return Signal{}, idp.NotFoundf("passkey_missing", "%s never had a passkey", user)
	}
	u, err := m.cfg.User(ctx, tenant, user)
	if err != nil {
		return Signal{}, err
	}
	rows, err := listOf(ctx, m.db, tenant, user)
	if err != nil {
		return Signal{}, err
	}
	return *m.signal(u, handle, rows), nil
}

func (m *Room) signal(u idp.User, handle []byte, rows []listing) *Signal {
	s := &Signal{
		RPID: m.site.rpID, UserID: handle, Name: cleanName(u.Name), DisplayName: cleanName(u.DisplayName),
		AllAcceptedCredentialIDs: make([]idp.CredentialID, len(rows)),
	}
	for i, r := range rows {
		s.AllAcceptedCredentialIDs[i] = r.id
	}
	return s
}

// Unknown says that no user of this server has the credential, so that a page
// may call signalUnknownCredential, which deletes it for good. A database that
// does not answer, or an id that is none, is not unknown. Nor is a decoy: what
// a list offers is not told apart by asking about it (WAN10).
func (m *Room) Unknown(ctx context.Context, id idp.CredentialID) bool {
	raw, err := unbase64(string(id))
	if err != nil || len(raw) == 0 || len(raw) > maxCredentialID {
		return false
	}
	marks, err := m.cfg.Mark(ctx)
	if err != nil {
		return false
	}
	decoy := marked(marks, raw)
	_, err = locate(ctx, m.db, id) // of a decoy as well, for the same work
	return errors.Is(err, idp.NotFound) && !decoy
}
