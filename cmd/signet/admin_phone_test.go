package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// pocketed fills a data folder: Ada has two phones, without their passkeys, and
// has reported a request; Bo has one phone.
func pocketed(t *testing.T, data string) {
	t.Helper()
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	if r := signet(t, on("migrate")...); r.code != 0 {
		t.Fatal(r)
	}
	where := idp.TenantID(must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)["id"].(string))
	people := map[string]string{}
	for _, name := range []string{"ada@one.example", "bo@one.example"} {
		people[name] = must[object](t, on("user", "create", name)...)["id"].(string)
	}
	must[object](t, on("policy", "set", "method.phone", "true")...)
	cfg := app.Default()
	cfg.Data = data
	h, err := app.Open(t.Context(), cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	at := time.Now().Add(-time.Hour).UnixMilli()
	err = h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, p := range []struct{ id, user, name string }{
			{"p1", "ada@one.example", "Ada's phone"}, {"p2", "ada@one.example", "Old phone"}, {"p3", "bo@one.example", "Bo's phone"},
		} {
			if _, err := tx.Exec(ctx, `
				insert into phone (tenant_id, id, user_id, state, name, platform, app, spki, passkey, push_kind, push, address, created, last_used, seen)
				values ($1, $2, $3, 'active', $4, 'Android', 'Signet 1.2', $5, 'gone', '', $5, '198.51.100.7', $6, 0, $6)`,
				where, p.id, people[p.user], p.name, []byte(p.id), at); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `insert into phone_block (tenant_id, user_id, address, created, expires) values ($1, $2, '', $3, 0)`, where, people["ada@one.example"], at)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAdminPhones goes through the commands on the database itself, and over
// admin.sock.
func TestAdminPhones(t *testing.T) {
	for name, running := range map[string]bool{"stopped": false, "running": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := dataFolder(t)
			pocketed(t, data)
			test := "messages are sent by a running server"
			if running {
				serve(t, data)
				test = "This "
			}
			phones(t, test, func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) })
		})
	}
}

func phones(t *testing.T, test string, on func(args ...string) []string) {
	t.Helper()
	says := func(code int, args []string, want ...string) {
		t.Helper()
		r := signet(t, on(args...)...)
		for _, text := range want {
			if !strings.Contains(r.out+r.errs, text) {
				t.Errorf("signet %q: %+v lacks %q", args, r, text)
			}
		}
		if r.code != code {
			t.Errorf("signet %q ended with %d: %s", args, r.code, r.errs)
		}
	}
	all := must[[]object](t, on("phone", "list", "ada@one.example")...)
	if len(all) != 2 || all[0]["displayName"] != "Ada's phone" || all[0]["passkeyGone"] != true || all[0]["isUsable"] != false || all[0]["push"] != "none" || all[0]["phoneAppVersion"] != "Signet 1.2" {
		t.Errorf("phones %v", all)
	}
	says(0, []string{"phone", "list", "ada@one.example"}, "Ada's phone", "Old phone", "LAST SEEN")
	says(0, []string{"phone", "show", "ada@one.example", "old PHONE"}, "p2", "198.51.100.7", "Reported on ", "no phone of theirs is asked from anywhere, until it is lifted: signet admin phone unblock ada@one.example")
	says(exitFailed, []string{"phone", "show", "ada@one.example"}, "Several phones could be meant", "signet admin phone list")
	says(exitFailed, []string{"phone", "show", "ada@one.example", "x"}, "no such phone")
	says(exitFailed, []string{"phone", "test", "bo@one.example"}, test)
	says(exitUsage, []string{"phone", "test"}, "needs a USER")
	says(exitUsage, []string{"phone", "unblock"}, "needs a USER")
	if one := must[object](t, on("phone", "show", "bo@one.example")...); one["id"] != "p3" || len(one["blocks"].([]any)) != 0 {
		t.Errorf("Bo's phone %v", one)
	}
	says(0, []string{"phone", "unblock", "ada@one.example"}, "ada@one.example")
	says(exitFailed, []string{"phone", "unblock", "ada@one.example"}, "no report has closed it")
	if one := must[object](t, on("phone", "remove", "ada@one.example", "p2")...); one["displayName"] != "Old phone" {
		t.Errorf("removed %v", one)
	}
	if all := must[[]object](t, on("phone", "list", "ada@one.example")...); len(all) != 1 || all[0]["id"] != "p1" {
		t.Errorf("what is left %v", all)
	}
	did := signet(t, on("audit", "-o", "json")...).out
	for _, want := range []string{`"phone.unblock"`, `"phone.remove"`} {
		if !strings.Contains(did, want) {
			t.Errorf("%s is not on record", want)
		}
	}
	offered := func(want string, args ...string) {
		t.Helper()
		line := append([]string{"__complete"}, on(args...)...)
		// What is completed comes last.
		line = append(line[:len(line)-2-1], append(line[len(line)-2:], args[len(args)-1])...)
		if r := signet(t, line...); !strings.Contains(r.out, want) {
			t.Errorf("completing %q offers %q", args, r.out)
		}
	}
	offered("bo@one.example", "phone", "show", "")
	offered("Bo's phone", "phone", "show", "bo@one.example", "")
}

// A plan names whose phones fewer browsers could ask.
func TestPlanPrintsBrowsers(t *testing.T) {
	var b strings.Builder
	(&policyImpact{People: 3, Keys: 4, Narrowed: 3, OnlyPhone: 1, Narrow: []policyLoser{{Name: "only@one.example", DisplayName: "Only"}, {Name: "both@one.example"}}}).print(&b)
	want := "The phones of 3 people could be asked from fewer browsers; 1 person of them with nothing but a phone, good in browsers that know them only:\n" +
		"  only@one.example (Only)\n  both@one.example\n  and 1 more; --names shows them\n"
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("prints %q", b.String())
	}
}
