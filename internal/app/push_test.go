package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/place"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/push/pushtest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func put(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// running runs a house's background work until the test ends.
func running(t *testing.T, h *House) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		cancel()
		if err := errors.Join(<-done, h.Close()); err != nil {
			t.Error(err)
		}
	}
}

func queue(t *testing.T, h *House, sub *pushtest.Subscription) {
	t.Helper()
	err := h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return h.Push.Queue(ctx, tx, push.Ref{Tenant: "t", Phone: "p"},
			push.Target{Kind: push.WebPush, Endpoint: sub.Endpoint, P256DH: sub.P256DH, Auth: sub.Auth},
			push.Message{ID: "r1", Title: "T", Navigate: "https://id.example.com/phone/", Lives: time.Minute})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSec_T52_PushKeySurvivesARestore: the key that all subscriptions are bound
// to is in a backup, into the other database too; messages on their way are in
// none.
func TestSec_T52_PushKeySurvivesARestore(t *testing.T) {
	service := pushtest.New(t)
	from := newInstallation(t, "")
	from.cfg.Push = Push{Subject: "mailto:help@signet.example.com", Hosts: []string{service.Host()}, CA: put(t, "ca.pem", string(service.PEM()), 0o644)}
	h, err := Open(t.Context(), from.cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, err := h.Push.PublicKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sub := service.Subscribe(key)
	queue(t, h, sub) // nothing runs: it stays
	identities, recipient, err := backup.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys := backup.Keys{Recipients: []string{recipient}, Identities: identities}
	var file bytes.Buffer
	if _, err := dump(t.Context(), h.DB, &file, keys, backup.Header{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	stop := running(t, h)
	sub.Arrived(t) // what was left, as soon as something runs
	queue(t, h, sub)
	sub.Arrived(t)
	stop()
	saved := put(t, "backup", file.String(), 0o600)
	for name, database := range map[string]string{"sqlite": "", "postgres": sqldbtest.NewPostgres(t)} {
		if name == "postgres" && database == "" {
			continue // said in the log
		}
		cfg := from.cfg
		cfg.Data, cfg.Database, cfg.KEKFile = filepath.Join(t.TempDir(), "data"), database, filepath.Join(from.cfg.Data, kekName)
		if _, err := Restore(t.Context(), cfg, saved, keys); err != nil {
			t.Fatal(err)
		}
		h, err := Open(t.Context(), cfg, "http://localhost")
		if err != nil {
			t.Fatal(err)
		}
		if again, err := h.Push.PublicKey(t.Context()); err != nil || again != key {
			t.Errorf("%s: key %s, %v; it was %s", name, again, err, key)
		}
		var n int64
		if err := h.DB.QueryRow(t.Context(), `select count(*) from push_message`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d messages of before, %v", name, n, err)
		}
		stop := running(t, h)
		queue(t, h, sub) // bound to the key
		sub.Arrived(t)
		stop()
	}
}

// TestPushAtTheStart: a start says by which roads phones are told, and what is
// missing; localhost is no address to ask about a server.
func TestPushAtTheStart(t *testing.T) {
	for _, c := range []struct {
		name, base string
		push       Push
		kinds      string
		log        string
	}{
		{"public address", "https://id.example.com", Push{}, "webpush", `by=webpush`},
		{"localhost", "http://localhost:8080", Push{}, "", "push-subject"},
		{"localhost with a subject", "http://localhost:8080", Push{Subject: "mailto:help@example.com"}, "webpush", `by=webpush`},
		{"private address", "https://id.corp", Push{}, "", "push-subject"},
		{"Apple's alone", "https://id.corp", Push{
			APNsKey: put(t, "key.p8", string(pushtest.NewAPNs(t, time.Now).P8()), 0o600), APNsKeyID: "K", APNsTeam: "T", APNsTopic: []string{"com.example.app"},
		}, "apns", "push-subject"},
		{"Firebase's too", "https://id.example.com", Push{FCM: put(t, "fcm.json", string(pushtest.NewFCM(t, time.Now).Credentials()), 0o600)}, "webpush fcm", `by="webpush fcm"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			i := newInstallation(t, "")
			i.cfg.Push, i.cfg.Log = c.push, slog.New(slog.NewTextHandler(&log, nil))
			h, err := Open(t.Context(), i.cfg, c.base)
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			h.sayPush()
			if got := strings.Join(h.Push.Kinds(), " "); got != c.kinds {
				t.Errorf("kinds %q, want %q", got, c.kinds)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("log %s lacks %q", log.String(), c.log)
			}
		})
	}
}

// TestPushFiles: files that cannot be used stop a start, with their names.
func TestPushFiles(t *testing.T) {
	open := put(t, "open", string(pushtest.NewFCM(t, time.Now).Credentials()), 0o644)
	nothing := put(t, "nothing", "nothing", 0o600)
	for name, change := range map[string]func(*Config){
		"push-ca":         func(c *Config) { c.Push.Hosts, c.Push.CA = []string{"push.example.com"}, nothing },
		"no such file":    func(c *Config) { c.Push.FCM = nothing + ".missing" },
		"run chmod 600":   func(c *Config) { c.Push.FCM = open },
		"fcm-credentials": func(c *Config) { c.Push.FCM = nothing },
		"apns-key": func(c *Config) {
			c.Push.APNsKey, c.Push.APNsKeyID, c.Push.APNsTeam, c.Push.APNsTopic = nothing, "K", "T", []string{"x"}
		},
		"line 1":                   func(c *Config) { c.Places.Table = nothing },
		"the list of data centres": func(c *Config) { c.Places = Places{put(t, "table", "1.0.0.0/24,DE\n", 0o600), nothing} },
	} {
		i := newInstallation(t, "")
		change(&i.cfg)
		if _, err := Open(t.Context(), i.cfg, "https://id.example.com"); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// TestPlacesReplaced: each node reads its table again when it changes, and says
// so when it cannot.
func TestPlacesReplaced(t *testing.T) {
	var log bytes.Buffer
	i := newInstallation(t, "")
	i.cfg.Places.Table, i.cfg.Log = put(t, "table", "1.0.0.0/24,DE\n", 0o600), slog.New(slog.NewTextHandler(&log, nil))
	h, err := Open(t.Context(), i.cfg, "https://id.example.com")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for n, c := range []struct{ text, country, log string }{
		{"1.0.0.0/24,DE\n", "DE", "ranges=1"},
		{"1.0.0.0/24,FR\n2.0.0.0/8,US\n", "FR", "ranges=2"},
		{"garbage", "FR", "stays in use"},
	} {
		if err := os.WriteFile(i.cfg.Places.Table, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(n+1) * time.Hour)
		if err := os.Chtimes(i.cfg.Places.Table, at, at); err != nil {
			t.Fatal(err)
		}
		h.refreshPlaces()
		if got := h.Places.Look(netip.MustParseAddr("1.0.0.1")); got.Kind != place.Country || got.Country != c.country {
			t.Errorf("%+v, want %s", got, c.country)
		}
		if !strings.Contains(log.String(), c.log) {
			t.Errorf("log %s lacks %q", log.String(), c.log)
		}
	}
}
