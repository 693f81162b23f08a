package keyring

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

const uuidLen = 36

// hintLife is how long what a retired key signed is good as a hint: longer than
// applications keep an ID token of somebody who comes back.
const hintLife = 400 * 24 * time.Hour

// keepForHints keeps the public halves of the keys that a rotation ends. After
// an emergency none is kept, and those kept before go too: whoever has such a
// key could make hints.
func (r *Ring) keepForHints(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, alg string, keys []entry, emergency bool) error {
	if emergency {
		_, err := tx.Exec(ctx, `delete from hint_key where tenant_id = $1 and alg = $2`, t, alg)
		return err
	}
	for _, k := range keys {
		if k.Alg != alg {
			continue
		}
		der, err := x509.MarshalPKIXPublicKey(k.Key.Public())
		if err != nil {
			return fmt.Errorf("encode public key %s: %w", k.ID, err)
		}
		_, err = tx.Exec(ctx, `
			insert into hint_key (tenant_id, id, alg, public, added_at) values ($1, $2, $3, $4, $5)
			on conflict (tenant_id, id) do nothing`, t, k.ID, alg, der, r.cfg.Now().UnixMilli())
		if err != nil {
			return fmt.Errorf("keep public key %s: %w", k.ID, err)
		}
	}
	return nil
}

// ForHint is Public for what was signed long ago and only tells who it was
// about (OpenID Connect Core 1.0, Section 3.1.2.1, id_token_hint): it knows
// retired keys too, other than those of an emergency.
func (r *Ring) ForHint(ctx context.Context, t idp.TenantID, kid string) (PublicKey, error) {
	key, err := r.Public(ctx, t, kid)
	if !errors.Is(err, idp.NotFound) || len(kid) != uuidLen || strings.Trim(kid, "0123456789abcdef-") != "" {
		return key, err // what is no name of ours is not asked for
	}
	var alg string
	var der []byte
	err = r.cfg.DB.QueryRow(ctx, `
		select alg, public from hint_key where tenant_id = $1 and id = $2 and added_at > $3`,
		t, kid, r.cfg.Now().Add(-hintLife).UnixMilli()).Scan(&alg, &der)
	if err != nil {
		return PublicKey{}, fmt.Errorf("key of a hint: %w", err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key %s: %w", kid, err)
	}
	return PublicKey{ID: idp.KeyID(kid), Alg: alg, Key: public}, nil
}

// forgetHints deletes keys of which no hint is believed any more.
func (r *Ring) forgetHints(ctx context.Context, now time.Time) error {
	// All tenants at once, as with keys that are gone.
	if _, err := r.cfg.DB.Exec(ctx, `delete from hint_key where added_at <= $1`, now.Add(-hintLife).UnixMilli()); err != nil {
		return fmt.Errorf("delete keys of hints: %w", err)
	}
	return nil
}
