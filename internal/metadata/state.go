package metadata

import (
	"context"
	"errors"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Condition is how a list is at a time.
type Condition string

// The conditions. None of them stops anybody from signing in with what is
// registered; Overdue is worth an alarm.
const (
	Off     Condition = "off"     // no source, and no list
	None    Condition = "none"    // a source, and no list yet
	Current Condition = "current" // its next one is not due
	Late    Condition = "late"    // the next one was due, up to 30 days ago
	Overdue Condition = "overdue" // and for longer
)

// State is what an administrator is told.
type State struct {
	Condition  Condition
	Source     string    // configured address or file
	Number     int64     // of the list in use; 0: none
	Models     int       // in it
	Skipped    int       // entries that were left out: no passkeys, or not understood
	Doubled    int       // entries that were there twice
	NextUpdate time.Time // when the service promised the next one
	Fetched    time.Time // when the one in use was taken in
	From       string    // where it came from

	LastTry  time.Time // zero: never
	NextTry  time.Time
	Result   string // one of the results, or ""
	Detail   string // why it failed, for the operator
	Failures int64  // in a row
}

// State tells of the list in use and of the last try to get a newer one.
func (r *Registry) State(ctx context.Context) (State, error) {
	s := r.now.Load()
	st := State{
		Condition: r.condition(s), Source: r.source(), Number: s.number, Skipped: s.skipped, Doubled: s.doubled,
		NextUpdate: s.nextUpdate, Fetched: s.fetched, From: s.source,
	}
	if s.number > 0 {
		st.Models = s.mds
	}
	t, err := getTry(ctx, r.cfg.DB)
	if errors.Is(err, idp.NotFound) {
		return st, nil
	}
	st.LastTry, st.NextTry, st.Result, st.Detail, st.Failures = t.at, t.next, t.result, t.detail, t.failures
	return st, err
}

// Condition is State's, without asking the database.
func (r *Registry) Condition() Condition { return r.condition(r.now.Load()) }

func (r *Registry) condition(s *set) Condition {
	now := r.cfg.Now()
	due := s.nextUpdate.Add(24 * time.Hour) // the whole of that day
	switch {
	case s.number == 0 && !r.fed():
		return Off
	case s.number == 0:
		return None
	case !now.After(due):
		return Current
	case now.After(due.Add(grace)):
		return Overdue
	}
	return Late
}
