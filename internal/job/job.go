package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Job is a piece of background work.
type Job struct {
	Name  string        // unique: "token.sweep"
	Every time.Duration // from the end of one run to the next
	// Run does the work. It may be cut short by ctx, and may be run again
	// after it was done. An error is logged, and the job tried again sooner
	// than Every.
	Run func(ctx context.Context, now time.Time) error
	// Forgets says that Run deletes by age what is still needed when the clock
	// was wrong: that something was spent, what happened. When the clock leaps
	// ahead Run is told the time it was told before, for as many runs as make a
	// day (patience): a leap that is put right by then has deleted nothing
	// (security.md REL07). So has a server that was off for a while.
	Forgets bool
}

const (
	lease     = time.Minute      // how long a dead node keeps others from its jobs
	lookAgain = 30 * time.Second // a node looks this often what others have done
	firstWait = 5 * time.Second  // after a failure; doubles up to Every
	drift     = 10 * time.Minute // what a time of another node, or of before, may be ahead of this clock
	leap      = 30 * time.Minute // by how much more than Every time may go on from one run to the next
	patience  = 25 * time.Hour   // how long a leap has to last, in runs; longer than what is spent is remembered for
)

// Runner runs jobs. Add them, then Run.
type Runner struct {
	db   *sqldb.DB
	node string
	now  func() time.Time
	log  *slog.Logger

	mu    sync.Mutex
	jobs  []Job
	kicks map[string]chan struct{}
}

// New returns a runner without jobs. node names this server in the lease.
func New(db *sqldb.DB, node string, now func() time.Time, log *slog.Logger) *Runner {
	return &Runner{db: db, node: node, now: now, log: log, kicks: map[string]chan struct{}{}}
}

// Add adds jobs, before Run. A name that is taken or empty, or a job that
// cannot run, is a mistake in the program and panics.
func (r *Runner) Add(jobs ...Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range jobs {
		if j.Name == "" || j.Run == nil || j.Every <= 0 || r.kicks[j.Name] != nil {
			panic(fmt.Sprintf("job: %q has no name, Run or Every, or was added before", j.Name))
		}
		r.jobs = append(r.jobs, j)
		r.kicks[j.Name] = make(chan struct{}, 1)
	}
}

// Kick asks for a run of the job now, or, if one is under way on any node,
// right after it. It does not wait. Kicks that come together are one. An
// unknown name is ignored.
func (r *Runner) Kick(name string) {
	r.mu.Lock()
	c := r.kicks[name]
	r.mu.Unlock()
	select {
	case c <- struct{}{}: // never ready when c is nil
	default:
	}
}

// Run runs the jobs until ctx ends and then waits for those under way, whose
// contexts have ended, too. It returns nil.
func (r *Runner) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, j := range r.jobs {
		wg.Go(func() { r.loop(ctx, j) })
	}
	wg.Wait()
	return nil
}

// loop runs one job whenever it is due and no other node runs it.
func (r *Runner) loop(ctx context.Context, j Job) {
	log := r.log.With("job", j.Name)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		kicked := false
		select {
		case <-ctx.Done():
			return
		case <-r.kicks[j.Name]:
			kicked = true
		case <-timer.C:
		}
		wait, err := r.turn(ctx, j, kicked, log)
		if err != nil && ctx.Err() == nil {
			log.Warn("job could not be claimed", "err", err)
			if kicked {
				r.Kick(j.Name) // the database did not hear of it
			}
			wait = firstWait
			pause(ctx, time.Second)
		}
		timer.Reset(wait)
	}
}

// turn runs the job if it is due, and says when to look again.
func (r *Runner) turn(ctx context.Context, j Job, kicked bool, log *slog.Logger) (time.Duration, error) {
	if err := insert(ctx, r.db, j.Name); err != nil {
		return 0, err
	}
	if kicked {
		if err := kick(ctx, r.db, j.Name); err != nil {
			return 0, err
		}
	}
	holder := r.node + " " + secret.NewUUID4()
	c, err := take(ctx, r.db, j, holder, r.now())
	switch {
	case err == nil:
		r.run(ctx, j, c, log)
	case !missing(err):
		return 0, err
	}
	at, err := due(ctx, r.db, j.Name)
	return min(max(at.Sub(r.now()), 0), lookAgain), err
}

// run does the work under claim c and gives it back.
func (r *Runner) run(ctx context.Context, j Job, c claim, log *slog.Logger) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() { r.keep(ctx, c, cancel) })

	start := time.Now()
	told, held := c.told(j, r.now())
	if held == 1 {
		log.Warn("the clock leapt ahead, or no server ran: nothing is forgotten for a day", "since", c.reached.UTC(), "now", r.now().UTC())
	}
	err := safely(ctx, j, told)
	cause := context.Cause(ctx)
	cancel(nil)
	wg.Wait()

	next, failures := r.now().Add(j.Every), int64(0)
	switch {
	case err == nil:
		c.reached, c.held = told, held
		log.Debug("job done", "took", time.Since(start))
	case cause != nil && errors.Is(cause, context.Canceled):
		next, failures = r.now(), c.failures // the server stops: another node may go on at once
	default:
		failures = c.failures + 1
		next = r.now().Add(min(j.Every, firstWait<<min(c.failures, 20)))
		log.Warn("job failed", "err", err, "failures", failures, "took", time.Since(start))
	}
	done, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if err := finish(done, r.db, c, next, failures); err != nil {
		log.Warn("job could not give back its claim", "err", err)
	}
}

// told is the time that a run of j is given now, and how many runs were then
// held in a row.
func (c claim) told(j Job, now time.Time) (at time.Time, held int64) {
	if !j.Forgets || c.reached.UnixMilli() == 0 || now.Sub(c.reached) <= j.Every+leap {
		return now, 0
	}
	if held = c.held + 1; time.Duration(held)*j.Every > patience {
		return now, 0
	}
	return c.reached, held
}

// safely turns a panic into an error.
func safely(ctx context.Context, j Job, now time.Time) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return j.Run(ctx, now)
}

// keep renews the claim until ctx ends. When another node has taken it, or it
// has lapsed because the database did not answer, the work is cancelled.
func (r *Runner) keep(ctx context.Context, c claim, cancel context.CancelCauseFunc) {
	renewed := time.Now()
	for pause(ctx, lease/4) {
		err := renew(ctx, r.db, c, r.now().Add(lease))
		switch {
		case err == nil:
			renewed = time.Now()
		case ctx.Err() != nil:
			return
		case lost(err) || time.Since(renewed) > lease*3/4:
			cancel(fmt.Errorf("lease lost: %w", err))
			return
		}
	}
}

// pause waits, and returns false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
