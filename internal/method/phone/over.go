package phone

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/phonewire"
)

// What the history of a phone holds.
const (
	historyKept = 30 * 24 * time.Hour
	historyMost = 30
)

// past are the requests of the phone's person that are over, newest first: the
// last 30 of 30 days.
func (m *Room) past(ctx context.Context, p phoneRow, now time.Time) ([]request, error) {
	return overOf(ctx, m.db, p.tenant, p.user, now, now.Add(-historyKept), historyMost)
}

// result is the word of the protocol for what became of a request.
func (q request) result() string {
	switch q.state {
	case approved, consumed:
		return phonewire.Approved
	case pending:
		return phonewire.Expired // late: the others are not over
	}
	return string(q.state)
}
