package phone

import "sync"

// topicRequest is the bus topic of requests that have got an answer. Its key is
// the id of the request: 128 random bits, one of its kind in all tenants.
const topicRequest = "phone.request"

// hub wakes those who wait for a request, in this process; the bus has it hear
// of what other nodes did.
type hub struct {
	mu    sync.Mutex
	waits map[string]map[chan struct{}]struct{}
}

func newHub() *hub { return &hub{waits: map[string]map[chan struct{}]struct{}{}} }

// wait is a channel that is closed when something happens to key. stop forgets
// it, and may be called more than once.
func (h *hub) wait(key string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waits[key] == nil {
		h.waits[key] = make(map[chan struct{}]struct{}, 1)
	}
	h.waits[key][c] = struct{}{}
	return c, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if all := h.waits[key]; all != nil {
			if delete(all, c); len(all) == 0 {
				delete(h.waits, key)
			}
		}
	}
}

// wake closes the channels of all who wait for key.
func (h *hub) wake(key string) {
	h.mu.Lock()
	all := h.waits[key]
	delete(h.waits, key)
	h.mu.Unlock()
	for c := range all {
		close(c)
	}
}

// waiting says how many wait.
func (h *hub) waiting() (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, all := range h.waits {
		n += len(all)
	}
	return n
}
