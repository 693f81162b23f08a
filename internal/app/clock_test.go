package app

import (
	"bytes"
	"context"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// clocks are a wall clock that a test sets, and one that it lets go on.
type clocks struct {
	r      reading
	log    bytes.Buffer
	alarms []time.Duration
}

func (c *clocks) watch() *clockWatch {
	c.r = reading{time.Date(2026, 11, 26, 20, 10, 0, 0, time.UTC), time.Minute}
	w := newClockWatch(time.Now, slog.New(slog.NewTextHandler(&c.log, nil)), func(_ context.Context, by time.Duration) error {
		c.alarms = append(c.alarms, by)
		return nil
	})
	w.read = func() reading { return c.r }
	w.anchor = c.r
	return w
}

// pass lets time go by on both clocks, and moves the wall's besides.
func (c *clocks) pass(d, jump time.Duration) {
	c.r.wall = c.r.wall.Add(d + jump)
	c.r.mono += d
}

// numbers is what /metrics says of the clock: a value by its name and labels.
func (w *clockWatch) numbers(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.jumps, w.skew)
	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	all := map[string]float64{}
	for line := range strings.Lines(page.Body.String()) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); !strings.HasPrefix(name, "#") {
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	if len(all) != 5 {
		t.Fatalf("metrics: %v", all)
	}
	return all
}

func (w *clockWatch) ahead(t *testing.T) float64 { return w.numbers(t)["signet_clock_skew_seconds"] }

// TestSec_REL07_JumpsAreTold: a clock that is set while the server runs is
// noticed once, in the direction and size it has, and time that only goes by
// never is.
func TestSec_REL07_JumpsAreTold(t *testing.T) {
	for _, c := range []struct {
		name            string
		jump            time.Duration
		direction, size string
		level           string
	}{
		{"nothing", 0, "", "", ""},
		{"what NTP does", 4 * time.Second, "", "", ""},
		{"what NTP does, back", -4 * time.Second, "", "", ""},
		{"seconds", 6 * time.Second, "forward", "small", "WARN"},
		{"seconds back, as after a leap second gone wrong", -6 * time.Second, "back", "small", "WARN"},
		{"six minutes", 6 * time.Minute, "forward", "small", "WARN"},
		{"ten minutes", 10 * time.Minute, "forward", "large", "ERROR"},
		{"ten minutes back", -10 * time.Minute, "back", "large", "ERROR"},
		{"ten years", 10 * 365 * 24 * time.Hour, "forward", "large", "ERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := &clocks{}
			w := k.watch()
			for range 3 {
				k.pass(clockEvery, 0)
				w.look(t.Context())
			}
			k.pass(clockEvery, c.jump)
			for range 3 {
				w.look(t.Context())
				k.pass(clockEvery, 0)
			}
			told := 0.0
			for as, n := range w.numbers(t) {
				if told += n; n > 0 && as != `signet_clock_jumps_total{direction="`+c.direction+`",size="`+c.size+`"}` {
					t.Errorf("counted as %v", as)
				}
			}
			if want := len(c.direction) > 0; (told == 1) != want || told > 1 {
				t.Errorf("told %v times", told)
			}
			if lines := strings.Count(k.log.String(), "level="); lines != int(told) || told > 0 && !strings.Contains(k.log.String(), "level="+c.level) {
				t.Errorf("log: %s", k.log.String())
			}
			if c.size == "large" != (len(k.alarms) == 1 && k.alarms[0] == c.jump) {
				t.Errorf("alarms: %v", k.alarms)
			}
		})
	}
	t.Run("small steps add up", func(t *testing.T) {
		k := &clocks{}
		w := k.watch()
		for range 3 {
			k.pass(clockEvery, 2*time.Second)
			w.look(t.Context())
		}
		if w.numbers(t)[`signet_clock_jumps_total{direction="forward",size="small"}`] != 1 {
			t.Error("three steps of two seconds were not seen")
		}
	})
	t.Run("clocks of slightly different speed", func(t *testing.T) {
		k := &clocks{}
		w := k.watch()
		for range 24 * 60 { // a day by the minute, 500 millionths fast
			k.pass(time.Minute, 30*time.Millisecond)
			w.look(t.Context())
		}
		if len(k.log.String()) > 0 {
			t.Errorf("log: %s", k.log.String())
		}
	})
}

// TestSec_REL07_ApartFromTheDatabase: a server whose clock is more than five
// seconds from its database's says so once, and once when that is over; the
// number is in the metrics.
func TestSec_REL07_ApartFromTheDatabase(t *testing.T) {
	sqldbtest.Each(t, nil, func(t *testing.T, db *sqldb.DB) {
		k := &clocks{}
		w := k.watch()
		start := time.Now()
		var off time.Duration
		w.read = func() reading { return reading{time.Now().Add(off).Round(0), time.Since(start)} }
		for _, step := range []struct {
			off time.Duration
			log string
		}{
			{0, ""}, {2 * time.Second, ""}, {6 * time.Minute, "are apart"}, {6 * time.Minute, ""}, {0, "agree again"}, {-6 * time.Minute, "are apart"},
		} {
			off = step.off
			k.log.Reset()
			if err := w.compare(t.Context(), db); err != nil {
				t.Fatal(err)
			}
			if db.Dialect() == sqldb.SQLite {
				if k.log.Len() > 0 || w.ahead(t) != 0 {
					t.Errorf("SQLite has no clock of its own: %s", k.log.String())
				}
				continue
			}
			if said := k.log.String(); (said == "") != (step.log == "") || !strings.Contains(said, step.log) {
				t.Errorf("%s ahead: %q", step.off, said)
			}
			if skew := w.ahead(t); skew < step.off.Seconds()-2 || skew > step.off.Seconds()+2 {
				t.Errorf("%s ahead is %v seconds", step.off, skew)
			}
		}
	})
}
