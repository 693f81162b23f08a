package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// anonymousLimit is how many failures a minute from one source that were
// answered alike are told one by one (decisions 3.5).
const anonymousLimit = 20

// Various is the reason in a row that counts: those it counts had several.
const Various = "various"

// maxSources bounds what a crowd of strangers can make this node remember.
const maxSources = 10_000

// source is who fails at what, as far as the reply tells. The reason is not of
// it: a stranger who has used up the rows of one inner reason would learn by what
// the next failure costs whether it had the same (decisions 2.7).
type source struct {
	tenant   idp.TenantID
	ip       string
	activity string
	method   idp.MethodID
	code     int
}

// tally is what a source did in one minute.
type tally struct {
	key    source
	minute int64
	seen   int
	asked  bool        // somebody is writing the counted row
	row    idp.EventID // the counted row, once it is there
	stored int         // what the row says
}

// beyond is how many failures belong into the counted row.
func (t *tally) beyond() int { return max(t.seen-anonymousLimit, 0) }

// crowd counts failures of strangers. The counts are a node's own: two nodes
// write two counted rows.
type crowd struct {
	mu      sync.Mutex
	size    int
	sources map[source]*tally
}

// Failure records that somebody unproven failed. It writes a row for each of
// the first 20 in a minute from one source (Event.IP) at one activity with one
// method that got one number (Event.Code) in reply; what comes beyond is one row
// that counts, whatever the reasons, and says Various. The count is written whenever it has
// doubled and by Flush, so that strangers cannot keep the database busy; what
// was not written yet when a process dies is lost.
func (l *Log) Failure(ctx context.Context, db *sqldb.DB, e Event) error {
	key := source{e.Tenant, Clean(e.IP, maxWord), e.Activity, e.Method, e.Code}
	t, old, what := l.crowd.note(key, l.now().Unix()/60)
	var err error
	if old != nil {
		err = l.store(ctx, db, old)
	}
	switch what {
	case tell:
		return errors.Join(err, db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return l.Write(ctx, tx, e) }))
	case open:
		return errors.Join(err, l.open(ctx, db, t, e))
	case store:
		return errors.Join(err, l.store(ctx, db, t))
	}
	return err
}

// What to do about one more failure.
type task int

const (
	count task = iota // nothing but count it
	tell              // write a row of its own
	open              // write the counted row
	store             // write the count
)

// note counts one more failure. old is the tally of an earlier minute whose
// count is still to be stored.
func (c *crowd) note(key source, minute int64) (t, old *tally, what task) {
	key.ip = web.SourceOf(key.ip)
	c.mu.Lock()
	defer c.mu.Unlock()
	t = c.sources[key]
	if t == nil && len(c.sources) >= c.size {
		// Too many sources to tell apart: they share a tally, so that a
		// botnet cannot write twenty rows for each of its members.
		key.ip = ""
		t = c.sources[key]
	}
	if t == nil || t.minute != minute {
		if t != nil && t.row != "" && t.stored < t.beyond() {
			old = t
		}
		t = &tally{key: key, minute: minute}
		c.sources[key] = t
	}
	t.seen++
	switch {
	case t.seen <= anonymousLimit:
		return t, old, tell
	case !t.asked:
		t.asked = true
		return t, old, open
	case t.row != "" && t.beyond() >= 2*t.stored:
		return t, old, store
	}
	return t, old, count
}

// open writes the counted row of t.
func (l *Log) open(ctx context.Context, db *sqldb.DB, t *tally, e Event) error {
	// What one of many said and typed is not true of the others.
	e.User, e.UserName, e.Actor, e.Credential, e.Session, e.Trace, e.Agent, e.Detail = "", "", "", "", "", "", "", nil
	e.IP, e.Reason = t.key.ip, Various
	var id idp.EventID
	err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		id, err = l.write(ctx, tx, e)
		return err
	})
	l.crowd.mu.Lock()
	defer l.crowd.mu.Unlock()
	if err != nil {
		t.asked = false // the next failure tries again
		return err
	}
	t.row, t.stored = id, 1
	return nil
}

// store writes the count of t as it is now.
func (l *Log) store(ctx context.Context, db *sqldb.DB, t *tally) error {
	l.crowd.mu.Lock()
	row, times := t.row, t.beyond()
	l.crowd.mu.Unlock()
	_, err := db.Exec(ctx, `update audit_event set times = $3 where tenant_id = $1 and id = $2 and times < $3`,
		t.key.tenant, row, int64(times))
	if err != nil {
		return fmt.Errorf("count failures: %w", err)
	}
	l.crowd.mu.Lock()
	defer l.crowd.mu.Unlock()
	t.stored = max(t.stored, times)
	return nil
}

// Flush writes the counts that are not stored yet and forgets sources that
// have been quiet since the minute before. It is called every minute and at the end.
func (l *Log) Flush(ctx context.Context, db *sqldb.DB) error {
	var due []*tally
	minute := l.now().Unix() / 60
	l.crowd.mu.Lock()
	for key, t := range l.crowd.sources {
		if t.row != "" && t.stored < t.beyond() {
			due = append(due, t)
		} else if t.minute != minute {
			delete(l.crowd.sources, key)
		}
	}
	l.crowd.mu.Unlock()
	var errs []error
	for _, t := range due {
		errs = append(errs, l.store(ctx, db, t))
	}
	return errors.Join(errs...)
}
