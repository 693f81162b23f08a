package keyring

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the tables of keys.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// The times of a rotation.
const (
	// CachePeriod is how long others may keep our JWKS: a new key is published
	// that long before its first use.
	CachePeriod = time.Hour
	// Afterlife is how long a key that signs no more stays published: the life
	// of the longest token it signed, and the clock skew we accept.
	Afterlife = time.Hour + 2*time.Minute
	// Term is how old an active key grows before the job rotates it.
	Term = 90 * 24 * time.Hour
	// stale is how long a node uses its snapshot without looking again, should
	// a change notice be lost.
	stale = 30 * time.Second
)

// version is the format of what is sealed; it is part of the AAD.
const version = "1"

// topic is the bus topic of changed signing keys; its key is the tenant.
const topic = "keyring"

// Bus is what the ring needs of the change notices.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Config is what a Ring needs. Bus may be nil in tests.
type Config struct {
	DB *sqldb.DB
	// KEK is the key-encryption key of this node's key file, and the one that
	// a new database is made with.
	KEK *secret.Key
	// AlsoOpens are other key-encryption keys that what is stored may be
	// sealed under, while the KEK is being replaced; see Replace.
	AlsoOpens []*secret.Key
	Now       func() time.Time
	Bus       Bus
	// Place is what people call this node, such as its host and folder. One
	// process at a time is at a place.
	Place string
}

// Ring hands out keys. It is safe for concurrent use.
type Ring struct {
	cfg     Config
	node    string // of this process, for Announce
	keks    atomic.Pointer[keks]
	tenants sync.Map // idp.TenantID → *tenant
}

// tenant is what this node knows of one tenant's keys. Readers take what the
// pointers show and lock nothing; what they point to never changes.
type tenant struct {
	sealing atomic.Pointer[map[string]*secret.Key] // by purpose
	signing atomic.Pointer[snapshot]

	mu sync.Mutex // held while either is read anew
	// drops counts the notices of a change: what was read before one is not
	// kept.
	drops atomic.Uint64
}

func (r *Ring) tenant(id idp.TenantID) *tenant {
	if t, ok := r.tenants.Load(id); ok {
		return t.(*tenant)
	}
	t, _ := r.tenants.LoadOrStore(id, &tenant{})
	return t.(*tenant)
}

// New makes a Ring. Call Check, and then Prove, before anything else.
func New(cfg Config) *Ring {
	r := &Ring{cfg: cfg, node: secret.NewUUID4()}
	r.Hold(cfg.KEK, cfg.AlsoOpens...)
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(topic, func(tenant string) { r.forget(idp.TenantID(tenant)) })
	}
	return r
}

func aad(t idp.TenantID, id, purpose string) []byte {
	// Length-prefixed, so that no two triples give the same bytes.
	var a []byte
	for _, part := range []string{string(t), id, purpose, version} {
		a = append(a, strconv.Itoa(len(part))...)
		a = append(a, ':')
		a = append(a, part...)
	}
	return a
}

// Sealing gives the tenant's key for a purpose, making it on first use.
func (r *Ring) Sealing(ctx context.Context, id idp.TenantID, purpose string) (*secret.Key, error) {
	t := r.tenant(id)
	if known := t.sealing.Load(); known != nil {
		if k, ok := (*known)[purpose]; ok {
			return k, nil
		}
	}
	k, err := r.readSealing(ctx, id, purpose)
	if errors.Is(err, idp.NotFound) {
		if err = r.makeSealing(ctx, id, purpose); err != nil {
			return nil, err
		}
		k, err = r.readSealing(ctx, id, purpose) // another node's, if it was faster
	}
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	more := map[string]*secret.Key{}
	if known := t.sealing.Load(); known != nil {
		maps.Copy(more, *known)
	}
	more[purpose] = k
	t.sealing.Store(&more)
	return k, nil
}

func (r *Ring) readSealing(ctx context.Context, t idp.TenantID, purpose string) (*secret.Key, error) {
	var id string
	var sealed []byte
	err := r.cfg.DB.QueryRow(ctx, `select id, sealed from sealing_key where tenant_id = $1 and purpose = $2`, t, purpose).Scan(&id, &sealed)
	if err != nil {
		return nil, fmt.Errorf("read sealing key %s: %w", purpose, err)
	}
	raw, err := r.unseal(sealed, aad(t, id, purpose))
	if err != nil {
		return nil, fmt.Errorf("open sealing key %s of tenant %s: %w", purpose, t, err)
	}
	return secret.NewKey(raw)
}

func (r *Ring) makeSealing(ctx context.Context, t idp.TenantID, purpose string) error {
	id, raw := secret.NewUUID4(), secret.RandomKey().Raw()
	err := r.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		name, kek, err := r.sealer(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			insert into sealing_key (tenant_id, purpose, id, sealed, kek, created_at) values ($1, $2, $3, $4, $5, $6)
			on conflict (tenant_id, purpose) do nothing`,
			t, purpose, id, kek.Seal(raw, aad(t, id, purpose)), name, r.cfg.Now().UnixMilli())
		return err
	})
	if err != nil {
		return fmt.Errorf("make sealing key %s: %w", purpose, err)
	}
	return nil
}

// Jobs rotates keys that have served their term and deletes those that are
// gone.
func (r *Ring) Jobs() []job.Job {
	return []job.Job{{Name: "keyring.rotate", Every: time.Hour, Run: r.tend}}
}

func (r *Ring) tend(ctx context.Context, now time.Time) error {
	// All tenants at once: gone is gone whoever it belonged to.
	if _, err := r.cfg.DB.Exec(ctx, `delete from signing_key where gone_at > 0 and gone_at <= $1`, now.UnixMilli()); err != nil {
		return fmt.Errorf("delete gone keys: %w", err)
	}
	if err := r.forgetHints(ctx, now); err != nil {
		return err
	}
	rows, err := r.cfg.DB.Query(ctx, `
		select tenant_id, alg from signing_key group by tenant_id, alg having max(active_from) < $1`, now.Add(-Term).UnixMilli())
	if err != nil {
		return err
	}
	type old struct {
		tenant idp.TenantID
		alg    string
	}
	var due []old
	for rows.Next() {
		var o old
		if err := rows.Scan(&o.tenant, &o.alg); err != nil {
			return errors.Join(err, rows.Close())
		}
		due = append(due, o)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, o := range due {
		if err := r.Rotate(ctx, o.tenant, o.alg); err != nil && !errors.Is(err, idp.Conflict) {
			return err
		}
	}
	return nil
}
