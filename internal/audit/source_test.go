package audit_test

import (
	"fmt"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_NON04_FailuresOfANetworkAreCounted: whoever has a /64 cannot have
// twenty rows written for each address in it.
func TestSec_NON04_FailuresOfANetworkAreCounted(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		l := audit.New(newClock().now)
		for n := range 40 {
			fail(t, db, l, 1, fmt.Sprintf("2001:db8:1:2::%x", n+1), "pass_wrong")
		}
		fail(t, db, l, 1, "2001:db8:1:3::1", "pass_wrong")
		rows := list(t, db, l, "t1", audit.Filter{Limit: 100})
		if len(rows) != 22 {
			t.Errorf("%d rows for 40 failures of one network and one of another, want 20, one that counts, and one", len(rows))
		}
		if one, _ := told(rows, "2001:db8:1:2::7", "pass_wrong"); one != 1 {
			t.Error("a row does not tell the address that it came from")
		}
		if counted, _ := told(rows, "2001:db8:1:2::/64", audit.Various); counted != 1 {
			t.Error("the row that counts does not tell the network")
		}
	})
}
