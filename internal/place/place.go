package place

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// What is known of an address, in the words of phonewire.Place.
const (
	Country = "country" // the table has it
	Private = "private" // of somebody's own network
	This    = "this"    // of this machine
	Unknown = "unknown"
)

// Answer is what is known of an address.
type Answer struct {
	Kind    string
	Country string // of Kind Country: two letters
	ASN     uint32 // 0: not known
	Network string // name of who runs it; not known: ""
	Hosting bool   // a network of data centres
}

// Table answers for a file. It is safe for concurrent use.
type Table struct {
	path, hosting string
	ranges        atomic.Pointer[ranges]

	mu   sync.Mutex // held while files are read
	seen [2]stamp
}

// stamp tells one state of a file from another.
type stamp struct {
	size int64
	at   time.Time
}

// Open reads a table. hosting names a file of AS numbers of data centres, one
// on a line, and may be empty. Without a path every public address is Unknown.
// Errors name the file and the line.
func Open(path, hosting string) (*Table, error) {
	t := &Table{path: path, hosting: hosting}
	t.ranges.Store(&ranges{})
	if path == "" {
		return t, nil
	}
	_, err := t.Refresh()
	return t, err
}

// Refresh reads the files again if one of them has changed, and says whether
// it did. Of files that cannot be read, what was read before stays; the error
// comes once for each state of them.
func (t *Table) Refresh() (changed bool, err error) {
	if t.path == "" {
		return false, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var now [2]stamp
	for i, p := range []string{t.path, t.hosting} {
		if p == "" {
			continue
		}
		info, err := os.Stat(p)
		if err != nil {
			again := t.seen[i] == stamp{size: -1}
			t.seen[i] = stamp{size: -1}
			if again {
				return false, nil
			}
			return false, fmt.Errorf("the table of places cannot be read: %w", err)
		}
		now[i] = stamp{info.Size(), info.ModTime()}
	}
	if now == t.seen {
		return false, nil
	}
	t.seen = now
	r, err := load(t.path, t.hosting)
	if err != nil {
		return false, err
	}
	t.ranges.Store(r)
	return true, nil
}

// Ranges is how many the table has.
func (t *Table) Ranges() int {
	r := t.ranges.Load()
	return len(r.v4) + len(r.v6)
}

// Look says where an address is.
func (t *Table) Look(ip netip.Addr) Answer {
	ip = ip.Unmap().WithZone("")
	switch {
	case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast():
		return Answer{Kind: Unknown}
	case ip.IsLoopback():
		return Answer{Kind: This}
	case ip.IsPrivate() || ip.IsLinkLocalUnicast() || shared.Contains(ip):
		return Answer{Kind: Private}
	}
	return t.ranges.Load().look(ip)
}

// shared is between a provider and its customers (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// ranges is a table in memory: by address, without overlaps.
type ranges struct {
	v4 []range4
	v6 []range6
	of []info
}

// info is what is said of a range; many say the same.
type info struct {
	country [2]byte
	hosting bool
	asn     uint32
	name    string
}

type range4 struct{ first, last, info uint32 }

type range6 struct {
	first, last [16]byte
	info        uint32
}

func (r *ranges) look(ip netip.Addr) Answer {
	if ip.Is4() {
		raw := ip.As4()
		want := binary.BigEndian.Uint32(raw[:])
		i, found := slices.BinarySearchFunc(r.v4, want, func(e range4, w uint32) int {
			switch {
			case e.last < w:
				return -1
			case e.first > w:
				return 1
			}
			return 0
		})
		if found {
			return r.of[r.v4[i].info].answer()
		}
		return Answer{Kind: Unknown}
	}
	want := ip.As16()
	i, found := slices.BinarySearchFunc(r.v6, want, func(e range6, w [16]byte) int {
		switch {
		case slices.Compare(e.last[:], w[:]) < 0:
			return -1
		case slices.Compare(e.first[:], w[:]) > 0:
			return 1
		}
		return 0
	})
	if found {
		return r.of[r.v6[i].info].answer()
	}
	return Answer{Kind: Unknown}
}

func (i info) answer() Answer {
	a := Answer{Kind: Unknown, ASN: i.asn, Network: i.name, Hosting: i.hosting}
	if i.country != [2]byte{} {
		a.Kind, a.Country = Country, string(i.country[:])
	}
	return a
}
