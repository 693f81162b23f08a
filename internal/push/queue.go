package push

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Paces of the queue.
const (
	lookEvery  = 2 * time.Second  // a node looks this often for what others left, and for what is to be tried again
	sweepEvery = time.Minute      // for what is of no use any more
	firstWait  = 2 * time.Second  // after a failure; doubles
	longest    = 30 * time.Second // unless the service wants more
	batch      = 64
)

// parcel is what is sealed in the database.
type parcel struct {
	Target  Target  `json:"target"`
	Message Message `json:"message"`
}

// item is a message that this node has claimed.
type item struct {
	row
	claim string
	parcel
}

func (r row) aad() []byte {
	return []byte("push_message/1 " + string(r.ref.Tenant) + " " + string(r.ref.Phone) + " " + r.id)
}

// Queue has a message sent once tx commits, and again until it is of no use. It
// never waits for a push service. A target that Check refuses by now is passed
// over: that must keep nobody from signing in.
//
// The message is stored as this node's already, so that it leaves right after
// the commit without another write; when the node cannot send it, others may
// after 15 seconds.
func (s *Service) Queue(ctx context.Context, tx *sqldb.Tx, ref Ref, to Target, m Message) error {
	key := s.key.Load()
	if key == nil {
		return errors.New("push: Prepare was not called before Queue")
	}
	if err := s.Check(to); err != nil {
		tx.OnCommit(func() { s.failed(ref, err) })
		return nil
	}
	now := s.cfg.Now()
	m.Lives = min(m.Lives, MaxLife)
	if m.Lives <= 0 {
		return nil
	}
	it := item{row: row{id: secret.NewUUID7(now), ref: ref, expires: now.Add(m.Lives)}, parcel: parcel{to, m}}
	if s.lanes.open() {
		it.claim, it.until, it.tries = secret.NewUUID4(), now.Add(claimFor), 1
	} else {
		it.until = now.Add(-time.Millisecond) // whoever runs
	}
	plain, err := json.Marshal(it.parcel)
	if err != nil {
		return fmt.Errorf("write push message: %w", err)
	}
	it.sealed = key.Seal(plain, it.aad())
	if err := insert(ctx, tx, it.row, m.Topic, it.claim, now); err != nil {
		return fmt.Errorf("queue push message: %w", err)
	}
	if it.claim != "" {
		tx.OnCommit(func() { s.lanes.put(s, it) })
	}
	return nil
}

// Run sends what is queued, here and by nodes that died, until ctx ends. It
// returns nil.
func (s *Service) Run(ctx context.Context) error {
	s.lanes.start(ctx)
	defer s.lanes.stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var swept time.Time
	down := false
	for {
		err := s.look(ctx)
		if now := s.cfg.Now(); err == nil && now.Sub(swept) >= sweepEvery {
			swept, err = now, drop(ctx, s.cfg.DB, now)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !down {
			s.tell(fmt.Errorf("push messages cannot be read: %w", err))
		}
		down = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look claims what is due and nobody's, and has it sent. Most of the time it
// finds nothing, which costs one read.
func (s *Service) look(ctx context.Context) error {
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	for {
		now := s.cfg.Now()
		some, err := waiting(ctx, s.cfg.DB, now)
		if err != nil || !some {
			return err
		}
		claim, until := secret.NewUUID4(), now.Add(claimFor)
		var rows []row
		err = s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			rows, err = claimDue(ctx, tx, claim, now, until, batch)
			return err
		})
		if err != nil {
			return fmt.Errorf("claim push messages: %w", err)
		}
		for _, r := range rows {
			s.lanes.put(s, s.open(r, claim))
		}
		if len(rows) < batch {
			return nil
		}
	}
}

// open unseals a row. One that cannot be opened has a target that is refused,
// and so ends as one.
func (s *Service) open(r row, claim string) item {
	it := item{row: r, claim: claim}
	plain, err := s.key.Load().Open(r.sealed, r.aad())
	if err == nil {
		err = json.Unmarshal(plain, &it.parcel)
	}
	if err != nil {
		it.parcel = parcel{}
	}
	return it
}

// deliver sends one message and settles what became of it. It panics never.
func (s *Service) deliver(ctx context.Context, it item) {
	now := s.cfg.Now()
	if it.until.Sub(now) < sendWithin && now.Before(it.expires) {
		// It waited for its turn so long that others may soon take it.
		ours, err := extend(ctx, s.cfg.DB, it.ref.Tenant, it.id, it.claim, now.Add(claimFor))
		if err != nil {
			s.failed(it.ref, err)
		}
		if err != nil || !ours {
			return
		}
	}
	m := it.Message
	m.Lives = it.expires.Sub(now)
	res := s.safely(ctx, it.Target, m)
	stopped := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.settle(ctx, it, res, stopped); err != nil {
		s.failed(it.ref, err)
	}
}

// safely turns a panic of a library into a result.
func (s *Service) safely(ctx context.Context, to Target, m Message) (res Result) {
	defer func() {
		if p := recover(); p != nil {
			res = faulty("push_panic", "Something went wrong on this server.", "panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.Send(ctx, to, m)
}

// settle writes down what became of a message.
func (s *Service) settle(ctx context.Context, it item, res Result, stopped bool) error {
	now := s.cfg.Now()
	due := now
	if !stopped {
		due = now.Add(max(res.After, min(firstWait<<min(max(it.tries-1, 0), 8), longest)))
	}
	again := res.Outcome == Later && due.Before(it.expires)
	if !again && res.Err != nil && res.Outcome != Gone {
		s.failed(it.ref, res.Err)
	}
	return s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		if again {
			return giveBack(ctx, tx, it.ref.Tenant, it.id, it.claim, due)
		}
		ours, err := remove(ctx, tx, it.ref.Tenant, it.id, it.claim)
		if err != nil || res.Outcome != Gone || !ours || s.onGone == nil {
			return err
		}
		return s.onGone(ctx, tx, it.ref)
	})
}

func (s *Service) failed(ref Ref, err error) {
	s.tell(fmt.Errorf("push to phone %s of tenant %s: %w", ref.Phone, ref.Tenant, err))
}

func (s *Service) tell(err error) {
	if s.cfg.Failed != nil {
		s.cfg.Failed(err)
	}
}
