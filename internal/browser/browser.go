package browser

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations is the table of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

const (
	// lives is how long a browser that is not used stays known.
	lives = 180 * 24 * time.Hour
	// fresh is how often a use is worth a write.
	fresh = 24 * time.Hour
	// most is how many browsers of one person are kept: the longest unused go.
	most = 50
	// maxAgent is how much of a User-Agent is kept, in characters.
	maxAgent = 256
)

// Config is what a Registry needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
}

// Registry keeps the browsers that are known.
type Registry struct {
	db  *sqldb.DB
	now func() time.Time
}

// New makes a Registry.
func New(cfg Config) *Registry { return &Registry{db: cfg.DB, now: cfg.Now} }

// Browser is one that is known, as its owner sees it.
type Browser struct {
	ID       string
	Agent    string // its User-Agent, cut
	Created  time.Time
	LastUsed time.Time
	Here     bool // it is the one with the digest that was asked for
}

// Remember makes the browser known for a person who has just proven themselves
// in it, phishing-resistantly: whose digest of the cookie this is, and whose key
// (SubjectPublicKeyInfo, see ParseKey). A browser with another key than before
// has lost its old one. One that is known and was used within a day costs one
// read and no transaction.
func (r *Registry) Remember(ctx context.Context, tenant idp.TenantID, user idp.UserID, digest, key []byte, agent string) error {
	now := r.now()
	var n int
	err := r.db.QueryRow(ctx, `
		select count(*) from known_browser
		where tenant_id = $1 and user_id = $2 and digest = $3 and key = $4 and last_used > $5 and expires > $6`,
		tenant, user, digest, key, now.Add(-fresh).UnixMilli(), now.UnixMilli()).Scan(&n)
	if err != nil {
		return fmt.Errorf("known browser: %w", err)
	}
	if n > 0 {
		return nil
	}
	return r.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into known_browser (tenant_id, id, user_id, digest, key, agent, created, last_used, expires)
			values ($1, $2, $3, $4, $5, $6, $7, $7, $8)
			on conflict (tenant_id, user_id, digest) do update
			set key = excluded.key, agent = excluded.agent, last_used = excluded.last_used, expires = excluded.expires`,
			tenant, secret.NewUUID4(), user, digest, key, audit.Clean(agent, maxAgent), now.UnixMilli(), now.Add(lives).UnixMilli())
		if err != nil {
			return fmt.Errorf("remember browser: %w", err)
		}
		_, err = tx.Exec(ctx, `
			delete from known_browser where tenant_id = $1 and user_id = $2 and id not in (
				select id from known_browser where tenant_id = $1 and user_id = $2 order by last_used desc, id desc limit $3)`,
			tenant, user, most)
		if err != nil {
			return fmt.Errorf("forget the longest unused: %w", err)
		}
		return nil
	})
}

// Knows gives the people whom this browser is known for, as its signature over
// message shows: see Message. Nothing shown, a wrong signature, and a key or a
// cookie that is not theirs give nobody, and are no error.
func (r *Registry) Knows(ctx context.Context, tenant idp.TenantID, digest []byte, s Shown, message []byte) ([]idp.UserID, error) {
	if len(digest) == 0 || !s.signs(message) {
		return nil, nil
	}
	rows, err := r.db.Query(ctx, `
		select user_id, key from known_browser where tenant_id = $1 and digest = $2 and expires > $3 order by user_id`,
		tenant, digest, r.now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("who is known in this browser: %w", err)
	}
	defer rows.Close()
	var out []idp.UserID
	for rows.Next() {
		var user idp.UserID
		var key []byte
		if err := rows.Scan(&user, &key); err != nil {
			return nil, fmt.Errorf("who is known in this browser: %w", err)
		}
		if bytes.Equal(key, s.Key) {
			out = append(out, user)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("who is known in this browser: %w", err)
	}
	return out, nil
}

// Used notes that a person whom this browser is known for has signed in with
// it, in whatever way; it makes none known. It writes once a day at most.
func (r *Registry) Used(ctx context.Context, tenant idp.TenantID, user idp.UserID, digest []byte) error {
	now := r.now()
	var n int
	err := r.db.QueryRow(ctx, `
		select count(*) from known_browser
		where tenant_id = $1 and user_id = $2 and digest = $3 and last_used <= $4 and expires > $5`,
		tenant, user, digest, now.Add(-fresh).UnixMilli(), now.UnixMilli()).Scan(&n)
	if err == nil && n > 0 {
		_, err = r.db.Exec(ctx, `
			update known_browser set last_used = $4, expires = $5
			where tenant_id = $1 and user_id = $2 and digest = $3 and expires > $4`,
			tenant, user, digest, now.UnixMilli(), now.Add(lives).UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("use of a known browser: %w", err)
	}
	return nil
}

// List gives the browsers that a person is known in, the one used last first.
// digest says which of them is Here; empty: none.
func (r *Registry) List(ctx context.Context, tenant idp.TenantID, user idp.UserID, digest []byte) ([]Browser, error) {
	rows, err := r.db.Query(ctx, `
		select id, digest, agent, created, last_used from known_browser
		where tenant_id = $1 and user_id = $2 and expires > $3
		order by last_used desc, id desc`, tenant, user, r.now().UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("known browsers: %w", err)
	}
	defer rows.Close()
	var out []Browser
	for rows.Next() {
		var b Browser
		var of []byte
		var created, used int64
		if err := rows.Scan(&b.ID, &of, &b.Agent, &created, &used); err != nil {
			return nil, fmt.Errorf("known browsers: %w", err)
		}
		b.Created, b.LastUsed = time.UnixMilli(created).UTC(), time.UnixMilli(used).UTC()
		b.Here = len(digest) > 0 && bytes.Equal(of, digest)
		out = append(out, b)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("known browsers: %w", err)
	}
	return out, nil
}

// Forget makes one browser of a person unknown; NotFound when it is not theirs.
func (r *Registry) Forget(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID, id string) error {
	n, err := tx.Exec(ctx, `delete from known_browser where tenant_id = $1 and user_id = $2 and id = $3`, tenant, user, id)
	if err != nil {
		return fmt.Errorf("forget a browser: %w", err)
	}
	if n == 0 {
		return idp.NotFoundf("browser_gone", "browser %.40q of user %s", id, user)
	}
	return nil
}

// ForgetAll makes all browsers of a person unknown: when they report a request
// that was not theirs and that came from one of these.
func (r *Registry) ForgetAll(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	if _, err := tx.Exec(ctx, `delete from known_browser where tenant_id = $1 and user_id = $2`, tenant, user); err != nil {
		return fmt.Errorf("forget browsers of %s: %w", user, err)
	}
	return nil
}

// RemoveUser forgets what is known of somebody who is removed.
func (r *Registry) RemoveUser(ctx context.Context, tx *sqldb.Tx, tenant idp.TenantID, user idp.UserID) error {
	return r.ForgetAll(ctx, tx, tenant, user)
}

// Jobs deletes what has not been used for long.
func (r *Registry) Jobs() []job.Job {
	return []job.Job{{Name: "browser.sweep", Every: time.Hour, Run: func(ctx context.Context, now time.Time) error {
		// Of all tenants: what is over is over everywhere.
		if _, err := r.db.Exec(ctx, `delete from known_browser where expires < $1`, now.UnixMilli()); err != nil {
			return fmt.Errorf("sweep known browsers: %w", err)
		}
		return nil
	}}}
}
