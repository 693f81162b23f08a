package device

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/cases"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const columns = `select tenant_id, id, name, os, os_version, join_type, owner, assurance, software, enabled, pending, key, transport,
	thumbprint, created, seen, certified, voided, joined_by from device `

// Load is Get, read from q: for a transaction that must know. There the row
// stays as it was read until the transaction commits.
func (r *Registry) Load(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.DeviceID) (Device, error) {
	lock := ""
	if tx, ok := q.(*sqldb.Tx); ok {
		lock = tx.ForShare()
	}
	d, err := scan(q.QueryRow(ctx, columns+`where tenant_id = $1 and id = $2`+lock, t, id))
	if errors.Is(err, idp.NotFound) {
		return Device{}, nothing(id)
	}
	if err != nil {
		return Device{}, fmt.Errorf("load device %s: %w", id, err)
	}
	return d, nil
}

// On says, in a transaction that must know, whether a device is enabled; it stays
// so until the commit. NotFound when there is no such device.
func (r *Registry) On(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID) (enabled bool, err error) {
	err = tx.QueryRow(ctx, `select enabled from device where tenant_id = $1 and id = $2`+tx.ForShare(), t, id).Scan(&enabled)
	if errors.Is(err, idp.NotFound) {
		return false, nothing(id)
	}
	if err != nil {
		return false, fmt.Errorf("look whether device %s is on: %w", id, err)
	}
	return enabled, nil
}

// locate says whose a device key is, by its digest. It is a locator (decisions
// 3.6): it gives a tenant and an id, and nothing else.
func locate(ctx context.Context, q sqldb.Querier, digest []byte) (ref, error) {
	var at ref
	err := q.QueryRow(ctx, `select tenant_id, device_id from device_key where digest = $1 and role = $2`, digest, roleDevice).Scan(&at.tenant, &at.id)
	if errors.Is(err, idp.NotFound) {
		return ref{}, err
	}
	if err != nil {
		return ref{}, fmt.Errorf("locate device key: %w", err)
	}
	return at, nil
}

// hold counts one more device of a person, unless that is too many.
func hold(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID, quota int) error {
	if quota < 1 {
		return tooMany(u, quota)
	}
	n, err := tx.Exec(ctx, `
		insert into device_held (tenant_id, owner, held) values ($1, $2, 1)
		on conflict (tenant_id, owner) do update set held = device_held.held + 1 where device_held.held < $3`, t, u, quota)
	if err != nil {
		return fmt.Errorf("count devices of %s: %w", u, err)
	}
	if n == 0 {
		return tooMany(u, quota)
	}
	return nil
}

func tooMany(u idp.UserID, quota int) error {
	return idp.Deniedf("device_quota", "%s may have %d devices", u, quota).Coded(codeQuota).
		Say("You have as many devices as you may have. Remove one that you do not use any more.")
}

// codeQuota is the AADSTS number of a person who has too many devices.
const codeQuota = 801002 // [K] the number of every refused join

func unhold(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) error {
	_, err := tx.Exec(ctx, `update device_held set held = held - 1 where tenant_id = $1 and owner = $2 and held > 0`, t, u)
	if err != nil {
		return fmt.Errorf("count devices of %s: %w", u, err)
	}
	return nil
}

// encoded are the two keys of a device as they are stored; none is empty.
func encoded(key, transport crypto.PublicKey) (k, t []byte, err error) {
	if k, err = x509.MarshalPKIXPublicKey(key); err != nil {
		return nil, nil, fmt.Errorf("encode device key: %w", err)
	}
	if transport == nil {
		return k, []byte{}, nil
	}
	if t, err = x509.MarshalPKIXPublicKey(transport); err != nil {
		return nil, nil, fmt.Errorf("encode transport key: %w", err)
	}
	return k, t, nil
}

func setKeys(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.DeviceID, key, transport crypto.PublicKey, a Assurance) error {
	k, tr, err := encoded(key, transport)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `update device set key = $3, transport = $4, assurance = $5 where tenant_id = $1 and id = $2`, t, id, k, tr, a)
	if err != nil {
		return fmt.Errorf("rekey device %s: %w", id, err)
	}
	if n == 0 {
		return nothing(id)
	}
	return nil
}

func insert(ctx context.Context, tx *sqldb.Tx, d Device) error {
	key, transport, err := encoded(d.Key, d.Transport)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into device (tenant_id, id, name, name_folded, os, os_version, join_type, owner, assurance, software, enabled, pending,
			key, transport, thumbprint, created, seen, certified, voided, joined_by)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
		d.Tenant, d.ID, d.Name, fold(d.Name), d.OS, d.OSVersion, d.Join, d.Owner, d.Assurance, d.Software, d.Enabled, milli(d.Pending),
		key, transport, d.Thumbprint, d.Created.UnixMilli(), milli(d.LastSeen), d.Certified.UnixMilli(), milli(d.Voided), d.By)
	if err != nil {
		return fmt.Errorf("add device %s: %w", d.ID, err)
	}
	return nil
}

// ownedIDs lists the devices of a person, all of them.
func ownedIDs(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, u idp.UserID) ([]idp.DeviceID, error) {
	rows, err := tx.Query(ctx, `select id from device where tenant_id = $1 and owner = $2 order by id`, t, u)
	if err != nil {
		return nil, fmt.Errorf("devices of %s: %w", u, err)
	}
	defer rows.Close()
	var ids []idp.DeviceID
	for rows.Next() {
		var id idp.DeviceID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("devices of %s: %w", u, err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func readAuthority(ctx context.Context, q sqldb.Querier, t idp.TenantID) (certificate, sealed []byte, err error) {
	err = q.QueryRow(ctx, `select certificate, sealed from device_authority where tenant_id = $1`, t).Scan(&certificate, &sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("read the device authority of %s: %w", t, err)
	}
	return certificate, sealed, nil
}

func insertAuthority(ctx context.Context, db *sqldb.DB, t idp.TenantID, certificate, sealed []byte, now time.Time) error {
	_, err := db.Exec(ctx, `
		insert into device_authority (tenant_id, certificate, sealed, created) values ($1, $2, $3, $4)
		on conflict (tenant_id) do nothing`, t, certificate, sealed, now.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep the device authority of %s: %w", t, err)
	}
	return nil
}

type scanner interface{ Scan(dest ...any) error }

func scan(r scanner) (Device, error) {
	var d Device
	var key, transport []byte
	var pending, created, seen, certified, voided int64
	err := r.Scan(&d.Tenant, &d.ID, &d.Name, &d.OS, &d.OSVersion, &d.Join, &d.Owner, &d.Assurance, &d.Software, &d.Enabled, &pending,
		&key, &transport, &d.Thumbprint, &created, &seen, &certified, &voided, &d.By)
	if err != nil {
		return Device{}, err
	}
	if d.Key, err = public(key); err != nil {
		return Device{}, fmt.Errorf("key of device %s: %w", d.ID, err)
	}
	if len(transport) > 0 {
		if d.Transport, err = public(transport); err != nil {
			return Device{}, fmt.Errorf("transport key of device %s: %w", d.ID, err)
		}
	}
	d.Pending, d.Created, d.LastSeen, d.Certified, d.Voided = at(pending), at(created), at(seen), at(certified), at(voided)
	return d, nil
}

func public(der []byte) (crypto.PublicKey, error) { return x509.ParsePKIXPublicKey(der) }

// at and milli keep times as Unix milliseconds, and the zero time as 0.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// fold makes of a name what names are compared by.
func fold(name string) string { return cases.Fold().String(strings.TrimSpace(name)) }
