package push_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestLeavesWithTheCommit: not before it, not without it, and at once after.
func TestLeavesWithTheCommit(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		s := w.node(t)
		lanes(t, s) // nobody looks: what leaves leaves by the commit
		sub := w.service.Subscribe("")
		undone := errors.New("undone")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := s.Queue(ctx, tx, ref, target(sub), message("never")); err != nil {
				return err
			}
			return undone
		})
		if !errors.Is(err, undone) || w.rows(t) != 0 {
			t.Fatalf("%v, %d rows", err, w.rows(t))
		}
		err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := s.Queue(ctx, tx, ref, target(sub), message("r1")); err != nil {
				return err
			}
			if n := sub.Waiting(); n != 0 {
				t.Errorf("%d messages left before the commit", n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := sub.Arrived(t); !bytes.Contains(got.Plain, []byte(`"id":"r1"`)) || got.TTL < 1 || got.TTL > 60 {
			t.Errorf("%s, TTL %d", got.Plain, got.TTL)
		}
		s.Idle()
		if n := w.rows(t); n != 0 || sub.Waiting() != 0 {
			t.Errorf("%d rows, %d messages", n, sub.Waiting())
		}
		if told := w.told(); told != nil {
			t.Errorf("told of %v", told)
		}
	})
}

// TestTwoWorkers: of many messages that nobody has, each is sent once by two
// nodes that look at the same time.
func TestTwoWorkers(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		writer := w.node(t) // which sends nothing
		sub := w.service.Subscribe("")
		const n = 150
		for i := range n {
			w.queue(t, writer, target(sub), message(fmt.Sprint("r", i)))
		}
		var nodes []*push.Service
		for range 2 {
			s := w.node(t)
			lanes(t, s)
			nodes = append(nodes, s)
		}
		var wg sync.WaitGroup
		for _, s := range nodes {
			wg.Go(func() {
				for range 4 {
					if err := s.Look(t.Context()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for _, s := range nodes {
			s.Idle()
		}
		if got := sub.Waiting(); got != n || w.rows(t) != 0 {
			t.Errorf("%d messages and %d rows, want %d and none", got, w.rows(t), n)
		}
		seen := map[string]bool{}
		for range min(n, sub.Waiting()) {
			seen[string(sub.Arrived(t).Plain)] = true
		}
		if len(seen) != n {
			t.Errorf("%d different messages of %d", len(seen), n)
		}
	})
}

// TestCrash: a node that dies between claim and send leaves the message to
// another once its claim has run out, and not before.
func TestCrash(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		sub := w.service.Subscribe("")
		dead, other := w.node(t), w.node(t)
		lanes(t, other)
		ctx, die := context.WithCancel(t.Context())
		stop := dead.StartLanes(ctx)
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := dead.Queue(ctx, tx, ref, target(sub), message("r1")); err != nil {
				return err
			}
			die() // its claim is stored; its own send finds it dead
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		stop()
		if err := other.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		other.Idle()
		if sub.Waiting() != 0 || w.rows(t) != 1 {
			t.Fatalf("taken while another node has it: %d messages, %d rows", sub.Waiting(), w.rows(t))
		}
		w.advance(push.ClaimFor)
		if err := other.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := sub.Arrived(t); got.TTL != int((time.Minute-push.ClaimFor)/time.Second) {
			t.Errorf("TTL %d", got.TTL)
		}
		other.Idle()
		if n := w.rows(t); n != 0 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestClaimLost: a node that was slow to begin does not send what another has
// taken meanwhile, and keeps what nobody has.
func TestClaimLost(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		s, sub := w.node(t), w.service.Subscribe("")
		slow := w.service.Subscribe("")
		lanes(t, s)
		release := make(chan struct{})
		for range push.LaneWide {
			slow.Answer(pushtest.Answer{Status: 201, Do: func() { <-release }})
			w.queue(t, s, target(slow), message("slow"))
		}
		w.queue(t, s, target(sub), message("taken"), message("kept"))
		if _, err := db.Exec(t.Context(), `update push_message set claim = 'another' where id = (
			select id from push_message order by id desc limit 1 offset 1)`); err != nil {
			t.Fatal(err)
		}
		w.advance(push.ClaimFor - time.Second)
		close(release)
		if got := sub.Arrived(t); !bytes.Contains(got.Plain, []byte("kept")) {
			t.Errorf("%s", got.Plain)
		}
		s.Idle()
		if sub.Waiting() != 0 || w.rows(t) != 1 {
			t.Errorf("%d messages, %d rows", sub.Waiting(), w.rows(t))
		}
	})
}

// TestRetry: a busy service is asked again when it said, and not before.
func TestRetry(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		s, sub := w.node(t), w.service.Subscribe("")
		lanes(t, s)
		look := func() {
			t.Helper()
			if err := s.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.Idle()
		}
		sub.Answer(pushtest.Answer{Status: 429, RetryAfter: "20"}, pushtest.Answer{Status: 503}, pushtest.Answer{Status: 503})
		w.queue(t, s, target(sub), message("r1"))
		s.Idle()
		w.advance(19 * time.Second)
		look()
		if n := w.rows(t); n != 1 || sub.Waiting() != 0 {
			t.Fatalf("%d rows, %d messages", n, sub.Waiting())
		}
		w.advance(time.Second) // 20 s: the second try, which fails; the next after 4 s
		look()
		w.advance(2*push.FirstWait - time.Millisecond)
		look()
		w.advance(time.Millisecond)
		look() // the third, which fails; the next after 8 s
		if sub.Waiting() != 0 {
			t.Fatal("sent although three answers were refusals")
		}
		w.advance(4 * push.FirstWait)
		look()
		if got := sub.Arrived(t); got.TTL != 60-20-4-8 {
			t.Errorf("TTL %d", got.TTL)
		}
		if n := w.rows(t); n != 0 {
			t.Errorf("%d rows", n)
		}
		if told := w.told(); told != nil {
			t.Errorf("told of %v", told)
		}
	})
}

// TestTooLate: what cannot be sent in its life is dropped, and that is told.
func TestTooLate(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		s, sub := w.node(t), w.service.Subscribe("")
		stop := s.StartLanes(t.Context())
		sub.Answer(pushtest.Answer{Status: 429, RetryAfter: "60"})
		w.queue(t, s, target(sub), message("r1"))
		s.Idle()
		if told := w.told(); w.rows(t) != 0 || len(told) != 1 {
			t.Errorf("%d rows, told of %v", w.rows(t), told)
		}
		stop()
		// One that nobody had time for.
		writer := w.node(t)
		w.queue(t, writer, target(sub), message("r2"))
		w.advance(time.Minute)
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := w.rows(t); n != 1 {
			t.Fatalf("%d rows", n)
		}
		if err := s.Sweep(t.Context()); err != nil || w.rows(t) != 0 {
			t.Errorf("%v, %d rows", err, w.rows(t))
		}
		if n := sub.Waiting(); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

// TestGone: the subscription is cleared in the transaction that ends the
// message, or neither happens.
func TestGone(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		s, sub := w.node(t), w.service.Subscribe("")
		w.service.Unsubscribe(sub)
		var cleared []push.Ref
		fails := errors.New("no luck")
		result := fails
		s.OnGone(func(_ context.Context, _ *sqldb.Tx, r push.Ref) error {
			cleared = append(cleared, r)
			return result
		})
		lanes(t, s)
		w.queue(t, s, target(sub), message("r1"))
		s.Idle()
		if told := w.told(); w.rows(t) != 1 || len(told) != 1 || !errors.Is(told[0], fails) {
			t.Fatalf("%d rows, told of %v", w.rows(t), told)
		}
		result, cleared = nil, nil
		w.advance(push.ClaimFor)
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Idle()
		if len(cleared) != 1 || cleared[0] != ref || w.rows(t) != 0 {
			t.Errorf("cleared %v, %d rows", cleared, w.rows(t))
		}
	})
}

// TestNewerTakesThePlace: an older message of one topic is not tried again
// after a newer one, and other topics and phones are left alone.
func TestNewerTakesThePlace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		writer, sub := w.node(t), w.service.Subscribe("")
		for i, topic := range []string{"a", "b", "a", "", ""} {
			m := message(fmt.Sprint("r", i))
			m.Topic = topic
			w.queue(t, writer, target(sub), m)
		}
		if n := w.rows(t); n != 4 {
			t.Errorf("%d rows", n)
		}
		s := w.node(t)
		lanes(t, s)
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Idle()
		for range sub.Waiting() {
			if got := sub.Arrived(t); bytes.Contains(got.Plain, []byte(`"r0"`)) {
				t.Error("the older one was sent")
			}
		}
	})
}

// TestHangingService: it keeps neither the one who queues waiting nor the
// messages to others.
func TestHangingService(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	other := pushtest.New(t)
	roots := w.service.Roots()
	roots.AppendCertsFromPEM(other.PEM())
	s := w.node(t, func(c *push.Config) { c.Hosts, c.Roots = hosts(t, w.service.Host(), other.Host()), roots })
	hangs, works := w.service.Subscribe(""), other.Subscribe("")
	stop := run(t, s)
	eventually(t, "that it runs", func() bool {
		w.queue(t, s, target(works), message("first"))
		return works.Waiting() > 0
	})
	for range push.LaneWide + 5 {
		hangs.Answer(pushtest.Answer{Hang: true})
		w.queue(t, s, target(hangs), message("stuck"))
	}
	w.queue(t, s, target(works), message("through"))
	for !bytes.Contains(works.Arrived(t).Plain, []byte("through")) {
	}
	eventually(t, "only what is stuck", func() bool { return w.rows(t) == push.LaneWide+5 })
	stop() // with messages under way: they are given back
	if n := w.rows(t); n != push.LaneWide+5 {
		t.Errorf("%d rows", n)
	}
}

// TestStopGivesBack: what was under way when a node stops another sends at
// once.
func TestStopGivesBack(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		first, second, sub := w.node(t), w.node(t), w.service.Subscribe("")
		under := make(chan struct{})
		sub.Answer(pushtest.Answer{Hang: true, Do: func() { close(under) }})
		ctx, cancel := context.WithCancel(t.Context())
		stop := first.StartLanes(ctx)
		w.queue(t, first, target(sub), message("r1"))
		<-under
		cancel()
		stop()
		lanes(t, second)
		w.advance(time.Millisecond)
		if err := second.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		second.Idle()
		if n := sub.Waiting(); n != 1 || w.rows(t) != 0 {
			t.Errorf("%d messages, %d rows", n, w.rows(t))
		}
	})
}

// TestQueueRefused: what would not be sent keeps nobody from signing in.
func TestQueueRefused(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	s := w.node(t)
	sub := w.service.Subscribe("")
	to := target(sub)
	to.Endpoint = "https://push.example.com/x"
	w.queue(t, s, to, message("r1"))
	told := w.told()
	if len(told) != 1 || w.rows(t) != 0 {
		t.Fatalf("told of %v, %d rows", told, w.rows(t))
	}
	reason(t, told[0], "push_endpoint_host")
	m := message("r2")
	m.Lives = 0
	w.queue(t, s, target(sub), m)
	if told := w.told(); told != nil || w.rows(t) != 0 {
		t.Errorf("told of %v, %d rows", told, w.rows(t))
	}
	fresh, err := push.New(w.config(t))
	if err != nil {
		t.Fatal(err)
	}
	err = w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return fresh.Queue(ctx, tx, ref, target(sub), message("r3"))
	})
	if err == nil {
		t.Error("queued without a key")
	}
}

// TestByRunning: with everything in its place, on both databases, from commit
// to the push service.
func TestByRunning(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db)
		writer, s, sub := w.node(t), w.node(t), w.service.Subscribe("")
		w.queue(t, writer, target(sub), message("left by another"))
		run(t, s)
		sub.Arrived(t)
		w.queue(t, s, target(sub), message("own"))
		if got := sub.Arrived(t); !bytes.Contains(got.Plain, []byte("own")) {
			t.Errorf("%s", got.Plain)
		}
		eventually(t, "no rows", func() bool { return w.rows(t) == 0 })
	})
}

// BenchmarkCommitToService measures from the call of Write to the arrival of
// the message.
func BenchmarkCommitToService(b *testing.B) {
	db := sqldbtest.Open(b, sources)
	w := newWorld(b, db)
	s, sub := w.node(b), w.service.Subscribe("")
	lanes(b, s)
	for b.Loop() {
		err := db.Write(b.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return s.Queue(ctx, tx, ref, target(sub), message("r"))
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := sub.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
