package sqldb

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenAgain is the pause before a lost LISTEN connection is made anew.
const listenAgain = time.Second

// listen holds a connection outside the pool, which waits for notices.
func (e *postgresEngine) listen(ctx context.Context, channel string, fn func(payload string)) error {
	for {
		err := e.listenOnce(ctx, channel, fn)
		if ctx.Err() != nil {
			return nil
		}
		e.log.Warn("database notices interrupted", "channel", channel, "err", err)
		if !sleep(ctx, listenAgain) {
			return nil
		}
	}
}

func (e *postgresEngine) listenOnce(ctx context.Context, channel string, fn func(payload string)) error {
	c, err := pgx.ConnectConfig(ctx, e.config.Copy())
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectWithin)
		defer cancel()
		c.Close(ctx)
	}()
	if _, err := c.Exec(ctx, "listen "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		fn(n.Payload)
	}
}

// notify rides on the transaction: PostgreSQL sends it at the commit.
func (e *postgresEngine) notify(ctx context.Context, tx *Tx, channel, payload string) error {
	_, err := tx.Exec(ctx, "select pg_notify($1, $2)", channel, payload)
	return err
}
