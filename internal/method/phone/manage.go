package phone

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/sqldb"
)

// maxName is how long a name may be, in bytes.
const maxName = 64

func cleanName(s string) string { return method.CleanName(s, maxName) }

func (p phoneRow) active() bool { return p.state == phonewire.Active }

// facts states what is known of a phone whose passkey has these. Of the passkey
// only that it may be elsewhere, too, says something of the phone.
func (p phoneRow) facts(passkey idp.Facts) idp.Facts {
	return idp.Facts{Synced: passkey.Synced, Name: p.name}
}

// credential is a phone as lists have it; one without its passkey is disabled.
func (p phoneRow) credential(passkey idp.Facts, held bool) method.Credential {
	return method.Credential{
		ID: p.id, Tenant: p.tenant, User: p.user, Method: ID, Name: p.name, Model: p.app, Mode: idp.ModePhone,
		Facts: p.facts(passkey), Properties: properties(), Created: p.created, LastUsed: p.lastUsed, Disabled: !held, Needs: p.passkey,
	}
}

// credentials makes credentials of active phones, as they are in r.
func (m *Room) credentials(ctx context.Context, r sqldb.Querier, rows []phoneRow) ([]method.Credential, error) {
	out := make([]method.Credential, len(rows))
	for i, p := range rows {
		facts, held, err := m.cfg.Passkeys.Held(ctx, r, p.tenant, p.user, p.passkey)
		if err != nil {
			return nil, fmt.Errorf("passkey of phone %s: %w", p.id, err)
		}
		out[i] = p.credential(facts, held)
	}
	return out, nil
}

// List gives the phones of a person, oldest first; those that wait for their
// person to compare the words are none yet.
func (m *Room) List(ctx context.Context, t idp.TenantID, u idp.UserID) ([]method.Credential, error) {
	rows, err := phonesOf(ctx, m.db, t, u)
	if err != nil {
		return nil, err
	}
	return m.credentials(ctx, m.db, rows)
}

// Phone is what pages show of a phone beyond its Credential.
type Phone struct {
	ID       idp.CredentialID
	Platform string    // its own word
	App      string    // name and version
	Push     string    // kind of the road that messages take; empty: none, the app asks
	Seen     time.Time // when it last asked
	Address  string    // from where
	Passkey  idp.CredentialID
	Gone     bool // its passkey is: it cannot approve
}

// Phones gives what List has no place for, in the same order.
func (m *Room) Phones(ctx context.Context, t idp.TenantID, u idp.UserID) ([]Phone, error) {
	rows, err := phonesOf(ctx, m.db, t, u)
	if err != nil {
		return nil, err
	}
	all, err := m.credentials(ctx, m.db, rows)
	if err != nil {
		return nil, err
	}
	out := make([]Phone, len(rows))
	for i, p := range rows {
		out[i] = Phone{
			ID: p.id, Platform: p.platform, App: p.app, Push: p.pushKind, Seen: p.seen, Address: p.address,
			Passkey: p.passkey, Gone: all[i].Disabled,
		}
	}
	return out, nil
}

// Rename gives a phone another name, cleaned and cut to 64 bytes. Invalid when
// nothing is left of it, NotFound when the person has no such phone.
func (m *Room) Rename(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID, name string) error {
	clean := cleanName(name)
	if clean == "" {
		return idp.Invalidf("name_empty", "name %q", name).On("name")
	}
	ok, err := renamePhone(ctx, tx, t, u, id, clean)
	return missing(ok, err, id)
}

// Remove takes a phone away: what it has approved and nobody has used opens
// nothing, and with the last one goes what waits for an answer. Its passkey
// stays, which is the passkey room's. NotFound when the person has none such.
func (m *Room) Remove(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	if err := lockHolder(ctx, tx, t, u); err != nil {
		return err
	}
	ok, err := dropPhone(ctx, tx, t, u, id)
	if err := missing(ok, err, id); err != nil {
		return err
	}
	if err := giveHolder(ctx, tx, t, u); err != nil {
		return err
	}
	rest, err := phonesOf(ctx, tx, t, u)
	if err != nil || len(rest) > 0 {
		return err
	}
	return cancelOf(ctx, tx, t, u, m.cfg.Now())
}

func missing(ok bool, err error, id idp.CredentialID) error {
	if err == nil && !ok {
		return idp.NotFoundf("phone_missing", "phone %.40s", id).Say("There is no such phone of this person.")
	}
	return err
}

// Count says how many phones of the person could approve a sign-in now: those
// whose passkey is there, as it is in tx.
func (m *Room) Count(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	rows, err := phonesOf(ctx, tx, t, u)
	if err != nil {
		return 0, err
	}
	list, err := m.credentials(ctx, tx, rows)
	n := 0
	for _, c := range list {
		if !c.Disabled {
			n++
		}
	}
	return n, err
}

// walkPage is how many rows Walk holds at a time.
const walkPage = 500

// Walk calls fn for every phone of the tenant, those of one person together. No transaction is held, so that
// what changes meanwhile may or may not be seen.
func (m *Room) Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	for after := (phoneRow{}); ; {
		rows, err := phonePage(ctx, m.db, t, after, walkPage)
		if err != nil {
			return err
		}
		list, err := m.credentials(ctx, m.db, rows)
		if err != nil {
			return err
		}
		for i, c := range list {
			if err := fn(c); err != nil {
				return err
			}
			after = rows[i]
		}
		if len(rows) < walkPage {
			return nil
		}
	}
}

// RemoveUser takes away all that the room holds of a person.
func (m *Room) RemoveUser(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	for _, q := range []string{
		`delete from phone where tenant_id = $1 and user_id = $2`,
		`delete from phone_holder where tenant_id = $1 and user_id = $2`,
		`delete from phone_enrolment where tenant_id = $1 and user_id = $2`,
		`delete from phone_request where tenant_id = $1 and subject = $2`,
		`delete from phone_asked where tenant_id = $1 and subject = $2`,
		`delete from phone_block where tenant_id = $1 and user_id = $2`,
	} {
		if _, err := tx.Exec(ctx, q, t, u); err != nil {
			return fmt.Errorf("remove the phones of %s: %w", u, err)
		}
	}
	return nil
}

// atLimit is the refusal of one phone too many.
func atLimit(u idp.UserID, limit int) error {
	return idp.Deniedf("phone_limit", "%s holds %d phones", u, limit).
		Say(fmt.Sprintf("This person has %d phones, which is as many as the organisation allows. Remove one that is not used any more.", limit))
}
