package keyring

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Algorithms are those a tenant can sign with, the default first.
var Algorithms = []string{"ES256", "RS256"}

// rsaBits is the size of RS256 keys (security.md TOK07).
const rsaBits = 2048

// Signer is a private key and what its signatures say of it.
type Signer struct {
	ID  idp.KeyID
	Alg string
	Key crypto.Signer
}

// PublicKey verifies what a Signer signed, with this algorithm alone.
type PublicKey struct {
	ID  idp.KeyID
	Alg string
	Key crypto.PublicKey
}

// State is where a key stands in its life.
type State string

// The states, in order.
const (
	Next     State = "next"
	Active   State = "active"
	Retiring State = "retiring"
	Gone     State = "gone"
)

// Info describes a signing key without its secret.
type Info struct {
	ID         idp.KeyID
	Alg        string
	State      State
	Created    time.Time
	ActiveFrom time.Time
	GoneAt     time.Time // zero: not set
}

// entry is a signing key with its times, in Unix milliseconds.
type entry struct {
	Signer
	number, created, activeFrom, goneAt int64
}

// snapshot is all that a tenant's keys were at one look. It never changes.
type snapshot struct {
	keys []entry // by number, oldest first
	jwks []byte
	ends time.Time // when a key in it is gone, or it is too old to be believed
}

// at finds the key that signs with alg now: of those begun, the latest.
func (s *snapshot) at(alg string, now time.Time) (Signer, bool) {
	ms := now.UnixMilli()
	for n := len(s.keys) - 1; n >= 0; n-- {
		if k := s.keys[n]; k.Alg == alg && k.activeFrom <= ms && (k.goneAt == 0 || ms < k.goneAt) {
			return k.Signer, true
		}
	}
	return Signer{}, false
}

// key finds a private key by its id; nil when s is nil or has none.
func (s *snapshot) key(id idp.KeyID) crypto.Signer {
	if s == nil {
		return nil
	}
	for _, k := range s.keys {
		if k.ID == id {
			return k.Key
		}
	}
	return nil
}

// Signer gives the tenant's active key for alg, making the first one when
// there is none. An algorithm we do not sign with is Invalid.
func (r *Ring) Signer(ctx context.Context, t idp.TenantID, alg string) (Signer, error) {
	s, err := r.look(ctx, t)
	if err != nil {
		return Signer{}, err
	}
	now := r.cfg.Now()
	if k, ok := s.at(alg, now); ok {
		return k, nil
	}
	// The first key of an algorithm is used at once: whoever gets its first
	// token has fetched no JWKS of this tenant for that algorithm yet, and a
	// verifier that meets an unknown kid fetches again (OpenID Connect Core
	// 1.0, Section 10.1.1).
	if err := r.add(ctx, t, alg, now, false); err != nil && !errors.Is(err, idp.Conflict) {
		return Signer{}, err
	}
	r.forget(t)
	if s, err = r.look(ctx, t); err != nil {
		return Signer{}, err
	}
	if k, ok := s.at(alg, r.cfg.Now()); ok {
		return k, nil
	}
	return Signer{}, fmt.Errorf("tenant %s has no active %s key", t, alg)
}

// Public finds the key that verifies signatures naming kid; NotFound when it
// is not published (any more).
func (r *Ring) Public(ctx context.Context, t idp.TenantID, kid string) (PublicKey, error) {
	s, err := r.look(ctx, t)
	if err != nil {
		return PublicKey{}, err
	}
	now := r.cfg.Now().UnixMilli()
	for _, k := range s.keys {
		if string(k.ID) == kid && (k.goneAt == 0 || now < k.goneAt) {
			return PublicKey{ID: k.ID, Alg: k.Alg, Key: k.Key.Public()}, nil
		}
	}
	if len(s.keys) == 0 {
		// Strangers choose the tenant that their token names: what none is
		// must not stay in memory.
		r.tenants.Delete(t)
	}
	return PublicKey{}, idp.NotFoundf("key_unknown", "no published key of that name")
}

// JWKS is the tenant's published keys as a JSON Web Key Set (RFC 7517).
func (r *Ring) JWKS(ctx context.Context, t idp.TenantID) ([]byte, error) {
	if _, err := r.Signer(ctx, t, Algorithms[0]); err != nil {
		return nil, err
	}
	s, err := r.look(ctx, t)
	if err != nil {
		return nil, err
	}
	return s.jwks, nil
}

// Keys describes the tenant's signing keys, oldest first.
func (r *Ring) Keys(ctx context.Context, t idp.TenantID) ([]Info, error) {
	s, err := r.look(ctx, t)
	if err != nil {
		return nil, err
	}
	now := r.cfg.Now()
	var out []Info
	for _, k := range s.keys {
		i := Info{ID: k.ID, Alg: k.Alg, Created: time.UnixMilli(k.created), ActiveFrom: time.UnixMilli(k.activeFrom), State: Retiring}
		if k.goneAt > 0 {
			i.GoneAt = time.UnixMilli(k.goneAt)
		}
		active, _ := s.at(k.Alg, now)
		switch {
		case k.goneAt > 0 && now.UnixMilli() >= k.goneAt:
			i.State = Gone
		case now.UnixMilli() < k.activeFrom:
			i.State = Next
		case active.ID == k.ID:
			i.State = Active
		}
		out = append(out, i)
	}
	return out, nil
}

// Rotate publishes a new key, which signs from CachePeriod from now; the
// present one stays published until its last token has run out. Conflict when
// another rotation is under way.
func (r *Ring) Rotate(ctx context.Context, t idp.TenantID, alg string) error {
	now := r.cfg.Now()
	s, err := r.look(ctx, t)
	if err != nil {
		return err
	}
	from := now
	for _, k := range s.keys {
		if k.Alg == alg && k.activeFrom > now.UnixMilli() {
			return idp.Conflictf("rotation_under_way", "key %s takes over at %s", k.ID, time.UnixMilli(k.activeFrom).UTC()).
				Say("A new key is published already and takes over within the hour.")
		}
		if k.Alg == alg {
			from = now.Add(CachePeriod)
		}
	}
	return r.add(ctx, t, alg, from, false)
}

// RotateNow is for a key that somebody else may have: a new key signs at once
// and the old ones are gone, with every token they signed. It does not lose to
// a rotation that another node began meanwhile.
func (r *Ring) RotateNow(ctx context.Context, t idp.TenantID, alg string) error {
	const tries = 5
	var err error
	for range tries {
		r.forget(t) // another node may have added a key that our snapshot lacks
		if err = r.add(ctx, t, alg, r.cfg.Now(), true); !errors.Is(err, idp.Conflict) {
			break
		}
	}
	return err
}

// add makes a key that signs from the given time. The keys before it end when
// their last token has run out, or now.
func (r *Ring) add(ctx context.Context, t idp.TenantID, alg string, from time.Time, emergency bool) error {
	key, err := generate(alg)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode %s key: %w", alg, err)
	}
	id, now := secret.NewUUID4(), r.cfg.Now()
	goneAt := from.Add(Afterlife)
	if emergency {
		goneAt = now
	}
	s, err := r.look(ctx, t)
	if err != nil {
		return err
	}
	number := int64(1)
	for _, k := range s.keys {
		if k.Alg == alg {
			number = max(number, k.number+1)
		}
	}
	err = r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		name, kek, err := r.sealer(ctx, tx)
		if err != nil {
			return err
		}
		// The insert decides between two nodes: the loser gets Conflict.
		_, err = tx.Exec(ctx, `
			insert into signing_key (tenant_id, alg, number, id, sealed, kek, created_at, active_from, gone_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, 0)`,
			t, alg, number, id, kek.Seal(der, aad(t, id, signingPurpose(alg))), name, now.UnixMilli(), from.UnixMilli())
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			update signing_key set gone_at = $4
			where tenant_id = $1 and alg = $2 and number < $3 and (gone_at = 0 or gone_at > $4)`,
			t, alg, number, goneAt.UnixMilli())
		if err == nil {
			err = r.keepForHints(ctx, tx, t, alg, s.keys, emergency)
		}
		if err != nil || r.cfg.Bus == nil {
			return err
		}
		return r.cfg.Bus.Publish(ctx, tx, topic, string(t))
	})
	r.forget(t)
	if err != nil {
		return fmt.Errorf("add %s key: %w", alg, err)
	}
	return nil
}

// signingPurpose is what the AAD of a sealed signing key says it is for.
func signingPurpose(alg string) string { return "signing." + alg }

func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		return rsa.GenerateKey(rand.Reader, rsaBits)
	}
	return nil, idp.Invalidf("unknown_algorithm", "no signing with %q", alg).On("alg")
}

// forget makes the next look read anew, and keeps one that is reading now from
// storing what it read before the change.
func (r *Ring) forget(id idp.TenantID) {
	t := r.tenant(id)
	t.drops.Add(1)
	t.signing.Store(nil)
}

// look gives the tenant's snapshot, reading it when it is old. While one
// caller reads, the others go on with the old one: a key's own times say
// whether it may still be used.
func (r *Ring) look(ctx context.Context, id idp.TenantID) (*snapshot, error) {
	t, now := r.tenant(id), r.cfg.Now()
	s := t.signing.Load()
	if s != nil && now.Before(s.ends) {
		return s, nil
	}
	if s == nil {
		t.mu.Lock()
	} else if !t.mu.TryLock() {
		return s, nil
	}
	defer t.mu.Unlock()
	if s = t.signing.Load(); s != nil && now.Before(s.ends) {
		return s, nil // read while we waited
	}
	drops := t.drops.Load()
	fresh, err := r.read(ctx, id, now, s)
	if err != nil {
		if s != nil && errors.Is(err, idp.Unavailable) {
			return s, nil // the keys we know stay good while the database is away
		}
		return nil, err
	}
	t.signing.Store(fresh)
	if t.drops.Load() != drops {
		t.signing.CompareAndSwap(fresh, nil) // it may lack what the notice was about
	}
	return fresh, nil
}

// read makes a snapshot; keys that the last one had are not opened again.
func (r *Ring) read(ctx context.Context, t idp.TenantID, now time.Time, last *snapshot) (*snapshot, error) {
	rows, err := r.cfg.DB.Query(ctx, `
		select id, alg, number, sealed, created_at, active_from, gone_at from signing_key
		where tenant_id = $1 and (gone_at = 0 or gone_at > $2) order by number, alg`, t, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	s := &snapshot{ends: now.Add(stale)}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for rows.Next() {
		var e entry
		var sealed []byte
		if err := rows.Scan(&e.ID, &e.Alg, &e.number, &sealed, &e.created, &e.activeFrom, &e.goneAt); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		if e.Key = last.key(e.ID); e.Key == nil {
			if e.Key, err = r.open(t, e.ID, e.Alg, sealed); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
		}
		if gone := time.UnixMilli(e.goneAt); e.goneAt > 0 && gone.Before(s.ends) {
			s.ends = gone
		}
		s.keys = append(s.keys, e)
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: e.Key.Public(), KeyID: string(e.ID), Algorithm: e.Alg, Use: "sig"})
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("read signing keys: %w", err)
	}
	s.jwks, err = json.Marshal(set)
	return s, err
}

func (r *Ring) open(t idp.TenantID, id idp.KeyID, alg string, sealed []byte) (crypto.Signer, error) {
	der, err := r.unseal(sealed, aad(t, string(id), signingPurpose(alg)))
	if err != nil {
		return nil, fmt.Errorf("open signing key %s of tenant %s: %w", id, t, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("parse signing key %s: %w", id, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %s cannot sign", id)
	}
	return signer, nil
}
