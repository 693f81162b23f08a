package cache

import (
	"context"
	"sync"
)

// Cache maps keys to values that Load made. It is safe for concurrent use.
// Values are shared between callers, who must not change them.
type Cache[K comparable, V any] struct {
	load func(context.Context, K) (V, error)
	size int

	mu     sync.RWMutex
	values map[K]V
	drops  uint64 // counts drops; a load that began before one is not kept
}

// New makes a cache of at most size values, read by load. A size of 0 keeps
// nothing: every Get loads.
func New[K comparable, V any](size int, load func(context.Context, K) (V, error)) *Cache[K, V] {
	return &Cache[K, V]{load: load, size: size, values: make(map[K]V)}
}

// Get returns the value of key, loading it when it is not there.
func (c *Cache[K, V]) Get(ctx context.Context, key K) (V, error) {
	c.mu.RLock()
	v, ok := c.values[key]
	drops := c.drops
	c.mu.RUnlock()
	if ok {
		return v, nil
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
	if len(c.values) >= c.size {
		for old := range c.values { // any one: map order is random enough
			delete(c.values, old)
			break
		}
	}
	c.values[key] = v
}

// Drop forgets the value of key.
func (c *Cache[K, V]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	delete(c.values, key)
}

// DropAll forgets everything.
func (c *Cache[K, V]) DropAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	clear(c.values)
}
