package secret

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
	"time"
)

// NewUUID4 returns a random UUID as lower-case text (RFC 9562, Section 5.4).
// Directory objects carry these: they tell nothing about when or in which
// order the objects were made.
func NewUUID4() string {
	var u [16]byte
	rand.Read(u[:])
	return text(u, 4)
}

// FirstUUID7 is the smallest UUIDv7 of t's millisecond: of two rows with such
// ids, which sort by time, it tells whether one is older than t.
func FirstUUID7(t time.Time) string {
	h := fmt.Sprintf("%012x", max(t.UnixMilli(), 0))
	return h[:8] + "-" + h[8:12] + "-7000-8000-000000000000"
}

// UUID7Of turns 16 bytes that begin with a 48-bit time in milliseconds into a
// UUIDv7. The six bits that the version takes are lost.
func UUID7Of(raw [16]byte) string { return text(raw, 7) }

// NewUUID7 returns a UUID that sorts by time, as lower-case text (RFC 9562,
// Section 5.7). Appended rows carry these, so that an index grows at its end.
// Ids made in one process sort in the order in which they were made, also
// within a millisecond (Section 6.2, method 1) and when the clock steps back
// by less than a second. It still has 62 random bits, so it is unique but is
// no secret.
func NewUUID7(now time.Time) string {
	var u [16]byte
	rand.Read(u[:])
	ms, seq := order.next(now.UnixMilli(), binary.BigEndian.Uint16(u[6:8]))
	binary.BigEndian.PutUint64(u[:8], uint64(ms)<<16|uint64(seq))
	return text(u, 7)
}

// order hands out the time and counter fields of version 7.
var order sequence

type sequence struct {
	mu   sync.Mutex
	ms   int64  // the newest millisecond used
	last uint16 // the newest counter used in it, 12 bits
}

func (s *sequence) next(ms int64, random uint16) (int64, uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ms > s.ms || ms < s.ms-1000 {
		// The counter starts in the lower half, which leaves room to count.
		s.ms, s.last = ms, random&0x7ff
		return s.ms, s.last
	}
	s.last++
	if s.last > 0xfff {
		s.ms, s.last = s.ms+1, 0
	}
	return s.ms, s.last
}

// text sets version and variant (RFC 9562, Sections 4.1 and 4.2) and writes
// the canonical form.
func text(u [16]byte, version byte) string {
	u[6] = u[6]&0x0f | version<<4
	u[8] = u[8]&0x3f | 0x80
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}
