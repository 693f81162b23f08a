package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// enrolled fills a data folder: Ada has a key on each of three devices, one of
// which is gone, and Bo one on his.
func enrolled(t *testing.T, data string) {
	t.Helper()
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	if r := signet(t, on("migrate")...); r.code != 0 {
		t.Fatal(r)
	}
	tenant := must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
	for _, name := range []string{"ada@one.example", "bo@one.example"} {
		must[object](t, on("user", "create", name)...)
	}
	must[object](t, on("policy", "set", "method.hello", "true")...)
	cfg := app.Default()
	cfg.Data = data
	h, err := app.Open(t.Context(), cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	where := idp.TenantID(tenant["id"].(string))
	for _, c := range []struct{ user, device string }{
		{"ada@one.example", "ws-1"}, {"ada@one.example", "ws-2"}, {"ada@one.example", "gone"}, {"bo@one.example", "bo-1"},
	} {
		u, err := h.Directory.UserByName(t.Context(), h.DB, where, c.user)
		if err != nil {
			t.Fatal(err)
		}
		d := join(t, h, u, c.device)
		if _, err := h.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
			OnceRequest: signin.OnceRequest{Tenant: where, Method: hello.ID, Payload: hellotest.EC().Public(), User: u, Device: d.ID},
			ProofTime:   time.Now(), Within: time.Minute, ByToken: true,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func join(t *testing.T, h *app.House, u idp.User, name string) device.Device {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := device.Candidate{Tenant: u.Tenant, Name: name, OS: "Linux", Join: device.Joined, Owner: u.ID, Assurance: device.Unattested, Key: &key.PublicKey, Quota: 10}
	d, _, err := h.Devices.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return h.Devices.Add(ctx, tx, d, c) }); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAdminKeysAndDevices goes through the commands on the database itself,
// over admin.sock, and over the network with a token.
func TestAdminKeysAndDevices(t *testing.T) {
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		enrolled(t, data)
		keysAndDevices(t, func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) })
	})
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		enrolled(t, data)
		serve(t, data)
		keysAndDevices(t, func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) })
	})
	t.Run("remote", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		enrolled(t, data)
		s := serve(t, data)
		token := func(role string) string {
			path := filepath.Join(t.TempDir(), role)
			got := must[object](t, "admin", "token", "--role", role, "--data", data)
			if err := os.WriteFile(path, []byte(got["token"].(string)), 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		by := func(file string) func(args ...string) []string {
			return func(args ...string) []string {
				return append(append([]string{"admin"}, args...), "--server", s.base, "--token-file", file)
			}
		}
		reader := by(token("reader"))
		if all := must[[]object](t, reader("key", "list")...); len(all) != 4 {
			t.Errorf("a reader sees %d keys", len(all))
		}
		for _, args := range [][]string{{"key", "clean", "--orphaned"}, {"key", "restore", "ada@one.example", "x"}, {"device", "remove", "ws-1"}} {
			if r := signet(t, reader(args...)...); r.code != exitFailed || !strings.Contains(r.errs, "role administrator") {
				t.Errorf("%q by a reader: %+v", args, r)
			}
		}
		keysAndDevices(t, by(token("administrator")))
	})
}

func keysAndDevices(t *testing.T, on func(args ...string) []string) {
	t.Helper()
	fails := func(code int, want string, args ...string) {
		t.Helper()
		if r := signet(t, on(args...)...); r.code != code || !strings.Contains(r.errs, want) {
			t.Errorf("signet %q: %+v; want exit %d and %q", args, r, code, want)
		}
	}
	if all := must[[]object](t, on("device", "list")...); len(all) != 4 || all[0]["trustType"] != "AzureAd" {
		t.Errorf("devices %v", all)
	}
	if all := must[[]object](t, on("device", "list", "bo@one.example")...); len(all) != 1 || all[0]["displayName"] != "bo-1" || all[0]["ownerUserPrincipalName"] != "bo@one.example" {
		t.Errorf("Bo's devices %v", all)
	}
	bos := must[object](t, on("device", "show", "BO-1")...)
	if bos["helloKeys"] != float64(1) || bos["onlyWayInOf"].([]any)[0] != "bo@one.example" || bos["accountEnabled"] != true {
		t.Errorf("Bo's device %v", bos)
	}
	if r := signet(t, on("device", "disable", bos["id"].(string))...); r.code != 0 || !strings.Contains(r.errs, "device enable "+bos["id"].(string)) || !strings.Contains(r.errs, "tap issue bo@one.example") {
		t.Errorf("disable: %+v", r)
	}
	if k := must[[]object](t, on("key", "list", "bo@one.example")...); len(k) != 1 || k[0]["deviceDisabled"] != true || k[0]["orphaned"] != false {
		t.Errorf("key of a device that is off: %v", k)
	}
	if d := must[object](t, on("device", "enable", "bo-1")...); d["accountEnabled"] != true {
		t.Errorf("enabled: %v", d)
	}
	must[object](t, on("device", "rename", "bo-1", "Bo's desk")...)
	if d := must[object](t, on("device", "show", "Bo's desk")...); d["id"] != bos["id"] {
		t.Errorf("renamed: %v", d)
	}
	fails(exitFailed, "no such device", "device", "show", "bo-1")
	fails(exitUsage, "needs a DEVICE", "device", "remove")
	if r := signet(t, on("device", "remove", "gone")...); r.code != 0 || !strings.Contains(r.errs, "orphaned") || strings.Contains(r.errs, "tap issue") {
		t.Errorf("remove: %+v", r)
	}

	if r := signet(t, on("key", "list")...); r.code != 0 || strings.Count(r.out, "NGC") != 4 || !strings.Contains(r.errs, "people looked at: 2, with keys: 2; keys: 4, orphaned: 1, weak (ROCA): 0") {
		t.Errorf("list: %+v", r)
	}
	orphans := must[[]object](t, on("key", "orphans")...)
	if len(orphans) != 1 || orphans[0]["orphaned"] != true || orphans[0]["displayName"] != "gone" {
		t.Fatalf("orphans %v", orphans)
	}
	if all := must[[]object](t, on("key", "orphans", "bo@one.example")...); len(all) != 0 {
		t.Errorf("Bo's orphans %v", all)
	}
	export := signet(t, on("key", "export")...)
	if lines := strings.Split(export.out, "\r\n"); export.code != 0 || len(lines) != 6 || lines[0] != "userPrincipalName,Tenant,DeviceId,Usage,Id,CreationTime,RocaVulnerable,Orphaned,LastUsed" || strings.Count(export.out, ",False,True,") != 1 {
		t.Errorf("export: %+v", export)
	}

	fails(exitUsage, "say which keys", "key", "clean")
	fails(exitUsage, "not both", "key", "clean", "--orphaned", "--csv", "x")
	fails(exitUsage, "90d", "key", "clean", "--older-than", "90")
	if r := signet(t, on("key", "clean", "--orphaned")...); r.code != 0 || !strings.Contains(r.errs, "would be removed: 1, refused: 0; nothing was changed") {
		t.Errorf("tried: %+v", r)
	}
	if all := must[[]object](t, on("key", "orphans")...); len(all) != 1 {
		t.Errorf("after a try: %v", all)
	}
	if v := must[object](t, on("key", "clean", "--orphaned", "--apply")...); len(v["keys"].([]any)) != 1 || v["tried"] != false {
		t.Errorf("cleaned %v", v)
	}
	removed := must[[]object](t, on("key", "restore")...)
	if len(removed) != 1 || removed[0]["id"] != orphans[0]["id"] || removed[0]["removedTime"] == "" {
		t.Errorf("to be restored: %v", removed)
	}
	if r := signet(t, on("key", "restore", "ada@one.example", orphans[0]["id"].(string))...); r.code != 0 || !strings.Contains(r.errs, "brought back: 1, refused: 0") {
		t.Errorf("restore: %+v", r)
	}
	fails(exitFailed, "No such key of this person was removed", "key", "restore", "ada@one.example", orphans[0]["id"].(string))

	// By the file that was exported: all of it would take the last ways in.
	file := filepath.Join(t.TempDir(), "keys.csv")
	if err := os.WriteFile(file, []byte(export.out), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := signet(t, on("key", "clean", "--csv", file)...); r.code != 0 || !strings.Contains(r.errs, "would be removed: 2, refused: 2") || strings.Count(r.errs, "only way in") != 2 {
		t.Errorf("tried by file: %+v", r)
	}
	if r := signet(t, on("key", "clean", "--csv", file, "--apply")...); r.code != exitFailed || !strings.Contains(r.errs, "refused: 2 of 4") || strings.Count(r.out, "NGC") != 2 {
		t.Errorf("by file: %+v", r)
	}
	if r := signet(t, on("key", "clean", "--csv", file, "--apply")...); r.code != exitFailed || strings.Count(r.errs, "line ") != 2 || !strings.Contains(r.errs, "nothing was removed: mend the bad rows (2)") {
		t.Errorf("by the same file again: %+v", r)
	}
	activities := map[string]int{}
	for _, e := range must[[]object](t, on("audit", "--category", "change", "--limit", "100")...) {
		if actor, _ := e["actor"].(string); strings.HasPrefix(actor, "cli:") {
			activities[e["activity"].(string)+" "+e["outcome"].(string)]++
		}
	}
	for what, n := range map[string]int{
		"hello.remove success": 3, "hello.remove failure": 2, "hello.restore success": 1, "key.clean success": 2, "key.restore success": 1,
		"device.disable success": 1, "device.enable success": 1, "device.rename success": 1, "device.remove success": 1,
	} {
		if activities[what] != n {
			t.Errorf("%d times %q on record, want %d: %v", activities[what], what, n, activities)
		}
	}
}

// TestSec_T50_CleanKilled: a clean that is killed has removed all of its keys
// or none, and can be run again.
func TestSec_T50_CleanKilled(t *testing.T) {
	t.Parallel()
	data := dataFolder(t)
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	enrolled(t, data)
	n := orphans(t, data, 20, 10)
	file := filepath.Join(t.TempDir(), "orphans.csv")
	if err := os.WriteFile(file, []byte(signet(t, on("key", "export", "--orphaned")...).out), 0o600); err != nil {
		t.Fatal(err)
	}
	cut := 0
	for wait := 20 * time.Millisecond; wait < 2*time.Second; wait += 8 * time.Millisecond {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := command(ctx, on("key", "clean", "--csv", file, "--apply")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(wait, cancel) // which is SIGKILL
		err := cmd.Wait()
		kill.Stop()
		cancel()
		switch left := len(must[[]object](t, on("key", "orphans")...)); {
		case left == n && err != nil:
			cut++
		case left == 0:
			if r := signet(t, on("key", "restore", "--csv", file, "--apply")...); r.code != 0 {
				t.Fatalf("restore: %+v", r)
			}
			if err == nil {
				t.Logf("killed %d times before it was done", cut)
				return
			}
		default:
			t.Fatalf("%d of %d keys are left, exit %v", left, n, err)
		}
	}
	t.Error("it was never done")
}

// orphans gives so many new people so many orphaned keys each, and says how
// many that is.
func orphans(t *testing.T, data string, people, each int) int {
	t.Helper()
	cfg := app.Default()
	cfg.Data = data
	h, err := app.Open(t.Context(), cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	all, err := h.Directory.Tenants(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for p := range people {
		var u idp.User
		if err := h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
			u, err = h.Directory.CreateUser(ctx, tx, idp.User{Tenant: all[0].ID, Name: fmt.Sprintf("person%d@one.example", p), Enabled: true})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range each {
			d := join(t, h, u, "old")
			if _, err := h.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
				OnceRequest: signin.OnceRequest{Tenant: u.Tenant, Method: hello.ID, Payload: hellotest.EC().Public(), User: u, Device: d.ID},
				ProofTime:   time.Now(), Within: time.Minute, ByToken: true,
			}); err != nil {
				t.Fatal(err)
			}
			if err := h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return h.Devices.Remove(ctx, tx, u.Tenant, d.ID) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	return people * each
}
