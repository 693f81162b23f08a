package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// rewrapBatch is how many rows are held in memory, and written in one
// transaction, at a time.
const rewrapBatch = 200

// Note runs in a transaction that seals keys anew and is told whose they are,
// for the record.
type Note func(ctx context.Context, tx *sqldb.Tx, whose []idp.TenantID) error

// Rewrap seals under the KEK all that is still sealed under one of AlsoOpens,
// and says how many keys that were. It is one transaction: afterwards
// everything opens with the KEK alone, or nothing was changed. It changes no
// key itself and may be run again. also may be nil.
//
// It is for when no other node runs, and Conflict while one does that lacks the
// KEK; Replace is for then. A Replace that was under way is over with it.
func (r *Ring) Rewrap(ctx context.Context, also Note) (int, error) {
	done, to := 0, r.keks.Load().main
	err := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if _, _, err := alone(ctx, tx); err != nil && !errors.Is(err, idp.NotFound) {
			return err
		}
		if err := r.everyOther(ctx, tx, KEKID(to)); err != nil {
			return err
		}
		n, whose := 0, map[idp.TenantID]bool{}
		for _, t := range tables {
			err := walk(ctx, tx, t.foreign, KEKID(to), func(batch []wrapped) error {
				anew, err := r.reseal(batch, t, to)
				if err != nil {
					return err
				}
				some, err := put(ctx, tx, anew, t, to, whose)
				n += some
				return err
			})
			if err != nil {
				return err
			}
		}
		if err := r.takeOver(ctx, tx, to); err != nil {
			return err
		}
		done = n
		if also == nil {
			return nil
		}
		return also(ctx, tx, slices.Sorted(maps.Keys(whose)))
	})
	if err != nil {
		return 0, err
	}
	return done, nil
}

// table says how the rows of a kind of key are walked and written. A row is
// known by its tenant, its purpose or algorithm, and its id.
type table struct {
	named   string // $5 rows after ($2, $3, $4) that name the key-encryption key $1
	foreign string // the same of those that do not
	write   string // $1 and the name $6 into the row ($2, $3, $4), if it still holds $5
	names   string // the first name after $1
	count   string // how many rows name $1
	purpose func(name string) string
}

var (
	sealingKeys = table{
		named: `select tenant_id, purpose, id, sealed, kek from sealing_key
			where kek = $1 and (tenant_id, purpose, id) > ($2, $3, $4) order by tenant_id, purpose, id limit $5`,
		foreign: `select tenant_id, purpose, id, sealed, kek from sealing_key
			where kek <> $1 and (tenant_id, purpose, id) > ($2, $3, $4) order by tenant_id, purpose, id limit $5`,
		write:   `update sealing_key set sealed = $1, kek = $6 where tenant_id = $2 and purpose = $3 and id = $4 and sealed = $5`,
		names:   `select kek from sealing_key where kek > $1 order by kek limit 1`,
		count:   `select count(*) from sealing_key where kek = $1`,
		purpose: func(purpose string) string { return purpose },
	}
	signingKeys = table{
		named: `select tenant_id, alg, id, sealed, kek from signing_key
			where kek = $1 and (tenant_id, alg, id) > ($2, $3, $4) order by tenant_id, alg, id limit $5`,
		foreign: `select tenant_id, alg, id, sealed, kek from signing_key
			where kek <> $1 and (tenant_id, alg, id) > ($2, $3, $4) order by tenant_id, alg, id limit $5`,
		write:   `update signing_key set sealed = $1, kek = $6 where tenant_id = $2 and alg = $3 and id = $4 and sealed = $5`,
		names:   `select kek from signing_key where kek > $1 order by kek limit 1`,
		count:   `select count(*) from signing_key where kek = $1`,
		purpose: signingPurpose,
	}
	tables = []table{sealingKeys, signingKeys}
)

// aad is what a row's key is bound to.
func (t table) aad(w wrapped) []byte { return aad(w.tenant, w.id, t.purpose(w.name)) }

// wrapped is a row of either table.
type wrapped struct {
	tenant   idp.TenantID
	name, id string
	sealed   []byte
	kek      string
}

func readWrapped(ctx context.Context, q sqldb.Querier, query, kek string, after wrapped) ([]wrapped, error) {
	rows, err := q.Query(ctx, query, kek, after.tenant, after.name, after.id, rewrapBatch)
	if err != nil {
		return nil, fmt.Errorf("read sealed keys: %w", err)
	}
	var out []wrapped
	for rows.Next() {
		var w wrapped
		if err := rows.Scan(&w.tenant, &w.name, &w.id, &w.sealed, &w.kek); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, w)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// walk reads the rows of a query batch by batch.
func walk(ctx context.Context, q sqldb.Querier, query, kek string, fn func([]wrapped) error) error {
	for last := (wrapped{}); ; {
		batch, err := readWrapped(ctx, q, query, kek, last)
		if err != nil || len(batch) == 0 {
			return err
		}
		if err := fn(batch); err != nil {
			return err
		}
		last = batch[len(batch)-1]
	}
}

// resealed is a row and what is to be in it.
type resealed struct {
	wrapped
	next  []byte
	named bool // it was under the key already, and only said otherwise
}

// reseal opens rows and seals them under to.
func (r *Ring) reseal(batch []wrapped, t table, to *secret.Key) ([]resealed, error) {
	held, out := r.keks.Load(), make([]resealed, len(batch))
	for n, w := range batch {
		plain, by, err := held.open(w.sealed, t.aad(w))
		if err != nil {
			return nil, fmt.Errorf("rewrap key %s of tenant %s: %w", w.id, w.tenant, err)
		}
		out[n] = resealed{w, w.sealed, true}
		if !secret.Equal(by.Raw(), to.Raw()) {
			out[n].next, out[n].named = to.Seal(plain, t.aad(w)), false
		}
	}
	return out, nil
}

// put writes rows that nobody has written meanwhile, counts them, and adds
// whose they are.
func put(ctx context.Context, tx *sqldb.Tx, anew []resealed, t table, to *secret.Key, whose map[idp.TenantID]bool) (int, error) {
	done := 0
	for _, w := range anew {
		n, err := tx.Exec(ctx, t.write, w.next, w.tenant, w.name, w.id, w.sealed, KEKID(to))
		if err != nil {
			return done, fmt.Errorf("write key %s of tenant %s: %w", w.id, w.tenant, err)
		}
		if n > 0 && !w.named {
			whose[w.tenant] = true
			done++
		}
	}
	return done, nil
}

// takeOver writes down that everything is sealed under to: a start without
// the old key succeeds from then on. The caller has made sure of it, and is
// alone.
func (r *Ring) takeOver(ctx context.Context, tx *sqldb.Tx, to *secret.Key) error {
	_, err := tx.Exec(ctx, `update kek_check set sealed = $1, kek = $2, since = $3 where id = $4`,
		to.Seal([]byte(checkText), checkAAD), KEKID(to), r.cfg.Now().UnixMilli(), rowNow)
	if err == nil {
		_, err = tx.Exec(ctx, `delete from kek_check where id = $1`, rowNext)
	}
	if err != nil {
		return fmt.Errorf("rewrap check of the key-encryption key: %w", err)
	}
	return nil
}
