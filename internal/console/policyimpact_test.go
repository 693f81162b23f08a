package console

import (
	"strings"
	"testing"
	"time"
)

// Every person has a tick while there is room, and whoever loses something has
// one whatever the number.
func TestPlate(t *testing.T) {
	ticks := func(path string) int { return strings.Count(path, "M") }
	for _, tt := range []struct{ people, noWay, keep, each, bad, warn, fine, rows int }{
		{0, 0, 0, 1, 0, 0, 0, 1},
		{1, 1, 0, 1, 1, 0, 0, 1},
		{4, 0, 1, 1, 0, 1, 3, 1},
		{318, 3, 11, 1, 3, 11, 304, 3},
		{319, 0, 0, 1, 0, 0, 319, 4},
		{636, 636, 0, 1, 636, 0, 0, 6},
		{637, 1, 1, 2, 1, 1, 317, 4},
		{100_000, 1, 2, 158, 1, 1, 631, 6},
		{100_000, 100_000, 0, 158, 633, 0, 0, 6},
	} {
		p := plateOf(tt.people, tt.noWay, tt.keep)
		if p.Each != tt.each || ticks(p.Bad) != tt.bad || ticks(p.Warn) != tt.warn || ticks(p.Fine) != tt.fine || p.Rows != tt.rows {
			t.Errorf("%+v: %d a tick, %d, %d and %d ticks in %d rows", tt, p.Each, ticks(p.Bad), ticks(p.Warn), ticks(p.Fine), p.Rows)
		}
	}
}

// What took long to count is kept for half a minute, for its own tenant.
func TestCountsAreKeptShortly(t *testing.T) {
	var c counts[usage]
	now := time.Date(2026, 3, 12, 9, 0, 0, 0, time.UTC)
	if _, ok := c.get("t1", now); ok {
		t.Error("something is there before it is counted")
	}
	c.put("t1", usage{Keys: 7}, now)
	if u, ok := c.get("t1", now.Add(countGood)); !ok || u.Keys != 7 {
		t.Errorf("%+v, %v", u, ok)
	}
	if _, ok := c.get("t2", now); ok {
		t.Error("another tenant's")
	}
	if _, ok := c.get("t1", now.Add(countGood+time.Second)); ok {
		t.Error("kept too long")
	}
}
