package mac

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const columns = `select m.tenant_id, m.device_id, m.serial, m.udid, m.proven, m.source, m.token_id, m.created, m.registered,
	k.kid, k.role, k.state, k.point, k.attested, k.created, k.until from mac m
	join mac_key k on k.tenant_id = m.tenant_id and k.device_id = m.device_id `

// loadByKid reads the Mac that has a key, with all its keys, in one statement.
func loadByKid(ctx context.Context, q sqldb.Querier, p place) (Mac, error) {
	list, err := scan(q.Query(ctx, columns+`
		where m.tenant_id = $1 and m.device_id = (select device_id from mac_key where tenant_id = $1 and kid = $2)`, p.tenant, p.id[:]))
	if err != nil {
		return Mac{}, fmt.Errorf("find the Mac of a key: %w", err)
	}
	if len(list) == 0 {
		return Mac{}, unknownKey(p.id)
	}
	return list[0], nil
}

// load reads the Mac that a device is: in a transaction it stays as it was read.
func load(ctx context.Context, q sqldb.Querier, t idp.TenantID, d idp.DeviceID) (Mac, error) {
	lock := ""
	if tx, ok := q.(*sqldb.Tx); ok {
		lock = tx.ForShare()
	}
	list, err := scan(q.Query(ctx, columns+`where m.tenant_id = $1 and m.device_id = $2`+lock, t, d))
	if err != nil {
		return Mac{}, fmt.Errorf("load Mac %s: %w", d, err)
	}
	if len(list) == 0 {
		return Mac{}, nothing(d)
	}
	return list[0], nil
}

// mostListed bounds what one statement names.
const mostListed = 999

func loadAll(ctx context.Context, q sqldb.Querier, t idp.TenantID, devices []idp.DeviceID) ([]Mac, error) {
	if len(devices) == 0 {
		return nil, nil
	}
	if len(devices) > mostListed {
		return nil, fmt.Errorf("list Macs: %d devices at once", len(devices))
	}
	args, marks := []any{t}, make([]string, len(devices))
	for i, d := range devices {
		args = append(args, d)
		marks[i] = "$" + strconv.Itoa(i+2)
	}
	list, err := scan(q.Query(ctx, columns+`where m.tenant_id = $1 and m.device_id in (`+strings.Join(marks, ", ")+`)`, args...))
	if err != nil {
		return nil, fmt.Errorf("list Macs: %w", err)
	}
	return list, nil
}

func page(ctx context.Context, q sqldb.Querier, t idp.TenantID, after idp.DeviceID, limit int) ([]Mac, error) {
	list, err := scan(q.Query(ctx, columns+`
		where m.tenant_id = $1 and m.device_id in (
			select device_id from mac where tenant_id = $1 and device_id > $2 order by device_id limit $3)
		order by m.device_id`, t, after, int64(limit)))
	if err != nil {
		return nil, fmt.Errorf("list Macs: %w", err)
	}
	return list, nil
}

// mostAlike bounds the Macs of one serial number: any number may be claimed, so
// that those who have shown it come first.
const mostAlike = 100

func ofSerial(ctx context.Context, q sqldb.Querier, t idp.TenantID, serial string) ([]Mac, error) {
	if serial == "" {
		return nil, nil
	}
	list, err := scan(q.Query(ctx, columns+`
		where m.tenant_id = $1 and m.serial = $2 and m.device_id in (
			select device_id from mac where tenant_id = $1 and serial = $2 order by proven desc, registered desc, device_id limit $3)`, t, serial, mostAlike))
	if err != nil {
		return nil, fmt.Errorf("registrations of a serial number: %w", err)
	}
	slices.SortFunc(list, func(a, b Mac) int {
		return cmp.Or(b.Registered.Compare(a.Registered), cmp.Compare(a.Device, b.Device))
	})
	return list, nil
}

// scan puts the rows of keys together to Macs.
func scan(rows *sqldb.Rows, err error) ([]Mac, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []Mac
	at := make(map[idp.DeviceID]int)
	for rows.Next() {
		m, k, err := scanRow(rows)
		if err != nil {
			return nil, err
		}
		i, known := at[m.Device]
		if !known {
			i = len(out)
			at[m.Device] = i
			out = append(out, m)
		}
		out[i].Keys = append(out[i].Keys, k)
	}
	for i := range out {
		order(out[i].Keys)
	}
	return out, rows.Err()
}

// order is signing before encryption, and current before pending.
func order(keys []Key) {
	slices.SortFunc(keys, func(a, b Key) int {
		return cmp.Or(-cmp.Compare(a.Role, b.Role), cmp.Compare(a.State, b.State))
	})
}

func scanRow(r interface{ Scan(...any) error }) (Mac, Key, error) {
	var m Mac
	var k Key
	var kid, point []byte
	var created, registered, made, until int64
	err := r.Scan(&m.Tenant, &m.Device, &m.Serial, &m.UDID, &m.Proven, &m.Source, &m.Token, &created, &registered,
		&kid, &k.Role, &k.State, &point, &k.Attested, &made, &until)
	if err != nil {
		return m, k, err
	}
	if len(kid) != len(k.ID) {
		return m, k, fmt.Errorf("Mac %s has a key id of %d bytes", m.Device, len(kid))
	}
	copy(k.ID[:], kid)
	if k.Public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err != nil {
		return m, k, fmt.Errorf("key %s of Mac %s: %w", k.ID, m.Device, err)
	}
	k.waits = k.State == Pending
	m.Created, m.Registered, k.Created, k.Until = at(created), at(registered), at(made), at(until)
	return m, k, nil
}

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

func insertMac(ctx context.Context, tx *sqldb.Tx, m Mac) error {
	_, err := tx.Exec(ctx, `
		insert into mac (tenant_id, device_id, serial, udid, proven, source, token_id, created, registered)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		m.Tenant, m.Device, m.Serial, m.UDID, m.Proven, m.Source, m.Token, milli(m.Created), milli(m.Registered))
	if err != nil {
		return fmt.Errorf("add Mac %s: %w", m.Device, shownTwice(m, err))
	}
	return nil
}

func updateMac(ctx context.Context, tx *sqldb.Tx, m Mac) error {
	_, err := tx.Exec(ctx, `
		update mac set serial = $3, udid = $4, proven = $5, source = $6, token_id = $7, registered = $8
		where tenant_id = $1 and device_id = $2`,
		m.Tenant, m.Device, m.Serial, m.UDID, m.Proven, m.Source, m.Token, milli(m.Registered))
	if err != nil {
		return fmt.Errorf("replace Mac %s: %w", m.Device, shownTwice(m, err))
	}
	return nil
}

// shownTwice is what the index mac_hardware refuses.
func shownTwice(m Mac, err error) error {
	if !m.Proven || !errors.Is(err, idp.Conflict) {
		return err
	}
	return idp.Conflictf("mac_hardware", "hardware %s %s is registered: %w", m.Serial, m.UDID, err).
		Say("This Mac has just been registered. Try again.")
}

// shownBy says whether another Mac of the tenant has shown that it is that
// hardware.
func shownBy(ctx context.Context, q sqldb.Querier, m Mac) (bool, error) {
	var one int64
	err := q.QueryRow(ctx, `
		select 1 from mac where tenant_id = $1 and serial = $2 and udid = $3 and proven and device_id <> $4`,
		m.Tenant, m.Serial, m.UDID, m.Device).Scan(&one)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("who is hardware %s: %w", m.Serial, err)
	}
	return true, nil
}

func deleteMac(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, d idp.DeviceID) error {
	for _, table := range []string{"mac_unlock", "mac_key", "mac"} {
		if _, err := tx.Exec(ctx, `delete from `+table+` where tenant_id = $1 and device_id = $2`, t, d); err != nil {
			return fmt.Errorf("delete Mac %s: %w", d, err)
		}
	}
	return nil
}

func insertKey(ctx context.Context, tx *sqldb.Tx, m Mac, k Key) error {
	point, err := k.Public.Bytes()
	if err != nil {
		return fmt.Errorf("point of key %s: %w", k.ID, err)
	}
	_, err = tx.Exec(ctx, `
		insert into mac_key (tenant_id, kid, device_id, role, state, point, attested, created, until)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		m.Tenant, k.ID[:], m.Device, k.Role, k.State, point, k.Attested, milli(k.Created), milli(k.Until))
	if err != nil {
		return fmt.Errorf("add %s key of Mac %s: %w", k.Role, m.Device, err)
	}
	return nil
}

func deleteKey(ctx context.Context, tx *sqldb.Tx, m Mac, k Key) error {
	_, err := tx.Exec(ctx, `delete from mac_key where tenant_id = $1 and kid = $2 and device_id = $3`, m.Tenant, k.ID[:], m.Device)
	if err != nil {
		return fmt.Errorf("delete %s key of Mac %s: %w", k.Role, m.Device, err)
	}
	return nil
}

// settleKey makes a pending key the current one; the old one is gone.
func settleKey(ctx context.Context, tx *sqldb.Tx, m Mac, k Key) error {
	_, err := tx.Exec(ctx, `
		update mac_key set state = $4, until = 0 where tenant_id = $1 and kid = $2 and device_id = $3`,
		m.Tenant, k.ID[:], m.Device, Current)
	if err != nil {
		return fmt.Errorf("settle %s key of Mac %s: %w", k.Role, m.Device, err)
	}
	return nil
}

// holds says whether the key is still one of the Mac, which stays so.
func holds(ctx context.Context, tx *sqldb.Tx, m Mac, k Key) (bool, error) {
	var role Role
	err := tx.QueryRow(ctx, `
		select role from mac_key where tenant_id = $1 and kid = $2 and device_id = $3`+tx.ForShare(),
		m.Tenant, k.ID[:], m.Device).Scan(&role)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("confirm key %s: %w", k.ID, err)
	}
	return role == k.Role, nil
}
