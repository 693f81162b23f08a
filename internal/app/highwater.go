package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
	"github.com/signetid/signet/internal/sqldb"
)

// highWaterEvery is how often a node writes down how far the database has
// come (decisions 1.7).
const highWaterEvery = 5 * time.Second

// highWater is the last audit record this node saw committed, kept in a file
// beside the database. A database that has lost that record was set back: an
// old copy, a lost standby. What was spent since then would be good again.
type highWater struct {
	path string
	last idp.EventID
}

func (h *highWater) read() (idp.EventID, error) {
	text, err := os.ReadFile(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", diskError(h.path, err)
	}
	return idp.EventID(strings.TrimSpace(string(text))), nil
}

// check refuses a database that lacks what this node saw. A mark older than
// keep may have been purged with the audit, and says nothing.
func (h *highWater) check(ctx context.Context, db *sqldb.DB, log *audit.Log, keep time.Duration, now time.Time) error {
	mark, err := h.read()
	if err != nil || mark == "" {
		return err
	}
	h.last = mark
	ok, err := log.Exists(ctx, db, mark)
	if err != nil || ok {
		return err
	}
	if id, err := uuid.Parse(string(mark)); err == nil && id.Version() == 7 {
		sec, _ := id.Time().UnixTime()
		if now.Sub(time.Unix(sec, 0)) > keep {
			return nil
		}
	}
	return &rolledBack{h.path}
}

// rolledBack says that a database is behind its mark.
type rolledBack struct{ path string }

func (r *rolledBack) Error() string {
	return fmt.Sprintf("the database lacks what this server saw written (%s): it was set back; put the newer one in place, or start once with --accept-rollback, which signs everybody out", r.path)
}

// advance writes the mark when the database has moved on.
func (h *highWater) advance(ctx context.Context, db *sqldb.DB, log *audit.Log) error {
	last, err := log.Last(ctx, db)
	if errors.Is(err, idp.NotFound) {
		return nil
	}
	if err != nil || last == "" || last == h.last {
		return err
	}
	if err := program.Place(h.path, []byte(last+"\n"), os.Rename); err != nil {
		return diskError(h.path, err)
	}
	h.last = last
	return nil
}

// drop forgets the mark: the database was replaced on purpose.
func (h *highWater) drop() error {
	h.last = ""
	err := os.Remove(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// run advances the mark until ctx ends.
func (h *highWater) run(ctx context.Context, db *sqldb.DB, log *audit.Log, complain func(error)) error {
	tick := time.NewTicker(highWaterEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := h.advance(ctx, db, log); err != nil {
				complain(err)
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func newHighWater(data string) *highWater {
	return &highWater{path: filepath.Join(data, highWaterName)}
}
