package certificate

import (
	"encoding/binary"
	"testing"

	"github.com/signetid/signet/internal/idp"
)

// TestRecentBounded: what a node remembers is bounded in number and size, of its
// tenant alone, and given once.
func TestRecentBounded(t *testing.T) {
	r := recent{kept: map[string]handover{}}
	code := func(i int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(i)) }
	for i := range 3 * maxRecent {
		r.put(handover{code: code(i), tenant: "t", chain: make([]byte, maxRecentChain)})
		if n := len(r.kept); n > maxRecent {
			t.Fatalf("%d are kept", n)
		}
	}
	long := handover{code: code(-1), tenant: "t", chain: make([]byte, maxRecentChain+1)}
	r.put(long)
	if _, ok := r.take("t", long.code); ok {
		t.Error("a chain that is too long is kept")
	}
	last := code(3*maxRecent - 1)
	for _, c := range []struct {
		of   idp.TenantID
		want bool
	}{{"other", false}, {"t", true}, {"t", false}} {
		if h, ok := r.take(c.of, last); ok != c.want || ok && string(h.code) != string(last) {
			t.Errorf("taken for %s: %t, want %t", c.of, ok, c.want)
		}
	}
	if n := len(r.kept); n != maxRecent-1 {
		t.Errorf("%d are left", n)
	}
}
