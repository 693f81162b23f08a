package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/sqldb"
)

// keks is a node whose key-encryption key is replaced.
type keks struct {
	db    *sqldb.DB
	state admin.KEKs
	whose []idp.TenantID // keys that a rewrap seals anew
	added string
	dry   bool
}

func (k *keks) Status(context.Context) (admin.KEKs, error) { return k.state, nil }

func (k *keks) Add(_ context.Context, text string) (admin.KEKs, bool, error) {
	k.added = text
	if text == "bad" {
		return admin.KEKs{}, false, idp.Invalidf("kek_malformed", "short").On("key").Say("This is no key.")
	}
	return k.state, text == "", nil
}

func (k *keks) Rewrap(ctx context.Context, dry bool, note keyring.Note, progress func(int)) (admin.KEKs, int, error) {
	if k.dry = dry; dry {
		return k.state, len(k.whose), nil
	}
	progress(1)
	return k.state, len(k.whose), k.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return note(ctx, tx, k.whose) })
}

func (k *keks) Finish(context.Context) (admin.KEKs, string, error) {
	return k.state, "/d/kek.old-a", nil
}

func TestKEK(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		ctx := t.Context()
		if _, err := o.try("kek.status", fields{}); !errors.Is(err, idp.Unavailable) {
			t.Errorf("without any: %v", err)
		}
		made, err := o.try("tenant.create", fields{"name": "A", "domain": "a.example"})
		if err != nil {
			t.Fatal(err)
		}
		var tenant struct{ ID idp.TenantID }
		if err := json.Unmarshal(made, &tenant); err != nil {
			t.Fatal(err)
		}
		k := &keks{db: o.db, whose: []idp.TenantID{tenant.ID}}
		door := admin.New(admin.Config{DB: o.db, Audit: o.log, KEK: k})
		do := func(op, params string) map[string]any {
			t.Helper()
			raw, err := door.Do(ctx, "cli:root", op, json.RawMessage(params), nil)
			if err != nil {
				t.Fatal(err)
			}
			var out map[string]any
			if err := json.Unmarshal(raw, &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		node := func(place string, ids ...string) keyring.Node {
			return keyring.Node{Place: place, KEKs: ids, Seen: now}
		}
		for _, c := range []struct {
			state     admin.KEKs
			want, say string
		}{
			{admin.KEKs{KEKs: keyring.KEKs{Now: "a", Keys: map[string]int64{"a": 3}}, InFile: "a"}, "settled", "Everything is sealed under the key in use."},
			{admin.KEKs{KEKs: keyring.KEKs{Now: "a", Nodes: []keyring.Node{node("x", "a", "b"), node("y", "a")}}, InFile: "a", New: "b"}, "prepared", "kek add: y."},
			{admin.KEKs{KEKs: keyring.KEKs{Now: "a", Nodes: []keyring.Node{node("x", "a", "b")}}, InFile: "a", New: "b"}, "prepared", "kek rewrap."},
			{admin.KEKs{KEKs: keyring.KEKs{Now: "a", Next: "b"}, InFile: "a", New: "b"}, "rewrap", "to its end"},
			{admin.KEKs{KEKs: keyring.KEKs{Now: "b"}, InFile: "a", New: "b"}, "finish", "on every server"},
			{admin.KEKs{KEKs: keyring.KEKs{Now: "b", Since: now, Nodes: []keyring.Node{node("x", "b"), node("y", "a", "b")}}, InFile: "b"}, "settled", "these servers, too: y."},
		} {
			k.state = c.state
			got := do("kek.status", `{}`)
			if say, _ := got["say"].(string); got["state"] != c.want || !strings.Contains(say, c.say) {
				t.Errorf("%+v: %v", c.state, got)
			}
		}
		if got := do("kek.status", `{}`); got["inUse"] != "b" || got["since"] == nil || len(got["servers"].([]any)) != 2 || len(got["needs"].([]any)) != 0 {
			t.Errorf("status %v", got)
		}

		if got := do("kek.add", `{}`); got["madeNewKey"] != true {
			t.Errorf("made %v", got)
		}
		if got := do("kek.add", `{"key":"good"}`); got["madeNewKey"] != false || k.added != "good" {
			t.Errorf("added %v", got)
		}
		if _, err := door.Do(ctx, "cli:root", "kek.add", json.RawMessage(`{"key":"bad"}`), nil); !errors.Is(err, idp.Invalid) {
			t.Errorf("a bad key: %v", err)
		}
		records := func() (n int) {
			all, err := o.log.List(ctx, o.db, tenant.ID, audit.Filter{Category: audit.System})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				if e.Activity == "kek.rewrap" && e.Actor == "cli:root" {
					n++
				}
			}
			return n
		}
		if got := do("kek.rewrap", `{"dryRun":true}`); got["keys"] != 1.0 || got["dryRun"] != true || !k.dry || records() != 0 {
			t.Errorf("tried %v, %d records", got, records())
		}
		if got := do("kek.rewrap", `{}`); got["keys"] != 1.0 || got["dryRun"] != false || k.dry || records() != 1 {
			t.Errorf("rewrapped %v, %d records", got, records())
		}
		if got := do("kek.finish", `{}`); got["oldKeyFile"] != "/d/kek.old-a" || records() != 1 {
			t.Errorf("finished %v", got)
		}
	})
}
