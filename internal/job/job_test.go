package job_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var sources = []fs.FS{job.Migrations}

// start runs r until the test ends, and fails the test if it does not stop.
func start(t *testing.T, r *job.Runner) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run does not stop")
		}
	})
	t.Cleanup(stop)
	return stop
}

func wait[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain: %s", what)
	}
	return v
}

func runner(db *sqldb.DB, node string, log *slog.Logger) *job.Runner {
	return job.New(db, node, time.Now, log)
}

func TestRunsAtOnceAndByKick(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		ran := make(chan time.Time, 10)
		r := runner(db, "a", slog.New(slog.DiscardHandler))
		r.Add(job.Job{Name: "work", Every: time.Hour, Run: func(_ context.Context, now time.Time) error {
			ran <- now
			return nil
		}})
		start(t, r)
		if at := wait(t, ran, "the first run"); time.Since(at) > time.Minute {
			t.Errorf("told the time %v", at)
		}
		r.Kick("unknown")
		r.Kick("work")
		wait(t, ran, "the run after a kick")
		if len(ran) != 0 {
			t.Error("ran again without a reason")
		}
	})
}

func TestSchedule(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		ran := make(chan struct{}, 10)
		r := runner(db, "a", slog.New(slog.DiscardHandler))
		r.Add(job.Job{Name: "often", Every: 10 * time.Millisecond, Run: func(context.Context, time.Time) error {
			ran <- struct{}{}
			return nil
		}})
		start(t, r)
		for range 3 {
			wait(t, ran, "a run by schedule")
		}
	})
}

// TestOnceInTheCluster has eight nodes on one database kick one job at will:
// no two runs may overlap, and the last kick is honoured.
func TestOnceInTheCluster(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		var running, runs atomic.Int32
		var wanted, served atomic.Int64
		done := make(chan struct{}, 1000)
		work := func(context.Context, time.Time) error {
			seen := wanted.Load()
			if running.Add(1) > 1 {
				t.Error("two nodes run the job at once")
			}
			runs.Add(1)
			served.Store(seen)
			running.Add(-1)
			done <- struct{}{}
			return nil
		}
		var runners []*job.Runner
		for i := range 8 {
			r := runner(db, string(rune('a'+i)), slog.New(slog.DiscardHandler))
			r.Add(job.Job{Name: "work", Every: time.Hour, Run: work})
			runners = append(runners, r)
			start(t, r)
		}
		wait(t, done, "the first run")
		for i := range 20 {
			wanted.Add(1)
			runners[i%8].Kick("work")
		}
		for served.Load() != wanted.Load() {
			wait(t, done, "a run that saw the last kick")
		}
		if n := runs.Load(); n > 21 {
			t.Errorf("%d runs for 20 kicks and a first run", n)
		}
	})
}

func TestKickWhileRunning(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	started, goOn := make(chan struct{}, 10), make(chan struct{})
	r := runner(db, "a", slog.New(slog.DiscardHandler))
	r.Add(job.Job{Name: "work", Every: time.Hour, Run: func(context.Context, time.Time) error {
		started <- struct{}{}
		<-goOn
		return nil
	}})
	start(t, r)
	wait(t, started, "the first run")
	r.Kick("work")
	goOn <- struct{}{}
	wait(t, started, "a second run for the kick that came during the first")
	close(goOn)
}

func TestFailureIsTriedAgain(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error": func() error { return errors.New("no luck") },
		"panic": func() error { panic("no luck") },
	} {
		t.Run(name, func(t *testing.T) {
			db := sqldbtest.Open(t, sources)
			var out safeBuffer
			log := slog.New(slog.NewTextHandler(&out, nil))
			var tries atomic.Int32
			ran := make(chan struct{}, 10)
			r := runner(db, "a", log)
			r.Add(job.Job{Name: "work", Every: time.Millisecond, Run: func(context.Context, time.Time) error {
				defer func() { ran <- struct{}{} }()
				if tries.Add(1) == 1 {
					return fail()
				}
				return nil
			}})
			start(t, r)
			wait(t, ran, "the first try")
			wait(t, ran, "the second try")
			if got := out.String(); !strings.Contains(got, "no luck") || !strings.Contains(got, "job=work") {
				t.Errorf("the failure is not in the log: %q", got)
			}
		})
	}
}

func TestStopHandsOver(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		log := slog.New(slog.DiscardHandler)
		started := make(chan string, 10)
		add := func(node string) *job.Runner {
			r := runner(db, node, log)
			r.Add(job.Job{Name: "work", Every: time.Hour, Run: func(ctx context.Context, _ time.Time) error {
				started <- node
				<-ctx.Done()
				return ctx.Err()
			}})
			return r
		}
		stop := start(t, add("a"))
		wait(t, started, "the first node")
		stop() // cut short: the work is not done
		start(t, add("b"))
		if got := wait(t, started, "the second node at once, without waiting for the lease"); got != "b" {
			t.Errorf("%s ran", got)
		}
	})
}

func TestDeadNode(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		ctx := t.Context()
		now := time.Now()
		// What a node that died leaves behind, once just now, once long ago.
		for name, until := range map[string]time.Time{"fresh": now.Add(time.Minute), "lapsed": now.Add(-time.Second)} {
			if _, err := db.Exec(ctx, `insert into job (name, holder, claimed_until, next_run, kicks, failures) values ($1, 'dead', $2, 0, 0, 0)`,
				name, until.UnixMilli()); err != nil {
				t.Fatal(err)
			}
		}
		ran := make(chan string, 10)
		r := runner(db, "a", slog.New(slog.DiscardHandler))
		for _, name := range []string{"fresh", "lapsed"} {
			r.Add(job.Job{Name: name, Every: time.Hour, Run: func(context.Context, time.Time) error {
				ran <- name
				return nil
			}})
		}
		start(t, r)
		if got := wait(t, ran, "the lapsed job"); got != "lapsed" {
			t.Errorf("%s ran although another node holds it", got)
		}
	})
}

func TestAddMistakes(t *testing.T) {
	ok := job.Job{Name: "ok", Every: time.Second, Run: func(context.Context, time.Time) error { return nil }}
	for name, change := range map[string]func(*job.Job){
		"no name": func(j *job.Job) { j.Name = "" },
		"no run":  func(j *job.Job) { j.Run = nil },
		"no pace": func(j *job.Job) { j.Every = 0 },
		"twice":   func(*job.Job) {},
	} {
		t.Run(name, func(t *testing.T) {
			r := job.New(nil, "a", time.Now, nil)
			r.Add(ok)
			bad := job.Job{Name: "bad", Every: ok.Every, Run: ok.Run}
			if name == "twice" {
				bad = ok
			}
			change(&bad)
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			r.Add(bad)
		})
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
