package phone

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// What phones are told on a screen that others may see (PHN06). The app says
// more once it is open.
const (
	tellTitle = "Someone is signing in. Is it you?"
	tellBody  = "Open to see where from, and to answer."
)

// jobTell tells phones of requests. It is a job of its own, and no part of
// asking, so that asking costs the same for people with no phone, with one and
// with many (T34): all that asking leaves is its row.
const jobTell = "phone.tell"

// tellBatch bounds how many requests one look finds.
const tellBatch = 200

// Tell queues the messages of requests that phones have not heard of yet.
func (m *Room) Tell(ctx context.Context, now time.Time) error {
	for {
		some, err := untold(ctx, m.db, now, tellBatch)
		if err != nil {
			return fmt.Errorf("find requests to tell of: %w", err)
		}
		var failed error
		for _, q := range some {
			// One whose phones cannot be told keeps nobody else waiting.
			if err := m.tell(ctx, q, now); err != nil {
				failed = errors.Join(failed, err)
			}
		}
		if failed != nil || len(some) < tellBatch {
			return failed
		}
	}
}

func (m *Room) tell(ctx context.Context, q request, now time.Time) error {
	// Keys are made in transactions of their own.
	key, err := m.cfg.Seal(ctx, q.tenant)
	if err != nil {
		return fmt.Errorf("key of subscriptions: %w", err)
	}
	return m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		mine, err := claimTold(ctx, tx, q)
		if err != nil || !mine || m.cfg.Push == nil {
			return err
		}
		phones, err := phonesOf(ctx, tx, q.tenant, q.subject)
		if err != nil {
			return err
		}
		for _, p := range phones {
			to, ok, err := p.target(key)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			err = m.cfg.Push.Queue(ctx, tx, push.Ref{Tenant: p.tenant, Phone: p.id}, to, push.Message{
				ID: q.id, Title: tellTitle, Body: tellBody, Navigate: m.cfg.BaseURL + "/phone/#" + q.id,
				Topic: topicOf(key, "signin", p), Lives: q.expires.Sub(now),
			})
			if err != nil {
				return fmt.Errorf("queue a message to %s: %w", p.id, err)
			}
		}
		return nil
	})
}

// topicOf is the topic of one kind of message to one phone: a newer one takes
// the place of one that was not delivered. It tells a push service nothing.
func topicOf(key *secret.Key, kind string, p phoneRow) string {
	mac := key.MAC([]byte("phone topic"), []byte(kind), []byte(p.tenant), []byte(p.id))
	return base64.RawURLEncoding.EncodeToString(mac[:24])
}

// Unsubscribe forgets where messages for a phone go, when that will never take
// one again. An app that is opened sees it, and subscribes anew.
func (m *Room) Unsubscribe(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.CredentialID) error {
	if _, err := tx.Exec(ctx, `update phone set push_kind = '', push = $3 where tenant_id = $1 and id = $2`, t, id, []byte{}); err != nil {
		return fmt.Errorf("forget the subscription of phone %s: %w", id, err)
	}
	return nil
}
