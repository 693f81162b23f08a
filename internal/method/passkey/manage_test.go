package passkey

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/passkey/passkeytest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestManage(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w, d := newWorld(t, db, nil), device()
		c := w.register(t, ada, d)
		w.register(t, bo, device())
		do := func(fn func(context.Context, *sqldb.Tx) error) error { return w.settle(fn) }

		// Not another's, not another tenant's, not nobody's.
		for name, fn := range map[string]func(context.Context, *sqldb.Tx) error{
			"rename as bo":       func(ctx context.Context, tx *sqldb.Tx) error { return w.Rename(ctx, tx, tenant, bo.ID, c.ID, "x") },
			"rename elsewhere":   func(ctx context.Context, tx *sqldb.Tx) error { return w.Rename(ctx, tx, "other", ada.ID, c.ID, "x") },
			"rename what is not": func(ctx context.Context, tx *sqldb.Tx) error { return w.Rename(ctx, tx, tenant, ada.ID, "AAAA", "x") },
			"remove as bo":       func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, bo.ID, c.ID) },
			"remove elsewhere":   func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, "other", ada.ID, c.ID) },
		} {
			if err := do(fn); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		err := do(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Rename(ctx, tx, tenant, ada.ID, c.ID, " \u202e\t")
		})
		wantReason(t, err, idp.Invalid, "name_empty")
		if idp.AsError(err).Field != "name" {
			t.Errorf("field %q", idp.AsError(err).Field)
		}
		if err := do(func(ctx context.Context, tx *sqldb.Tx) error {
			return w.Rename(ctx, tx, tenant, ada.ID, c.ID, "Old \u202ekey")
		}); err != nil {
			t.Fatal(err)
		}
		if list, _ := w.List(t.Context(), tenant, ada.ID); list[0].Name != "Old key" {
			t.Errorf("name %q", list[0].Name)
		}
		// Removed: dead at once, gone from the signal, unknown.
		a := w.begin(t, method.Request{})
		payload, err := d.Get(a.Show)
		if err != nil {
			t.Fatal(err)
		}
		if w.Unknown(t.Context(), c.ID) {
			t.Error("a key on record is unknown")
		}
		if err := do(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, ada.ID, c.ID) }); err != nil {
			t.Fatal(err)
		}
		_, err = w.verify(a, payload)
		wantReason(t, err, idp.Unproven, "credential_unknown")
		s, err := w.Signal(t.Context(), tenant, ada.ID)
		if err != nil || len(s.AllAcceptedCredentialIDs) != 0 || s.Name != ada.Name || s.DisplayName != ada.DisplayName || len(s.UserID) != 64 {
			t.Errorf("signal %+v, %v", s, err)
		}
		if raw, _ := json.Marshal(s); !strings.Contains(string(raw), `"allAcceptedCredentialIds":[]`) {
			t.Errorf("signal %s", raw)
		}
		if !w.Unknown(t.Context(), c.ID) {
			t.Error("a removed key is not unknown")
		}
		for _, bad := range []idp.CredentialID{"", "not base64url!", idp.CredentialID(strings.Repeat("A", 2000))} {
			if w.Unknown(t.Context(), bad) {
				t.Errorf("%.20q is unknown: a browser would be told to delete it", bad)
			}
		}
		cancelled, stop := context.WithCancel(t.Context())
		stop()
		if w.Unknown(cancelled, "AAAA") {
			t.Error("no answer from the database counts as unknown")
		}
		// The user handle stays the person's for the next key.
		before := s.UserID
		w.register(t, ada, device())
		if s, _ = w.Signal(t.Context(), tenant, ada.ID); !slices.Equal(s.UserID, before) {
			t.Error("a new handle for the same person")
		}
		// All of a person goes with the person.
		if err := do(func(ctx context.Context, tx *sqldb.Tx) error { return w.RemoveUser(ctx, tx, tenant, ada.ID) }); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Signal(t.Context(), tenant, ada.ID); !errors.Is(err, idp.NotFound) {
			t.Errorf("signal of nobody: %v", err)
		}
		if list, _ := w.List(t.Context(), tenant, bo.ID); len(list) != 1 {
			t.Error("somebody else's went, too")
		}
	})
}

func TestCountAndHolding(t *testing.T) {
	w := sqliteWorld(t)
	w.rules.Limit, w.rules.WarnAt = 5, 3
	synced := device()
	synced.Flags |= passkeytest.FlagBE
	w.register(t, ada, synced)
	c := w.register(t, ada, device())
	count := func() (n int) {
		t.Helper()
		if err := w.settle(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			n, err = w.Count(ctx, tx, tenant, ada.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(); n != 2 {
		t.Errorf("%d usable, want 2", n)
	}
	if _, err := w.store.Exec(t.Context(), `update passkey set disabled = true where tenant_id = $1 and id = $2`, tenant, c.ID); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 {
		t.Errorf("%d usable, one disabled, want 1", n)
	}
	h, err := w.Holding(t.Context(), tenant, ada.ID)
	if want := (Holding{Held: 2, Limit: 5, WarnAt: 3, Warn: true}); err != nil || h != want {
		t.Errorf("got %+v (%v), want %+v", h, err, want)
	}
	if h, _ = w.Holding(t.Context(), tenant, bo.ID); h.Warn || h.Held != 0 {
		t.Errorf("nobody's %+v", h)
	}
}

func TestDisabled(t *testing.T) {
	w, d := sqliteWorld(t), device()
	c := w.register(t, ada, d)
	a := w.begin(t, method.Request{})
	payload, err := d.Get(a.Show)
	if err != nil {
		t.Fatal(err)
	}
	v, err := w.verify(a, payload)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Exec(t.Context(), `update passkey set disabled = true where tenant_id = $1 and id = $2`, tenant, c.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.verify(a, payload)
	wantReason(t, err, idp.Unproven, "credential_disabled")
	// Also when that happens between judging and settling.
	if err := w.settle(v.Settle); err == nil {
		t.Error("a disabled key settled")
	}
}

func TestWalk(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		w := newWorld(t, db, nil)
		const users, each = 70, 15 // more than two pages
		err := w.settle(func(ctx context.Context, tx *sqldb.Tx) error {
			for i := range users * each {
				f := fresh{row: row{
					id: encodeID([]byte{byte(i), byte(i >> 8), 7}), handle: []byte{byte(i % users)}, key: []byte{1}, alg: algES256,
					user: idp.UserID("u" + strconv.Itoa(i%users)), aaguid: noModel, name: "n",
				}, tenant: tenant, created: w.now, limit: 20}
				if err := insert(ctx, tx, f); err != nil {
					return err
				}
			}
			f := fresh{row: row{id: "else", user: "u1", handle: []byte{1}, key: []byte{1}, aaguid: noModel}, tenant: "other", created: w.now, limit: 20}
			return insert(ctx, tx, f)
		})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[idp.CredentialID]int{}
		if err := w.Walk(t.Context(), tenant, func(c method.Credential) error {
			seen[c.ID]++
			if c.Tenant != tenant {
				t.Errorf("%s of %s", c.ID, c.Tenant)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(seen) != users*each {
			t.Errorf("%d seen, want %d", len(seen), users*each)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s seen %d times", id, n)
			}
		}
		stop := errors.New("enough")
		if err := w.Walk(t.Context(), tenant, func(method.Credential) error { return stop }); err != stop {
			t.Errorf("got %v", err)
		}
	})
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"Blue YubiKey":                "Blue YubiKey",
		"  a \t b\r\nc ":              "a b c",
		"a\u202eb\u2066c\u200fd":      "abcd",
		"a\x00b\x7fc\u0085d":          "abc d",
		"z\u200bw\u200dj\ufeff":       "zwj",
		"line\u2028sep\u2029par":      "line sep par",
		"bad\xffbytes":                "badbytes",
		"Schlüssel 🔑":                 "Schlüssel 🔑",
		strings.Repeat("é", 40):       strings.Repeat("é", 32),
		strings.Repeat("a", 63) + "é": strings.Repeat("a", 63),
		"\u202e":                      "",
	} {
		got := cleanName(in)
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if len(got) > maxName || !utf8.ValidString(got) || cleanName(got) != got {
			t.Errorf("%q: %q is not clean", in, got)
		}
	}
}

func TestSuggest(t *testing.T) {
	for _, row := range []struct {
		aaguid     string
		transports []string
		taken      []string
		want       string
	}{
		{"a25342c0-3cdc-4414-8e46-f4807fca511c", nil, nil, "YubiKey 5 NFC"},
		{"a25342c0-3cdc-4414-8e46-f4807fca511c", nil, []string{"yubikey 5 nfc", "YubiKey 5 NFC 2"}, "YubiKey 5 NFC 3"},
		{noModel, []string{"internal", "hybrid"}, nil, "This device"},
		{noModel, []string{"nfc", "usb"}, nil, "Security key"},
		{noModel, []string{"hybrid"}, nil, "Phone"},
		{noModel, nil, []string{"Passkey"}, "Passkey 2"},
	} {
		if got := suggest(bare().Name(row.aaguid), row.transports, row.taken); got != row.want {
			t.Errorf("%+v: got %q", row, got)
		}
	}
}

func TestWellKnown(t *testing.T) {
	c := sqliteWorld(t).cfg
	c.RelatedOrigins = []string{"https://nordhafen.example", "https://nordhafen.test"}
	room, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	room.Mount(mux)
	for path, want := range map[string]string{
		"/.well-known/webauthn":          `{"origins":["https://id.nordhafen.example","https://nordhafen.example","https://nordhafen.test"]}`,
		"/.well-known/passkey-endpoints": `{"enroll":"https://id.nordhafen.example/account","manage":"https://id.nordhafen.example/account"}`,
	} {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		if rec.Code != 200 || rec.Body.String() != want || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, rec.Code, rec.Body)
		}
		rec = httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("POST", path, nil))
		if rec.Code != 405 {
			t.Errorf("POST %s: %d", path, rec.Code)
		}
	}
}

// TestRelatedOrigin: a page of a related origin may use the keys.
func TestRelatedOrigin(t *testing.T) {
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	c := w.cfg
	c.RelatedOrigins = []string{"https://nordhafen.test"}
	room, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	d.Origin = "https://nordhafen.test"
	_, err = w.signIn(t, d)
	wantReason(t, err, idp.Unproven, "wrong_origin")
	w.Room = room
	if _, err := w.signIn(t, d); err != nil {
		t.Error(err)
	}
}

func TestConfig(t *testing.T) {
	good := sqliteWorld(t).cfg
	if _, err := New(good); err != nil {
		t.Fatal(err)
	}
	local := good
	local.RPID, local.Origins = "localhost", []string{"http://localhost:8080"}
	if _, err := New(local); err != nil {
		t.Error(err)
	}
	for _, row := range []struct {
		name string
		lie  func(*Config)
		says string
	}{
		{"no RP ID", func(c *Config) { c.RPID = "" }, "RP ID"},
		{"an address as RP ID", func(c *Config) { c.RPID, c.Origins = "127.0.0.1", []string{"https://127.0.0.1"} }, "RP ID"},
		{"no origin", func(c *Config) { c.Origins = nil }, "no origin"},
		{"origin elsewhere", func(c *Config) { c.Origins = []string{"https://evil.example"} }, "not within"},
		{"origin that ends alike", func(c *Config) { c.Origins = []string{"https://evilid.nordhafen.example"} }, "not within"},
		{"origin with a path", func(c *Config) { c.Origins = []string{origin + "/"} }, "write it as"},
		{"origin in capitals", func(c *Config) { c.Origins = []string{"https://ID.nordhafen.example"} }, "write it as"},
		{"origin with the default port", func(c *Config) { c.Origins = []string{origin + ":443"} }, "write it as"},
		{"http", func(c *Config) { c.Origins = []string{"http://id.nordhafen.example"} }, "only on https"},
		{"related by http", func(c *Config) { c.RelatedOrigins = []string{"http://localhost:1"} }, "not https"},
		{"too many names", func(c *Config) {
			c.RelatedOrigins = []string{"https://a.example", "https://b.example", "https://c.example", "https://d.example", "https://e.example"}
		}, "related origins"},
		{"no rules", func(c *Config) { c.Rules = nil }, "dependency"},
	} {
		c := good
		row.lie(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: got %v, want %q", row.name, err, row.says)
		}
	}
}

func TestView(t *testing.T) {
	v := sqliteWorld(t).View()
	if v.Action != "signin-passkey" || !v.Primary || v.Fragment != "" || v.Label == "" {
		t.Errorf("view %+v", v)
	}
}
