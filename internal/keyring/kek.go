package keyring

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// KEKID is the public name of a key-encryption key: 16 hexadecimal digits that
// tell nothing of the key.
func KEKID(k *secret.Key) string {
	return hex.EncodeToString(k.MAC([]byte("name of a key-encryption key"))[:8])
}

// Needs says which key-encryption key is missing. It is idp.Invalid.
type Needs struct {
	KEK  string // its id; empty: one before the present one, whose id nobody wrote down
	Keys int64  // how many keys are sealed under it
	Next bool   // it is the one that takes over: a rewrap is under way
}

// Error tells what is missing, without naming files: those are app's.
func (n *Needs) Error() string {
	if n.Next {
		return fmt.Sprintf("the key-encryption key is being replaced by %s, which is not at hand", n.KEK)
	}
	return strings.TrimSpace(fmt.Sprintf("%d keys are still sealed under an older key-encryption key %s", n.Keys, n.KEK)) + ", which is not at hand"
}

// Unwrap gives the kind.
func (n *Needs) Unwrap() error { return idp.Invalid }

// keks are the key-encryption keys that a node has. It never changes.
type keks struct {
	main *secret.Key
	all  []*secret.Key // main first
}

func newKEKs(main *secret.Key, others []*secret.Key) *keks {
	h := &keks{main: main}
	for _, k := range append([]*secret.Key{main}, others...) {
		if k != nil && h.find(KEKID(k)) == nil {
			h.all = append(h.all, k)
		}
	}
	return h
}

// find gives the key of an id; nil when this node does not have it.
func (h *keks) find(id string) *secret.Key {
	for _, k := range h.all {
		if KEKID(k) == id {
			return k
		}
	}
	return nil
}

// open opens what is sealed under any of them and says under which.
func (h *keks) open(sealed, aad []byte) (plain []byte, by *secret.Key, err error) {
	for _, k := range h.all {
		if plain, err = k.Open(sealed, aad); err == nil {
			return plain, k, nil
		}
	}
	return nil, nil, err
}

func (h *keks) ids() string {
	var ids []string
	for _, k := range h.all {
		ids = append(ids, KEKID(k))
	}
	return strings.Join(ids, " ")
}

// Hold replaces the key-encryption keys that this node has, while it runs:
// that of its key file, and others that stored keys may be sealed under. Which
// one new keys are sealed under is not decided here but in the database, for
// all nodes alike; see Replace. Announce tells the others.
func (r *Ring) Hold(main *secret.Key, others ...*secret.Key) { r.keks.Store(newKEKs(main, others)) }

// unseal opens what is stored, under whichever key-encryption key.
func (r *Ring) unseal(sealed, aad []byte) ([]byte, error) {
	plain, _, err := r.keks.Load().open(sealed, aad)
	return plain, err
}

// The rows of kek_check.
const (
	rowNow  = 1
	rowNext = 2
)

// checkText is what kek_check holds, sealed.
const checkText = "signet"

var checkAAD = []byte("kek_check")

// mark is a row of kek_check, as far as every version knows it.
type mark struct {
	row    int64
	sealed []byte
}

// Check proves that the key-encryption key is the one this database was made
// with; on a new database it writes what later starts compare with. It works
// on the schema of any version. A wrong key is Invalid, and one of two that is
// missing a Needs; nothing was changed then.
func (r *Ring) Check(ctx context.Context) error {
	err := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `insert into kek_check (id, sealed) values ($1, $2) on conflict (id) do nothing`,
			rowNow, r.keks.Load().main.Seal([]byte(checkText), checkAAD))
		return err
	})
	if err != nil {
		return fmt.Errorf("write check of the key-encryption key: %w", err)
	}
	return r.CheckIn(ctx, r.cfg.DB)
}

// CheckIn is Check of a database that was filled before, in a transaction if
// q is one: a restore's.
func (r *Ring) CheckIn(ctx context.Context, q sqldb.Querier) error {
	rows, err := q.Query(ctx, `select id, sealed from kek_check order by id`)
	if err != nil {
		return fmt.Errorf("read check of the key-encryption key: %w", err)
	}
	opens := map[int64]bool{}
	for rows.Next() {
		var m mark
		if err := rows.Scan(&m.row, &m.sealed); err != nil {
			return errors.Join(err, rows.Close())
		}
		_, err := r.unseal(m.sealed, checkAAD)
		opens[m.row] = err == nil
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("read check of the key-encryption key: %w", err)
	}
	now := opens[rowNow]
	next, replacing := opens[rowNext]
	switch {
	case now && (next || !replacing):
		return nil
	case now:
		return r.missing(ctx, q, rowNext)
	case next:
		return r.missing(ctx, q, rowNow)
	}
	return idp.Invalidf("wrong_kek", "the key-encryption key is not the one this database was made with")
}

// missing says which of two keys a node lacks. There are two only where a
// version that names them has begun to replace one by the other.
func (r *Ring) missing(ctx context.Context, q sqldb.Querier, row int64) error {
	n := &Needs{Next: row == rowNext}
	if err := q.QueryRow(ctx, `select kek from kek_check where id = $1`, row).Scan(&n.KEK); err != nil {
		return fmt.Errorf("read which key-encryption key is missing: %w", err)
	}
	var err error
	n.Keys, err = countUnder(ctx, q, n.KEK)
	return errors.Join(err, n)
}

// Known says whether the database was already used with some key-encryption
// key, so that a start without one is refused instead of making a new one.
func Known(ctx context.Context, db *sqldb.DB) (bool, error) {
	var one int64
	err := db.QueryRow(ctx, `select id from kek_check where id = $1`, rowNow).Scan(&one)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// sealer gives the key that whatever is new is sealed under, and keeps that
// from being changed until tx has ended: what a rewrap's last look does not
// see is sealed under the key that takes over.
func (r *Ring) sealer(ctx context.Context, tx *sqldb.Tx) (id string, kek *secret.Key, err error) {
	held := r.keks.Load()
	now, next, err := alone(ctx, tx)
	if errors.Is(err, idp.NotFound) {
		return KEKID(held.main), held.main, nil // before the first Check
	}
	if err != nil {
		return "", nil, err
	}
	if next != "" {
		now = next
	}
	if now == "" { // before the first Prove
		return KEKID(held.main), held.main, nil
	}
	if kek = held.find(now); kek == nil {
		return "", nil, idp.Unavailablef("kek_missing", "new keys are sealed under the key-encryption key %s, which this server lacks", now)
	}
	return now, kek, nil
}

// marks gives the ids of the key that everything is sealed under and, while
// that is being replaced, of the one that takes over.
func marks(ctx context.Context, q sqldb.Querier) (now, next string, err error) {
	if err = q.QueryRow(ctx, `select kek from kek_check where id = $1`, rowNow).Scan(&now); err != nil {
		return "", "", fmt.Errorf("read which key-encryption key is in use: %w", err)
	}
	err = q.QueryRow(ctx, `select kek from kek_check where id = $1`, rowNext).Scan(&next)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return "", "", fmt.Errorf("read which key-encryption key is next: %w", err)
	}
	return now, next, nil
}

// alone keeps everybody else who seals, starts or replaces waiting until tx
// has ended, and then gives marks. It is a lock that nobody shares, so that
// those who seal, one after the other, do not keep a replacement waiting for
// ever, as they can on PostgreSQL. Keys are made too rarely to be held up by it.
func alone(ctx context.Context, tx *sqldb.Tx) (now, next string, err error) {
	if _, err := tx.Exec(ctx, `update kek_check set sealed = sealed where id = $1`, rowNow); err != nil {
		return "", "", fmt.Errorf("lock the key-encryption key: %w", err)
	}
	return marks(ctx, tx)
}
