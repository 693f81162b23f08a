package trust

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
)

// Lists are fetched by so many jobs, each for hosts of its own: a host that
// hangs keeps only a part of the others waiting.
const shards = 4

// lookEvery is how often is looked for lists that are due.
const lookEvery = 15 * time.Second

// ListJob is the name of a job that fetches lists, to be kicked; there are
// ListJobs of them.
func ListJob(i int) string { return fmt.Sprintf("trust.lists.%d", i) }

// ListJobs is how many jobs fetch lists.
const ListJobs = shards

func (s *Store) listJobs() []job.Job {
	var out []job.Job
	for i := range shards {
		out = append(out, job.Job{Name: ListJob(i), Every: lookEvery, Run: func(ctx context.Context, now time.Time) error { return s.turn(ctx, now, i) }})
	}
	return out
}

// due is a list that is to be fetched.
type due struct {
	key listKey
	url string
}

// turn fetches what is due of one shard. That a list cannot be had is told by
// its state; the error is that of the database.
func (s *Store) turn(ctx context.Context, now time.Time, shard int) error {
	all, err := s.allDue(ctx, now)
	if err != nil {
		return err
	}
	for _, d := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if shardOf(d.url) != shard {
			continue
		}
		a, err := s.Get(ctx, s.cfg.DB, d.key.tenant, d.key.authority)
		if errors.Is(err, idp.NotFound) || err == nil && (!a.Removed.IsZero() || !a.Enabled || a.url(d.key.kind) != d.url) {
			continue // changed meanwhile
		}
		if err != nil {
			return err
		}
		if err := s.get(ctx, a, d.key.kind); err != nil && !fromOutside(err) {
			return err
		}
	}
	return nil
}

// fromOutside says that a failure is one of those that fetching tells in words,
// and the database none of it.
func fromOutside(err error) bool {
	e := idp.AsError(err)
	return e != nil && e.Kind == idp.Unavailable && e.Public != ""
}

func shardOf(address string) int {
	u, err := url.Parse(address)
	if err != nil {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(u.Host))
	return int(h.Sum32() % shards)
}

// allDue finds what is due in all tenants: what was never tried or by another
// address, and what has waited long enough. Complete lists come first, so that
// a delta finds its base.
func (s *Store) allDue(ctx context.Context, now time.Time) ([]due, error) {
	rows, err := s.cfg.DB.Query(ctx, `
		select a.tenant_id, a.id, 'complete' as kind, a.crl as url, coalesce(l.due, 0) as due from trust_authority a
			left join trust_list l on l.tenant_id = a.tenant_id and l.authority_id = a.id and l.kind = 'complete'
			where a.enabled and a.removed = 0 and a.crl <> '' and (l.due is null or l.due <= $1 or l.url <> a.crl)
		union all
		select a.tenant_id, a.id, 'delta' as kind, a.delta as url, coalesce(l.due, 0) as due from trust_authority a
			left join trust_list l on l.tenant_id = a.tenant_id and l.authority_id = a.id and l.kind = 'delta'
			where a.enabled and a.removed = 0 and a.delta <> '' and (l.due is null or l.due <= $1 or l.url <> a.delta)
		order by kind, due`, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("find lists that are due: %w", err)
	}
	defer rows.Close()
	var out []due
	for rows.Next() {
		var d due
		var at int64
		if err := rows.Scan(&d.key.tenant, &d.key.authority, &d.key.kind, &d.url, &at); err != nil {
			return nil, fmt.Errorf("find lists that are due: %w", err)
		}
		out = append(out, d)
	}
	return out, rows.Err()
}
