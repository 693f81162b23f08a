package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pace sends at a steady rate, whatever the answers take: each operation has
// its moment, and its time counts from then. So a server that stands still for
// a while is charged for all that should have come in meanwhile.
func pace(ctx context.Context, callers []op, rate float64, length time.Duration) result {
	total := int64(rate * length.Seconds())
	var next atomic.Int64
	var mu sync.Mutex
	var r result
	var all []time.Duration
	start := time.Now()
	var wg sync.WaitGroup
	for _, do := range callers {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= total {
					return
				}
				due := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
				time.Sleep(time.Until(due))
				err := do(ctx)
				if errors.Is(err, errDry) {
					return // the others go on with what they have
				}
				took := time.Since(due)
				mu.Lock()
				r.done++
				all = append(all, took)
				if err != nil {
					r.failed++
					r.why = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	r.took = time.Since(start)
	slices.Sort(all)
	r.quantiles(all)
	return r
}
