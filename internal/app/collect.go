package app

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// What this process keeps alive on its heap is a few MiB, and Go collects each
// time that has doubled: under load some twenty times a second. So while
// collections come often, the heap may grow by roomBetween from one to the
// next. At rest it is kept as small as ever.
const (
	roomBetween = 32 << 20
	often       = time.Second
)

// The collector's own setting, which Go starts with, and the highest that we
// choose: Go lets a heap grow to 4 MiB × percent / 100 however little lives.
const (
	percentAtRest = 100
	percentAtMost = roomBetween / (4 << 20) * 100
)

// collectionPercent is by how much of itself the heap may grow, when so much
// lives and the last collection came so long after the one before.
func collectionPercent(live uint64, since time.Duration) int {
	if since >= often {
		return percentAtRest
	}
	return int(max(percentAtRest, min(percentAtMost, roomBetween*100/max(live, 1))))
}

// settled is how long after the start its last works may be expected to be over:
// the first round of the jobs, and what a demo makes for itself.
const settled = 2 * time.Second

// giveBack returns to the system what only the start needed: the migrations
// are read through buffers of 4 MiB each, and a pool keeps them through one
// collection (sync.Pool). It takes some milliseconds.
func (s *Server) giveBack() {
	runtime.GC()
	debug.FreeOSMemory()
	if err := giveBackProgram(); err != nil {
		s.cfg.Log.Debug("program is not given back", "cause", err)
	}
}

// collections sets the percentage anew after each collection.
type collections struct {
	mu      sync.Mutex
	last    time.Time
	percent int
	stopped bool
}

// afterEach is a thing that nobody holds: each collection finds it, and so
// tells that it was there.
type afterEach struct{ of *collections }

// spaceCollections spaces collections out until stop is called. What an
// operator chose by GOGC stands; GOMEMLIMIT is obeyed besides.
func spaceCollections() (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	c := &collections{last: time.Now(), percent: percentAtRest}
	c.watch()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stopped = true
		debug.SetGCPercent(percentAtRest)
	}
}

func (c *collections) watch() {
	runtime.AddCleanup(&afterEach{c}, (*collections).collected, c)
}

func (c *collections) collected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	now := time.Now()
	// To set it stops the world for a moment: only for a difference.
	if p := collectionPercent(live[0].Value.Uint64(), now.Sub(c.last)); p < c.percent*9/10 || p > c.percent*11/10 {
		c.percent = p
		debug.SetGCPercent(p)
	}
	c.last = now
	c.watch()
}
