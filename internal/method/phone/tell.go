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

const (
	// tellEvery is how often a node looks for requests whose own node did not
	// come to tell of them.
	tellEvery = 2 * time.Second
	// tellBatch bounds how many requests one transaction tells of.
	tellBatch = 50
)

// Run tells phones of requests, as soon as one is made here and every now and
// then, until ctx ends. It returns nil. It is no part of asking, so that asking
// costs the same for people with no phone, with one and with many (T34): all
// that asking leaves is its row (ADR 0024).
func (m *Room) Run(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	down := false
	for {
		err := m.Tell(ctx, m.cfg.Now())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !down && m.cfg.Failed != nil {
			m.cfg.Failed(err)
		}
		down = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-m.asks:
		case <-tick.C:
		}
	}
}

// kick has Run look now; it does not wait.
func (m *Room) kick() {
	select {
	case m.asks <- struct{}{}:
	default: // it will look anyway
	}
}

// Tell queues the messages of requests that phones have not heard of yet, on
// however many nodes it is called at once.
func (m *Room) Tell(ctx context.Context, now time.Time) error {
	var broken error
	for {
		some, err := untold(ctx, m.db, now, tellBatch)
		if err != nil {
			return errors.Join(broken, fmt.Errorf("find requests to tell of: %w", err))
		}
		if len(some) == 0 {
			return broken
		}
		// Keys are made in transactions of their own.
		keys := make(map[idp.TenantID]*secret.Key)
		for _, q := range some {
			if keys[q.tenant] != nil {
				continue
			}
			if keys[q.tenant], err = m.cfg.Seal(ctx, q.tenant); err != nil {
				return errors.Join(broken, fmt.Errorf("key of subscriptions: %w", err))
			}
		}
		var dud error
		err = m.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			dud = nil
			for _, q := range some {
				d, err := m.tell(ctx, tx, keys[q.tenant], q, now)
				if err != nil {
					return err
				}
				dud = errors.Join(dud, d)
			}
			return nil
		})
		broken = errors.Join(broken, dud)
		if err != nil || len(some) < tellBatch {
			return errors.Join(broken, err)
		}
	}
}

// tell queues what one request has to tell. dud says whose target cannot be
// read: that phone is not told, and keeps no other waiting.
func (m *Room) tell(ctx context.Context, tx *sqldb.Tx, key *secret.Key, q request, now time.Time) (dud, err error) {
	mine, err := claimTold(ctx, tx, q)
	if err != nil || !mine || m.cfg.Push == nil {
		return nil, err
	}
	phones, err := phonesOf(ctx, tx, q.tenant, q.subject)
	if err != nil {
		return nil, fmt.Errorf("phones to tell: %w", err)
	}
	for _, p := range phones {
		to, ok, err := p.target(key)
		if err != nil {
			dud = errors.Join(dud, err)
			continue
		}
		if !ok {
			continue
		}
		err = m.cfg.Push.Queue(ctx, tx, push.Ref{Tenant: p.tenant, Phone: p.id}, to, push.Message{
			ID: q.id, Title: tellTitle, Body: tellBody, Navigate: m.cfg.BaseURL + "/phone/#" + q.id,
			Topic: topicOf(key, "signin", p), Lives: q.expires.Sub(now),
		})
		if err != nil {
			return nil, fmt.Errorf("queue a message to %s: %w", p.id, err)
		}
	}
	return dud, nil
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
