package web

import (
	"container/list"
	"crypto/sha256"
	"sync"
	"time"
)

// Limiter allows each key a number of events in a period, refilled evenly
// (a token bucket a key). It holds at most size keys and forgets the one that
// was used least recently, and a long key by its digest: memory stays bounded
// whatever strangers send. It is per node; what must hold over all nodes is
// counted in the database.
type Limiter struct {
	mu     sync.Mutex
	burst  float64
	each   time.Duration // time that refills one event
	size   int
	now    func() time.Time
	keys   map[string]*list.Element
	recent *list.List // of *bucket, most recently used first
}

type bucket struct {
	key  string
	left float64
	at   time.Time
}

// NewLimiter allows events per period and key, for at most size keys.
func NewLimiter(events int, period time.Duration, size int, now func() time.Time) *Limiter {
	return &Limiter{
		burst: float64(events), each: period / time.Duration(events), size: size, now: now,
		keys: make(map[string]*list.Element), recent: list.New(),
	}
}

// Allow takes one event from the key's allowance. When none is left it
// returns false and the time after which the next one is there.
func (l *Limiter) Allow(key string) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	if b.left < 1 {
		return false, time.Duration((1 - b.left) * float64(l.each))
	}
	b.left--
	return true, 0
}

// Full says whether the key has nothing left, taking nothing.
func (l *Limiter) Full(key string) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucket(key)
	if b.left < 1 {
		return true, time.Duration((1 - b.left) * float64(l.each))
	}
	return false, 0
}

// longKey is the length from which a key is kept by its digest.
const longKey = 64

// bucket finds or makes the key's bucket and refills it. The lock is held.
func (l *Limiter) bucket(key string) *bucket {
	now := l.now()
	if len(key) > longKey {
		digest := sha256.Sum256([]byte(key))
		key = string(digest[:])
	}
	if e, ok := l.keys[key]; ok {
		l.recent.MoveToFront(e)
		b := e.Value.(*bucket)
		if passed := now.Sub(b.at); passed > 0 {
			b.left = min(l.burst, b.left+float64(passed)/float64(l.each))
			b.at = now
		}
		return b
	}
	if len(l.keys) >= l.size {
		oldest := l.recent.Back()
		delete(l.keys, oldest.Value.(*bucket).key)
		l.recent.Remove(oldest)
	}
	b := &bucket{key: key, left: l.burst, at: now}
	l.keys[key] = l.recent.PushFront(b)
	return b
}
