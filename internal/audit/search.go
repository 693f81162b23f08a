package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Query is what a page of the log asks for. Empty fields ask nothing.
type Query struct {
	Of         Book
	User       idp.UserID
	UserName   string     // as it stands in the record, whatever the letter case
	Either     idp.UserID // whom it is about, or who did it
	Client     idp.ClientID
	Outcome    string
	Method     idp.MethodID
	IP         string
	Rule       string
	Reason     string
	Trace      string
	Actor      string
	Device     idp.DeviceID // a machine that the record names in its Detail
	Activities []string     // one of these; "user." is all that begin so
	Since      time.Time    // not before
	Until      time.Time    // before
	Before     idp.EventID  // only older ones: Part.Next of the page before
	Limit      int          // 50 when 0, at most 999
	// Look bounds how many records are looked at, whatever the number that
	// there are; 0: 20,000.
	Look int
}

// Part is what a Query found.
type Part struct {
	Events []Event // the newest first
	// Next goes on from here, as Query.Before; empty: there is nothing older.
	Next idp.EventID
	// Back is how far back was looked, when Query.Look came before Limit. What
	// is older is asked for with Next. The zero time: the part is full, or
	// there is nothing older.
	Back time.Time
}

const (
	someEvents = 50
	lookAt     = 20_000
	firstLook  = 500
)

// Search finds events of a tenant. It goes back through the records in steps
// until the part is full, the records are at their end or Query.Look is used
// up: a page costs the same with a thousand records and with millions, also
// when nothing matches.
func (l *Log) Search(ctx context.Context, q sqldb.Querier, t idp.TenantID, ask Query) (Part, error) {
	limit, look := ask.limits()
	c := ask.conditions(t)
	cursor := c.newest(ask.Before)
	var out Part
	for step := firstLook; ; step *= 4 {
		step = min(step, look)
		floor, err := c.floor(ctx, q, cursor, step)
		if err != nil {
			return Part{}, err
		}
		some, err := c.list(ctx, q, cursor, floor, limit+1-len(out.Events))
		if err != nil {
			return Part{}, err
		}
		out.Events = append(out.Events, some...)
		look -= step
		switch {
		case len(out.Events) > limit:
			out.Events = out.Events[:limit]
			out.Next = out.Events[limit-1].ID
			return out, nil
		case floor == "":
			return out, nil
		case look <= 0:
			out.Next, out.Back = idp.EventID(floor), timeOf(floor)
			return out, nil
		}
		cursor = floor
	}
}

// Newer counts the events after one that match, and says the oldest of them.
// It looks at no more than Query.Look records, the oldest of them first, and
// counts no further than Query.Limit.
func (l *Log) Newer(ctx context.Context, q sqldb.Querier, t idp.TenantID, after idp.EventID, ask Query) (n int, next idp.EventID, err error) {
	limit, look := ask.limits()
	c := ask.conditions(t)
	ceiling := last
	err = q.QueryRow(ctx, `select id from audit_event where tenant_id = $1 and id > $2 order by id limit 1 offset $3`,
		t, string(after), int64(look)).Scan(&ceiling)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return 0, "", fmt.Errorf("look at newer events: %w", err)
	}
	where, args := c.where(c.all, string(after), ceiling)
	args = append(args, int64(limit))
	var oldest string
	err = q.QueryRow(ctx, fmt.Sprintf(`select count(*), coalesce(min(id), '') from (
		select id from audit_event where %s and id <> $%d order by id limit $%d) as newer`, where, 2, len(args)), args...).Scan(&n, &oldest)
	if err != nil {
		return 0, "", fmt.Errorf("count newer events: %w", err)
	}
	return n, idp.EventID(oldest), nil
}

func (ask Query) limits() (limit, look int) {
	limit, look = ask.Limit, ask.Look
	if limit <= 0 {
		limit = someEvents
	}
	if look <= 0 {
		look = lookAt
	}
	return min(limit, 999), look
}

// last sorts after every id.
const last = "ffffffff-ffff-ffff-ffff-ffffffffffff"

// conditions are those of a query, in two halves: what an index finds, and
// what is asked of each record that it finds.
type conditions struct {
	tenant       idp.TenantID
	since, until string
	user         bool        // one person is asked for
	found        []condition // by an index
	all          []condition // found, and the rest
}

type condition struct {
	text string // with %s for each argument
	args []any
}

func (ask Query) conditions(t idp.TenantID) *conditions {
	c := &conditions{tenant: t, until: last}
	if !ask.Since.IsZero() {
		c.since = secret.FirstUUID7(ask.Since)
	}
	if !ask.Until.IsZero() {
		c.until = secret.FirstUUID7(ask.Until)
	}
	if ask.User != "" {
		c.user = true
		c.found = append(c.found, condition{"user_id = %s", []any{ask.User}})
	}
	if ask.Of == Changes && ask.User == "" {
		c.found = append(c.found, condition{text: string(ask.Of)}) // has an index of its own
	}
	c.all = append(c.all, c.found...)
	if ask.Of != "" && (ask.Of != Changes || ask.User != "") {
		c.all = append(c.all, condition{text: string(ask.Of)})
	}
	for _, one := range []struct{ column, value string }{
		{"client_id", string(ask.Client)}, {"outcome", ask.Outcome}, {"method", string(ask.Method)}, {"ip", ask.IP},
		{"rule", ask.Rule}, {"reason", ask.Reason}, {"trace", ask.Trace}, {"actor", ask.Actor}, {"lower(user_name)", strings.ToLower(ask.UserName)},
	} {
		if one.value != "" {
			c.all = append(c.all, condition{one.column + " = %s", []any{one.value}})
		}
	}
	if ask.Either != "" {
		c.all = append(c.all, condition{"(user_id = %s or actor = %s)", []any{ask.Either, string(ask.Either)}})
	}
	if ask.Device != "" {
		c.all = append(c.all, condition{"detail like %s", []any{detailOf("device", string(ask.Device))}})
	}
	if len(ask.Activities) > 0 {
		one, parts := condition{}, make([]string, 0, len(ask.Activities))
		for _, a := range ask.Activities {
			if strings.HasSuffix(a, ".") {
				// The beginnings are words of ours, without signs of like.
				parts, one.args = append(parts, "activity like %s"), append(one.args, a+"%")
				continue
			}
			parts, one.args = append(parts, "activity = %s"), append(one.args, a)
		}
		one.text = "(" + strings.Join(parts, " or ") + ")"
		c.all = append(c.all, one)
	}
	return c
}

// detailOf is what the written detail of a record is like in which name has
// value. Signs of like in it stand for more than themselves; an id has none.
func detailOf(name, value string) string {
	text, err := json.Marshal(map[string]string{name: value})
	if err != nil {
		return value
	}
	return "%" + strings.Trim(string(text), "{}") + "%"
}

// newest is where a search begins.
func (c *conditions) newest(before idp.EventID) string {
	if before != "" && string(before) < c.until {
		return string(before)
	}
	return c.until
}

// where writes conditions on records from floor on and before cursor.
func (c *conditions) where(list []condition, floor, cursor string) (string, []any) {
	text, args := "tenant_id = $1 and id >= $2 and id < $3", []any{c.tenant, max(floor, c.since), cursor}
	for _, one := range list {
		places := make([]any, len(one.args))
		for i, a := range one.args {
			args = append(args, a)
			places[i] = "$" + strconv.Itoa(len(args))
		}
		text += " and " + fmt.Sprintf(one.text, places...)
	}
	return text, args
}

// floor is the id of the record that is n steps back from cursor; empty: there
// are not so many. It reads an index and no record.
func (c *conditions) floor(ctx context.Context, q sqldb.Querier, cursor string, n int) (string, error) {
	where, args := c.where(c.found, "", cursor)
	args = append(args, int64(n-1))
	var id string
	err := q.QueryRow(ctx, fmt.Sprintf(`select id from audit_event where %s order by id desc limit 1 offset $%d`, where, len(args)), args...).Scan(&id)
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at events: %w", err)
	}
	return id, nil
}

func (c *conditions) list(ctx context.Context, q sqldb.Querier, cursor, floor string, limit int) ([]Event, error) {
	where, args := c.where(c.all, floor, cursor)
	if c.user {
		// Asked in one condition, SQLite would rather read everybody's records
		// than go by the index of a person's.
		mine, _ := c.where(c.found, floor, cursor)
		where = "id in (select id from audit_event where " + mine + ") and " + where
	}
	args = append(args, int64(limit))
	rows, err := q.Query(ctx, columns+where+fmt.Sprintf(` order by id desc limit $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("search audit events: %w", err)
	}
	return scan(rows, c.tenant)
}

// timeOf is when an id (UUIDv7) was made; the zero time for what is none.
func timeOf(id string) time.Time {
	if len(id) < 13 {
		return time.Time{}
	}
	ms, err := strconv.ParseInt(id[:8]+id[9:13], 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
