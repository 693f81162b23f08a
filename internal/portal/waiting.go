package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// How a page waits (passkeys-and-phone.md §6.5).
const (
	keepAlive = 15 * time.Second // between comments, which keep proxies from hanging up
	pollFor   = 25 * time.Second // a page without events asks for so long at once
	retryMS   = 2000             // when a browser connects again
	// tabs is how many connections may wait for one flow. A page that is loaded
	// again opens one before the old one is found to be gone.
	tabs = 4
)

// state is what a page hears of what it waits for.
type state string

const (
	waiting state = "waiting"
	ready   state = "ready" // the answer may be posted
	over    state = "over"  // load the page again; it says why
)

// waitRoom is who waits, by flow, the newest last.
type waitRoom struct {
	mu   sync.Mutex
	open map[idp.FlowID][]*chair
}

// chair is one who waits.
type chair struct {
	flow idp.FlowID
	gone chan struct{} // closed when a newer one takes the place
}

// enter gives a place to wait. When all of the flow are taken, one who moves
// gets that of the oldest, and who does not gets nil.
func (wr *waitRoom) enter(id idp.FlowID, moves bool) *chair {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	if wr.open == nil {
		wr.open = map[idp.FlowID][]*chair{}
	}
	in := wr.open[id]
	if len(in) >= tabs {
		if !moves {
			return nil
		}
		close(in[0].gone)
		in = in[1:]
	}
	c := &chair{flow: id, gone: make(chan struct{})}
	wr.open[id] = append(in[:len(in):len(in)], c)
	return c
}

func (wr *waitRoom) leave(c *chair) {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	var left []*chair
	for _, o := range wr.open[c.flow] {
		if o != c {
			left = append(left, o)
		}
	}
	if wr.open[c.flow] = left; len(left) == 0 {
		delete(wr.open, c.flow)
	}
}

// wait is GET /{t}/signin/wait: events when the browser asks for them, else one
// answer that comes when there is something to say. It is only for the browser
// that asked (security.md PHN07).
func (p *Portal) wait(w http.ResponseWriter, r *http.Request) error {
	t, err := p.tenant(r)
	if err != nil {
		return err
	}
	f, err := p.cfg.Corridor.Resume(r.Context(), t.ID, r.URL.Query().Get("flow"), p.peer(w, r))
	if err != nil {
		return err
	}
	events := strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
	c := p.waiters.enter(f.ID, events)
	if c == nil {
		return idp.Limitedf("waits_throttled", "%d connections wait for flow %s", tabs, f.ID)
	}
	// Only this is needed of the flow while nothing happens.
	sit := &sitting{p: p, chair: c, flow: signin.Flow{ID: f.ID, Tenant: f.Tenant, Waiting: f.Waiting}}
	if events {
		return sit.events(w, r)
	}
	defer p.waiters.leave(c)
	// A request may last longer than what its body may take.
	rc := http.NewResponseController(w)
	if err := errors.Join(rc.SetReadDeadline(time.Time{}), rc.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("let a request wait: %w", err)
	}
	end := time.NewTimer(pollFor)
	defer end.Stop()
	s, err := sit.until(r.Context(), r.Context().Done(), end.C)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, struct {
		State state `json:"state"`
	}{s})
}

// sitting is one connection that waits.
type sitting struct {
	p     *Portal
	chair *chair
	flow  signin.Flow
	beat  func() error // called every keepAlive; nil: not
}

// look asks whether there is something to say; when there is not, the state is
// waiting, changed is closed when to look again, and stop gives it back.
func (s *sitting) look(ctx context.Context) (st state, changed <-chan struct{}, stop func(), err error) {
	none := func() {}
	done, changed, stop, err := s.p.cfg.Corridor.Watch(ctx, s.flow)
	switch {
	case err != nil:
		if k := idp.AsError(err).Kind; k == idp.Internal || k == idp.Unavailable {
			return waiting, nil, none, err
		}
		return over, nil, none, nil
	case done:
		stop()
		return ready, nil, none, nil
	case s.left() <= 0:
		stop()
		return over, nil, none, nil
	}
	return waiting, changed, stop, nil
}

// left is how long the number that is shown may still be typed.
func (s *sitting) left() time.Duration {
	until := s.flow.Waiting.Expires
	var shown shownNumber
	if json.Unmarshal(s.flow.Waiting.Show, &shown) == nil && !shown.Expires.IsZero() {
		until = shown.Expires
	}
	return until.Sub(s.p.cfg.Now())
}

// until looks, and waits until there is something to say, or it is time to say
// that there is not: at the end, when the other side is away, when a newer one
// takes the place, and when the server stops.
func (s *sitting) until(ctx context.Context, away <-chan struct{}, end <-chan time.Time) (state, error) {
	for {
		st, changed, stop, err := s.look(ctx)
		if st != waiting || err != nil {
			return st, err
		}
		again := s.pause(changed, away, end)
		stop()
		if !again {
			return waiting, nil
		}
	}
}

// pause says whether to look again.
func (s *sitting) pause(changed, away <-chan struct{}, end <-chan time.Time) bool {
	late := time.NewTimer(s.left())
	defer late.Stop()
	var beats <-chan time.Time
	if s.beat != nil {
		t := time.NewTicker(keepAlive)
		defer t.Stop()
		beats = t.C
	}
	for {
		select {
		case <-changed:
			return true
		case <-late.C:
			return true
		case <-beats:
			if s.beat() != nil {
				return false // the browser is gone
			}
		case <-end:
			return false
		case <-away:
			return false
		case <-s.chair.gone:
			return false
		case <-s.p.cfg.Stopping:
			return false // the browser connects again, perhaps to another node
		}
	}
}
