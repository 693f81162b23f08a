package app

import (
	"runtime/metrics"
	"testing"
	"time"
)

func TestCollectionPercent(t *testing.T) {
	for _, c := range []struct {
		what  string
		live  uint64
		since time.Duration
		want  int
	}{
		{"at rest the heap stays small", 3 << 20, time.Second, 100},
		{"nothing alive and busy: bounded", 0, time.Millisecond, 800},
		{"little alive and busy", 3 << 20, time.Millisecond, 800},
		{"grows by 32 MiB", 8 << 20, 999 * time.Millisecond, 400},
		{"grows by 32 MiB", 16 << 20, time.Millisecond, 200},
		{"a large heap doubles, as ever", 320 << 20, time.Millisecond, 100},
	} {
		if got := collectionPercent(c.live, c.since); got != c.want {
			t.Errorf("%s: %d MiB, %s: %d, want %d", c.what, c.live>>20, c.since, got, c.want)
		}
	}
}

// TestSpaceCollections: a process that makes much garbage collects it seldom,
// and one that has stopped is as Go made it.
func TestSpaceCollections(t *testing.T) {
	t.Setenv("GOGC", "") // not an operator's choice
	stop := spaceCollections()
	defer stop()
	end := time.Now().Add(10 * time.Second)
	for gcPercent() <= 100 {
		if time.Now().After(end) {
			t.Fatal("busy for 10 s, and collections come as often as ever")
		}
		garbage = make([]byte, 64<<10)
	}
	stop()
	if p := gcPercent(); p != 100 {
		t.Errorf("after the stop it is %d", p)
	}
}

// TestSpaceCollectionsGOGC: what the operator chose stands.
func TestSpaceCollectionsGOGC(t *testing.T) {
	t.Setenv("GOGC", "100")
	defer spaceCollections()()
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		garbage = make([]byte, 64<<10)
	}
	if p := gcPercent(); p != 100 {
		t.Errorf("GOGC=100 became %d", p)
	}
}

var garbage []byte

func gcPercent() uint64 {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
