package keyring

import (
	"context"
	"errors"
	"fmt"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Prove makes sure that this node has every key-encryption key that something
// is sealed under, and is a Needs otherwise (security.md KEY02). It goes by
// the names in the rows, of which there are few, and so takes no longer with
// many keys. Rows that name no key, written by a version that knew no names,
// and rows that name one that is not at hand are opened, and named by what
// opens them.
//
// damaged is how many rows name no key and open with none: they were of no use
// before either, as long as the key-encryption key was never replaced.
func (r *Ring) Prove(ctx context.Context) (damaged int64, err error) {
	if err := r.nameMarks(ctx); err != nil {
		return 0, err
	}
	held := r.keks.Load()
	for _, t := range tables {
		names, err := namesIn(ctx, r.cfg.DB, t)
		if err != nil {
			return 0, err
		}
		for _, name := range append([]string{""}, names...) {
			if held.find(name) != nil {
				continue
			}
			left, err := r.rename(ctx, t, name)
			if err != nil {
				return 0, err
			}
			if left > 0 && name != "" {
				return 0, &Needs{KEK: name, Keys: left}
			}
			damaged += left
		}
	}
	if damaged == 0 {
		return 0, nil
	}
	var since int64
	if err := r.cfg.DB.QueryRow(ctx, `select since from kek_check where id = $1`, rowNow).Scan(&since); err != nil {
		return 0, fmt.Errorf("read since when the key-encryption key is in use: %w", err)
	}
	if since > 0 {
		return 0, &Needs{Keys: damaged}
	}
	return damaged, nil
}

// nameMarks writes down which keys kek_check is sealed under, where that was
// not known or was changed by a version that knew no names.
func (r *Ring) nameMarks(ctx context.Context) error {
	for _, row := range []int64{rowNow, rowNext} {
		var sealed []byte
		var name string
		err := r.cfg.DB.QueryRow(ctx, `select sealed, kek from kek_check where id = $1`, row).Scan(&sealed, &name)
		if errors.Is(err, idp.NotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read check of the key-encryption key: %w", err)
		}
		_, by, err := r.keks.Load().open(sealed, checkAAD)
		if err != nil || KEKID(by) == name {
			continue // what does not open is Check's to refuse
		}
		if _, err := r.cfg.DB.Exec(ctx, `update kek_check set kek = $1 where id = $2 and sealed = $3`, KEKID(by), row, sealed); err != nil {
			return fmt.Errorf("name the key-encryption key: %w", err)
		}
	}
	return nil
}

// namesIn lists the key-encryption keys that rows of a table name. It looks
// each up in the index and reads no other row.
func namesIn(ctx context.Context, q sqldb.Querier, t table) (names []string, err error) {
	for last := ""; ; names = append(names, last) {
		err := q.QueryRow(ctx, t.names, last).Scan(&last)
		if errors.Is(err, idp.NotFound) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read which key-encryption keys are in use: %w", err)
		}
	}
}

// rename opens the rows that name a key which is not at hand and names what
// opens them. left is how many open with nothing.
func (r *Ring) rename(ctx context.Context, t table, name string) (left int64, err error) {
	held := r.keks.Load()
	err = walk(ctx, r.cfg.DB, t.named, name, func(batch []wrapped) error {
		opened := map[*wrapped]*secret.Key{}
		for n := range batch {
			w := &batch[n]
			if _, by, err := held.open(w.sealed, t.aad(*w)); err == nil {
				opened[w] = by
			} else {
				left++
			}
		}
		return r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			for w, by := range opened {
				if _, err := tx.Exec(ctx, t.write, w.sealed, w.tenant, w.name, w.id, w.sealed, KEKID(by)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return left, fmt.Errorf("name the key-encryption key of keys: %w", err)
	}
	return left, nil
}

// countUnder says how many keys name a key-encryption key.
func countUnder(ctx context.Context, q sqldb.Querier, name string) (n int64, err error) {
	for _, t := range tables {
		some, err := t.countUnder(ctx, q, name)
		if err != nil {
			return 0, err
		}
		n += some
	}
	return n, nil
}

func (t table) countUnder(ctx context.Context, q sqldb.Querier, name string) (n int64, err error) {
	if err := q.QueryRow(ctx, t.count, name).Scan(&n); err != nil {
		return 0, fmt.Errorf("count keys under a key-encryption key: %w", err)
	}
	return n, nil
}
