package cache

import (
	"context"
	"sync"
)

// Cache maps keys to values that Load made. It is safe for concurrent use.
// Values are shared between callers, who must not change them.
type Cache[K comparable, V any] struct {
	load  func(context.Context, K) (V, error)
	size  int
	limit int         // of what all values weigh together
	weigh func(V) int // nil: they weigh nothing

	mu     sync.RWMutex
	values map[K]*V // pointers: a value is copied once for each Get
	weight int
	drops  uint64 // counts drops; a load that began before one is not kept
}

// New makes a cache of at most size values, read by load. A size of 0 keeps
// nothing: every Get loads.
func New[K comparable, V any](size int, load func(context.Context, K) (V, error)) *Cache[K, V] {
	return &Cache[K, V]{load: load, size: size, values: make(map[K]*V)}
}

// Weighed bounds what all values weigh together, for values that differ much in
// size. One that weighs more than all may is never kept. It is called before
// the first Get.
func (c *Cache[K, V]) Weighed(limit int, weigh func(V) int) *Cache[K, V] {
	c.limit, c.weigh = limit, weigh
	return c
}

// Get returns the value of key, loading it when it is not there.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	c.mu.RLock()
	kept := c.values[key]
	drops := c.drops
	c.mu.RUnlock()
	if kept != nil {
		return *kept, nil
	}
	v, err := c.load(ctx, key)
	if err != nil {
		return v, err
	}
	c.keep(key, v, drops)
	return v, nil
}

func (c *Cache[K, V]) keep(key K, v V, drops uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// What was read before a drop may be what the drop was about.
	if c.size == 0 || drops != c.drops {
		return
	}
	weight := 0
	if c.weigh != nil {
		if weight = c.weigh(v); weight > c.limit {
			return
		}
	}
	c.forget(key)
	for old := range c.values { // any one: map order is random enough
		if len(c.values) < c.size && (c.weigh == nil || c.weight+weight <= c.limit) {
			break
		}
		c.forget(old)
	}
	c.values[key] = &v
	c.weight += weight
}

// forget takes a value out, when it is there.
func (c *Cache[K, V]) forget(key K) {
	if v, ok := c.values[key]; ok && c.weigh != nil {
		c.weight -= c.weigh(*v)
	}
	delete(c.values, key)
}

// Drop forgets the value of key.
func (c *Cache[K, V]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.forget(key)
}

// DropAll forgets everything.
func (c *Cache[K, V]) DropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	c.weight = 0
	clear(c.values)
}
