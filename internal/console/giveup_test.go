package console

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// giveUp removes a device as its owner does on their account page.
func (w *world) giveUp(b *browser, d device.Device) error {
	return w.Corridor.GiveUp(context.Background(), b.session, d.ID, "device.remove", nil, w.Peer("b"), func(ctx context.Context, tx *sqldb.Tx) error {
		return w.devices.Remove(ctx, tx, d.Tenant, d.ID)
	})
}

func reasonOf(err error) string {
	if e := idp.AsError(err); e != nil {
		return e.Reason
	}
	return ""
}

// TestSec_T48_TwoDevicesAtOnce: whoever gives up both devices that let them in
// at one moment keeps one.
func TestSec_T48_TwoDevicesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bob := w.signedIn(w.Bob)
		first := w.laptop
		for round := range 12 {
			second := w.join(w.Bob, "second", nil)
			w.key(w.Bob, second)
			var wg sync.WaitGroup
			errs := make([]error, 2)
			start := make(chan struct{})
			for i, d := range []device.Device{first, second} {
				wg.Go(func() {
					<-start
					errs[i] = w.giveUp(bob, d)
				})
			}
			close(start)
			wg.Wait()
			stays := first
			switch {
			case errs[0] == nil && reasonOf(errs[1]) == "last_method":
				stays = second
			case errs[1] == nil && reasonOf(errs[0]) == "last_method":
			default:
				t.Fatalf("round %d: %v and %v", round, errs[0], errs[1])
			}
			if _, err := w.devices.Load(t.Context(), w.DB, w.Tenant.ID, stays.ID); err != nil {
				t.Fatalf("round %d: what stays is gone: %v", round, err)
			}
			first = stays
		}
		if n := w.held(w.Bob); n != 13 { // the others are orphaned
			t.Errorf("%d keys", n)
		}
	})
}

// TestSec_WAN12_GiveUp: a gesture that is too old is none, and what was no way
// in may always go.
func TestSec_WAN12_GiveUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		bob := w.signedIn(w.Bob)
		if got := reasonOf(w.giveUp(bob, w.laptop)); got != "last_method" {
			t.Errorf("the last one: %q", got)
		}
		bare := w.join(w.Bob, "bare", nil)
		w.Advance(6 * time.Minute)
		if got := reasonOf(w.giveUp(bob, bare)); got != "fresh_proof_needed" {
			t.Errorf("on an old gesture: %q", got)
		}
		if err := w.giveUp(w.signedIn(w.Bob), bare); err != nil {
			t.Errorf("one that keeps no key: %v", err)
		}
	})
}
