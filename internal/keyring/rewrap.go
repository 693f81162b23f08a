package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// rewrapBatch is how many rows are held in memory at a time.
const rewrapBatch = 200

// Rewrap seals under the KEK all that is still sealed under one of AlsoOpens,
// and says how many keys that were. It is one transaction: afterwards
// everything opens with the KEK alone, or nothing was changed. It changes no
// key itself and may be run again. also, when given, runs in the transaction
// and is told whose keys were sealed anew.
//
// Nodes that run meanwhile must know both keys, and seal under the new one.
// The check value is rewrapped last, so that a start without the old key
// succeeds only when nothing needs it any more (security.md KEY02).
func (r *Ring) Rewrap(ctx context.Context, also func(context.Context, *sqldb.Tx, []idp.TenantID) error) (int, error) {
	done := 0
	err := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, whose := 0, map[idp.TenantID]bool{}
		for _, t := range []table{sealingKeys, signingKeys} {
			some, err := r.rewrapAll(ctx, tx, t, whose)
			if err != nil {
				return err
			}
			n += some
		}
		if err := r.rewrapCheck(ctx, tx); err != nil {
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
	read    string // $4 rows after ($1, $2, $3)
	write   string // $1 into the row ($2, $3, $4), if it still holds $5
	purpose func(name string) string
}

var (
	sealingKeys = table{
		read: `select tenant_id, purpose, id, sealed from sealing_key
			where (tenant_id, purpose, id) > ($1, $2, $3) order by tenant_id, purpose, id limit $4`,
		write:   `update sealing_key set sealed = $1 where tenant_id = $2 and purpose = $3 and id = $4 and sealed = $5`,
		purpose: func(purpose string) string { return purpose },
	}
	signingKeys = table{
		read: `select tenant_id, alg, id, sealed from signing_key
			where (tenant_id, alg, id) > ($1, $2, $3) order by tenant_id, alg, id limit $4`,
		write:   `update signing_key set sealed = $1 where tenant_id = $2 and alg = $3 and id = $4 and sealed = $5`,
		purpose: signingPurpose,
	}
)

// wrapped is a row of either table.
type wrapped struct {
	tenant   idp.TenantID
	name, id string
	sealed   []byte
}

func (r *Ring) rewrapAll(ctx context.Context, tx *sqldb.Tx, t table, whose map[idp.TenantID]bool) (int, error) {
	done := 0
	for last := (wrapped{}); ; {
		batch, err := readWrapped(ctx, tx, t, last)
		if err != nil || len(batch) == 0 {
			return done, err
		}
		for _, w := range batch {
			anew, err := r.rewrapOne(ctx, tx, t, w)
			if err != nil {
				return done, fmt.Errorf("rewrap key %s of tenant %s: %w", w.id, w.tenant, err)
			}
			if anew {
				whose[w.tenant] = true
				done++
			}
		}
		last = batch[len(batch)-1]
	}
}

func readWrapped(ctx context.Context, q sqldb.Querier, t table, after wrapped) ([]wrapped, error) {
	rows, err := q.Query(ctx, t.read, after.tenant, after.name, after.id, rewrapBatch)
	if err != nil {
		return nil, fmt.Errorf("read sealed keys: %w", err)
	}
	var out []wrapped
	for rows.Next() {
		var w wrapped
		if err := rows.Scan(&w.tenant, &w.name, &w.id, &w.sealed); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		out = append(out, w)
	}
	return out, errors.Join(rows.Err(), rows.Close())
}

// rewrapOne seals a row anew, unless the KEK opens it already.
func (r *Ring) rewrapOne(ctx context.Context, tx *sqldb.Tx, t table, w wrapped) (bool, error) {
	ad := aad(w.tenant, w.id, t.purpose(w.name))
	if _, err := r.cfg.KEK.Open(w.sealed, ad); err == nil {
		return false, nil
	}
	plain, err := r.unseal(w.sealed, ad)
	if err != nil {
		return false, err
	}
	n, err := tx.Exec(ctx, t.write, r.cfg.KEK.Seal(plain, ad), w.tenant, w.name, w.id, w.sealed)
	return n > 0, err
}

func (r *Ring) rewrapCheck(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.Exec(ctx, `update kek_check set sealed = $1 where id = 1`, r.cfg.KEK.Seal([]byte(checkText), []byte("kek_check")))
	if err != nil {
		return fmt.Errorf("rewrap check of the key-encryption key: %w", err)
	}
	return nil
}
