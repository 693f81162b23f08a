package mac_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

const someDevice = idp.DeviceID("12345678-0000-4000-8000-000000000000")

func (w *world) tryIssue(q mac.TokenRequest) (tok mac.Token, value string, err error) {
	if q.Tenant == "" {
		q.Tenant = tenant
	}
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		tok, value, err = w.Tokens.Issue(ctx, tx, q)
		return err
	})
	return tok, value, err
}

func (w *world) issue(q mac.TokenRequest) (mac.Token, string) {
	w.t.Helper()
	tok, value, err := w.tryIssue(q)
	if err != nil {
		w.t.Fatal(err)
	}
	return tok, value
}

func (w *world) use(tok mac.Token, serial string) error {
	return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Tokens.Use(ctx, tx, tok, someDevice, serial) })
}

func TestTokens(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tok, value := w.issue(mac.TokenRequest{By: ada, Note: " lab\u202e\n "})
		want := mac.Token{
			Tenant: tenant, ID: tok.ID, By: ada, For: ada, Note: `lab\u{202e}`, Uses: 1, Created: w.now, Expires: w.now.Add(24 * time.Hour),
		}
		if diff := cmp.Diff(want, tok); diff != "" || !tok.Good(w.now) {
			t.Errorf("(-want +got):\n%s", diff)
		}
		found, err := w.Tokens.Find(t.Context(), tenant, value, "")
		if err != nil || !cmp.Equal(want, found) {
			t.Errorf("%v (-want +got):\n%s", err, cmp.Diff(want, found))
		}
		w.pass(time.Minute)
		if err := w.use(found, "c02x"); err != nil {
			t.Fatal(err)
		}
		got, err := w.Tokens.Get(t.Context(), w.db, tenant, tok.ID)
		want.Used, want.Device, want.LastUsed = 1, someDevice, w.now
		if diff := cmp.Diff(want, got); err != nil || diff != "" || got.Good(w.now) {
			t.Errorf("used: %v (-want +got):\n%s", err, diff)
		}
		named, _ := w.issue(mac.TokenRequest{By: ada, For: bob, Serial: " c02abc123 "})
		if named.For != bob || named.By != ada || named.Serial != "C02ABC123" {
			t.Errorf("%+v", named)
		}
		free, _ := w.issue(mac.TokenRequest{By: ada, Serial: "C02ABC123"}) // whose it is, its first person says
		if free.For != "" {
			t.Errorf("for %s", free.For)
		}
	})
}

// TestSec_PSO01_TokenShape: a token has 256 random bits, of which the row keeps
// the SHA-256 and nothing else, and lives for a day if nothing else is said.
func TestSec_PSO01_TokenShape(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		seen := map[string]bool{}
		for range 50 {
			tok, value := w.issue(mac.TokenRequest{By: ada})
			text, ours := strings.CutPrefix(value, "smr_")
			raw, err := base64.RawURLEncoding.DecodeString(text)
			if !ours || err != nil || len(raw) != 32 || seen[value] {
				t.Fatalf("value %q, %v", value, err)
			}
			seen[value] = true
			var digest []byte
			err = w.db.QueryRow(t.Context(), `
				select digest, tenant_id || id || issued_by || issued_for || serial || note || device_id from mac_token where id = $1`, tok.ID).Scan(&digest, &text)
			sum := sha256.Sum256([]byte(value))
			if err != nil || !bytes.Equal(digest, sum[:]) || bytes.Contains([]byte(text), []byte(value)) {
				t.Fatalf("digest %x, text %q, %v", digest, text, err)
			}
		}
	})
}

// TestSec_PSO01_TokenRequests: no token is made that is nobody's, lives for long,
// or is good for a crowd.
func TestSec_PSO01_TokenRequests(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, tt := range map[string]struct {
			q    mac.TokenRequest
			want string
		}{
			"a week":                {mac.TokenRequest{By: ada, Lives: 7 * 24 * time.Hour}, ""},
			"a hundred":             {mac.TokenRequest{By: ada, Uses: 100}, ""},
			"a serial by a command": {mac.TokenRequest{Serial: "C02"}, ""},
			"nobody's":              {mac.TokenRequest{}, "invalid token_unbound"},
			"more than a week":      {mac.TokenRequest{By: ada, Lives: 7*24*time.Hour + 1}, "invalid bad_lives"},
			"no time at all":        {mac.TokenRequest{By: ada, Lives: time.Second}, "invalid bad_lives"},
			"a past":                {mac.TokenRequest{By: ada, Lives: -time.Hour}, "invalid bad_lives"},
			"a crowd":               {mac.TokenRequest{By: ada, Uses: 101}, "invalid bad_uses"},
			"less than one":         {mac.TokenRequest{By: ada, Uses: -1}, "invalid bad_uses"},
			"two of one number":     {mac.TokenRequest{Serial: "C02", Uses: 2}, "invalid bad_uses"},
			"no serial number":      {mac.TokenRequest{Serial: "C 02"}, "invalid bad_serial"},
		} {
			if _, value, err := w.tryIssue(tt.q); reason(err) != tt.want || (err == nil) != (value != "") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestSec_PSO01_TokenRefused: each reason for which a token is not good, both
// before and in the transaction; to a stranger they look the same.
func TestSec_PSO01_TokenRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, good := w.issue(mac.TokenRequest{By: ada})
		says := map[string]bool{}
		refused := func(name, want string, errs ...error) {
			t.Helper()
			for _, err := range errs {
				if says[idp.AsError(err).Public] = true; reason(err) != "unproven "+want {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		find := func(in idp.TenantID, value, serial string) error {
			_, err := w.Tokens.Find(t.Context(), in, value, serial)
			return err
		}
		if err := find(tenant, good, ""); err != nil {
			t.Fatal(err)
		}
		refused("another tenant", "token_unknown", find(other, good, ""))
		refused("nothing", "token_unknown", find(tenant, "", ""))
		refused("bent", "token_unknown", find(tenant, good[:46]+"!", ""), find(tenant, strings.TrimPrefix(good, "smr_"), ""))
		spent, value := w.issue(mac.TokenRequest{By: ada})
		if err := w.use(spent, ""); err != nil {
			t.Fatal(err)
		}
		refused("spent", "token_spent", find(tenant, value, ""), w.use(spent, ""))
		back, value := w.issue(mac.TokenRequest{By: ada})
		w.must(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.Tokens.Revoke(ctx, tx, tenant, back.ID)
			return err
		})
		refused("revoked", "token_revoked", find(tenant, value, ""), w.use(back, ""))
		bound, value := w.issue(mac.TokenRequest{Serial: "C02A"})
		refused("another Mac's", "token_serial", find(tenant, value, "C02B"), w.use(bound, "C02B"))
		refused("no Mac's", "token_serial", find(tenant, value, ""), w.use(bound, ""))
		if err := w.use(bound, "c02a"); err != nil {
			t.Errorf("its own Mac: %v", err)
		}
		late, value := w.issue(mac.TokenRequest{By: ada, Lives: time.Hour})
		w.pass(time.Hour)
		refused("late", "token_over", find(tenant, value, ""), w.use(late, ""))
		gone := late
		gone.ID = "00000000-0000-4000-8000-000000000000"
		refused("gone", "token_unknown", w.use(gone, ""))
		foreign := late
		foreign.Tenant = other
		refused("another tenant's", "token_unknown", w.use(foreign, ""))
		if len(says) != 1 {
			t.Errorf("they are told apart: %v", says)
		}
	})
}

// TestSec_PSO01_TokenRace: of many registrations at once with one token as many
// commit as it has uses, and one that is rolled back has used nothing.
func TestSec_PSO01_TokenRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, uses := range []int{1, 5} {
			tok, value := w.issue(mac.TokenRequest{By: ada, Uses: uses})
			undone := errors.New("undone")
			err := w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				if err := w.Tokens.Use(ctx, tx, tok, someDevice, ""); err != nil {
					return err
				}
				return undone
			})
			if !errors.Is(err, undone) {
				t.Fatal(err)
			}
			var mu sync.Mutex
			got := map[string]int{}
			var all sync.WaitGroup
			for range 40 {
				all.Go(func() {
					found, err := w.Tokens.Find(context.Background(), tenant, value, "")
					if err == nil {
						err = w.use(found, "")
					}
					mu.Lock()
					defer mu.Unlock()
					got[reason(err)]++
				})
			}
			all.Wait()
			if got[""] != uses || got["unproven token_spent"] != 40-uses {
				t.Errorf("%d uses: %v", uses, got)
			}
		}
	})
}

func TestTokenList(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var ids []mac.TokenID
		for n := range 5 {
			if n%2 == 0 {
				w.pass(time.Second) // some of one moment
			}
			tok, _ := w.issue(mac.TokenRequest{By: ada, Lives: time.Duration(n+1) * time.Hour, Note: fmt.Sprint(n)})
			ids = append(ids, tok.ID)
		}
		w.issue(mac.TokenRequest{Tenant: other, By: ada})
		bobs, _ := w.issue(mac.TokenRequest{By: bob})
		walk := func(p mac.TokenPage) map[mac.TokenID]int {
			t.Helper()
			out := map[mac.TokenID]int{}
			for p.Limit = 2; ; {
				part, next, err := w.Tokens.List(t.Context(), tenant, p)
				if err != nil || len(part) > 2 {
					t.Fatalf("%d, %v", len(part), err)
				}
				for _, tok := range part {
					out[tok.ID]++
				}
				if p.After = next; next == "" {
					return out
				}
			}
		}
		all := walk(mac.TokenPage{})
		if len(all) != 6 || all[bobs.ID] != 1 {
			t.Errorf("all: %v", all)
		}
		if mine := walk(mac.TokenPage{By: bob}); len(mine) != 1 || mine[bobs.ID] != 1 {
			t.Errorf("bob's: %v", mine)
		}
		w.pass(2 * time.Hour) // the first two are over
		w.must(func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := w.Tokens.Revoke(ctx, tx, tenant, ids[2])
			return err
		})
		tok, err := w.Tokens.Get(t.Context(), w.db, tenant, ids[3])
		if err != nil {
			t.Fatal(err)
		}
		if err := w.use(tok, ""); err != nil {
			t.Fatal(err)
		}
		if good := walk(mac.TokenPage{Good: true}); len(good) != 2 || good[ids[4]] != 1 || good[bobs.ID] != 1 {
			t.Errorf("good: %v", good)
		}
		if len(walk(mac.TokenPage{})) != 6 {
			t.Error("one that is over is not listed")
		}
		for _, bad := range []string{"x", "1.2", "zz." + string(ids[0]) + "x", "!." + string(ids[0])} {
			if _, _, err := w.Tokens.List(t.Context(), tenant, mac.TokenPage{After: bad}); reason(err) != "invalid bad_cursor" {
				t.Errorf("after %q: %v", bad, err)
			}
		}
		w.pass(30 * 24 * time.Hour)
		w.run("mac.tokens")
		if left := walk(mac.TokenPage{}); len(left) != 4 || left[ids[0]]+left[ids[1]] != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestTokenRevoke(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		tok, _ := w.issue(mac.TokenRequest{By: ada})
		revoke := func(in idp.TenantID, id mac.TokenID) (out mac.Token, err error) {
			err = w.write(func(ctx context.Context, tx *sqldb.Tx) error { out, err = w.Tokens.Revoke(ctx, tx, in, id); return err })
			return out, err
		}
		if _, err := revoke(other, tok.ID); reason(err) != "not found token_unknown" {
			t.Errorf("from another tenant: %v", err)
		}
		first, err := revoke(tenant, tok.ID)
		if err != nil || !first.Revoked.Equal(w.now) {
			t.Errorf("%+v, %v", first, err)
		}
		w.pass(time.Hour)
		if again, err := revoke(tenant, tok.ID); err != nil || !again.Revoked.Equal(first.Revoked) {
			t.Errorf("again: %s, %v", again.Revoked, err)
		}
	})
}

// TestSec_PSO01_TokensGoWithThePerson: whose account is deleted, of them no token
// stays, neither one that they opened nor one that is for them.
func TestSec_PSO01_TokensGoWithThePerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, opened := w.issue(mac.TokenRequest{By: ada, For: bob})
		_, named := w.issue(mac.TokenRequest{By: bob, For: ada})
		_, stays := w.issue(mac.TokenRequest{By: bob})
		w.must(func(ctx context.Context, tx *sqldb.Tx) error { return w.RemoveUser(ctx, tx, tenant, ada) })
		for name, tt := range map[string]struct{ value, want string }{
			"opened": {opened, "unproven token_unknown"}, "named": {named, "unproven token_unknown"}, "other": {stays, ""},
		} {
			if _, err := w.Tokens.Find(t.Context(), tenant, tt.value, ""); reason(err) != tt.want {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
