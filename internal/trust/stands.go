package trust

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Stands gives what says whether a path that held once could hold now, as far as
// the tenant's authorities go: issuers are the keys (Authority.Key) of those of
// the path, the anchor last. Its anchor is one still and not over, and none of
// the others was switched off or removed. It asks no list: this is for overviews,
// and Verify for everything else.
func (s *Store) Stands(ctx context.Context, q sqldb.Querier, t idp.TenantID) (func(issuers []string) bool, error) {
	all, err := everyAuthority(ctx, q, t)
	if err != nil {
		return nil, err
	}
	now := s.now()
	anchor, gone := map[string]bool{}, map[string]bool{}
	for _, a := range all {
		if !a.Enabled || !a.Removed.IsZero() {
			gone[a.Key()] = true
		}
	}
	for _, a := range all {
		if !a.Enabled || !a.Removed.IsZero() || now.After(a.Cert.NotAfter) {
			continue
		}
		delete(gone, a.Key())
		anchor[a.Key()] = anchor[a.Key()] || a.Root
	}
	return func(issuers []string) bool {
		for _, i := range issuers {
			if gone[i] {
				return false
			}
		}
		return len(issuers) > 0 && anchor[issuers[len(issuers)-1]]
	}, nil
}

// Holds says whether the tenant still trusts the authorities of a path that was
// verified a moment ago, on this node or another: it asks the database, in the
// transaction of what rests on that path (security.md CBA13). Of lists, times and
// signatures nothing is asked again.
func (s *Store) Holds(ctx context.Context, q sqldb.Querier, t idp.TenantID, v Verified) (bool, error) {
	if len(v.Authorities) == 0 {
		return false, nil
	}
	anchor := v.Authorities[len(v.Authorities)-1]
	// Mostly nothing was changed since, of all that the tenant has.
	switch version, err := versionOf(ctx, q, t); {
	case err != nil:
		return false, err
	case version > 0 && version == anchor.store && anchor.Tenant == t:
		return true, nil
	}
	args, places, known := []any{t, anchor.ID}, []string{"$2"}, 0
	for _, a := range v.Authorities {
		if !a.Known() {
			continue // one that the client sent: nothing of it can be withdrawn
		}
		if known++; a.ID != args[1] {
			args = append(args, a.ID)
			places = append(places, "$"+strconv.Itoa(len(args)))
		}
	}
	var n int
	err := q.QueryRow(ctx, `
		select count(*) from trust_authority
		where tenant_id = $1 and id in (`+strings.Join(places, ", ")+`) and enabled and removed = 0 and (root or id <> $2)`, args...).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("authorities of a path: %w", err)
	}
	return n == known, nil
}
