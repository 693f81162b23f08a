package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// waitRoom counts who waits.
type waitRoom struct {
	mu   sync.Mutex
	open map[idp.FlowID]int
}

func (wr *waitRoom) enter(id idp.FlowID) bool {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	if wr.open == nil {
		wr.open = map[idp.FlowID]int{}
	}
	if wr.open[id] >= tabs {
		return false
	}
	wr.open[id]++
	return true
}

func (wr *waitRoom) leave(id idp.FlowID) {
	wr.mu.Lock()
	defer wr.mu.Unlock()
	if wr.open[id]--; wr.open[id] <= 0 {
		delete(wr.open, id)
	}
}

// state is what a page hears of what it waits for.
type state string

const (
	waiting state = "waiting"
	ready   state = "ready" // the answer may be posted
	over    state = "over"  // load the page again; it says why
)

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
	if !p.waiters.enter(f.ID) {
		return idp.Limitedf("waits_throttled", "more than %d connections wait for flow %s", tabs, f.ID)
	}
	if strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream") {
		return p.events(w, r, f)
	}
	defer p.waiters.leave(f.ID)
	// A request may last longer than what its body may take.
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("let a request wait: %w", err)
	}
	s, err := p.watch(r.Context(), f, pollFor, nil)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, struct {
		State state `json:"state"`
	}{s})
}

// watch waits until there is something to say, the time for it has passed, the
// number is over, or the server stops. beat, when not nil, is called every
// keepAlive, and may end it.
func (p *Portal) watch(ctx context.Context, f signin.Flow, most time.Duration, beat func() error) (state, error) {
	end := time.NewTimer(most)
	defer end.Stop()
	var ticks <-chan time.Time
	if beat != nil {
		t := time.NewTicker(keepAlive)
		defer t.Stop()
		ticks = t.C
	}
	for {
		done, changed, stop, err := p.cfg.Corridor.Watch(ctx, f)
		if err != nil {
			if k := idp.AsError(err).Kind; k == idp.Internal || k == idp.Unavailable {
				return over, err
			}
			return over, nil
		}
		left := p.left(f)
		if done || left <= 0 {
			stop()
			if done {
				return ready, nil
			}
			return over, nil
		}
		late := time.NewTimer(left)
		s, err := p.pause(ctx, changed, late.C, end.C, ticks, beat)
		late.Stop()
		stop()
		if s != "" || err != nil {
			return s, err
		}
	}
}

// pause waits for one of them; an empty state means: look again.
func (p *Portal) pause(ctx context.Context, changed <-chan struct{}, late, end, ticks <-chan time.Time, beat func() error) (state, error) {
	for {
		select {
		case <-changed:
			return "", nil
		case <-late:
			return "", nil
		case <-end:
			return waiting, nil
		case <-ticks:
			if err := beat(); err != nil {
				return waiting, err
			}
		case <-p.cfg.Stopping:
			return waiting, nil // the browser connects again, perhaps to another node
		case <-ctx.Done():
			return waiting, ctx.Err()
		}
	}
}

// left is how long the number that is shown may still be typed.
func (p *Portal) left(f signin.Flow) time.Duration {
	until := f.Waiting.Expires
	var shown shownNumber
	if json.Unmarshal(f.Waiting.Show, &shown) == nil && !shown.Expires.IsZero() {
		until = shown.Expires
	}
	return until.Sub(p.cfg.Now())
}

// events sends what the page waits for as server-sent events (HTML, 9.2).
func (p *Portal) events(w http.ResponseWriter, r *http.Request, f signin.Flow) error {
	defer p.waiters.leave(f.ID)
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
		return fmt.Errorf("let a request wait: %w", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	send := func(text string) error {
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
		return c.Flush()
	}
	if send(fmt.Sprintf("retry: %d\n\n", retryMS)) != nil {
		return nil // a browser that has gone away is nobody's error
	}
	s, err := p.watch(r.Context(), f, time.Hour, func() error { return send(":\n\n") })
	if s != waiting && err == nil {
		send("event: " + string(s) + "\ndata:\n\n")
	}
	return nil
}
