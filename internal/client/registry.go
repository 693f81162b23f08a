package client

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the tables of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Bus tells the other nodes, and this one, that something changed.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Topic is the bus topic of changed applications; the key is "tenant/client".
const Topic = "client"

// Config is what a Registry needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	Bus Bus // nil: nothing is cached
	// Devices gives the tenant's rules about devices. Nil: no tenant has
	// devices on, and there are no built-in applications.
	Devices func(context.Context, idp.TenantID) (Devices, error)
}

// Registry keeps the applications of all tenants.
type Registry struct {
	cfg      Config
	cache    *cache.Cache[ref, Client]
	builtIns builtIns
	removed  []func(context.Context, *sqldb.Tx, idp.TenantID, idp.ClientID) error
}

type ref struct {
	tenant idp.TenantID
	id     idp.ClientID
}

// New makes a registry.
func New(cfg Config) *Registry {
	r := &Registry{cfg: cfg, builtIns: newBuiltIns()}
	size := 0
	if cfg.Bus != nil {
		size = 10_000
	}
	r.cache = cache.New(size, func(ctx context.Context, k ref) (Client, error) { return r.Load(ctx, cfg.DB, k.tenant, k.id) })
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(Topic, func(key string) {
			t, id, ok := strings.Cut(key, "/")
			if !ok {
				r.cache.DropAll()
				return
			}
			r.cache.Drop(ref{idp.TenantID(t), idp.ClientID(id)})
		})
	}
	return r
}

// Create registers an application of c.Tenant. A c.ID that is empty gets a
// new one. For a client that authenticates by secret it returns one, which is
// shown once and kept as its SHA-256. Invalid names the field that is wrong;
// Conflict says that id or name is taken.
func (r *Registry) Create(ctx context.Context, tx *sqldb.Tx, c Client) (Client, string, error) {
	c, err := check(c)
	if err != nil {
		return Client{}, "", err
	}
	if c.Tenant == "" {
		return Client{}, "", bad("tenant", "is missing")
	}
	if c.ID == "" {
		c.ID = idp.ClientID(secret.NewUUID4())
	} else if !plausible(c.ID) {
		return Client{}, "", bad("id", "must be up to 64 letters, digits, dots, hyphens and underscores")
	} else if IsBuiltIn(c.ID) {
		return Client{}, "", bad("id", "is that of an application that is built in")
	}
	c.Created, c.SecretDigests, c.Sector = r.now(), nil, sectorOf(c)
	if err := insert(ctx, tx, c); err != nil {
		return Client{}, "", err
	}
	if !c.Secretive() {
		return c, "", r.changed(ctx, tx, c.Tenant, c.ID)
	}
	shown, err := r.AddSecret(ctx, tx, c.Tenant, c.ID)
	if err != nil {
		return Client{}, "", err
	}
	c.SecretDigests = [][]byte{secret.Digest(shown)}
	return c, shown, nil
}

// Get finds an application of the tenant, or is NotFound; those that are built
// in too, which Load does not. It answers from a cache; Load does not.
func (r *Registry) Get(ctx context.Context, t idp.TenantID, id idp.ClientID) (Client, error) {
	if !plausible(id) {
		return Client{}, nothing(id)
	}
	if IsBuiltIn(id) {
		return r.builtIn(ctx, t, id)
	}
	return r.cache.Get(ctx, ref{t, id})
}

// plausible says whether id could be one of ours, so that what strangers send
// is not asked for.
func plausible(id idp.ClientID) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(string(id), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r))
	})
}

// Locate says which tenant an application belongs to, and nothing else of it
// (decisions 3.6). One that is built in belongs to none: it is NotFound.
func (r *Registry) Locate(ctx context.Context, id idp.ClientID) (idp.TenantID, error) {
	if !plausible(id) || IsBuiltIn(id) {
		return "", nothing(id)
	}
	var t idp.TenantID
	err := r.cfg.DB.QueryRow(ctx, `select tenant_id from client where id = $1`, id).Scan(&t)
	if errors.Is(err, idp.NotFound) {
		return "", nothing(id)
	}
	if err != nil {
		return "", fmt.Errorf("locate client: %w", err)
	}
	return t, nil
}

// Update replaces everything an administrator may change of an application:
// all but id, tenant, sector, secrets and time. NotFound when it is not the tenant's.
func (r *Registry) Update(ctx context.Context, tx *sqldb.Tx, c Client) (Client, error) {
	c, err := check(c)
	if err != nil {
		return Client{}, err
	}
	if err := update(ctx, tx, c); err != nil {
		return Client{}, err
	}
	if !c.Secretive() {
		// Secrets of a client that stopped using them must not work again
		// when it is switched back.
		if _, err := tx.Exec(ctx, `delete from client_secret where tenant_id = $1 and client_id = $2`, c.Tenant, c.ID); err != nil {
			return Client{}, fmt.Errorf("drop secrets of %s: %w", c.ID, err)
		}
	}
	if err := r.changed(ctx, tx, c.Tenant, c.ID); err != nil {
		return Client{}, err
	}
	return r.Load(ctx, tx, c.Tenant, c.ID)
}

// OnRemove has fn called in the transaction that deletes an application, so
// that what it was given goes too. It is called by app while wiring.
func (r *Registry) OnRemove(fn func(context.Context, *sqldb.Tx, idp.TenantID, idp.ClientID) error) {
	r.removed = append(r.removed, fn)
}

// Delete removes an application, its secrets, the consents to it, and by the
// hooks everything else.
func (r *Registry) Delete(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.ClientID) error {
	n, err := tx.Exec(ctx, `delete from client where tenant_id = $1 and id = $2`, t, id)
	if err != nil {
		return fmt.Errorf("delete client %s: %w", id, err)
	}
	if n == 0 {
		return nothing(id)
	}
	if _, err := tx.Exec(ctx, `delete from consent where tenant_id = $1 and client_id = $2`, t, id); err != nil {
		return fmt.Errorf("delete consents to %s: %w", id, err)
	}
	for _, fn := range r.removed {
		if err := fn(ctx, tx, t, id); err != nil {
			return fmt.Errorf("delete what client %s was given: %w", id, err)
		}
	}
	return r.changed(ctx, tx, t, id)
}

// AddSecret makes one more secret of 256 random bits and returns it; it cannot
// be read again. Denied beyond 5, so that old ones get removed.
func (r *Registry) AddSecret(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.ClientID) (string, error) {
	n, err := tx.Exec(ctx, `update client set name = name where tenant_id = $1 and id = $2`, t, id) // the lock for the count
	if err != nil {
		return "", fmt.Errorf("lock client: %w", err)
	}
	if n == 0 {
		return "", nothing(id)
	}
	c, err := r.Load(ctx, tx, t, id)
	if err != nil {
		return "", err
	}
	if !c.Secretive() {
		return "", bad("auth", "of this application takes no secret")
	}
	if len(c.SecretDigests) >= maxSecrets {
		return "", idp.Deniedf("too_many_secrets", "client %s has %d secrets", id, len(c.SecretDigests)).
			Say("An application may have 5 secrets. Remove the old ones first.")
	}
	shown := secret.Token()
	_, err = tx.Exec(ctx, `insert into client_secret (tenant_id, client_id, digest, created) values ($1, $2, $3, $4)`,
		t, id, secret.Digest(shown), r.now().UnixMilli())
	if err != nil {
		return "", fmt.Errorf("add secret: %w", err)
	}
	return shown, r.changed(ctx, tx, t, id)
}

// DropOldSecrets removes all secrets of an application but the newest, and
// returns how many went.
func (r *Registry) DropOldSecrets(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.ClientID) (int64, error) {
	c, err := r.Load(ctx, tx, t, id)
	if err != nil || len(c.SecretDigests) == 0 {
		return 0, err
	}
	newest := c.SecretDigests[len(c.SecretDigests)-1]
	n, err := tx.Exec(ctx, `delete from client_secret where tenant_id = $1 and client_id = $2 and digest <> $3`, t, id, newest)
	if err != nil {
		return 0, fmt.Errorf("drop secrets of %s: %w", id, err)
	}
	return n, r.changed(ctx, tx, t, id)
}

func (r *Registry) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.ClientID) error {
	if r.cfg.Bus == nil {
		return nil
	}
	return r.cfg.Bus.Publish(ctx, tx, Topic, string(t)+"/"+string(id))
}

func (r *Registry) now() time.Time { return r.cfg.Now().UTC().Truncate(time.Millisecond) }

func nothing(id idp.ClientID) error {
	return idp.NotFoundf("client_unknown", "client %q", id).Say("There is no such application.")
}
