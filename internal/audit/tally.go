package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Tally counts the sign-ins of a while.
type Tally struct {
	// Since is what it counts from: later than was asked for when there are
	// more events than it reads.
	Since   time.Time
	Done    int
	Refused int
	Hours   []Hour // oldest first, without gaps, the last one is the present hour
	Methods map[idp.MethodID]int
	Rules   map[string]int // refusals by rule; "" for what proved nothing
}

// Hour is one hour of a Tally.
type Hour struct {
	From          time.Time
	Done, Refused int
}

// Tally counts the sign-ins of the tenant from since on, reading at most so
// many events, the newest first.
func (l *Log) Tally(ctx context.Context, q sqldb.Querier, t idp.TenantID, since time.Time, most int) (Tally, error) {
	out := Tally{Since: since, Methods: map[idp.MethodID]int{}, Rules: map[string]int{}}
	now := l.now()
	for h := since.Truncate(time.Hour); !h.After(now); h = h.Add(time.Hour) {
		out.Hours = append(out.Hours, Hour{From: h})
	}
	// Ids begin with their time, so that the index is read from there on.
	rows, err := q.Query(ctx, `
		select at, outcome, method, rule, times from audit_event
		where tenant_id = $1 and id >= $2 and category = 'signin' and outcome in ('success', 'failure')
		order by id desc limit $3`, t, secret.FirstUUID7(since), int64(most))
	if err != nil {
		return Tally{}, fmt.Errorf("tally of sign-ins: %w", err)
	}
	defer rows.Close()
	read := 0
	for rows.Next() {
		var at, times int64
		var outcome, rule string
		var m idp.MethodID
		if err := rows.Scan(&at, &outcome, &m, &rule, &times); err != nil {
			return Tally{}, fmt.Errorf("tally of sign-ins: %w", err)
		}
		read++
		out.count(time.UnixMilli(at).UTC(), outcome, m, rule, int(times))
		if read == most {
			out.Since = time.UnixMilli(at).UTC()
		}
	}
	return out, rows.Err()
}

func (t *Tally) count(at time.Time, outcome string, m idp.MethodID, rule string, times int) {
	var h *Hour
	if len(t.Hours) > 0 {
		if i := int(at.Sub(t.Hours[0].From) / time.Hour); i >= 0 && i < len(t.Hours) {
			h = &t.Hours[i]
		}
	}
	if outcome == Success {
		t.Done += times
		t.Methods[m] += times
		if h != nil {
			h.Done += times
		}
		return
	}
	t.Refused += times
	t.Rules[rule] += times
	if h != nil {
		h.Refused += times
	}
}
