package push

import (
	"context"
	"sync"
)

// Of messages to one push service so many are sent at once, and so many may
// wait. A service that hangs keeps the messages to others from nothing.
const (
	laneWide = 16
	laneLong = 2048
)

// lanes send what is put, in goroutines of their own, while they are started.
// Nothing waits for them.
type lanes struct {
	mu  sync.Mutex
	ctx context.Context // of Run; nil: nobody sends here
	by  map[string]*lane
	all sync.WaitGroup
}

type lane struct {
	busy    int
	waiting []item
}

// laneOf names the lane of a target.
func (s *Service) laneOf(t Target) string {
	if t.Kind != WebPush {
		return t.Kind
	}
	_, r, err := s.endpoint(t.Endpoint)
	if err != nil {
		return "" // refused, but that is for Send to say
	}
	return r.lane
}

func (l *lanes) start(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ctx, l.by = ctx, map[string]*lane{}
}

// stop waits for those under way, whose context has ended. What waits keeps
// its claim until that runs out.
func (l *lanes) stop() {
	l.mu.Lock()
	l.ctx = nil
	for _, one := range l.by {
		one.waiting = nil
	}
	l.mu.Unlock()
	l.all.Wait()
}

func (l *lanes) open() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ctx != nil && l.ctx.Err() == nil
}

// put has an item sent. Where there is no room for it, it is left to whoever
// finds its claim run out.
func (l *lanes) put(s *Service, it item) {
	name := s.laneOf(it.Target)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil || l.ctx.Err() != nil {
		return
	}
	one := l.by[name]
	if one == nil {
		one = &lane{}
		l.by[name] = one
	}
	switch {
	case one.busy < laneWide:
		one.busy++
		ctx := l.ctx
		l.all.Go(func() { l.work(ctx, s, one, it) })
	case len(one.waiting) < laneLong:
		one.waiting = append(one.waiting, it)
	}
}

// work sends it, and then what waits in its lane.
func (l *lanes) work(ctx context.Context, s *Service, one *lane, it item) {
	for more := true; more; {
		s.deliver(ctx, it)
		it, more = l.next(one)
	}
}

func (l *lanes) next(one *lane) (it item, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(one.waiting) == 0 {
		one.busy--
		return item{}, false
	}
	it = one.waiting[0]
	one.waiting = one.waiting[1:]
	return it, true
}
