package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// A session that stands on a PRT, or belongs to a device, is what it came by:
// when that ends, so does the session, however it is asked for.
func TestSec_SES03_StandsOn(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		stands := map[idp.SessionID]bool{"prt": true, "": true}
		asked := 0
		st := session.New(session.Config{
			DB: h.db, Now: func() time.Time { return h.now }, Secure: true,
			Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
				return h.idle, h.absolute, nil
			},
			Stands: func(_ context.Context, _ sqldb.Querier, got idp.TenantID, prt idp.SessionID, d idp.DeviceID) (bool, error) {
				asked++
				if got != tenant || d != "device" {
					t.Errorf("asked for device %q of %s", d, got)
				}
				return stands[prt], nil
			},
		})
		for _, prt := range []idp.SessionID{"prt", ""} {
			var s session.Session
			var bearer string
			h.must(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
				s, bearer, err = st.Open(ctx, tx, session.Session{Tenant: tenant, User: ada, Proofs: []idp.Proof{h.proof("k")}, PRT: prt, Device: "device"})
				return err
			})
			found, err := st.Find(t.Context(), tenant, bearer)
			if err != nil || found.PRT != prt || found.Device != "device" {
				t.Fatalf("found %+v, %v", found, err)
			}
			if all, err := st.List(t.Context(), tenant, ada); err != nil || len(all) != 1 {
				t.Errorf("list %v, %v", all, err)
			}
			alive := func() (ok bool) {
				h.must(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
					ok, err = st.Alive(ctx, tx, tenant, s.ID)
					return err
				})
				return ok
			}
			if !alive() {
				t.Error("not alive")
			}
			stands[prt] = false
			if _, err := st.Find(t.Context(), tenant, bearer); !errors.Is(err, idp.NotFound) {
				t.Errorf("afterwards: %v", err)
			}
			if all, err := st.List(t.Context(), tenant, ada); err != nil || len(all) != 0 || alive() {
				t.Errorf("list %v, %v", all, err)
			}
			h.must(t, func(ctx context.Context, tx *sqldb.Tx) error { return st.End(ctx, tx, tenant, s.ID) })
		}
		before := asked
		_, bearer := h.open(t, ada, h.proof("k"))
		if _, err := st.Find(t.Context(), tenant, bearer); err != nil || asked != before {
			t.Errorf("an ordinary session: %v, asked %d times", err, asked-before)
		}
		// Without anybody to ask, what came by a device is dead.
		h.must(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			_, bearer, err = h.Open(ctx, tx, session.Session{Tenant: tenant, User: ada, Proofs: []idp.Proof{h.proof("k")}, Device: "device"})
			return err
		})
		h.mustNotFind(t, "nobody to ask", bearer)
	})
}

// The absolute limit of a session on a PRT counts from its opening, and never
// beyond the PRT's end, renewals included (SES02).
func TestLimitsOnPRT(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		st := session.New(session.Config{
			DB: h.db, Now: func() time.Time { return h.now },
			Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
				return h.idle, h.absolute, nil
			},
			Stands: func(context.Context, sqldb.Querier, idp.TenantID, idp.SessionID, idp.DeviceID) (bool, error) {
				return true, nil
			},
		})
		old := h.proof("k")
		h.now = h.now.Add(10 * h.absolute)
		opened := h.now
		open := func(ends time.Time) (s session.Session, bearer string) {
			h.must(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
				s, bearer, err = st.Open(ctx, tx, session.Session{Tenant: tenant, User: ada, Proofs: []idp.Proof{old}, PRT: "prt", Device: "d", Expires: ends})
				return err
			})
			return s, bearer
		}
		h.idle = 48 * time.Hour
		_, bearer := open(opened.Add(100 * h.absolute))
		h.now = opened.Add(h.absolute - time.Second)
		if _, err := st.Find(t.Context(), tenant, bearer); err != nil {
			t.Errorf("just before its limit: %v", err)
		}
		h.now = opened.Add(h.absolute)
		if _, err := st.Find(t.Context(), tenant, bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("at its limit: %v", err)
		}
		s, _ := open(h.now.Add(time.Hour))
		h.must(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
			s, bearer, err = st.Renew(ctx, tx, s, []idp.Proof{h.proof("k2")})
			return err
		})
		if !s.Expires.Equal(h.now.Add(time.Hour)) {
			t.Errorf("renewed until %s, PRT ends %s", s.Expires, h.now.Add(time.Hour))
		}
		h.now = h.now.Add(time.Hour)
		if _, err := st.Find(t.Context(), tenant, bearer); !errors.Is(err, idp.NotFound) {
			t.Errorf("after its PRT: %v", err)
		}
	})
}
