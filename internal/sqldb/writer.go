package sqldb

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// queueWithin bounds how long a caller waits to be taken. It turns a hung disk,
// or a function that waits for another write, into an error.
const queueWithin = 10 * time.Second

// maxBatch bounds how many callers share a commit, and so how long the first
// of them waits for the last.
const maxBatch = 256

// writer is the one goroutine that writes to a SQLite file. It takes whatever
// has queued into one transaction and commits once for all: the wait for the
// disk, which is nearly all of a small write, is shared. There is no timer; a
// lone caller is not kept waiting for company. Only when a caller of a batch
// fails is the batch run again, with a savepoint per caller.
type writer struct {
	conn  *conn
	queue chan *task
	done  chan struct{} // closed when the goroutine has ended for good

	mu     sync.RWMutex // held for reading while queueing
	closed bool

	batch []*task // under way; belongs to the goroutine
	end   bool    // the queue is closed and empty
}

// The states of a task. It belongs to its caller until taken.
const (
	queued int32 = iota
	taken
	withdrawn
)

type task struct {
	ctx   context.Context
	fn    func(context.Context, *Tx) error
	state atomic.Int32
	done  chan struct{}

	// Written by the writer, read by the caller after done.
	tx       Tx
	err      error
	panicked error // a panic of fn, to go on in the caller
	exited   bool  // fn ended its goroutine (t.Fatal does)
}

func startWriter(c *conn) *writer {
	w := &writer{conn: c, queue: make(chan *task, 4*maxBatch), done: make(chan struct{})}
	go w.run()
	return w
}

// do queues fn and waits for its commit.
func (w *writer) do(ctx context.Context, e engine, fn func(context.Context, *Tx) error) error {
	t := &task{ctx: ctx, fn: fn, done: make(chan struct{})}
	t.tx = Tx{session: w.conn, engine: e}
	late := time.NewTimer(queueWithin)
	defer late.Stop()
	if err := w.enqueue(t, late.C); err != nil {
		return e.classify(err)
	}
	var gone error
	select {
	case <-t.done:
	case <-ctx.Done():
		gone = ctx.Err()
	case <-late.C:
		gone = lateError()
	}
	if gone != nil {
		if t.state.CompareAndSwap(queued, withdrawn) {
			return e.classify(gone)
		}
		<-t.done // fn has run or is running; only its outcome is the truth
	}
	switch {
	case t.panicked != nil:
		panic(t.panicked)
	case t.exited:
		runtime.Goexit()
	case t.err == nil:
		t.tx.committed()
	}
	return t.err
}

func lateError() error {
	return idp.Unavailablef("database_busy", "other writes took longer than %v", queueWithin)
}

func (w *writer) enqueue(t *task, late <-chan time.Time) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return closedError()
	}
	select {
	case w.queue <- t:
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	case <-late:
		return lateError()
	}
}

// close lets queued writes finish. It is called once.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	close(w.queue)
	w.mu.Unlock()
	<-w.done
}

func (w *writer) run() {
	defer func() {
		if w.end {
			close(w.done)
			return
		}
		// A function called runtime.Goexit. The goroutine cannot be saved, but
		// the writer can.
		w.fail(idp.Unavailablef("write_interrupted", "another caller of this commit ended its goroutine"))
		go w.run()
	}()
	for w.take() {
		w.commitBatch()
	}
	w.end = true
}

// take collects the next batch.
func (w *writer) take() bool {
	t, ok := <-w.queue
	if !ok {
		return false
	}
	// The callers of the last commit are being woken and come back with their
	// next write; one turn of the scheduler lets them join this batch.
	runtime.Gosched()
	w.batch = w.batch[:0]
	for {
		if t.state.CompareAndSwap(queued, taken) {
			w.batch = append(w.batch, t)
		}
		if len(w.batch) == maxBatch {
			return true
		}
		select {
		case t, ok = <-w.queue:
			if !ok {
				return true
			}
		default:
			return true
		}
	}
}

// commitBatch runs the tasks of the batch and answers each.
func (w *writer) commitBatch() {
	if len(w.batch) == 0 {
		return
	}
	for _, attempt := range []func() (bool, error){w.flat, w.nested} {
		done, err := attempt()
		if err != nil {
			w.fail(err)
			return
		}
		if done {
			w.answer()
			return
		}
	}
}

// flat runs the batch without savepoints. It is not done when one caller of
// several failed, or when a lone one has to undo a part: then nothing of it
// has happened.
func (w *writer) flat() (done bool, err error) {
	if err := w.exec("begin immediate"); err != nil {
		return false, err
	}
	for _, t := range w.batch {
		w.begin(t, true)
		w.call(t)
		if t.err != nil {
			w.exec("rollback") // SQLite may have done so itself, then this fails harmlessly
			return len(w.batch) == 1 && t.tx.failed != errFlat, nil
		}
	}
	return true, w.exec("commit")
}

// nested runs every caller of the batch in a savepoint, so that a failing one
// takes nothing of the others along. It returns an error when the transaction
// as a whole is lost: after a full disk or an I/O error SQLite itself rolls
// back everything, and then the savepoint is gone.
func (w *writer) nested() (done bool, err error) {
	if err := w.exec("begin immediate"); err != nil {
		return false, err
	}
	for _, t := range w.batch {
		if err := w.exec("savepoint caller"); err != nil {
			return false, err
		}
		w.begin(t, false)
		w.call(t)
		if t.err != nil {
			if err := w.exec("rollback to savepoint caller"); err != nil {
				return false, errors.Join(t.err, err)
			}
		}
		if err := w.exec("release savepoint caller"); err != nil {
			return false, err
		}
	}
	return true, w.exec("commit")
}

// begin forgets what an earlier attempt left.
func (w *writer) begin(t *task, flat bool) {
	t.tx = Tx{session: w.conn, engine: t.tx.engine, flat: flat}
	t.err, t.panicked = nil, nil
}

// call runs the function of t and keeps its error, whatever it does.
func (w *writer) call(t *task) {
	returned := false
	defer func() {
		if returned {
			return
		}
		if r := recover(); r != nil {
			t.panicked = fmt.Errorf("%v [in a write]\n%s", r, debug.Stack())
			t.err = t.panicked
			t.tx.sound()
			return
		}
		t.exited = true
	}()
	t.err = t.fn(t.ctx, &t.tx)
	if err := t.tx.sound(); t.err == nil {
		t.err = err
	}
	returned = true
}

// answer tells every caller its own outcome.
func (w *writer) answer() {
	for i, t := range w.batch {
		w.batch[i] = nil
		close(t.done)
	}
	w.batch = w.batch[:0]
}

// fail undoes the batch and tells every caller why. One who panicked or had an
// error of their own keeps it.
func (w *writer) fail(err error) {
	w.exec("rollback")
	err = unavailable(err)
	for _, t := range w.batch {
		if t.tx.open != nil {
			t.tx.open.Close()
		}
		if t.err == nil {
			t.err = err
		}
	}
	w.answer()
}

func (w *writer) exec(query string) error {
	_, err := w.conn.exec(context.Background(), query, nil)
	return classifySQLite(err)
}
