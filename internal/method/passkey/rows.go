package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/sqldb"
)

// row is what a sign-in needs of a passkey.
type row struct {
	id       idp.CredentialID
	user     idp.UserID
	handle   []byte
	key      []byte // COSE
	alg      int
	count    uint32
	aaguid   string
	attested bool
	be       bool
	disabled bool
	name     string
	print    []byte           // see printOf
	bound    bool             // to the Platform Credential that has the same key
	platform idp.CredentialID // which is this one; see backed
}

// find reads one passkey of the tenant: NotFound when there is none.
func find(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, id idp.CredentialID) (row, error) {
	r := row{id: id}
	err := q.QueryRow(ctx, `
		select user_id, handle, public_key, alg, sign_count, aaguid, attested, backup_eligible, disabled, name, platform_print, platform_bound
		from passkey
		where tenant_id = $1 and id = $2`, tenant, id).
		Scan(&r.user, &r.handle, &r.key, &r.alg, &r.count, &r.aaguid, &r.attested, &r.be, &r.disabled, &r.name, &r.print, &r.bound)
	return r, err
}

// locate says in which tenant a credential id lives. Ids are unique over all
// tenants, since they share the RP ID. A locator: it returns nothing else.
func locate(ctx context.Context, q sqldb.Querier, id idp.CredentialID) (idp.TenantID, error) {
	var tenant idp.TenantID
	err := q.QueryRow(ctx, `select tenant_id from passkey where id = $1`, id).Scan(&tenant)
	return tenant, err
}

// touch writes a sign-in back if the key is still there and its counter has
// grown, or never counts.
func touch(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, id idp.CredentialID, user idp.UserID, v verdict, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update passkey
		set sign_count = $4, last_used = $5, backup_eligible = $6, backed_up = $7
		where tenant_id = $1 and id = $2 and user_id = $3 and disabled = false
		  and (sign_count < $4 or (sign_count = 0 and $4 = 0))`,
		tenant, id, user, int64(v.count), now.UnixMilli(), v.be, v.bs)
	return n == 1, err
}

// touchRolledBack writes back a sign-in that is let in although its counter
// went back. The counter follows, so that each step back is one event.
func touchRolledBack(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, id idp.CredentialID, user idp.UserID, v verdict, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `
		update passkey
		set sign_count = $4, last_used = $5, clone_seen = $5, backup_eligible = $6, backed_up = $7
		where tenant_id = $1 and id = $2 and user_id = $3 and disabled = false`,
		tenant, id, user, int64(v.count), now.UnixMilli(), v.be, v.bs)
	return n == 1, err
}

func flagClone(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, id idp.CredentialID, now time.Time) error {
	_, err := tx.Exec(ctx, `update passkey set clone_seen = $3 where tenant_id = $1 and id = $2`,
		tenant, id, now.UnixMilli())
	return err
}

// fresh is a verified new passkey.
type fresh struct {
	row
	tenant      idp.TenantID
	bs          bool
	rk          string // what credProps said: "yes", or "" when it said nothing
	attestation string // format
	trust       metadata.Trust
	statement   string // not stored: see idp.Facts.Statement
	object      []byte
	clientData  []byte
	transports  []string
	created     time.Time
	limit       int
	decoy       bool // its id is one that we made up
}

// insert stores a new passkey. Its first statement takes one of the user's
// places: of many callers at the last place one gets it, in either database,
// because the update holds that user's row. Denied "passkey_limit" when there
// is no place, Conflict when the handle changed meanwhile or the id is taken;
// then nothing is written.
func insert(ctx context.Context, tx *sqldb.Tx, f fresh) error {
	transports, err := json.Marshal(f.transports)
	if err != nil {
		return err
	}
	return tx.Nested(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `
			insert into passkey_handle (tenant_id, user_id, handle, held)
			values ($1, $2, $3, 1)
			on conflict (tenant_id, user_id) do update
			set held = passkey_handle.held + 1
			where passkey_handle.held < $4 and passkey_handle.handle = excluded.handle`,
			f.tenant, f.user, f.handle, f.limit)
		if err != nil {
			return err
		}
		if n == 0 {
			return noPlace(ctx, tx, f)
		}
		n, err = tx.Exec(ctx, `
			insert into passkey (id, tenant_id, user_id, handle, public_key, alg, sign_count, aaguid,
				attested, backup_eligible, backed_up, disabled, name, created, last_used, clone_seen,
				discoverable, transports, attestation, attestation_object, client_data, trust, trust_number,
				platform_print, platform_bound)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, false, $12, $13, 0, 0, $14, $15, $16, $17, $18, $19, $20, $21, $22)
			on conflict (id) do nothing`,
			f.id, f.tenant, f.user, f.handle, f.key, f.alg, int64(f.count), f.aaguid,
			f.attested, f.be, f.bs, f.name, f.created.UnixMilli(),
			f.rk, string(transports), f.attestation, f.object, f.clientData, f.trust.Reason, f.trust.Number,
			append([]byte{}, f.print...), f.bound)
		if err == nil && (n == 0 || f.decoy) {
			// §7.1 step 26: an id belongs to one user of one tenant. A decoy
			// is taken, too, or registering it would tell what it is.
			err = idp.Conflictf("credential_exists", "passkey %.40s exists", f.id).Say(saidTaken)
		}
		return err
	})
}

func noPlace(ctx context.Context, tx *sqldb.Tx, f fresh) error {
	h, err := handleOf(ctx, tx, f.tenant, f.user)
	if err != nil {
		return err
	}
	if string(h) != string(f.handle) {
		return idp.Conflictf("handle_changed", "another first passkey of %s was faster", f.user)
	}
	return atLimit(f.user, f.limit)
}

func atLimit(user idp.UserID, limit int) error {
	return idp.Deniedf("passkey_limit", "%s holds %d passkeys", user, limit).Say(saidLimit)
}

// handleOf is the user handle of a person (WebAuthn Level 3, §5.4.3): 64 random
// bytes that say nothing of them; nil before the first passkey.
func handleOf(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID) ([]byte, error) {
	var h []byte
	err := q.QueryRow(ctx, `select handle from passkey_handle where tenant_id = $1 and user_id = $2`, tenant, user).Scan(&h)
	if errors.Is(err, idp.NotFound) {
		return nil, nil
	}
	return h, err
}

// listing is a passkey as lists have it.
type listing struct {
	row
	tenant     idp.TenantID
	transports []string
	created    time.Time
	lastUsed   time.Time
}

const listColumns = `id, tenant_id, user_id, alg, aaguid, attested, backup_eligible, disabled, name, transports, created, last_used, platform_print, platform_bound`

func listOf(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID) ([]listing, error) {
	rows, err := q.Query(ctx, `
		select `+listColumns+`
		from passkey
		where tenant_id = $1 and user_id = $2
		order by created, id`, tenant, user)
	if err != nil {
		return nil, err
	}
	return scanListings(rows)
}

// pageOf is the next limit passkeys of the tenant after those of user and id.
func pageOf(ctx context.Context, q sqldb.Querier, tenant idp.TenantID, user idp.UserID, id idp.CredentialID, limit int) ([]listing, error) {
	rows, err := q.Query(ctx, `
		select `+listColumns+`
		from passkey
		where tenant_id = $1 and (user_id > $2 or (user_id = $2 and id > $3))
		order by user_id, id
		limit $4`, tenant, user, id, limit)
	if err != nil {
		return nil, err
	}
	return scanListings(rows)
}

func scanListings(rows *sqldb.Rows) ([]listing, error) {
	defer rows.Close()
	var out []listing
	for rows.Next() {
		var l listing
		var transports string
		var created, used int64
		err := rows.Scan(&l.id, &l.tenant, &l.user, &l.alg, &l.aaguid, &l.attested, &l.be, &l.disabled,
			&l.name, &transports, &created, &used, &l.print, &l.bound)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(transports), &l.transports); err != nil {
			return nil, err
		}
		l.created = time.UnixMilli(created).UTC()
		if used != 0 {
			l.lastUsed = time.UnixMilli(used).UTC()
		}
		out = append(out, l)
	}
	return out, rows.Err()
}

func rename(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID, name string) (bool, error) {
	n, err := tx.Exec(ctx, `update passkey set name = $4 where tenant_id = $1 and user_id = $2 and id = $3`,
		tenant, user, id, name)
	return n == 1, err
}

func remove(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id idp.CredentialID) (bool, error) {
	n, err := tx.Exec(ctx, `delete from passkey where tenant_id = $1 and user_id = $2 and id = $3`, tenant, user, id)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.Exec(ctx, `update passkey_handle set held = held - 1 where tenant_id = $1 and user_id = $2`, tenant, user)
	return err == nil, err
}

func removeAll(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	if _, err := tx.Exec(ctx, `delete from passkey where tenant_id = $1 and user_id = $2`, tenant, user); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `delete from passkey_handle where tenant_id = $1 and user_id = $2`, tenant, user)
	return err
}
