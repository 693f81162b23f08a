package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

type object = map[string]any

// TestAdmin goes through the administrator's commands twice: over admin.sock
// of a running server, and on the database itself when none runs.
func TestAdmin(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		serve(t, data)
		adminCommands(t, data)
		token := must[object](t, "admin", "token", "--tenant", "one.example", "--data", data)
		if s, _ := token["token"].(string); strings.Count(s, ".") != 2 || token["role"] != "reader" {
			t.Errorf("token %v", token)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		if r := signet(t, "admin", "migrate", "--data", data); r.code != 0 {
			t.Fatalf("migrate: %+v", r)
		}
		adminCommands(t, data)
		if r := signet(t, "admin", "token", "--data", data); r.code != exitFailed || !strings.Contains(r.errs, "start signet serve first") {
			t.Errorf("token without a server: %+v", r)
		}
	})
}

func adminCommands(t *testing.T, data string) {
	t.Helper()
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	fails := func(want string, args ...string) {
		t.Helper()
		r := signet(t, on(args...)...)
		if r.code != exitFailed || !strings.Contains(r.errs, want) || strings.Count(r.errs, "\n") != 1 {
			t.Errorf("signet admin %q: exit %d, %q; want exit 1 and one line with %q", args, r.code, r.errs, want)
		}
	}

	fails("no tenant yet", "user", "list")
	tenant := must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
	if tenant["domain"] != "one.example" || tenant["id"] == "" {
		t.Errorf("tenant %v", tenant)
	}
	if all := must[[]object](t, on("tenant", "list")...); len(all) != 1 {
		t.Errorf("tenants %v", all)
	}
	must[object](t, on("tenant", "add-domain", "one.test")...)
	if d := must[object](t, on("tenant", "show", "one.test")...); fmt.Sprint(d["domains"]) != "[one.example one.test]" {
		t.Errorf("domains %v", d["domains"])
	}

	ada := must[object](t, on("user", "create", "ada@one.example", "--name", "Ada", "--role", "administrator")...)
	must[object](t, on("user", "create", "bo@one.test")...)
	fails("exists already", "user", "create", "ADA@one.example")
	if u := must[object](t, on("user", "show", ada["id"].(string))...); u["displayName"] != "Ada" || u["role"] != "administrator" {
		t.Errorf("user %v", u)
	}
	if u := must[object](t, on("user", "disable", "bo@one.test")...); u["accountEnabled"] != false {
		t.Errorf("disabled user %v", u)
	}
	if u := must[object](t, on("user", "enable", "bo@one.test")...); u["accountEnabled"] != true {
		t.Errorf("enabled user %v", u)
	}
	if r := signet(t, on("user", "disable", "ada@one.example")...); r.code != exitFailed {
		t.Errorf("the last administrator was disabled: %+v", r)
	}
	if all := must[[]object](t, on("user", "list")...); len(all) != 2 {
		t.Errorf("users %v", all)
	}

	must[object](t, on("group", "create", "Drawing office")...)
	must[object](t, on("group", "add", "Drawing office", "bo@one.test")...)
	if m := must[[]object](t, on("group", "members", "Drawing office")...); len(m) != 1 || m[0]["userPrincipalName"] != "bo@one.test" {
		t.Errorf("members %v", m)
	}
	must[object](t, on("group", "remove", "Drawing office", "bo@one.test")...)
	if m := must[[]object](t, on("group", "members", "Drawing office")...); len(m) != 0 {
		t.Errorf("members after removal %v", m)
	}

	pass := must[object](t, on("tap", "issue", "bo@one.test")...)
	if code, _ := pass["temporaryAccessPass"].(string); len(strings.ReplaceAll(code, "-", "")) != 12 || pass["isUsableOnce"] != true {
		t.Errorf("pass %v", pass)
	}
	fails("10", "tap", "issue", "bo@one.test", "--lifetime", "5m")
	fails("no such user", "tap", "issue", "nobody@one.test")

	wiki := must[object](t, on("app", "create", "Wiki", "--redirect-uri", "https://wiki.example/cb")...)
	if s, _ := wiki["secret"].(string); len(s) < 32 {
		t.Errorf("app %v", wiki)
	}
	fails("", "app", "create", "Bad", "--redirect-uri", "http://wiki.example/cb")
	native := must[object](t, on("app", "create", "Tool", "--kind", "native", "--redirect-uri", "http://127.0.0.1/cb")...)
	if native["secret"] != nil || native["auth"] != "none" {
		t.Errorf("native app %v", native)
	}
	jwks := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(jwks, []byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","alg":"ES256",
		"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	reports := must[object](t, on("app", "create", "Reports", "--auth", "private_key_jwt", "--jwks", jwks, "--redirect-uri", "https://r.example/cb")...)
	if reports["auth"] != "private_key_jwt" || reports["secret"] != nil {
		t.Errorf("app with keys %v", reports)
	}
	if r := signet(t, on("app", "show", "Wiki")...); strings.Contains(r.out, wiki["secret"].(string)) || r.code != 0 {
		t.Errorf("app show: %+v", r)
	}
	if a := must[object](t, on("app", "update", "Wiki", "--acr", "phr")...); a["acr"] != "phr" || fmt.Sprint(a["redirectUris"]) != "[https://wiki.example/cb]" {
		t.Errorf("updated app %v", a)
	}
	if a := must[object](t, on("app", "add-secret", "Wiki")...); a["secret"] == wiki["secret"] || a["secret"] == nil {
		t.Errorf("second secret %v", a["secret"])
	}
	if all := must[[]object](t, on("app", "list")...); len(all) != 3 {
		t.Errorf("apps %v", all)
	}
	must[object](t, on("app", "delete", "Tool")...)
	if all := must[[]object](t, on("user", "consents", "bo@one.test")...); len(all) != 0 {
		t.Errorf("consents %v", all)
	}
	fails("allowed that app nothing", "user", "revoke-consent", "bo@one.test", "Wiki")

	if keys := must[[]object](t, on("signing-key", "rotate")...); len(keys) == 0 {
		t.Error("no signing key after a rotation")
	}
	if p := must[object](t, on("policy", "set", "passkey.limit", "30")...); p["value"] != "30" {
		t.Errorf("setting %v", p)
	}
	fails("no such setting", "policy", "set", "passkey.limits", "10")

	events := must[[]object](t, on("audit", "--category", "change")...)
	var activities []string
	for _, e := range events {
		activities = append(activities, e["activity"].(string))
		if actor, _ := e["actor"].(string); !strings.HasPrefix(actor, "cli:") {
			t.Errorf("event %v by %q", e["activity"], actor)
		}
	}
	for _, want := range []string{"tenant.create", "user.create", "user.disable", "group.addMember", "tap.issue", "app.create", "signing-key.rotate", "policy.set"} {
		if !slices.Contains(activities, want) {
			t.Errorf("no event %s among %v", want, activities)
		}
	}

	must[object](t, on("user", "delete", "bo@one.test")...)
	fails("no such user", "user", "show", "bo@one.test")

	must[object](t, on("tenant", "create", "Two", "--domain", "two.example")...)
	fails("Say which", "user", "list")
	if all := must[[]object](t, on("user", "list", "--tenant", "two.example")...); len(all) != 0 {
		t.Errorf("the other tenant has users %v", all)
	}
	if r := signet(t, on("user", "list", "--tenant", "one.example")...); !strings.Contains(r.out, "ada@one.example") || !strings.HasPrefix(r.out, "ID") {
		t.Errorf("table:\n%s", r.out)
	}
}

func TestImport(t *testing.T) {
	data := dataFolder(t)
	serve(t, data)
	must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	count := func() int { return len(must[[]object](t, "admin", "user", "list", "--data", data)) }

	bad := file("bad.csv", "userPrincipalName,displayName\nada@one.example,Ada\nbo@elsewhere.example,Bo\n,Nobody\nada@one.example,Again\n")
	r := signet(t, "admin", "user", "import", bad, "--data", data)
	if r.code != exitFailed || !strings.Contains(r.errs, "line 3") || !strings.Contains(r.errs, "line 4") || !strings.Contains(r.errs, "line 5") ||
		!strings.Contains(r.errs, "nothing was imported") {
		t.Errorf("bad file: %+v", r)
	}
	if n := count(); n != 0 {
		t.Errorf("%d users of a bad file are there", n)
	}

	var rows strings.Builder
	rows.WriteString("userPrincipalName,displayName\n")
	const people = 1200 // more than one page of a list
	for i := range people {
		fmt.Fprintf(&rows, "user%d@one.example,Üser %d\n", i, i)
	}
	good := file("good.csv", rows.String())
	if r := signet(t, "admin", "user", "import", good, "--dry-run", "--data", data); r.code != 0 || !strings.Contains(r.out, "1200 people would be imported") {
		t.Errorf("dry run: %+v", r)
	}
	if n := count(); n != 0 {
		t.Errorf("a dry run made %d users", n)
	}
	r = signet(t, "admin", "user", "import", good, "--data", data)
	if r.code != 0 || !strings.Contains(r.out, "1200 people imported") || !strings.Contains(r.errs, "importing: ") {
		t.Errorf("import: %+v", r)
	}
	if n := count(); n != people {
		t.Errorf("%d users, want %d", n, people)
	}
	if r := signet(t, "admin", "user", "import", filepath.Join(t.TempDir(), "none.csv"), "--data", data); r.code != exitFailed {
		t.Errorf("no file: %+v", r)
	}
}

func TestTextCannotMoveTheCursor(t *testing.T) {
	var out strings.Builder
	raw, _ := json.Marshal([]object{{"name": "a\x1b[2Jb\u202ec\n"}})
	if err := show(&out, "table", raw, columns("name")); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\u202e") || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("printed %q", out.String())
	}
}
