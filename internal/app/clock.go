package app

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// What a clock may do (security.md REL07).
const (
	clockEvery = 5 * time.Second
	// clockOff is what nodes' clocks may differ by, and by how much one may be
	// set in one go without a word.
	clockOff = 5 * time.Second
	// clockAlarm is a jump that what was handed out does not survive, and that
	// makes the times in the records doubtful.
	clockAlarm = 10 * time.Minute
	// clockAnchor is how long jumps are added up: clocks that run at slightly
	// different speeds differ by less than clockOff after that.
	clockAnchor = time.Hour
)

// reading is what both clocks say: that of the wall, which can be set, and one
// that only goes on.
type reading struct {
	wall time.Time
	mono time.Duration
}

// clockWatch looks whether this server's clock is set while it runs, and how
// far it is from the database's. It never turns anybody away: what a wrong
// clock could do is prevented where things are spent and forgotten (nonce.Open,
// job.Job).
type clockWatch struct {
	read  func() reading
	log   *slog.Logger
	alarm func(context.Context, time.Duration) error // writes an alarm into the record

	anchor reading
	apart  bool // from the database, as was last said
	jumps  *prometheus.CounterVec
	skew   prometheus.Gauge
}

// newClockWatch watches now. A clock that moves in steps is told from time
// that goes by only while the process runs: a machine that sleeps wakes with a
// jump.
func newClockWatch(now func() time.Time, log *slog.Logger, alarm func(context.Context, time.Duration) error) *clockWatch {
	start := time.Now()
	w := &clockWatch{
		read:  func() reading { return reading{now().Round(0), time.Since(start)} },
		log:   log,
		alarm: alarm,
		jumps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "signet_clock_jumps_total",
			Help: "Times that this server's clock was set by more than 5 seconds (small) or by 10 minutes or more (large).",
		}, []string{"direction", "size"}),
		skew: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "signet_clock_skew_seconds",
			Help: "By how much this server's clock is ahead of the database server's; 0 with SQLite.",
		}),
	}
	for _, direction := range []string{"forward", "back"} {
		for _, size := range []string{"small", "large"} {
			w.jumps.WithLabelValues(direction, size)
		}
	}
	w.anchor = w.read()
	return w
}

// look compares the clocks, and tells of a jump once.
func (w *clockWatch) look(ctx context.Context) {
	r := w.read()
	by := r.wall.Sub(w.anchor.wall) - (r.mono - w.anchor.mono)
	if by.Abs() <= clockOff {
		if r.mono-w.anchor.mono > clockAnchor {
			w.anchor = r
		}
		return
	}
	w.anchor = r
	direction, size := "forward", "small"
	if by < 0 {
		direction = "back"
	}
	if by.Abs() < clockAlarm {
		w.jumps.WithLabelValues(direction, size).Inc()
		w.log.Warn("this server's clock was set", "by", by.Round(time.Millisecond).String(), "now", r.wall.UTC())
		return
	}
	size = "large"
	w.jumps.WithLabelValues(direction, size).Inc()
	w.log.Error("this server's clock jumped: sign-ins under way are lost, and times in the records are doubtful; see that NTP sets it",
		"by", by.Round(time.Millisecond).String(), "now", r.wall.UTC())
	if err := w.alarm(ctx, by); err != nil {
		w.log.Warn("the jump of the clock is not in the audit", "cause", err)
	}
}

// compare holds this clock against the database server's, which is the same for
// all nodes. Nothing is decided by it (ADR 0003): it tells of nodes apart.
func (w *clockWatch) compare(ctx context.Context, db *sqldb.DB) error {
	if db.Dialect() != sqldb.Postgres {
		return nil
	}
	before := w.read()
	var theirs int64
	err := db.QueryRow(ctx, `select cast(extract(epoch from clock_timestamp()) * 1000 as bigint)`).Scan(&theirs)
	if err != nil {
		return fmt.Errorf("clock of the database: %w", err)
	}
	after := w.read()
	took := after.mono - before.mono
	ahead := before.wall.Add(took / 2).Sub(time.UnixMilli(theirs))
	w.skew.Set(ahead.Seconds())
	// An answer that took its time says less.
	apart := ahead.Abs() > clockOff+took/2
	switch {
	case apart && !w.apart:
		w.log.Warn("this server's clock and the database's are apart: servers of one database need the same time; see that NTP sets both",
			"ahead", ahead.Round(time.Millisecond).String())
	case !apart && w.apart:
		w.log.Info("this server's clock and the database's agree again")
	}
	w.apart = apart
	return nil
}

// run looks until ctx ends.
func (w *clockWatch) run(ctx context.Context, db *sqldb.DB) error {
	tick := time.NewTicker(clockEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if n%12 == 0 { // each minute, and at once
			if err := w.compare(ctx, db); err != nil && ctx.Err() == nil {
				w.log.Warn("clock", "cause", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.look(ctx)
		}
	}
}

// recordJump writes into the record of every tenant that the times in it may
// be wrong from here on.
func (h *House) recordJump(ctx context.Context, by time.Duration) error {
	tenants, err := h.Directory.Tenants(ctx)
	if err != nil {
		return err
	}
	return h.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for _, t := range tenants {
			if err := h.Audit.Write(ctx, tx, jumped(t.ID, by)); err != nil {
				return err
			}
		}
		return nil
	})
}

func jumped(t idp.TenantID, by time.Duration) audit.Event {
	return audit.Event{
		Tenant: t, Category: audit.System, Activity: "clock.jump", Outcome: audit.Failure,
		Reason: "clock_jumped", Detail: map[string]string{"seconds": strconv.FormatInt(int64(by/time.Second), 10)},
	}
}
