package certificate

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
)

// handoverLives is how long the way back from a handshake may take
// (decisions 5.6).
const handoverLives = time.Minute

// handover is what came from one handshake.
type handover struct {
	code     []byte // SHA-256
	tenant   idp.TenantID
	ceremony string // the ticket of the ceremony that it was made for
	chain    []byte
	expires  time.Time
}

func insertHandover(ctx context.Context, db *sqldb.DB, h handover) error {
	return db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into certificate_handover (code, tenant_id, ceremony, chain, expires) values ($1, $2, $3, $4, $5)`,
			h.code, h.tenant, h.ceremony, h.chain, h.expires.UnixMilli())
		return err
	})
}

// handover is what came from a handshake at this node, or at another.
func (m *Room) handover(ctx context.Context, t idp.TenantID, code []byte) (handover, error) {
	if h, ok := m.recent.take(t, code); ok {
		return h, nil
	}
	return findHandover(ctx, m.db, t, code)
}

func findHandover(ctx context.Context, q sqldb.Querier, t idp.TenantID, code []byte) (handover, error) {
	h := handover{code: code, tenant: t}
	var expires int64
	err := q.QueryRow(ctx, `select ceremony, chain, expires from certificate_handover where tenant_id = $1 and code = $2`, t, code).
		Scan(&h.ceremony, &h.chain, &expires)
	h.expires = time.UnixMilli(expires)
	return h, err
}

// fetch takes a handover away: true for the one who did, and in time.
func (h handover) fetch(ctx context.Context, tx *sqldb.Tx, now time.Time) (bool, error) {
	n, err := tx.Exec(ctx, `delete from certificate_handover where tenant_id = $1 and code = $2 and expires > $3`, h.tenant, h.code, now.UnixMilli())
	return n == 1, err
}

// drop takes it away whatever became of it.
func (h handover) drop(ctx context.Context, tx *sqldb.Tx) error {
	_, err := tx.Exec(ctx, `delete from certificate_handover where tenant_id = $1 and code = $2`, h.tenant, h.code)
	return err
}

// certificates reads a stored chain. It was read once before it was stored.
func (h handover) certificates() ([]*x509.Certificate, error) {
	chain, err := x509.ParseCertificates(h.chain)
	if err == nil && len(chain) == 0 {
		err = errors.New("no certificate")
	}
	return chain, err
}

// sweepBatch bounds how much one transaction deletes, Kept is how long a
// certificate that is over is shown.
const (
	sweepBatch = 500
	Kept       = 30 * 24 * time.Hour
)

// Jobs implements method.Worker.
func (m *Room) Jobs() []job.Job {
	return []job.Job{
		{Name: "certificate.handover", Every: 5 * time.Minute, Run: m.SweepHandovers},
		{Name: "certificate.sweep", Every: 6 * time.Hour, Run: m.SweepSeen},
	}
}

// SweepHandovers deletes what nobody has fetched in time, of all tenants.
func (m *Room) SweepHandovers(ctx context.Context, now time.Time) error {
	return m.sweep(ctx, `
		delete from certificate_handover where code in (select code from certificate_handover where expires <= $1 order by expires limit $2)`, now)
}

// SweepSeen deletes what was seen of certificates that are over for as long as
// Kept, barred ones too: nobody comes in with one.
func (m *Room) SweepSeen(ctx context.Context, now time.Time) error {
	return m.sweep(ctx, `
		delete from certificate_seen where (tenant_id, user_id, id) in (
			select tenant_id, user_id, id from certificate_seen where not_after <= $1 order by not_after limit $2)`, now.Add(-Kept))
}

func (m *Room) sweep(ctx context.Context, query string, before time.Time) error {
	for {
		var n int64
		err := m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = tx.Exec(ctx, query, before.UnixMilli(), sweepBatch)
			return err
		})
		if err != nil {
			return fmt.Errorf("sweep certificates: %w", err)
		}
		if n < sweepBatch {
			return nil
		}
	}
}
