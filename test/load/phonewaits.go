package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/test/person"
)

// What the measurements of waiting are made with, and what they must show.
const (
	watchers = 1_000  // browsers that wait while one after the other is approved
	pending  = 10_000 // browsers that only wait
	warmed   = 2_000  // that ask before those, and do not wait

	wakeOne = 250 * time.Millisecond // approval to page opened, p99, one node
	wakeTwo = time.Second            // the same across two nodes
	waitsIn = 200.0                  // MB for all that are pending
)

// phones measures what waiting for phones costs, and prints it.
func (s *site) phones(ctx context.Context, only string) error {
	server := os.Getenv("SIGNET_TEST_POSTGRES")
	begun := false
	for _, m := range []struct {
		name string
		run  func() error
	}{
		{"phone latency", func() error { return s.latency(ctx, s.addr, "one node, SQLite", wakeOne) }},
		{"phone waits", func() error { return s.memory(ctx) }},
		{"phone latency, two nodes", func() error {
			if server == "" {
				fmt.Printf("| approval to page opened, two nodes, PostgreSQL | p99 %v | not measured: SIGNET_TEST_POSTGRES names no server |\n", wakeTwo)
				return nil
			}
			return twoNodes(ctx, s.binary, server)
		}},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		if !begun {
			fmt.Print("\nwaiting for phones:\n\n| what | must | measured |\n|---|---|---|\n")
			begun = true
		}
		if err := m.run(); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// latency has many browsers wait, approves one after the other on phones that
// reach the server at addr, and times from the sending of each approval to the
// event in the page, and to the session.
func (s *site) latency(ctx context.Context, addr, what string, must time.Duration) error {
	o, err := newOwners(s, addr, "watched", watchers)
	if err != nil {
		return err
	}
	if err := s.fillPhones(ctx, o); err != nil {
		return err
	}
	var desks [watchers]desk
	var streams [watchers]*person.Wait
	err = each(watchers, func(n int) (err error) {
		desks[n].owner = o.all[n]
		streams[n], err = s.wait(ctx, &desks[n])
		return err
	})
	if err != nil {
		return err
	}
	var events, opened []time.Duration
	for n := range desks {
		heard, in, err := desks[n].wake(ctx, streams[n])
		if err != nil {
			return fmt.Errorf("wake browser %d: %w", n, err)
		}
		events, opened = append(events, heard), append(opened, in)
	}
	event, open := quantilesOf(events), quantilesOf(opened)
	fmt.Printf("| approval to event in the page, %s, %d wait | – | p50 %.1f ms, p99 %.1f ms, slowest %.1f ms |\n", what, watchers,
		us(event.p50)/1000, us(event.p99)/1000, us(event.slowest)/1000)
	fmt.Printf("| approval to page opened, %s, %d wait | p99 %v | p50 %.1f ms, p99 %.1f ms, slowest %.1f ms |\n", what, watchers, must,
		us(open.p50)/1000, us(open.p99)/1000, us(open.slowest)/1000)
	return nil
}

func quantilesOf(all []time.Duration) (r result) {
	slices.Sort(all)
	r.quantiles(all)
	return r
}

// wait brings a new browser to the page with the number, and opens its stream.
func (s *site) wait(ctx context.Context, d *desk) (*person.Wait, error) {
	var err error
	if d.Person, d.page, err = s.atSignIn(ctx); err != nil {
		return nil, err
	}
	if err := d.ask(ctx); err != nil {
		return nil, err
	}
	return d.Wait(ctx, d.page)
}

// wake approves, and says how long after that the page heard of it and the
// session was open.
func (d *desk) wake(ctx context.Context, stream *person.Wait) (heard, opened time.Duration, err error) {
	defer stream.Close()
	w, err := d.waiting(ctx)
	if err != nil {
		return 0, 0, err
	}
	said := make(chan error, 1)
	start := time.Now()
	go func() { said <- d.say(ctx, w) }()
	name, err := stream.Event()
	heard = time.Since(start)
	if err == nil && name != "ready" {
		err = fmt.Errorf("the page heard %q", name)
	}
	if err == nil {
		err = d.open(ctx)
	}
	opened = time.Since(start)
	return heard, opened, errors.Join(err, <-said)
}

// memory has many browsers wait for phones, and measures what the server grew by.
func (s *site) memory(ctx context.Context) error {
	o, err := newOwners(s, s.addr, "pending", pending+warmed)
	if err != nil {
		return err
	}
	if err := s.fillPhones(ctx, o); err != nil {
		return err
	}
	// Pages of the database, and the heap that pages are made on, are what work
	// costs, and not what waiting does: these ask, and go away.
	err = each(warmed, func(n int) error {
		d := desk{owner: o.all[pending+n]}
		w, err := s.wait(ctx, &d)
		if err != nil {
			return err
		}
		defer d.Forget()
		return w.Close()
	})
	if err != nil {
		return err
	}
	before := rssOf(s.cmd.Process.Pid)
	var desks [pending]desk
	var streams [pending]*person.Wait
	start := time.Now()
	err = each(pending, func(n int) (err error) {
		desks[n].owner = o.all[n]
		streams[n], err = s.wait(ctx, &desks[n])
		return err
	})
	took := time.Since(start)
	grown := (rssOf(s.cmd.Process.Pid) - before) * (1 << 20) / 1e6
	for _, w := range streams {
		if w != nil {
			w.Close()
		}
	}
	for _, d := range desks {
		if d.Person != nil {
			d.Forget()
		}
	}
	if err != nil {
		return err
	}
	late := ""
	if took > 2*time.Minute {
		late = ", but the first were over when the last came"
	}
	fmt.Printf("| %d browsers wait, the server grows by | %.0f MB | %.1f MB, %.1f KB each; there after %.0f s%s |\n", pending, waitsIn,
		grown, grown*1000/pending, took.Seconds(), late)
	return nil
}

// each runs f for so many, sixteen at a time, and gives the first error.
func each(count int, f func(int) error) error {
	var mu sync.Mutex
	var first error
	next := 0
	take := func() (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= count && first == nil
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for n, ok := take(); ok; n, ok = take() {
				if err := f(n); err != nil {
					mu.Lock()
					first = errors.Join(first, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return first
}

// twoNodes measures the latency where browsers wait at one server, and phones
// speak to another.
func twoNodes(ctx context.Context, binary, server string) error {
	u, err := url.Parse(server)
	if err != nil {
		return err
	}
	name := "signet_load_" + strings.ReplaceAll(secret.NewUUID4(), "-", "")
	root, err := sql.Open("pgx", server)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err := root.ExecContext(ctx, "create database "+name); err != nil {
		return fmt.Errorf("a database for two nodes: %w", err)
	}
	defer root.ExecContext(context.WithoutCancel(ctx), "drop database "+name+" with (force)")
	u.Path = "/" + name
	one, err := newSiteOn(ctx, binary, u.String())
	if err != nil {
		return err
	}
	defer os.RemoveAll(one.dir)
	defer func() { one.stop() }()
	two := *one
	two.kek = filepath.Join(one.data(), "kek")
	if err := two.addresses(); err != nil {
		return err
	}
	two.folder = "two"
	if _, err := two.start(ctx); err != nil {
		return err
	}
	defer func() { two.stop() }()
	return one.latency(ctx, two.addr, "two nodes, PostgreSQL", wakeTwo)
}
