package trust

import (
	"context"

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
