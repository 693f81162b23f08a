package prt_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_DEV05_FindRefuses: each thing that may be wrong with a value, alone.
func TestSec_DEV05_FindRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string)
		want string
		code int
	}{
		{"other tenant", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) { return other, i.Value }, "prt_unreadable", 70000},
		{"of another tenant, with our name", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			p := asked(ada, desk, w.now)
			p.Tenant = other
			theirs := w.issue(t, p).Value
			raw, _ := base64.RawURLEncoding.DecodeString(theirs[2:])
			own, _ := base64.RawURLEncoding.DecodeString(i.Value[2:])
			return tenant, "1." + base64.RawURLEncoding.EncodeToString(append(own[:16:16], raw[16:]...))
		}, "prt_unreadable", 70000},
		{"from before a restore", func(_ *testing.T, w *world, i prt.Issued) (idp.TenantID, string) { w.epoch++; return tenant, i.Value }, "prt_unreadable", 70000},
		{"empty", func(*testing.T, *world, prt.Issued) (idp.TenantID, string) { return tenant, "" }, "prt_unreadable", 70000},
		{"prefix alone", func(*testing.T, *world, prt.Issued) (idp.TenantID, string) { return tenant, "1." }, "prt_unreadable", 70000},
		{"other prefix", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) { return tenant, "0" + i.Value[1:] }, "prt_unreadable", 70000},
		{"padding", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) { return tenant, i.Value + "=" }, "prt_unreadable", 70000},
		{"line break", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) { return tenant, i.Value + "\n" }, "prt_unreadable", 70000},
		{"standard base64", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) {
			return tenant, i.Value[:len(i.Value)-2] + "+/"
		}, "prt_unreadable", 70000},
		{"cut", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) { return tenant, i.Value[:40] }, "prt_unreadable", 70000},
		{"too long", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) {
			return tenant, i.Value + strings.Repeat("A", 1024)
		}, "prt_unreadable", 70000},
		{"a tenant that is none", func(_ *testing.T, _ *world, i prt.Issued) (idp.TenantID, string) { return "common", i.Value }, "prt_unreadable", 70000},
		{"never written", func(t *testing.T, w *world, _ prt.Issued) (idp.TenantID, string) {
			i, err := w.svc.Prepare(t.Context(), asked(ada, desk, w.now))
			if err != nil {
				t.Fatal(err)
			}
			return tenant, i.Value
		}, "prt_revoked", 50173},
		{"revoked", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, tenant, i.PRT.ID) })
			return tenant, i.Value
		}, "prt_revoked", 50173},
		{"user removed", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.RemoveUser(ctx, tx, tenant, ada) })
			return tenant, i.Value
		}, "prt_revoked", 50173},
		{"not renewed in time", func(_ *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.now = w.now.Add(idle)
			return tenant, i.Value
		}, "prt_over", 700082},
		{"a tighter sliding limit", func(_ *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.now, w.idle = w.now.Add(time.Hour), time.Hour
			return tenant, i.Value
		}, "prt_over", 700082},
		{"a tighter absolute limit", func(_ *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.now, w.absolute = w.now.Add(time.Hour), time.Hour
			return tenant, i.Value
		}, "prt_over", 700082},
		{"absolute end, however often renewed", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			value, end := i.Value, w.now.Add(absolute)
			for w.now.Add(10 * 24 * time.Hour).Before(end) {
				w.now = w.now.Add(10 * 24 * time.Hour)
				_, value = w.renew(t, value)
			}
			w.now = end
			return tenant, value
		}, "prt_over", 700082},
		{"two generations old", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			_, second := w.renew(t, i.Value)
			w.renew(t, second)
			return tenant, i.Value
		}, "prt_reuse", 50173},
		{"one generation old, after the overlap", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.renew(t, i.Value)
			w.now = w.now.Add(prt.Overlap)
			return tenant, i.Value
		}, "prt_reuse", 50173},
		{"one generation old, and the clock was set back (REL07)", func(t *testing.T, w *world, i prt.Issued) (idp.TenantID, string) {
			w.renew(t, i.Value)
			w.now = w.now.Add(-prt.Overlap)
			return tenant, i.Value
		}, "prt_reuse", 50173},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(sqldbtest.Open(t, sources))
			i := w.issue(t, asked(ada, desk, w.now))
			w.find(t, i.Value)
			who, value := c.bend(t, w, i)
			o, err := w.svc.Find(t.Context(), who, value)
			if e := idp.AsError(err); e == nil || e.Kind != idp.Expired || e.Reason != c.want || e.Code != c.code {
				t.Errorf("got %+v, want %s %d", e, c.want, c.code)
			}
			// What was ours comes back beside the error, what was not does not.
			if (len(o.SessionKey) == 32) != (c.want != "prt_unreadable") {
				t.Errorf("a session key of %d bytes", len(o.SessionKey))
			}
			if whose, ok := prt.Tenant(value); ok && c.want == "prt_unreadable" && c.name != "other tenant" && whose != tenant {
				t.Errorf("says it is of %q", whose)
			}
		})
	}
	t.Run("each flipped byte", func(t *testing.T) {
		w := newWorld(sqldbtest.Open(t, sources))
		i := w.issue(t, asked(ada, desk, w.now))
		raw, _ := base64.RawURLEncoding.DecodeString(i.Value[2:])
		for n := range raw {
			bent := append([]byte(nil), raw...)
			bent[n] ^= 1
			w.refused(t, "1."+base64.RawURLEncoding.EncodeToString(bent), "prt_unreadable")
		}
	})
}

// message is a request under a derived key, as a client makes it. version 0
// says nothing of it.
func message(t testing.TB, sessionKey []byte, version string, derive int, ctx []byte, payload string) jose.Loose {
	t.Helper()
	m, err := jose.ParseLoose(compact(sessionKey, version, derive, ctx, payload), "HS256")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func compact(sessionKey []byte, version string, derive int, ctx []byte, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(`{"alg":"HS256","ctx":"`+base64.StdEncoding.EncodeToString(ctx)+`"`+version+`}`)) + "." + b64([]byte(payload))
	h := hmac.New(sha256.New, prt.Derive(sessionKey, derive, ctx, []byte(payload)))
	h.Write([]byte(input))
	return input + "." + b64(h.Sum(nil))
}

const (
	v2, v1, silent = `,"kdf_ver":2`, `,"kdf_ver":1`, ``
	payload        = `{"request_nonce":"n-1"}`
)

// TestSec_DEV06_Prove: only the session key's holder proves, for this payload and
// this context, and not with a version below the one that was bound.
func TestSec_DEV06_Prove(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	i := w.issue(t, asked(ada, desk, w.now))
	rival := w.issue(t, asked(ada, desk, w.now))
	pinned := asked(ada, desk, w.now)
	pinned.KDF = 2
	bound := w.issue(t, pinned)
	ctx := []byte("0123456789abcdef01234567")
	otherCtx := []byte("0123456789abcdef01234568")
	bent := message(t, i.SessionKey, v2, 2, ctx, payload)
	bent.Payload = []byte(`{"request_nonce":"n-2"}`)
	moved := message(t, i.SessionKey, v2, 2, ctx, payload)
	moved.Ctx = otherCtx
	signed := message(t, i.SessionKey, v2, 2, ctx, payload)
	signed.Alg = "RS256"
	v4 := asked(ada, desk, w.now)
	v4.Protocol = prt.V4
	keyless := w.issue(t, v4)
	for _, c := range []struct {
		name string
		of   prt.Issued
		m    jose.Loose
		want string
		code int
	}{
		{"version 2", i, message(t, i.SessionKey, v2, 2, ctx, payload), "", 0},
		{"version 1, not bound", i, message(t, i.SessionKey, v1, 1, ctx, payload), "", 0},
		{"no version, not bound", i, message(t, i.SessionKey, silent, 1, ctx, payload), "", 0},
		{"version 2, bound", bound, message(t, bound.SessionKey, v2, 2, ctx, payload), "", 0},
		{"T05 version 1, bound to 2", bound, message(t, bound.SessionKey, v1, 1, ctx, payload), "kdf_downgrade", 5000611},
		{"T05 version left out, bound to 2", bound, message(t, bound.SessionKey, silent, 1, ctx, payload), "kdf_downgrade", 5000611},
		{"version 2 said, version 1 done", i, message(t, i.SessionKey, v2, 1, ctx, payload), "wrong_signature", 140001},
		{"version 2 done, nothing said", i, message(t, i.SessionKey, silent, 2, ctx, payload), "wrong_signature", 140001},
		{"T04 session key of another PRT", i, message(t, rival.SessionKey, v2, 2, ctx, payload), "wrong_signature", 140001},
		{"no session key", i, message(t, make([]byte, 32), v2, 2, ctx, payload), "wrong_signature", 140001},
		{"wrong key and downgraded", bound, message(t, rival.SessionKey, v1, 1, ctx, payload), "wrong_signature", 140001},
		{"other payload", i, bent, "wrong_signature", 140001},
		{"other context", i, moved, "wrong_signature", 140001},
		{"other algorithm", i, signed, "wrong_signature", 140001},
		{"a PRT without a session key", keyless, message(t, nil, v2, 2, ctx, payload), "wrong_signature", 140001},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := w.find(t, c.of.Value).Prove(c.m)
			if e := idp.AsError(err); (e == nil) != (c.want == "") || (e != nil && (e.Kind != idp.Unproven || e.Reason != c.want || e.Code != c.code)) {
				t.Errorf("got %+v, want %q %d", e, c.want, c.code)
			}
		})
	}
}

// TestSec_DEV06_PinnedForever: the first use of version 2 binds, and renewals
// inherit it.
func TestSec_DEV06_PinnedForever(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		o := w.find(t, i.Value)
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.PinKDF(ctx, tx, o.PRT) })
		if got := w.find(t, i.Value); got.PRT.KDF != 2 {
			t.Errorf("bound to %d", got.PRT.KDF)
		}
		// The renewal was opened before the pin: it must not take it back.
		if _, value, err := w.tryRenew(o); err != nil || w.find(t, value).PRT.KDF != 2 {
			t.Errorf("after a renewal: %v", err)
		}
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.PinKDF(ctx, tx, w.find(t, i.Value).PRT) })
	})
}

// TestSec_DEV07_Ends: whatever ends PRTs ends those it means and no others, and
// what stands on them, once.
func TestSec_DEV07_Ends(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(ctx context.Context, tx *sqldb.Tx, w *world, i prt.Issued) error
		want string // of ada's on the desk, ada's on the laptop, bela's on the desk
	}{
		{"one", func(ctx context.Context, tx *sqldb.Tx, w *world, i prt.Issued) error {
			return w.svc.Revoke(ctx, tx, tenant, i.PRT.ID)
		}, "x--"},
		{"user", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeUser(ctx, tx, tenant, ada)
		}, "xx-"},
		{"device", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeDevice(ctx, tx, tenant, desk)
		}, "x-x"},
		{"credential", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeStanding(ctx, tx, tenant, ada, "hello", idp.CredentialID("key of "+ada))
		}, "xx-"},
		{"credential of another method", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeStanding(ctx, tx, tenant, ada, "passkey", idp.CredentialID("key of "+ada))
		}, "---"},
		{"another credential", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeStanding(ctx, tx, tenant, ada, "hello", "another")
		}, "---"},
		{"user of another tenant", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeUser(ctx, tx, other, ada)
		}, "---"},
		{"device of another tenant", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RevokeDevice(ctx, tx, other, desk)
		}, "---"},
		{"removed user", func(ctx context.Context, tx *sqldb.Tx, w *world, _ prt.Issued) error {
			return w.svc.RemoveUser(ctx, tx, tenant, ada)
		}, "xx-"},
		{"reused", func(ctx context.Context, tx *sqldb.Tx, w *world, i prt.Issued) error {
			return w.svc.Reused(ctx, tx, prt.Opened{PRT: i.PRT}, prt.Presenter{})
		}, "x--"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
				w := newWorld(db)
				all := []prt.Issued{w.issue(t, asked(ada, desk, w.now)), w.issue(t, asked(ada, laptop, w.now)), w.issue(t, asked(bela, desk, w.now))}
				var want []idp.SessionID
				for n, i := range all {
					if c.want[n] == 'x' {
						want = append(want, i.PRT.ID)
					}
				}
				for range 2 { // the second time ends nothing more
					err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return c.end(ctx, tx, w, all[0]) })
					if err != nil {
						t.Fatal(err)
					}
				}
				for n, i := range all {
					_, err := w.svc.Find(t.Context(), tenant, i.Value)
					if (c.want[n] == 'x') != (reason(err) == "prt_revoked") || (c.want[n] == '-') != (err == nil) {
						t.Errorf("%d: %v", n, err)
					}
				}
				if !w.gone(want...) {
					t.Errorf("what stands on %v was ended, want %v", w.ended, want)
				}
			})
		})
	}
	w := newWorld(sqldbtest.Open(t, sources))
	i := w.issue(t, asked(ada, desk, w.now))
	for who, id := range map[idp.TenantID]idp.SessionID{other: i.PRT.ID, tenant: "0193a5a0-0000-7000-8000-000000000001"} {
		err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, who, id) })
		if idp.AsError(err) == nil || idp.AsError(err).Kind != idp.NotFound {
			t.Errorf("%s in %s: %v", id, who, err)
		}
	}
}

// TestSec_DEV08_Renewal: what moves with a renewal and what does not.
func TestSec_DEV08_Renewal(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		w.now = w.now.Add(4 * time.Hour)
		p, second := w.renew(t, i.Value)
		if second == i.Value || p.Generation != 2 {
			t.Fatalf("generation %d", p.Generation)
		}
		o := w.find(t, second)
		if !strings.EqualFold(string(o.PRT.ID), string(i.PRT.ID)) || string(o.SessionKey) != string(i.SessionKey) || o.Presented != 2 {
			t.Errorf("another PRT, or another session key: %v", o)
		}
		if q := o.PRT; !q.ProofTime.Equal(i.PRT.ProofTime.Truncate(time.Millisecond)) || !q.MFATime.Equal(w.now) || !q.Renewed.Equal(w.now) || !q.Expires.Equal(w.now.Add(idle)) ||
			!q.Ends.Equal(i.PRT.Ends) || !q.Issued.Equal(i.PRT.Issued) || !q.LastUsed.Equal(w.now) {
			t.Errorf("got %+v", q)
		}
		// Inside the overlap the one before is good, and renews to the same.
		w.now = w.now.Add(prt.Overlap - time.Millisecond)
		if o := w.find(t, i.Value); o.Presented != 1 || o.PRT.Generation != 2 {
			t.Errorf("presented %d, current %d", o.Presented, o.PRT.Generation)
		}
		p, again := w.renew(t, i.Value)
		if p.Generation != 2 || w.find(t, again).Presented != 2 || !p.Renewed.Equal(o.PRT.Renewed) {
			t.Errorf("the overlap advanced it: %+v", p)
		}
		// Nor does it live longer by that.
		w.now = w.now.Add(time.Millisecond)
		w.refused(t, i.Value, "prt_reuse")
		w.find(t, second)
	})
	t.Run("a PRT by refresh token does not prove two factors anew", func(t *testing.T) {
		w := newWorld(sqldbtest.Open(t, sources))
		p := asked(ada, desk, w.now)
		p.Direct = false
		i := w.issue(t, p)
		w.now = w.now.Add(time.Hour)
		if got, _ := w.renew(t, i.Value); !got.MFATime.Equal(i.PRT.MFATime) {
			t.Errorf("mfa time %s", got.MFATime)
		}
	})
	t.Run("nor one that never did", func(t *testing.T) {
		w := newWorld(sqldbtest.Open(t, sources))
		p := asked(ada, desk, w.now)
		p.Proofs[0].Properties = nil
		i := w.issue(t, p)
		if got, _ := w.renew(t, i.Value); !got.MFATime.IsZero() {
			t.Errorf("mfa time %s", got.MFATime)
		}
	})
	t.Run("never beyond the absolute end", func(t *testing.T) {
		w := newWorld(sqldbtest.Open(t, sources))
		p := asked(ada, desk, w.now)
		p.Ends = w.now.Add(idle + time.Hour)
		i := w.issue(t, p)
		w.now = w.now.Add(2 * time.Hour)
		if got, _ := w.renew(t, i.Value); !got.Expires.Equal(p.Ends) {
			t.Errorf("expires %s, ends %s", got.Expires, p.Ends)
		}
	})
	t.Run("what Find did not open", func(t *testing.T) {
		w := newWorld(sqldbtest.Open(t, sources))
		i := w.issue(t, asked(ada, desk, w.now))
		if _, _, err := w.tryRenew(prt.Opened{PRT: i.PRT, Presented: 1}); err == nil {
			t.Error("was renewed")
		}
	})
}

// TestSec_T10_Fork: a copy goes on after the owner has renewed. Find tells it,
// and the first that can prove the session key ends the PRT for both, with an
// event.
func TestSec_T10_Fork(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		_, second := w.renew(t, i.Value)
		_, third := w.renew(t, second)
		o := w.refused(t, i.Value, "prt_reuse")
		// Somebody without the session key ends nothing.
		ctx24 := []byte("0123456789abcdef01234567")
		if err := o.Prove(message(t, make([]byte, 32), v2, 2, ctx24, payload)); err == nil {
			t.Fatal("a proof without the session key")
		}
		w.find(t, third)
		if err := o.Prove(message(t, i.SessionKey, v2, 2, ctx24, payload)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error {
				return w.svc.Reused(ctx, tx, o, prt.Presenter{IP: "192.0.2.9", Agent: "thief/1", Trace: "t-1"})
			})
		}
		for _, value := range []string{i.Value, second, third} {
			w.refused(t, value, "prt_revoked")
		}
		if !w.gone(i.PRT.ID) {
			t.Errorf("what stands on %v was ended", w.ended)
		}
		events, err := w.audit.List(t.Context(), db, tenant, audit.Filter{Limit: 10})
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		e := events[0]
		if e.Activity != "prt.reuse" || e.Outcome != audit.Failure || e.User != ada || e.Session != i.PRT.ID || e.IP != "192.0.2.9" || e.Code != 50173 ||
			e.Detail["device"] != string(desk) || e.Detail["generation"] != "1" || e.Detail["current"] != "3" {
			t.Errorf("event %+v", e)
		}
	})
}
