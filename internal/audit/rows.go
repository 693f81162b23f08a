package audit

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Log writes and reads events.
type Log struct {
	now   func() time.Time
	crowd crowd
}

// New makes a log.
func New(now func() time.Time) *Log {
	return &Log{now: now, crowd: crowd{size: maxSources, sources: make(map[source]*tally)}}
}

// Write appends e to the record of its tenant, in the transaction of what it
// tells of. It gives the event its id, and its time when that is zero.
func (l *Log) Write(ctx context.Context, tx *sqldb.Tx, e Event) error {
	_, err := l.write(ctx, tx, e)
	return err
}

func (l *Log) write(ctx context.Context, tx *sqldb.Tx, e Event) (idp.EventID, error) {
	if e.Tenant == "" || e.Category == "" || e.Activity == "" || e.Outcome == "" {
		return "", fmt.Errorf("audit event %q: tenant, category, activity and outcome are needed", e.Activity)
	}
	e = e.clean()
	if e.At.IsZero() {
		e.At = l.now()
	}
	e.ID = idp.EventID(secret.NewUUID7(l.now()))
	e.Times = max(e.Times, 1)
	detail := ""
	if len(e.Detail) > 0 {
		text, err := json.Marshal(e.Detail)
		if err != nil {
			return "", err
		}
		detail = string(text)
	}
	_, err := tx.Exec(ctx, `
		insert into audit_event (tenant_id, id, at, category, activity, outcome, actor, user_id, user_name, client_id,
			session_id, method, credential_id, rule, reason, code, ip, agent, trace, detail, times)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)`,
		e.Tenant, e.ID, e.At.UnixMilli(), e.Category, e.Activity, e.Outcome, e.Actor, e.User, e.UserName, e.Client,
		e.Session, e.Method, e.Credential, e.Rule, e.Reason, int64(e.Code), e.IP, e.Agent, e.Trace, detail, int64(e.Times))
	if err != nil {
		return "", fmt.Errorf("write audit event %s: %w", e.Activity, err)
	}
	return e.ID, nil
}

// Filter chooses events. Empty fields choose all.
type Filter struct {
	User     idp.UserID
	Category string
	Of       Book        // which of the two logs; empty: both
	Where    filter.Expr // over Fields
	Before   idp.EventID // only older ones: the last id of the page before
	Limit    int         // 100 when 0, at most 999 (decisions 3.7)
}

// Book is one of the two logs that administrators read: who signed in, and
// what was changed.
type Book string

// The books, as conditions. They are written out in the SQL, not handed over
// as values, so that the index of changes, which sign-ins do not pay for, is
// found.
const (
	SignIns Book = "category in ('signin', 'token')"
	Changes Book = "category not in ('signin', 'token')"
)

// Fields are what a list of events can be asked about, under the names that
// Graph has for them in either book.
var Fields = filter.Fields{
	"id":                  {Kind: filter.Text, Column: "id"},
	"createdDateTime":     {Kind: filter.Time, Column: "at"},
	"activityDateTime":    {Kind: filter.Time, Column: "at"},
	"activityDisplayName": {Kind: filter.Text, Column: "activity"},
	"userId":              {Kind: filter.Text, Column: "user_id"},
	"userPrincipalName":   {Kind: filter.Text, Column: "lower(user_name)", Fold: strings.ToLower},
	"appId":               {Kind: filter.Text, Column: "client_id"},
	"ipAddress":           {Kind: filter.Text, Column: "ip"},
	"correlationId":       {Kind: filter.Text, Column: "trace"},
	"status/errorCode":    {Kind: filter.Int, Column: "code"},
	"result":              {Kind: filter.Text, Column: "outcome", Words: map[string]any{"success": Success, "failure": Failure}},
	"initiatedBy/user/id": {Kind: filter.Text, Column: "actor"},
}

// List returns events of a tenant, the newest first.
func (l *Log) List(ctx context.Context, q sqldb.Querier, t idp.TenantID, f Filter) ([]Event, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	// Ids are UUIDv7: their order is that of time. This one sorts after all.
	before := string(f.Before)
	if before == "" {
		before = "ffffffff-ffff-ffff-ffff-ffffffffffff"
	}
	where, args := `tenant_id = $1 and id < $2`, []any{t, before}
	if f.User != "" {
		args = append(args, f.User)
		where += fmt.Sprintf(` and user_id = $%d`, len(args))
	}
	if f.Category != "" {
		args = append(args, f.Category)
		where += fmt.Sprintf(` and category = $%d`, len(args))
	}
	if f.Of != "" {
		where += " and " + string(f.Of)
	}
	if !f.Where.All() {
		cond, more := f.Where.SQL(len(args) + 1)
		where, args = where+" and "+cond, append(args, more...)
	}
	args = append(args, int64(min(f.Limit, 999)))
	rows, err := q.Query(ctx, columns+where+fmt.Sprintf(` order by id desc limit $%d`, len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("list audit events: %w", err)
	}
	return scan(rows, t)
}

const columns = `
	select id, at, category, activity, outcome, actor, user_id, user_name, client_id, session_id, method,
		credential_id, rule, reason, code, ip, agent, trace, detail, times
	from audit_event where `

// Get reads one event of a book, or is NotFound.
func (l *Log) Get(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.EventID, of Book) (Event, error) {
	rows, err := q.Query(ctx, columns+`tenant_id = $1 and id = $2 and `+string(of), t, id)
	if err != nil {
		return Event{}, fmt.Errorf("read audit event: %w", err)
	}
	events, err := scan(rows, t)
	if err == nil && len(events) == 0 {
		err = idp.NotFoundf("event_unknown", "event %s", id)
	}
	if err != nil {
		return Event{}, err
	}
	return events[0], nil
}

func scan(rows *sqldb.Rows, t idp.TenantID) ([]Event, error) {
	defer rows.Close()
	var out []Event
	for rows.Next() {
		e := Event{Tenant: t}
		var at, code, times int64
		var detail string
		if err := rows.Scan(&e.ID, &at, &e.Category, &e.Activity, &e.Outcome, &e.Actor, &e.User, &e.UserName, &e.Client,
			&e.Session, &e.Method, &e.Credential, &e.Rule, &e.Reason, &code, &e.IP, &e.Agent, &e.Trace, &detail, &times); err != nil {
			return nil, fmt.Errorf("read audit event: %w", err)
		}
		e.At, e.Code, e.Times = time.UnixMilli(at).UTC(), int(code), int(times)
		if detail != "" {
			if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
				return nil, fmt.Errorf("read detail of audit event %s: %w", e.ID, err)
			}
		}
		out = append(out, e)
	}
	return out, rows.Err()
}

// everyTenant walks the tenants that have events by the index, one step each,
// however many events there are.
const everyTenant = `
	with recursive each(t) as (
		select min(tenant_id) from audit_event
		union all
		select (select min(a.tenant_id) from audit_event a where a.tenant_id > each.t) from each where each.t is not null
	)`

// Last returns the newest event's id over all tenants, and an empty one when
// there is none. It is a locator (decisions 3.6): the high-water mark that
// shows a restored database (decisions 1.7).
func (l *Log) Last(ctx context.Context, q sqldb.Querier) (idp.EventID, error) {
	var id string
	err := q.QueryRow(ctx, everyTenant+`
		select coalesce(max((select max(e.id) from audit_event e where e.tenant_id = each.t)), '') from each`).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("find last audit event: %w", err)
	}
	return idp.EventID(id), nil
}

// Exists says whether an event is in the record of any tenant. A locator, as
// Last.
func (l *Log) Exists(ctx context.Context, q sqldb.Querier, id idp.EventID) (bool, error) {
	var n int64
	err := q.QueryRow(ctx, everyTenant+`
		select count(*) from each where exists
			(select 1 from audit_event e where e.tenant_id = each.t and e.id = $1)`, id).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("find audit event: %w", err)
	}
	return n > 0, nil
}

// purgeBatch keeps a purge from holding the writer for long.
const purgeBatch = 1000

// Purge deletes events from before the time given, in batches, and returns how many.
// Every tenant keeps its newest one, which the high-water mark may name.
func (l *Log) Purge(ctx context.Context, db *sqldb.DB, before time.Time) (int64, error) {
	var tenants []idp.TenantID
	rows, err := db.Query(ctx, everyTenant+` select t from each where t is not null`)
	if err != nil {
		return 0, fmt.Errorf("purge audit events: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t idp.TenantID
		if err := rows.Scan(&t); err != nil {
			return 0, err
		}
		tenants = append(tenants, t)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	rows.Close()
	var total int64
	for _, t := range tenants {
		for {
			n, err := db.Exec(ctx, `
				delete from audit_event where tenant_id = $1 and id in (
					select id from audit_event where tenant_id = $1 and id < $2
						and id < (select max(id) from audit_event where tenant_id = $1)
					order by id limit $3)`, t, secret.FirstUUID7(before), int64(purgeBatch))
			total += n
			if err != nil {
				return total, fmt.Errorf("purge audit events: %w", err)
			}
			if n < purgeBatch {
				break
			}
		}
	}
	return total, nil
}
