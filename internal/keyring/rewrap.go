package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// rewrapBatch bounds how long one step of Rewrap holds the writer.
const rewrapBatch = 200

// Rewrap seals under the KEK all that is still sealed under one of AlsoOpens,
// and says how many keys that were. It works beside running nodes, may be
// stopped and run again, and changes no key itself.
//
// To replace the key-encryption key without a pause: start every node with the
// new one in AlsoOpens, start every node with the new one as KEK and the old
// one in AlsoOpens, Rewrap, start every node without the old one. The check
// value is rewrapped last, so that a start without the old key succeeds only
// when nothing needs it any more (security.md KEY02).
func (r *Ring) Rewrap(ctx context.Context) (int, error) {
	sealing, err := r.rewrapAll(ctx, sealingKeys)
	if err != nil {
		return sealing, err
	}
	signing, err := r.rewrapAll(ctx, signingKeys)
	if err != nil {
		return sealing + signing, err
	}
	return sealing + signing, r.rewrapCheck(ctx)
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

func (r *Ring) rewrapAll(ctx context.Context, t table) (int, error) {
	done := 0
	for last := (wrapped{}); ; {
		batch, err := readWrapped(ctx, r.cfg.DB, t, last)
		if err != nil || len(batch) == 0 {
			return done, err
		}
		n := 0
		err = r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = r.rewrapBatch(ctx, tx, t, batch)
			return err
		})
		if err != nil {
			return done, err
		}
		done, last = done+n, batch[len(batch)-1]
	}
}

func readWrapped(ctx context.Context, db *sqldb.DB, t table, after wrapped) ([]wrapped, error) {
	rows, err := db.Query(ctx, t.read, after.tenant, after.name, after.id, rewrapBatch)
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

func (r *Ring) rewrapBatch(ctx context.Context, tx *sqldb.Tx, t table, batch []wrapped) (int, error) {
	done := 0
	for _, w := range batch {
		ad := aad(w.tenant, w.id, t.purpose(w.name))
		if _, err := r.cfg.KEK.Open(w.sealed, ad); err == nil {
			continue
		}
		plain, err := r.unseal(w.sealed, ad)
		if err != nil {
			return 0, fmt.Errorf("rewrap key %s of tenant %s: %w", w.id, w.tenant, err)
		}
		n, err := tx.Exec(ctx, t.write, r.cfg.KEK.Seal(plain, ad), w.tenant, w.name, w.id, w.sealed)
		if err != nil {
			return 0, fmt.Errorf("rewrap key %s of tenant %s: %w", w.id, w.tenant, err)
		}
		done += int(n)
	}
	return done, nil
}

func (r *Ring) rewrapCheck(ctx context.Context) error {
	_, err := r.cfg.DB.Exec(ctx, `update kek_check set sealed = $1 where id = 1`, r.cfg.KEK.Seal([]byte(checkText), []byte("kek_check")))
	if err != nil {
		return fmt.Errorf("rewrap check of the key-encryption key: %w", err)
	}
	return nil
}
