package token_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

func broker() client.Client {
	c := app()
	c.ID, c.BuiltIn = "broker", true
	return c
}

// opens a family of the broker; change edits what it stands on.
func (w *world) shared(t *testing.T, change func(*token.Subject)) (token.Subject, string) {
	t.Helper()
	sub := w.subject()
	sub.Client, sub.Audience = broker(), token.RegistrationAudience
	if change != nil {
		change(&sub)
	}
	w.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
		sub.Family, err = w.svc.OpenFamily(ctx, tx, sub, token.CodeID(secret.Bytes(16)))
		return err
	})
	refresh, err := w.svc.FirstRefresh(t.Context(), tenant, sub.Family)
	if err != nil {
		t.Fatal(err)
	}
	return sub, refresh
}

func (w *world) refresh(t *testing.T, presented string, c client.Client) (token.Refreshed, error) {
	t.Helper()
	return w.svc.Refresh(t.Context(), presented, c, token.Presenter{})
}

// The refresh token of a built-in application is one for all its parts: it stays
// the same however often it comes, for an hour until a device has it, then for
// as long as the PRT (decisions 4.3).
func TestSharedRefresh(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		_, refresh := w.shared(t, nil)
		for range 3 {
			w.now = w.now.Add(token.Overlap + time.Second)
			got, err := w.refresh(t, refresh, broker())
			if err != nil || got.Refresh != refresh || !got.Subject.Shared() || got.Subject.Bound() {
				t.Fatalf("%+v, %v", got, err)
			}
		}
		if id, err := w.svc.ClientOf(t.Context(), tenant, refresh); err != nil || id != "broker" {
			t.Errorf("client %q, %v", id, err)
		}
		if _, err := w.svc.ClientOf(t.Context(), tenant, "abc"); !errors.Is(err, idp.Expired) {
			t.Errorf("client of nothing: %v", err)
		}
		_, late := w.shared(t, nil)
		w.now = w.now.Add(token.UnboundLives)
		if _, err := w.refresh(t, late, broker()); reason(err) != "refresh_over" {
			t.Errorf("after its hour: %v", err)
		}
		sub, refresh := w.shared(t, nil)
		until := w.now.Add(24 * time.Hour)
		bind := func(prt idp.SessionID, d idp.DeviceID) error {
			return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return w.svc.Bind(ctx, tx, tenant, sub.Family, prt, d, until)
			})
		}
		if err := bind("prt-1", "device-1"); err != nil {
			t.Fatal(err)
		}
		if err := bind("prt-2", "device-2"); reason(err) != "refresh_bound" {
			t.Errorf("bound twice: %v", err)
		}
		w.now = w.now.Add(23 * time.Hour)
		got, err := w.refresh(t, refresh, broker())
		if err != nil || got.Subject.Device != "device-1" || got.Subject.PRT != "prt-1" || got.Subject.Session != "prt-1" {
			t.Errorf("bound: %+v, %v", got.Subject, err)
		}
		w.now = until
		if _, err := w.refresh(t, refresh, broker()); reason(err) != "refresh_over" {
			t.Errorf("after the PRT: %v", err)
		}
	})
}

// TestSec_DEV07_BoundGrants: what came by a device ends with it, at the next
// refresh and wherever its access tokens are asked about.
func TestSec_DEV07_BoundGrants(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		for name, c := range map[string]client.Client{"built-in": broker(), "registered": app()} {
			sub, refresh := w.shared(t, func(s *token.Subject) { s.Client, s.PRT, s.Device, s.Session = c, "prt-1", "device-1", "browser" })
			jwt, _, err := w.svc.Access(t.Context(), sub)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); err != nil || got.Device != "device-1" {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
			w.stands = idp.Expiredf("device_disabled", "device-1").Coded(135011)
			if _, err := w.refresh(t, refresh, c); idp.AsError(err) == nil || idp.AsError(err).Code != 135011 {
				t.Errorf("%s: refresh: %v", name, err)
			}
			if _, err := w.svc.VerifyAccess(t.Context(), tenant, jwt); !errors.Is(err, idp.Expired) {
				t.Errorf("%s: access token: %v", name, err)
			}
			w.stands = nil
			got, err := w.refresh(t, refresh, c)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				return w.svc.RevokeSession(ctx, tx, tenant, sub.User.ID, "prt-1")
			})
			if _, err := w.refresh(t, got.Refresh, c); reason(err) != "refresh_revoked" {
				t.Errorf("%s: after its PRT was revoked: %v", name, err)
			}
		}
	})
}

// Two devices that take one sign-in at once: one has it.
func TestBindRace(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		sub, _ := w.shared(t, nil)
		var won atomic.Int64
		var all sync.WaitGroup
		for n := range 32 {
			all.Go(func() {
				err := db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) error {
					return w.svc.Bind(ctx, tx, tenant, sub.Family, idp.SessionID(rune('a'+n)), "device", w.now.Add(time.Hour))
				})
				if err == nil {
					won.Add(1)
				} else if reason(err) != "refresh_bound" {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Errorf("%d bound it", won.Load())
		}
	})
}

// What a token says of devices and of fresh factors.
func TestDeviceClaims(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	mfa := token.Basis{Method: "passkey", Properties: []idp.Property{idp.MultiFactor, idp.PhishingResistant}, Time: w.now.UnixMilli()}
	for name, c := range map[string]struct {
		change func(*token.Subject)
		after  time.Duration
		want   []string
	}{
		"just now":                {nil, 0, []string{"pop", "mfa", "ngcmfa"}},
		"ten minutes":             {nil, token.FreshLives, []string{"pop", "mfa", "ngcmfa"}},
		"longer":                  {nil, token.FreshLives + time.Second, []string{"pop", "mfa"}},
		"one factor":              {func(s *token.Subject) { s.Basis[0].Properties = nil }, 0, []string{"pop"}},
		"by a phone":              {func(s *token.Subject) { s.Basis[0].Properties = []idp.Property{idp.MultiFactor, idp.Possession} }, 0, []string{"pop", "mfa"}},
		"by device code":          {func(s *token.Subject) { s.Code = token.ByDeviceCode }, 0, []string{"pop", "mfa"}},
		"approved in other place": {func(s *token.Subject) { s.Basis[0].Properties = append(s.Basis[0].Properties, idp.Remote) }, 0, []string{"pop", "mfa"}},
		"which the tenant allows": {func(s *token.Subject) { s.Code, s.CodeToHello = token.ByDeviceCode, true }, 0, []string{"pop", "mfa", "ngcmfa"}},
		"another audience":        {func(s *token.Subject) { s.Audience = "https://api.example" }, 0, []string{"pop"}},
	} {
		sub := w.subject()
		basis := mfa
		basis.Properties = slices.Clone(mfa.Properties)
		sub.Client, sub.Audience, sub.AMR, sub.Basis, sub.Device = broker(), token.RegistrationAudience, []string{"pop"}, []token.Basis{basis}, "device-1"
		sub.Capabilities = []string{"CP1"}
		if c.change != nil {
			c.change(&sub)
		}
		before := w.now
		w.now = w.now.Add(c.after)
		jwt, _, err := w.svc.Access(t.Context(), sub)
		if err != nil {
			t.Fatal(err)
		}
		w.now = before
		claims := claimsOf(t, jwt)
		var got []string
		for _, one := range claims["amr"].([]any) {
			got = append(got, one.(string))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: amr %v, want %v", name, got, c.want)
		}
		if claims["deviceid"] != "device-1" || claims["upn"] != w.user.Name || claims["xms_cc"] == nil {
			t.Errorf("%s: %v", name, claims)
		}
	}
	// A device's id would join what pairwise subjects keep apart.
	sub := w.subject()
	sub.Client.Subject, sub.Client.Sector, sub.Device = client.SubjectPairwise, "wiki.example", "device-1"
	jwt, _, err := w.svc.Access(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	id, err := w.svc.ID(t.Context(), sub, jwt)
	if err != nil {
		t.Fatal(err)
	}
	if claimsOf(t, jwt)["deviceid"] != nil || claimsOf(t, id)["deviceid"] != nil {
		t.Error("a pairwise application learns which device it is")
	}
}
