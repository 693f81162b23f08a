package trust

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/sqldb"
)

// ListTopic is the bus topic of lists that came; the key is tenant, authority
// and kind, with a space between.
const ListTopic = "trust.list"

// ListKind says which of an authority's lists it is.
type ListKind string

// The kinds.
const (
	Complete ListKind = "complete" // Authority.CRL
	Delta    ListKind = "delta"    // Authority.Delta
)

// ListState is what is known of a list, and of how it was got. Times are zero
// where a thing never happened.
type ListState struct {
	Authority idp.AuthorityID
	Name      string // the authority's
	Kind      ListKind
	URL       string // where it is fetched

	// Of the list that is in use. Number is its CRL number, decimal; empty: none
	// has come yet.
	Number                 string
	Entries, Bytes         int64
	ThisUpdate, NextUpdate time.Time

	Tried, Succeeded, Failed time.Time
	// Failure says in words why the last try failed; empty: it did not.
	Failure  string
	Failures int64 // in a row
	Due      time.Time
}

// Standing is what a list is good for.
type Standing string

// The standings.
const (
	Missing Standing = "missing" // none has come yet: its authority's certificates are refused
	Over    Standing = "over"    // so is this one: they are refused, unless Rules.StaleFor says otherwise
	Failing Standing = "failing" // in force, but the last try to get a newer one failed
	InForce Standing = "in_force"
)

// At says what the list is good for at a time.
func (l ListState) At(now time.Time) Standing {
	switch {
	case l.Number == "":
		return Missing
	case !now.Before(l.NextUpdate):
		return Over
	case l.Failure != "":
		return Failing
	}
	return InForce
}

// Age is how long ago the list was made; zero: there is none.
func (l ListState) Age(now time.Time) time.Duration {
	if l.Number == "" {
		return 0
	}
	return now.Sub(l.ThisUpdate)
}

// States tells of all lists of the tenant's authorities that have an address,
// in the order of the authorities.
func (s *Store) States(ctx context.Context, t idp.TenantID) ([]ListState, error) {
	all, err := s.List(ctx, s.cfg.DB, t)
	if err != nil {
		return nil, err
	}
	rows, err := listRows(ctx, s.cfg.DB, t)
	if err != nil {
		return nil, err
	}
	var out []ListState
	for _, a := range all {
		for _, k := range a.kinds() {
			out = append(out, rows[listKey{t, a.ID, k}].state(a, k))
		}
	}
	return out, nil
}

// kinds are the lists that an authority has an address of.
func (a Authority) kinds() []ListKind {
	var out []ListKind
	if a.CRL != "" {
		out = append(out, Complete)
	}
	if a.Delta != "" {
		out = append(out, Delta)
	}
	return out
}

func (a Authority) url(k ListKind) string {
	if k == Delta {
		return a.Delta
	}
	return a.CRL
}

// listKey names a list.
type listKey struct {
	tenant    idp.TenantID
	authority idp.AuthorityID
	kind      ListKind
}

func (k listKey) String() string { return fmt.Sprintf("%s %s %s", k.tenant, k.authority, k.kind) }

// listRow is what the database has of a list, but for the list.
type listRow struct {
	url, number, etag, modified, failure string
	version, entries, bytes, failures    int64
	this, next                           int64 // Unix ms, as the rest
	tried, succeeded, failed, due        int64
}

func (r listRow) state(a Authority, k ListKind) ListState {
	return ListState{
		Authority: a.ID, Name: a.Name, Kind: k, URL: a.url(k), Number: r.number, Entries: r.entries, Bytes: r.bytes,
		ThisUpdate: moment(r.this), NextUpdate: moment(r.next), Tried: moment(r.tried), Succeeded: moment(r.succeeded), Failed: moment(r.failed),
		Failure: r.failure, Failures: r.failures, Due: moment(r.due),
	}
}

const listColumns = `url, version, number, entries, bytes, this_update, next_update, etag, modified, tried, succeeded, failed, failure, failures, due `

func (r *listRow) places() []any {
	return []any{&r.url, &r.version, &r.number, &r.entries, &r.bytes, &r.this, &r.next, &r.etag, &r.modified,
		&r.tried, &r.succeeded, &r.failed, &r.failure, &r.failures, &r.due}
}

func listRows(ctx context.Context, q sqldb.Querier, t idp.TenantID) (map[listKey]listRow, error) {
	rows, err := q.Query(ctx, `select authority_id, kind, `+listColumns+`from trust_list where tenant_id = $1`, t)
	if err != nil {
		return nil, fmt.Errorf("lists of %s: %w", t, err)
	}
	defer rows.Close()
	out := map[listKey]listRow{}
	for rows.Next() {
		k, r := listKey{tenant: t}, listRow{}
		if err := rows.Scan(append([]any{&k.authority, &k.kind}, r.places()...)...); err != nil {
			return nil, fmt.Errorf("lists of %s: %w", t, err)
		}
		out[k] = r
	}
	return out, rows.Err()
}

// rowOf gives an empty row where there is none yet.
func rowOf(ctx context.Context, q sqldb.Querier, k listKey) (listRow, error) {
	var r listRow
	err := q.QueryRow(ctx, `select `+listColumns+`from trust_list where tenant_id = $1 and authority_id = $2 and kind = $3`,
		k.tenant, k.authority, k.kind).Scan(r.places()...)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return listRow{}, fmt.Errorf("list %s: %w", k, err)
	}
	return r, nil
}

// saveRow writes what is known of a list, if no other list came since it was
// read.
func saveRow(ctx context.Context, tx *sqldb.Tx, k listKey, r listRow, before int64) (bool, error) {
	n, err := tx.Exec(ctx, `
		insert into trust_list (tenant_id, authority_id, kind, url, version, number, entries, bytes, this_update, next_update, etag, modified,
			tried, succeeded, failed, failure, failures, due)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
		on conflict (tenant_id, authority_id, kind) do update set url = $4, version = $5, number = $6, entries = $7, bytes = $8, this_update = $9,
			next_update = $10, etag = $11, modified = $12, tried = $13, succeeded = $14, failed = $15, failure = $16, failures = $17, due = $18
		where trust_list.version = $19`,
		k.tenant, k.authority, k.kind, r.url, r.version, r.number, r.entries, r.bytes, r.this, r.next, r.etag, r.modified,
		r.tried, r.succeeded, r.failed, r.failure, r.failures, r.due, before)
	if err != nil {
		return false, fmt.Errorf("save list %s: %w", k, err)
	}
	return n == 1, nil
}

func saveBody(ctx context.Context, tx *sqldb.Tx, k listKey, body []byte) error {
	_, err := tx.Exec(ctx, `
		insert into trust_list_body (tenant_id, authority_id, kind, body) values ($1, $2, $3, $4)
		on conflict (tenant_id, authority_id, kind) do update set body = $4`, k.tenant, k.authority, k.kind, body)
	if err != nil {
		return fmt.Errorf("save list %s: %w", k, err)
	}
	return nil
}

// loadList reads a list from the database; nil: none has come.
func (s *Store) loadList(ctx context.Context, k listKey) (*pkix.CRL, error) {
	var body []byte
	err := s.cfg.DB.QueryRow(ctx, `select body from trust_list_body where tenant_id = $1 and authority_id = $2 and kind = $3`,
		k.tenant, k.authority, k.kind).Scan(&body)
	if errors.Is(err, idp.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("load list %s: %w", k, err)
	}
	c, err := pkix.UnmarshalCRL(body)
	if err != nil {
		return nil, fmt.Errorf("list %s in the database: %w", k, err)
	}
	return c, nil
}

// dropLists deletes what is left of lists whose authorities are gone.
func dropLists(ctx context.Context, tx *sqldb.Tx) error {
	for _, table := range []string{"trust_list", "trust_list_body"} {
		_, err := tx.Exec(ctx, `delete from `+table+` where not exists (
			select 1 from trust_authority a where a.tenant_id = `+table+`.tenant_id and a.id = `+table+`.authority_id)`)
		if err != nil {
			return fmt.Errorf("delete lists without an authority: %w", err)
		}
	}
	return nil
}
