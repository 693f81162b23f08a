package prt_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestIssuedIsFound(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		o := w.find(t, i.Value)
		if !bytes.Equal(o.SessionKey, i.SessionKey) || len(o.SessionKey) != 32 || o.Presented != 1 {
			t.Errorf("session key of %d bytes, generation %d", len(o.SessionKey), o.Presented)
		}
		p := o.PRT
		if p.ID != i.PRT.ID || p.Tenant != tenant || p.User != ada || p.Device != desk || p.Protocol != prt.V3 || !p.Direct || p.KDF != 0 ||
			p.Generation != 1 || p.Agent != "agent/1" || p.IP != "192.0.2.7" || len(p.Proofs) != 1 || p.Proofs[0].Credential != "key of "+idp.CredentialID(ada) {
			t.Errorf("got %+v", p)
		}
		for name, at := range map[string][2]time.Time{
			"proof": {p.ProofTime, w.now.Add(-time.Second)}, "mfa": {p.MFATime, w.now.Add(-time.Second)}, "issued": {p.Issued, w.now},
			"renewed": {p.Renewed, w.now}, "used": {p.LastUsed, w.now}, "expires": {p.Expires, w.now.Add(idle)}, "ends": {p.Ends, w.now.Add(absolute)},
		} {
			if !at[0].Equal(at[1]) {
				t.Errorf("%s: %s, want %s", name, at[0], at[1])
			}
		}
		if !regexp.MustCompile(`^[A-Za-z0-9._-]+$`).MatchString(i.Value) || len(i.Value) > 1024 || strings.Count(i.Value, ".") != 1 {
			t.Errorf("%d letters, with others than clients carry, or the shape of a JWT", len(i.Value))
		}
		if whose, ok := prt.Tenant(i.Value); !ok || whose != tenant {
			t.Errorf("says it is of %q", whose)
		}
	})
}

func TestVersion4HasNoSessionKey(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	p := asked(ada, desk, w.now)
	p.Protocol = prt.V4
	i := w.issue(t, p)
	o := w.find(t, i.Value)
	if i.SessionKey != nil || o.SessionKey != nil || o.PRT.Protocol != prt.V4 {
		t.Errorf("%d and %d bytes of session key", len(i.SessionKey), len(o.SessionKey))
	}
	if _, err := o.AnswerKey(make([]byte, 24)); err == nil {
		t.Error("a key was derived from none")
	}
	if got, _ := w.renew(t, i.Value); got.Generation != 2 {
		t.Errorf("generation %d", got.Generation)
	}
}

func TestPrepareTakesTimesAndEndsThatAreGiven(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	p := asked(ada, desk, w.now)
	p.ProofTime, p.MFATime, p.Ends = w.now.Add(-time.Hour), w.now.Add(-time.Minute), w.now.Add(24*time.Hour)
	got := w.issue(t, p).PRT
	if !got.ProofTime.Equal(p.ProofTime) || !got.MFATime.Equal(p.MFATime) || !got.Ends.Equal(p.Ends) || !got.Expires.Equal(p.Ends) {
		t.Errorf("got %+v", got)
	}
	p.Ends = w.now.Add(2 * absolute)
	if got := w.issue(t, p).PRT; !got.Ends.Equal(w.now.Add(absolute)) {
		t.Errorf("ends %s, beyond what the tenant allows", got.Ends)
	}
	single := asked(ada, desk, w.now)
	single.Proofs[0].Properties = nil
	if got := w.issue(t, single).PRT; !got.MFATime.IsZero() || got.ProofTime.IsZero() {
		t.Errorf("one factor counts as two: %+v", got)
	}
}

func TestListsAndTouch(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		a := w.issue(t, asked(ada, desk, w.now))
		b := w.issue(t, asked(ada, laptop, w.now))
		c := w.issue(t, asked(bela, desk, w.now))
		list := func(of []prt.PRT, err error) string {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, p := range of {
				ids = append(ids, string(p.ID))
			}
			return strings.Join(ids, " ")
		}
		ids := func(all ...prt.Issued) string {
			var out []string
			for _, i := range all {
				out = append(out, string(i.PRT.ID))
			}
			return strings.Join(out, " ")
		}
		if got := list(w.svc.OfUser(t.Context(), tenant, ada)); got != ids(b, a) {
			t.Errorf("of ada: %s", got)
		}
		if got := list(w.svc.OfDevice(t.Context(), tenant, desk)); got != ids(c, a) {
			t.Errorf("of the desk: %s", got)
		}
		if got := list(w.svc.OfUser(t.Context(), other, ada)); got != "" {
			t.Errorf("in another tenant: %s", got)
		}
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, tenant, a.PRT.ID) })
		if got := list(w.svc.OfUser(t.Context(), tenant, ada)); got != ids(b) {
			t.Errorf("after one ended: %s", got)
		}
		for after, want := range map[time.Duration]time.Duration{5*time.Minute - time.Second: 0, 5 * time.Minute: 5 * time.Minute} {
			v := w.issue(t, asked(bela, laptop, w.now))
			start := w.now
			w.now = start.Add(after)
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Touch(ctx, tx, v.PRT) })
			if got := w.find(t, v.Value).PRT.LastUsed; !got.Equal(start.Add(want)) {
				t.Errorf("used after %s: noted as %s", after, got.Sub(start))
			}
		}
		w.epoch++
		if got := list(w.svc.OfUser(t.Context(), tenant, ada)); got != "" {
			t.Errorf("after a restore: %s", got)
		}
		w.epoch--
		w.now = w.now.Add(idle)
		if got := list(w.svc.OfUser(t.Context(), tenant, ada)); got != "" {
			t.Errorf("after its time: %s", got)
		}
	})
}

func TestAlive(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		i := w.issue(t, asked(ada, desk, w.now))
		alive := func(who idp.TenantID, id idp.SessionID) bool {
			t.Helper()
			var inside bool
			outside, err := w.svc.Alive(t.Context(), db, who, id)
			if err != nil {
				t.Fatal(err)
			}
			w.write(t, func(ctx context.Context, tx *sqldb.Tx) (err error) {
				inside, err = w.svc.Alive(ctx, tx, who, id)
				return err
			})
			if inside != outside {
				t.Errorf("in a transaction %t, outside %t", inside, outside)
			}
			return inside
		}
		if !alive(tenant, i.PRT.ID) || alive(other, i.PRT.ID) || alive(tenant, "0193a5a0-0000-7000-8000-000000000001") {
			t.Error("not what is alive is alive")
		}
		w.epoch++
		if alive(tenant, i.PRT.ID) {
			t.Error("alive after a restore")
		}
		w.epoch--
		w.now = w.now.Add(idle)
		if alive(tenant, i.PRT.ID) {
			t.Error("alive after its time")
		}
		w.now = w.now.Add(-idle)
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, tenant, i.PRT.ID) })
		if alive(tenant, i.PRT.ID) {
			t.Error("alive after its end")
		}
	})
}

func TestSweep(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(db)
		over := w.issue(t, asked(ada, desk, w.now))
		ended := w.issue(t, asked(ada, laptop, w.now))
		kept := w.issue(t, asked(bela, laptop, w.now))
		w.write(t, func(ctx context.Context, tx *sqldb.Tx) error { return w.svc.Revoke(ctx, tx, tenant, ended.PRT.ID) })
		w.now = w.now.Add(13 * 24 * time.Hour)
		w.renew(t, kept.Value)
		count := func() (n int64) {
			t.Helper()
			if err := db.QueryRow(t.Context(), `select count(*) from prt`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		sweep := func() int64 {
			t.Helper()
			for _, j := range w.svc.Jobs() {
				if err := j.Run(t.Context(), w.now); err != nil {
					t.Fatal(err)
				}
			}
			return count()
		}
		if got := sweep(); got != 3 {
			t.Fatalf("%d rows on day 13", got)
		}
		w.now = over.PRT.Issued.Add(31 * 24 * time.Hour) // the ended one is old enough, the others are not
		if got := sweep(); got != 2 {
			t.Errorf("%d rows on day 31", got)
		}
		w.refused(t, ended.Value, "prt_revoked")
		w.refused(t, over.Value, "prt_over")
		w.now = over.PRT.Issued.Add(idle + 31*24*time.Hour)
		if got := sweep(); got != 1 {
			t.Errorf("%d rows on day 45", got)
		}
		w.now = over.PRT.Issued.Add(13*24*time.Hour + idle + 31*24*time.Hour)
		if got := sweep(); got != 0 {
			t.Errorf("%d rows on day 58", got)
		}
	})
}

// TestSec_DEV05_SecretsNeverPrint: neither value nor session key comes out of
// any verb, a log, or JSON.
func TestSec_DEV05_SecretsNeverPrint(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	i := w.issue(t, asked(ada, desk, w.now))
	o := w.find(t, i.Value)
	var text bytes.Buffer
	for _, v := range []any{i, &i, o, &o, []prt.Issued{i}, struct{ V prt.Opened }{o}, map[string]any{"x": o}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&text, verb+"\n", v)
		}
		slog.New(slog.NewJSONHandler(&text, nil)).Info("a", "v", v)
		slog.New(slog.NewTextHandler(&text, nil)).Info("a", "v", v)
		if raw, err := json.Marshal(v); err == nil {
			t.Errorf("written as JSON: %s", raw)
		}
	}
	_, err := w.svc.Find(t.Context(), tenant, i.Value[:len(i.Value)-1])
	fmt.Fprintln(&text, err)
	out := strings.ToLower(text.String())
	for name, needle := range map[string]string{
		"value": i.Value, "value's end": i.Value[30:], "session key": fmt.Sprintf("%x", i.SessionKey), "session key as a list": strings.Trim(fmt.Sprint(i.SessionKey[:6]), "[]"),
		"session key as text": fmt.Sprintf("%x", string(i.SessionKey[:8])),
	} {
		if strings.Contains(out, strings.ToLower(needle)) {
			t.Errorf("the %s was printed", name)
		}
	}
	if !strings.Contains(out, string(i.PRT.ID)) {
		t.Error("nothing tells which PRT it was")
	}
}

// TestSec_DEV05_NothingInTheRow: the row does not hold what makes a PRT.
func TestSec_DEV05_NothingInTheRow(t *testing.T) {
	w := newWorld(sqldbtest.Open(t, sources))
	i := w.issue(t, asked(ada, desk, w.now))
	rows, err := w.db.Query(t.Context(), `select proofs, agent, ip, protocol from prt where tenant_id = $1`, tenant)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for ; rows.Next(); n++ {
		var cell [4]string
		if err := rows.Scan(&cell[0], &cell[1], &cell[2], &cell[3]); err != nil {
			t.Fatal(err)
		}
		for _, c := range cell {
			if strings.Contains(c, i.Value[30:60]) || strings.Contains(c, string(i.SessionKey)) {
				t.Errorf("in the row: %q", c)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d rows", n)
	}
}

func FuzzFind(f *testing.F) {
	w := newWorld(sqldbtest.Open(f, sources))
	good := w.issue(f, asked(ada, desk, w.now))
	f.Add(good.Value)
	f.Add("")
	f.Add("1.")
	f.Add(good.Value[:40])
	f.Fuzz(func(t *testing.T, value string) {
		_, err := w.svc.Find(context.Background(), tenant, value)
		if (err == nil) != (value == good.Value) || (err != nil && reason(err) != "prt_unreadable") {
			t.Errorf("%q: %v", value, err)
		}
		if whose, ok := prt.Tenant(value); ok && len(whose) != 36 {
			t.Errorf("%q is of %q", value, whose)
		}
	})
}
