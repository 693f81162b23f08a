package certificate

import (
	"sync"

	"github.com/signetid/signet/internal/idp"
)

// Bounds of what a node has in memory of its own handshakes: how many, and how
// long a chain may be; a longer one is read from its row. Together they are some
// 20 MB, whoever sends them.
const (
	maxRecent      = 1024
	maxRecentChain = 8 << 10
)

// recent are handovers of handshakes that were made at this node, with their
// certificates as they were read then: a browser mostly comes back to where it
// was sent from, and its chain need be neither fetched nor read again. Each is
// given once. Their rows are what counts: who comes to an end takes the row away,
// or gets nothing.
type recent struct {
	mu   sync.Mutex
	kept map[string]handover // by their codes
}

// put keeps one that was stored. When there are too many, any other one goes.
func (r *recent) put(h handover) {
	if len(h.chain) > maxRecentChain {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for old := range r.kept {
		if len(r.kept) < maxRecent {
			break
		}
		delete(r.kept, old)
	}
	h.chain = nil // it is read, and in the row
	r.kept[string(h.code)] = h
}

// take gives one of the tenant's, and forgets it.
func (r *recent) take(t idp.TenantID, code []byte) (handover, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.kept[string(code)]
	if !ok || h.tenant != t {
		return handover{}, false
	}
	delete(r.kept, string(code))
	return h, true
}
