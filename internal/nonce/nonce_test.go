package nonce_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const tenant, other = idp.TenantID("11111111-1111-4111-8111-111111111111"), idp.TenantID("22222222-2222-4222-8222-222222222222")

// world is a Box whose clock and epoch the test moves.
type world struct {
	now   time.Time
	epoch int64
	keys  sync.Map
	box   *nonce.Box
}

func newWorld() *world {
	w := &world{now: time.UnixMilli(1_800_000_000_000)}
	w.box = nonce.New(nonce.Config{
		Keys: func(_ context.Context, t idp.TenantID, purpose string) (*secret.Key, error) {
			name := string(t) + "/" + purpose
			k, ok := w.keys.Load(name)
			if !ok {
				k, _ = w.keys.LoadOrStore(name, secret.RandomKey())
			}
			return k.(*secret.Key), nil
		},
		Epoch: func() int64 { return w.epoch },
		Now:   func() time.Time { return w.now },
	})
	return w
}

func reason(err error) string {
	if err == nil {
		return ""
	}
	e := idp.AsError(err)
	return string(e.Kind) + " " + e.Reason
}

func TestOpenGivesBackWhatWasSealed(t *testing.T) {
	w := newWorld()
	v, err := w.box.Seal(t.Context(), tenant, "flow", time.Minute, []byte("payload"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.box.Open(t.Context(), tenant, "flow", v)
	if err != nil {
		t.Fatal(err)
	}
	if string(s.Payload) != "payload" || s.Tenant != tenant || s.Purpose != "flow" || len(s.ID) != 16 || !s.Expires.Equal(w.now.Add(time.Minute)) {
		t.Errorf("got %+v", s)
	}
	if strings.Contains(v, base64.RawURLEncoding.EncodeToString([]byte("payload"))) {
		t.Error("the payload can be read from outside")
	}
}

// A server nonce is good where it was given out: in its tenant, or in any.
func TestOpenServer(t *testing.T) {
	w := newWorld()
	for _, c := range []struct {
		of      idp.TenantID
		purpose string
		good    bool
	}{
		{tenant, nonce.ServerNonce, true}, {nonce.CommonScope, nonce.ServerNonce, true},
		{"another", nonce.ServerNonce, false}, {tenant, nonce.RegistrationNonce, false}, {nonce.CommonScope, nonce.RegistrationNonce, false},
	} {
		v, err := w.box.Seal(t.Context(), c.of, c.purpose, time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.box.OpenServer(t.Context(), tenant, v)
		if c.good && (err != nil || s.Tenant != c.of) || !c.good && !nonce.Unreadable(err) {
			t.Errorf("%s of %s: %+v, %v", c.purpose, c.of, s, err)
		}
	}
	v, err := w.box.Seal(t.Context(), nonce.CommonScope, nonce.ServerNonce, time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := w.box.OpenServer(t.Context(), tenant, v); idp.AsError(err).Reason != "late" || nonce.Unreadable(err) {
		t.Errorf("a late one: %v", err)
	}
}

// What Open would not read is not made: whoever asked hears of it at once.
func TestSealRefusesWhatOpenWouldNotRead(t *testing.T) {
	w := newWorld()
	longest := 0
	for n := nonce.MaxValue / 2; n <= nonce.MaxValue; n++ {
		v, err := w.box.Seal(t.Context(), tenant, "flow", time.Minute, make([]byte, n))
		if err != nil {
			if reason(err) != "invalid too_long" {
				t.Fatalf("%d bytes: %v", n, err)
			}
			break
		}
		if _, err := w.box.Open(t.Context(), tenant, "flow", v); err != nil {
			t.Fatalf("%d bytes are sealed and do not open: %v", n, err)
		}
		longest = n
	}
	if longest == 0 || longest == nonce.MaxValue {
		t.Errorf("the longest payload has %d bytes", longest)
	}
}

func TestSec_NON02_OpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		bend func(w *world, v string) (idp.TenantID, string, string)
		want string
	}{
		{"other tenant", func(_ *world, v string) (idp.TenantID, string, string) { return other, "flow", v }, "expired unreadable"},
		{"other purpose", func(_ *world, v string) (idp.TenantID, string, string) { return tenant, "code", v }, "expired unreadable"},
		{"other epoch", func(w *world, v string) (idp.TenantID, string, string) { w.epoch++; return tenant, "flow", v }, "expired unreadable"},
		{"late to the millisecond", func(w *world, v string) (idp.TenantID, string, string) {
			w.now = w.now.Add(time.Minute)
			return tenant, "flow", v
		}, "expired late"},
		{"empty", func(*world, string) (idp.TenantID, string, string) { return tenant, "flow", "" }, "expired unreadable"},
		{"too long", func(*world, string) (idp.TenantID, string, string) {
			return tenant, "flow", strings.Repeat("A", nonce.MaxValue+1)
		}, "expired unreadable"},
		{"line break", func(_ *world, v string) (idp.TenantID, string, string) { return tenant, "flow", v[:30] + "\n" + v[30:] }, "expired unreadable"},
		{"line break at the end", func(_ *world, v string) (idp.TenantID, string, string) { return tenant, "flow", v + "\r\n" }, "expired unreadable"},
		{"another value's key", func(w *world, v string) (idp.TenantID, string, string) {
			w.keys.Store(string(tenant)+"/flow", secret.RandomKey())
			return tenant, "flow", v
		}, "expired unreadable"},
		{"padding", func(_ *world, v string) (idp.TenantID, string, string) { return tenant, "flow", v + "=" }, "expired unreadable"},
		{"cut short", func(_ *world, v string) (idp.TenantID, string, string) { return tenant, "flow", v[:20] }, "expired unreadable"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			v, err := w.box.Seal(t.Context(), tenant, "flow", time.Minute, []byte("payload"))
			if err != nil {
				t.Fatal(err)
			}
			who, purpose, v := c.bend(w, v)
			s, err := w.box.Open(t.Context(), who, purpose, v)
			if reason(err) != c.want {
				t.Errorf("got %q, want %q", reason(err), c.want)
			}
			// Of what is merely late the caller learns what it was.
			if late := c.want == "expired late"; (len(s.ID) > 0) != late || (string(s.Payload) == "payload") != late {
				t.Errorf("opened beside the error: %+v", s)
			}
		})
	}
	t.Run("each flipped byte", func(t *testing.T) {
		w := newWorld()
		v, _ := w.box.Seal(t.Context(), tenant, "flow", time.Minute, []byte("payload"))
		raw, err := base64.RawURLEncoding.DecodeString(v)
		if err != nil {
			t.Fatal(err)
		}
		for n := range raw {
			bent := bytes.Clone(raw)
			bent[n] ^= 1
			if _, err := w.box.Open(t.Context(), tenant, "flow", base64.RawURLEncoding.EncodeToString(bent)); reason(err) != "expired unreadable" {
				t.Errorf("byte %d flipped: got %q", n, reason(err))
			}
		}
	})
}

// TestSec_NON02_BoundBeyondTheKey uses one key for everything: tenant and
// purpose are part of the seal itself, not only of the choice of key.
func TestSec_NON02_BoundBeyondTheKey(t *testing.T) {
	key, now := secret.RandomKey(), time.UnixMilli(1_800_000_000_000)
	box := nonce.New(nonce.Config{
		Keys:  func(context.Context, idp.TenantID, string) (*secret.Key, error) { return key, nil },
		Epoch: func() int64 { return 1 },
		Now:   func() time.Time { return now },
	})
	v, err := box.Seal(t.Context(), tenant, "flow", time.Minute, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Open(t.Context(), tenant, "flow", v); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Open(t.Context(), other, "flow", v); reason(err) != "expired unreadable" {
		t.Errorf("another tenant: %v", err)
	}
	if _, err := box.Open(t.Context(), tenant, "code", v); reason(err) != "expired unreadable" {
		t.Errorf("another purpose: %v", err)
	}
}

// What is too long is refused before a key is fetched for it.
func TestOpenLooksAtNothingTooLong(t *testing.T) {
	asked := 0
	box := nonce.New(nonce.Config{Epoch: func() int64 { return 1 }, Now: time.Now,
		Keys: func(context.Context, idp.TenantID, string) (*secret.Key, error) {
			asked++
			return secret.RandomKey(), nil
		}})
	for _, c := range []struct{ size, asks int }{{nonce.MaxValue, 1}, {nonce.MaxValue + 4, 1}} {
		if _, err := box.Open(t.Context(), tenant, "flow", strings.Repeat("A", c.size)); reason(err) != "expired unreadable" || asked != c.asks {
			t.Errorf("a value of %d bytes: %v, %d keys fetched", c.size, err, asked)
		}
	}
}

// TestSec_NON01 spends one value 10^4 times at once, and many values 100
// times each: every value has exactly one winner.
func TestSec_NON01_BurnOnce(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{nonce.Migrations}, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		for _, c := range []struct{ values, uses int }{{1, 10_000}, {50, 100}} {
			for range c.values {
				v, err := w.box.Seal(t.Context(), tenant, "code", time.Minute, nil)
				if err != nil {
					t.Fatal(err)
				}
				s, err := w.box.Open(t.Context(), tenant, "code", v)
				if err != nil {
					t.Fatal(err)
				}
				if won, lost := race(t, db, s, c.uses); won != 1 || lost != c.uses-1 {
					t.Fatalf("%d uses: %d won and %d were told it was spent", c.uses, won, lost)
				}
				if gone, err := nonce.Spent(t.Context(), db, s); err != nil || !gone {
					t.Fatalf("Spent says %v, %v", gone, err)
				}
			}
		}
	})
}

// TestSec_NON01_ManyValues lets 64 callers burn the same 200 values, each in an
// order of its own: every value has exactly one winner.
func TestSec_NON01_ManyValues(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{nonce.Migrations}, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		const callers, values = 64, 200
		var all [values]nonce.Sealed
		for n := range all {
			v, err := w.box.Seal(t.Context(), tenant, "nonce", time.Minute, nil)
			if err != nil {
				t.Fatal(err)
			}
			if all[n], err = w.box.Open(t.Context(), tenant, "nonce", v); err != nil {
				t.Fatal(err)
			}
		}
		var won [values]atomic.Int64
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for n := range values {
					n = (n + caller*3) % values
					err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, all[n]) })
					switch {
					case err == nil:
						won[n].Add(1)
					case reason(err) != "expired spent":
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for n := range won {
			if got := won[n].Load(); got != 1 {
				t.Errorf("value %d has %d winners", n, got)
			}
		}
	})
}

// TestSec_NON05 takes back a burn together with the effect that failed.
func TestSec_NON05_BurnAndEffectCommitTogether(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{nonce.Migrations}, func(t *testing.T, db *sqldb.DB) {
		s := nonce.Sealed{Tenant: tenant, Purpose: "code", ID: secret.Bytes(16), Expires: newWorld().now}
		failed := errors.New("the effect failed")
		err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			return errors.Join(nonce.Burn(ctx, tx, s), failed)
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		if gone, err := nonce.Spent(t.Context(), db, s); err != nil || gone {
			t.Fatalf("spent without its effect: %v, %v", gone, err)
		}
		burn := func() error {
			return db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, s) })
		}
		if err := burn(); err != nil {
			t.Errorf("the first burn that commits: %v", err)
		}
		if err := burn(); reason(err) != "expired spent" {
			t.Errorf("the second: %v", err)
		}
	})
}

// TestIDsAreTheirOwnAndInOrder of time: rows of the spent set arrive at its end.
func TestIDsAreTheirOwnAndInOrder(t *testing.T) {
	w := newWorld()
	seen := map[string]bool{}
	last := []byte{}
	for range 2000 {
		w.now = w.now.Add(time.Millisecond)
		v, err := w.box.Seal(t.Context(), tenant, "nonce", time.Minute, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.box.Open(t.Context(), tenant, "nonce", v)
		if err != nil {
			t.Fatal(err)
		}
		again, err := w.box.Open(t.Context(), tenant, "nonce", v)
		if err != nil || !bytes.Equal(again.ID, s.ID) {
			t.Fatalf("one value, two names: %x and %x, %v", s.ID, again.ID, err)
		}
		if bytes.Compare(last, s.ID) >= 0 || seen[string(s.ID[6:])] || len(s.ID) != 16 {
			t.Fatalf("%x comes after %x", s.ID, last)
		}
		seen[string(s.ID[6:])], last = true, s.ID
	}
}

func race(t *testing.T, db *sqldb.DB, s nonce.Sealed, uses int) (won, lost int) {
	var yes, no, strange atomic.Int64
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			for range uses / 100 {
				err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, s) })
				switch {
				case err == nil:
					yes.Add(1)
				case errors.Is(err, idp.Expired):
					no.Add(1)
				default:
					strange.Add(1)
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return int(yes.Load()), int(no.Load())
}

func TestBurnTellsPurposesAndTenantsApart(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{nonce.Migrations}, func(t *testing.T, db *sqldb.DB) {
		id := secret.Bytes(16)
		for _, s := range []nonce.Sealed{{Tenant: tenant, Purpose: "a", ID: id}, {Tenant: tenant, Purpose: "b", ID: id}, {Tenant: other, Purpose: "a", ID: id}} {
			if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, s) }); err != nil {
				t.Errorf("%s %s: %v", s.Tenant, s.Purpose, err)
			}
		}
	})
}

func TestSweepForgetsOnlyWhatIsLongOver(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{nonce.Migrations}, func(t *testing.T, db *sqldb.DB) {
		w := newWorld()
		at := func(ago time.Duration) nonce.Sealed {
			when := w.now.Add(-ago)
			return nonce.Sealed{Tenant: tenant, Purpose: "p", ID: nonce.ID(when, "x"), Expires: when}
		}
		old, fresh := at(nonce.MaxLife+time.Hour+time.Millisecond), at(nonce.MaxLife+time.Hour)
		for _, s := range []nonce.Sealed{old, fresh} {
			if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return nonce.Burn(ctx, tx, s) }); err != nil {
				t.Fatal(err)
			}
		}
		for _, j := range nonce.Jobs(db) {
			if err := j.Run(t.Context(), w.now); err != nil {
				t.Fatal(err)
			}
		}
		if gone, _ := nonce.Spent(t.Context(), db, old); gone {
			t.Error("the old one is still there")
		}
		if gone, _ := nonce.Spent(t.Context(), db, fresh); !gone {
			t.Error("one that a clock set back could revive was forgotten")
		}
	})
}

// TestSec_NON03_NothingOutlivesItsMemory: a value that lives longer than the
// spent set remembers could be used twice.
func TestSec_NON03_NothingOutlivesItsMemory(t *testing.T) {
	w := newWorld()
	if _, err := w.box.Seal(t.Context(), tenant, "flow", nonce.MaxLife+time.Second, nil); err == nil {
		t.Error("a value was sealed for longer than its use is remembered")
	}
	if _, err := w.box.Seal(t.Context(), tenant, "flow", nonce.MaxLife, nil); err != nil {
		t.Error(err)
	}
}

func FuzzOpen(f *testing.F) {
	w := newWorld()
	good, err := w.box.Seal(context.Background(), tenant, "flow", time.Hour, []byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, v string) {
		_, err := w.box.Open(context.Background(), tenant, "flow", v)
		if (err == nil) != (v == good) {
			t.Errorf("%q: %v", v, err)
		}
	})
}

func BenchmarkSealNonce(b *testing.B) {
	w := newWorld()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.box.Seal(b.Context(), tenant, "nonce", time.Minute, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenNonce(b *testing.B) {
	w := newWorld()
	v, err := w.box.Seal(b.Context(), tenant, "nonce", time.Minute, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.box.Open(b.Context(), tenant, "nonce", v); err != nil {
			b.Fatal(err)
		}
	}
}
