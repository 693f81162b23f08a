package browser_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

const (
	north idp.TenantID = "7f3a9f3e-0d5e-4b0a-9c51-0d1c6ad1a001"
	west  idp.TenantID = "7f3a9f3e-0d5e-4b0a-9c51-0d1c6ad1a002"
	ada   idp.UserID   = "7f3a9f3e-0d5e-4b0a-9c51-0d1c6ad1b001"
	bob   idp.UserID   = "7f3a9f3e-0d5e-4b0a-9c51-0d1c6ad1b002"
)

type world struct {
	*browser.Registry
	db  *sqldb.DB
	now time.Time
}

func each(t *testing.T, fn func(*testing.T, *world)) {
	sqldbtest.Each(t, []fs.FS{browser.Migrations}, func(t *testing.T, db *sqldb.DB) {
		w := &world{db: db, now: time.Date(2026, 3, 5, 9, 14, 0, 0, time.UTC)}
		w.Registry = browser.New(browser.Config{DB: db, Now: func() time.Time { return w.now }})
		fn(t, w)
	})
}

func (w *world) write(t *testing.T, fn func(context.Context, *sqldb.Tx) error) {
	t.Helper()
	if err := w.db.Write(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// machine is a browser: a cookie and a key.
type machine struct {
	digest []byte
	key    *ecdsa.PrivateKey
}

func newMachine(t *testing.T, cookie string) machine {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(cookie))
	return machine{sum[:], k}
}

func (m machine) public(t *testing.T) string {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(&m.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(spki)
}

func (m machine) spki(t *testing.T) []byte {
	t.Helper()
	key, ok := browser.ParseKey(m.public(t))
	if !ok {
		t.Fatal("the key does not parse")
	}
	return key
}

// signature is over message, as browsers write it.
func (m machine) signature(t *testing.T, message []byte) string {
	t.Helper()
	digest := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, m.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func (m machine) shows(t *testing.T, tenant idp.TenantID, handle string) browser.Shown {
	t.Helper()
	return browser.ParseShown(m.public(t), m.signature(t, browser.Message(tenant, handle)))
}

func (w *world) remember(t *testing.T, u idp.UserID, m machine) {
	t.Helper()
	if err := w.Remember(t.Context(), north, u, m.digest, m.spki(t), "Firefox"); err != nil {
		t.Fatal(err)
	}
}

func (w *world) knows(t *testing.T, tenant idp.TenantID, digest []byte, s browser.Shown, handle string) []idp.UserID {
	t.Helper()
	got, err := w.Knows(t.Context(), tenant, digest, s, browser.Message(tenant, handle))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestKnows(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := newMachine(t, "one")
		if got := w.knows(t, north, m.digest, m.shows(t, north, "flow"), "flow"); got != nil {
			t.Errorf("before: %v", got)
		}
		w.remember(t, ada, m)
		w.remember(t, bob, m)
		if got := w.knows(t, north, m.digest, m.shows(t, north, "flow"), "flow"); !slices.Equal(got, []idp.UserID{ada, bob}) {
			t.Errorf("known are %v", got)
		}
		// A browser whose site data was cleared has the cookie and a new key.
		again := machine{m.digest, newMachine(t, "").key}
		w.remember(t, ada, again)
		if got := w.knows(t, north, m.digest, again.shows(t, north, "flow"), "flow"); !slices.Equal(got, []idp.UserID{ada}) {
			t.Errorf("by the new key: %v", got)
		}
		if got := w.knows(t, north, m.digest, m.shows(t, north, "flow"), "flow"); !slices.Equal(got, []idp.UserID{bob}) {
			t.Errorf("by the old key: %v", got)
		}
	})
}

// TestSec_T13_KnownBrowser: each thing that is missing makes the browser
// unknown, alone (passkeys-and-phone.md §6.7).
func TestSec_T13_KnownBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, other := newMachine(t, "one"), newMachine(t, "two")
		w.remember(t, ada, m)
		w.remember(t, bob, other)
		good := m.shows(t, north, "flow")
		for what, c := range map[string]struct {
			tenant idp.TenantID
			digest []byte
			shown  browser.Shown
			handle string
		}{
			"a copied cookie without the key":    {north, m.digest, browser.Shown{}, "flow"},
			"a copied cookie with a key of ours": {north, m.digest, newMachine(t, "").shows(t, north, "flow"), "flow"},
			"a copied cookie with another's key": {north, m.digest, other.shows(t, north, "flow"), "flow"},
			"the key without the cookie":         {north, nil, good, "flow"},
			"the key with another cookie":        {north, newMachine(t, "three").digest, good, "flow"},
			"the signature of another flow":      {north, m.digest, m.shows(t, north, "other"), "flow"},
			"the signature of another tenant":    {north, m.digest, m.shows(t, west, "flow"), "flow"},
			"another tenant":                     {west, m.digest, m.shows(t, west, "flow"), "flow"},
			"the key with another's signature":   {north, m.digest, browser.Shown{Key: good.Key, Signature: other.shows(t, north, "flow").Signature}, "flow"},
			"a signature that is cut":            {north, m.digest, browser.Shown{Key: good.Key, Signature: good.Signature[:63]}, "flow"},
			"no signature":                       {north, m.digest, browser.Shown{Key: good.Key}, "flow"},
			"a signature of nothing but zeros":   {north, m.digest, browser.Shown{Key: good.Key, Signature: make([]byte, 64)}, "flow"},
		} {
			if got := w.knows(t, c.tenant, c.digest, c.shown, c.handle); got != nil {
				t.Errorf("%s: known are %v", what, got)
			}
		}
		if got := w.knows(t, north, m.digest, good, "flow"); !slices.Equal(got, []idp.UserID{ada}) {
			t.Errorf("all of it: %v", got)
		}
	})
}

func TestLife(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := newMachine(t, "one")
		w.remember(t, ada, m)
		known := func() bool { return w.knows(t, north, m.digest, m.shows(t, north, "f"), "f") != nil }
		w.now = w.now.Add(100 * 24 * time.Hour)
		if err := w.Used(t.Context(), north, ada, m.digest); err != nil {
			t.Fatal(err)
		}
		if err := w.Used(t.Context(), north, bob, m.digest); err != nil {
			t.Fatal(err)
		}
		w.now = w.now.Add(180*24*time.Hour - time.Millisecond)
		if !known() {
			t.Error("forgotten within 180 days of its use")
		}
		w.now = w.now.Add(time.Millisecond)
		if known() {
			t.Error("known 180 days after its use")
		}
		if err := w.Used(t.Context(), north, ada, m.digest); err != nil || known() {
			t.Errorf("what is over came back: %v", err)
		}
		w.now = w.now.Add(time.Millisecond)
		if err := w.Jobs()[0].Run(t.Context(), w.now); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := w.db.QueryRow(t.Context(), `select count(*) from known_browser`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows swept, %v", n, err)
		}
		w.remember(t, ada, m)
		if !known() {
			t.Error("not known again")
		}
	})
}

// A browser that is known costs nobody a transaction.
func TestRememberCost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := newMachine(t, "one")
		cost := func() uint64 {
			var meter sqldb.Meter
			if err := w.Remember(sqldb.WithMeter(t.Context(), &meter), north, ada, m.digest, m.spki(t), "Firefox"); err != nil {
				t.Fatal(err)
			}
			return uint64(meter.Writes.Load())
		}
		if cost() == 0 {
			t.Error("the first one writes nothing")
		}
		if n := cost(); n != 0 {
			t.Errorf("known already: %d writes", n)
		}
		w.now = w.now.Add(24 * time.Hour)
		if cost() == 0 {
			t.Error("the next day's use is not noted")
		}
	})
}

func TestListAndForget(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		one, two := newMachine(t, "one"), newMachine(t, "two")
		w.remember(t, ada, one)
		w.remember(t, bob, one)
		w.now = w.now.Add(time.Hour)
		if err := w.Remember(t.Context(), north, ada, two.digest, two.spki(t), strings.Repeat("a", 400)+"\x00"); err != nil {
			t.Fatal(err)
		}
		list, err := w.List(t.Context(), north, ada, one.digest)
		if err != nil || len(list) != 2 || list[0].Here || !list[1].Here || list[1].Agent != "Firefox" || !list[0].LastUsed.Equal(w.now) || len(list[0].Agent) > 300 {
			t.Fatalf("%+v, %v", list, err)
		}
		for what, c := range map[string]struct {
			tenant idp.TenantID
			user   idp.UserID
			id     string
		}{
			"another's": {north, bob, list[0].ID}, "in another tenant": {west, ada, list[0].ID}, "none": {north, ada, "x"},
		} {
			err := w.db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return w.Forget(ctx, tx, c.tenant, c.user, c.id) })
			if !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: %v, want not found", what, err)
			}
		}
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.Forget(ctx, tx, north, ada, list[0].ID) })
		if got := w.knows(t, north, two.digest, two.shows(t, north, "f"), "f"); got != nil {
			t.Errorf("forgotten: %v", got)
		}
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.RemoveUser(ctx, tx, north, ada) })
		if got := w.knows(t, north, one.digest, one.shows(t, north, "f"), "f"); !slices.Equal(got, []idp.UserID{bob}) {
			t.Errorf("after Ada was removed: %v", got)
		}
	})
}

// The longest unused go when there are too many, and two at once are one.
func TestBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := newMachine(t, "0")
		w.remember(t, ada, first)
		w.remember(t, bob, first)
		for n := 1; n <= 50; n++ {
			w.now = w.now.Add(time.Minute)
			w.remember(t, ada, newMachine(t, fmt.Sprint(n)))
		}
		list, err := w.List(t.Context(), north, ada, first.digest)
		if err != nil || len(list) != 50 || slices.ContainsFunc(list, func(b browser.Browser) bool { return b.Here }) {
			t.Errorf("%d are known, %v", len(list), err)
		}
		if list, err := w.List(t.Context(), north, bob, nil); err != nil || len(list) != 1 {
			t.Errorf("Bob's: %d, %v", len(list), err)
		}
		m := newMachine(t, "race")
		key := m.spki(t)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if err := w.Remember(t.Context(), north, bob, m.digest, key, "Firefox"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if list, err := w.List(t.Context(), north, bob, nil); err != nil || len(list) != 2 {
			t.Errorf("after the race: %d, %v", len(list), err)
		}
	})
}

func TestParseRefuses(t *testing.T) {
	m := newMachine(t, "one")
	good := m.public(t)
	wide, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := x509.MarshalPKIXPublicKey(&wide.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"nothing": "", "padded": good + "==", "cut": good[:len(good)-1], "long": good + "A", "no base64": strings.Repeat("*", len(good)),
		"no key": strings.Repeat("A", len(good)), "P-384": base64.RawURLEncoding.EncodeToString(p384),
	} {
		if key, ok := browser.ParseKey(text); ok || key != nil {
			t.Errorf("%s: a key", what)
		}
	}
}

func FuzzParseShown(f *testing.F) {
	f.Add("", "")
	f.Add(strings.Repeat("A", 122), strings.Repeat("A", 86))
	f.Fuzz(func(t *testing.T, key, signature string) {
		if s := browser.ParseShown(key, signature); (len(s.Key) != 0) != (len(s.Signature) == 64) {
			t.Errorf("half of it: %+v", s)
		}
	})
}
