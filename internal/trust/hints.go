package trust

import (
	"context"
	"fmt"

	"github.com/signetid/signet/internal/idp"
)

// maxHints bounds the names that a handshake carries, in bytes as TLS writes
// them (entra-behaviours.md §5.6; RFC 8446 §4.2.4 would allow 64 KiB).
const maxHints = 16 << 10

// Hints are the names of authorities that a handshake of the tenant's own host
// tells browsers of, raw: those that are marked, or all when none is, and only
// those that are enabled and not over. What goes beyond 16 KiB is left out, the
// newest first; no name comes twice.
func (s *Store) Hints(ctx context.Context, t idp.TenantID) ([][]byte, error) {
	held, err := s.cache.Get(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("hints of %s: %w", t, err)
	}
	now, marked := s.now(), false
	for _, a := range held.all {
		marked = marked || a.Hint
	}
	var out [][]byte
	seen, size := map[string]bool{}, 0
	for _, a := range held.all {
		raw := a.Cert.RawSubject
		if marked && !a.Hint || now.After(a.Cert.NotAfter) || now.Before(a.Cert.NotBefore) || seen[string(raw)] {
			continue
		}
		if size += 2 + len(raw); size > maxHints { // a length goes before each name
			break
		}
		seen[string(raw)] = true
		out = append(out, raw)
	}
	return out, nil
}
