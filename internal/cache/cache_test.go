package cache_test

import (
	"context"
	"errors"
	"testing"

	"github.com/signetid/signet/internal/cache"
)

func TestGetLoadsOnce(t *testing.T) {
	loads := 0
	c := cache.New(2, func(context.Context, string) (int, error) { loads++; return loads, nil })
	for range 3 {
		if v, err := c.Get(t.Context(), "a"); v != 1 || err != nil {
			t.Fatalf("got %d, %v, want the first load", v, err)
		}
	}
	c.Drop("a")
	if v, _ := c.Get(t.Context(), "a"); v != 2 {
		t.Fatalf("got %d after a drop, want a second load", v)
	}
	c.DropAll()
	if v, _ := c.Get(t.Context(), "a"); v != 3 {
		t.Fatalf("got %d after dropping all, want a third load", v)
	}
}

func TestErrorsAreNotKept(t *testing.T) {
	fail := errors.New("down")
	c := cache.New(2, func(context.Context, string) (int, error) { err := fail; fail = nil; return 7, err })
	if _, err := c.Get(t.Context(), "a"); err == nil {
		t.Fatal("the first load failed and Get did not")
	}
	if v, err := c.Get(t.Context(), "a"); v != 7 || err != nil {
		t.Fatalf("got %d, %v after the failure was over", v, err)
	}
}

func TestBounded(t *testing.T) {
	loads := 0
	c := cache.New(3, func(_ context.Context, k int) (int, error) { loads++; return k, nil })
	for k := range 100 {
		c.Get(t.Context(), k)
	}
	loads = 0
	for k := range 100 {
		c.Get(t.Context(), k)
	}
	if loads < 90 {
		t.Errorf("%d of 100 keys loaded again: more than 3 were kept", loads)
	}
}

// What was read before a change must not come back after the change was told.
func TestDropDuringLoad(t *testing.T) {
	var c *cache.Cache[string, int]
	loads := 0
	c = cache.New(2, func(context.Context, string) (int, error) {
		loads++
		if loads == 1 {
			c.Drop("a") // the row changes while the old one is on its way
		}
		return loads, nil
	})
	c.Get(t.Context(), "a")
	if v, _ := c.Get(t.Context(), "a"); v != 2 {
		t.Fatalf("got %d, want the value read after the drop", v)
	}
}

// TestWeighed: what is kept weighs no more than it may, and forgetting gives back
// what a value weighed.
func TestWeighed(t *testing.T) {
	loads := 0
	c := cache.New(100, func(_ context.Context, k int) (int, error) { loads++; return k, nil }).Weighed(10, func(v int) int { return v })
	loaded := func(k int) bool {
		t.Helper()
		before := loads
		if v, err := c.Get(t.Context(), k); v != k || err != nil {
			t.Fatalf("got %d, %v", v, err)
		}
		return loads > before
	}
	loaded(4)
	loaded(6)
	if loaded(4) || loaded(6) {
		t.Error("ten of ten are not kept")
	}
	loaded(5)
	if loaded(5) {
		t.Error("the newest is not kept")
	}
	loaded(11)
	if !loaded(11) {
		t.Error("one that weighs more than all may is kept")
	}
	c.Drop(5)
	c.DropAll()
	loaded(10)
	if loaded(10) {
		t.Error("what was dropped weighs still")
	}
	loaded(1)
	if !loaded(10) {
		t.Error("eleven of ten are kept")
	}
}
