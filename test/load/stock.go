package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// errDry ends a run early: a caller has no request left.
var errDry = errors.New("no prepared request is left")

// stock is requests that were prepared before the clock ran, for operations
// whose client does more than the server. ask makes the next one for a caller.
type stock struct {
	ask  func(ctx context.Context, caller int) (asked, error)
	send func(context.Context, asked) error

	each [][]asked // by caller
}

// fill prepares count requests for every one of the callers, on all processors.
// What a run before has left goes: its nonces grow old.
func (s *stock) fill(ctx context.Context, callers, count int) error {
	s.each = make([][]asked, callers)
	for n := range s.each {
		s.each[n] = make([]asked, count)
	}
	var next atomic.Int64
	errs := make([]error, 2*runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1) - 1)
				if i >= callers*count {
					return
				}
				s.each[i%callers][i/callers], errs[w] = s.ask(ctx, i%callers)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// caller sends what was prepared for it, one after the other.
func (s *stock) caller(n int) op {
	return func(ctx context.Context) error {
		if len(s.each[n]) == 0 {
			return errDry
		}
		a := s.each[n][0]
		s.each[n] = s.each[n][1:]
		return s.send(ctx, a)
	}
}

// probe is how many requests a caller sends to find out how many it will need.
const probe = 24

// prepare fills the stock for a run of the given time at a rate per second, or
// finds the rate out first when it is zero.
func (s *stock) prepare(ctx context.Context, callers int, rate float64, length time.Duration) error {
	if rate == 0 {
		if err := s.fill(ctx, callers, probe); err != nil {
			return err
		}
		start := time.Now()
		errs := make([]error, callers)
		var wg sync.WaitGroup
		for n := range errs {
			wg.Go(func() {
				for do := s.caller(n); errs[n] == nil; {
					errs[n] = do(ctx)
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			if !errors.Is(err, errDry) {
				return err
			}
		}
		rate = float64(callers*probe) / time.Since(start).Seconds()
	}
	// Half as many again: no run is like the one before, no caller like the other.
	return s.fill(ctx, callers, probe+int(1.5*rate*length.Seconds())/callers)
}
