package cache_test

import (
	"context"
	"testing"

	"github.com/signetid/signet/internal/cache"
)

// BenchmarkGet measures what is there already, as every request finds it: a
// key of two names, and a value like that of a client.
func BenchmarkGet(b *testing.B) {
	type ref struct{ tenant, id string }
	type value struct {
		names [30]string
	}
	c := cache.New(100, func(_ context.Context, k ref) (value, error) { return value{}, nil })
	key := ref{"7f1d4c2e-0b53-4d3c-9a86-5a0c1f0e2d11", "6f3b1c0e-5d0a-4e57-8f44-1b0a2c3d4e5f"}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if v, err := c.Get(b.Context(), key); err != nil || v.names[0] != "" {
				b.Error(v, err)
			}
		}
	})
}
