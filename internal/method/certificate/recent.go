package certificate

import (
	"bytes"
	"strings"
	"sync"

	"github.com/signetid/signet/internal/idp"
)

// Bounds of what a node has in memory of its own handshakes: how many, and how
// long a chain may be; a longer one is read from its row. Together they are some
// 10 MB, whoever sends them.
const (
	maxRecent      = 1024
	maxRecentChain = 8 << 10
)

// recent are handovers of handshakes that were made at this node: a browser
// mostly comes back to where it was sent from, and its chain need not be fetched.
// Each is given once. Their rows are what counts: who comes to an end takes the
// row away, or gets nothing.
//
// Their certificates are read again: anybody may send some, and one that was read
// takes up to 75 times what was sent of it (one of nothing but empty URIs does),
// and has the whole message of the handshake behind it, of up to 256 KiB.
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
	h.chain, h.ceremony = bytes.Clone(h.chain), strings.Clone(h.ceremony) // behind it is all of the address
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
