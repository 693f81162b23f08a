package prt

import (
	"context"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// topic is where changes of PRTs are told; its keys are a tenant and an id.
const topic = "prt"

// mostKept bounds the rows that a node keeps, of which each has about a kilobyte.
const mostKept = 8192

// key is whose row it is.
type key struct {
	tenant idp.TenantID
	id     idp.SessionID
}

// remember makes the store of rows: every desk uses its PRT every few minutes,
// and it changes every few hours. Whoever uses one that was ended a moment ago on
// another node gets what is refused again wherever it is used.
func (s *Service) remember() {
	size := mostKept
	if s.cfg.Bus == nil {
		size = 0
	}
	s.rows = cache.New(size, func(ctx context.Context, k key) (row, error) {
		return load(ctx, s.cfg.DB, k.tenant, k.id, "")
	})
	if s.cfg.Bus == nil {
		return
	}
	s.cfg.Bus.Subscribe(topic, func(told string) {
		t, id, _ := strings.Cut(told, "/")
		s.rows.Drop(key{idp.TenantID(t), idp.SessionID(id)})
	})
}

// changed tells every node to read the row anew.
func (s *Service) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, id idp.SessionID) error {
	if s.cfg.Bus == nil {
		return nil
	}
	if err := s.cfg.Bus.Publish(ctx, tx, topic, string(t)+"/"+string(id)); err != nil {
		return fmt.Errorf("tell of prt %s: %w", id, err)
	}
	return nil
}
