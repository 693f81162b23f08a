package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// op is one operation, run by one caller; each caller has its own state.
type op func(context.Context) error

// result is what one run of many callers gave.
type result struct {
	done    int
	failed  int
	why     error // the first failure
	took    time.Duration
	cpu     time.Duration // of the server
	p50     time.Duration
	p99     time.Duration
	p999    time.Duration
	slowest time.Duration
}

// quantiles are read from sorted times.
func (r *result) quantiles(all []time.Duration) {
	if n := len(all); n > 0 {
		r.p50, r.p99, r.p999, r.slowest = all[n/2], all[n*99/100], all[n*999/1000], all[n-1]
	}
}

// rate is how many were done in a second.
func (r result) rate() float64 { return float64(r.done) / r.took.Seconds() }

// per is the server's CPU for one operation.
func (r result) per() time.Duration {
	if r.done == 0 {
		return 0
	}
	return r.cpu / time.Duration(r.done)
}

// drive lets each caller repeat its operation for the given time, after a
// warm-up that does not count. It ends before that when a caller has nothing left
// to send.
func drive(ctx context.Context, pid int, callers []op, warm, length time.Duration) result {
	var counting atomic.Bool
	ctx, stop := context.WithTimeout(ctx, warm+length)
	defer stop()

	var mu sync.Mutex
	var r result
	var all []time.Duration
	var wg sync.WaitGroup
	for _, do := range callers {
		wg.Go(func() {
			var mine []time.Duration
			failed, done := 0, 0
			var why error
			for ctx.Err() == nil {
				count := counting.Load()
				start := time.Now()
				// What has begun is finished: a rotation whose answer nobody
				// reads would look like theft to the next run.
				err := do(context.WithoutCancel(ctx))
				if errors.Is(err, errDry) {
					stop()
				}
				if ctx.Err() != nil {
					break // it ended after the run and counts for nothing
				}
				if err != nil {
					failed++
					if why == nil {
						why = err
					}
				}
				if count {
					done++
					mine = append(mine, time.Since(start))
				}
			}
			mu.Lock()
			defer mu.Unlock()
			r.done += done
			r.failed += failed
			if r.why == nil {
				r.why = why
			}
			all = append(all, mine...)
		})
	}
	select {
	case <-time.After(warm):
	case <-ctx.Done():
	}
	counting.Store(true)
	start, before := time.Now(), cpuOf(pid)
	<-ctx.Done()
	r.took, r.cpu = time.Since(start), cpuOf(pid)-before
	wg.Wait()
	slices.Sort(all)
	r.quantiles(all)
	return r
}

// spread is the least, middle and greatest of several runs' CPU figures.
func spread(runs []result) (lo, mid, hi time.Duration) {
	var per []time.Duration
	for _, r := range runs {
		per = append(per, r.per())
	}
	slices.Sort(per)
	return per[0], per[len(per)/2], per[len(per)-1]
}

// us is a time in microseconds.
func us(d time.Duration) float64 { return float64(d) / 1e3 }
