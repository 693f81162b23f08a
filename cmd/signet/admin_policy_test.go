package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/securitykey/securitykeytest"
)

// TestPolicyFile takes a tenant's policies out, plans and saves a change of
// them, over admin.sock of a running server and on the database itself.
func TestPolicyFile(t *testing.T) {
	t.Run("running", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		serve(t, data)
		policyCommands(t, data)
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		data := dataFolder(t)
		if r := signet(t, "admin", "migrate", "--data", data); r.code != 0 {
			t.Fatalf("migrate: %+v", r)
		}
		policyCommands(t, data)
	})
}

func policyCommands(t *testing.T, data string) {
	t.Helper()
	on := func(args ...string) []string {
		return append(append([]string{"admin", "policy"}, args...), "--data", data)
	}
	must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// expect wants an exit code, and words in both streams together.
	expect := func(r result, code int, says ...string) {
		t.Helper()
		for _, word := range says {
			if !strings.Contains(r.out+r.errs, word) {
				t.Errorf("lacks %q: %+v", word, r)
			}
		}
		if r.code != code || strings.ContainsRune(r.out+r.errs, '\x1b') {
			t.Errorf("exit %d, want %d: %+v", r.code, code, r)
		}
	}

	write("what was there")
	expect(signet(t, on("export", "-f", file)...), exitDone, "version 0 written to "+file)
	exported, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	body := func(s string) string { // but for the time of the export
		_, s, _ = strings.Cut(s, "\n")
		return s
	}
	if r := signet(t, on("export")...); body(r.out) != body(string(exported)) || r.code != 0 {
		t.Errorf("on standard output: %+v", r)
	}
	if e := must[object](t, on("export")...); !strings.Contains(e["policy"].(string), "limit: 20") || e["version"] != 0.0 {
		t.Errorf("exported %v", e)
	}
	expect(signet(t, on("plan", file)...), exitDone, "Nothing changes")

	write(strings.Replace(string(exported), "    limit: 20\n    profiles:", "    limit: 21\n    profiles:", 1))
	r := signet(t, on("plan", file)...)
	expect(r, exitChanges, "The policies, of version 0, would change in 1 place:\n\n  passkey.limit\n    - 20\n    + 21\n",
		"Judged: 0 people with 0 keys.\nNo key that works today would stop working.\n")
	if r.errs != "" {
		t.Errorf("errors of a plan: %q", r.errs)
	}
	r = signet(t, append(on("plan", file), "-o", "json")...)
	expect(r, exitChanges, `"at": "passkey.limit"`, `"peopleWithNoWayIn": 0`)
	expect(signet(t, on("apply", file)...), exitFailed, "- 20", "nothing was saved: nobody is there to ask, so add --yes")
	expect(signet(t, on("plan", file)...), exitChanges)
	expect(signet(t, on("apply", file, "--yes")...), exitDone, "Saved. The policies are of version 1 now.")
	expect(signet(t, on("plan", file)...), exitDone, "Nothing changes")
	expect(signet(t, on("apply", file)...), exitDone, "Nothing changes")
	write(strings.Replace(string(exported), "    limit: 20\n    profiles:", "    limit: 22\n    profiles:", 1))
	expect(signet(t, on("plan", file)...), exitFailed, "exported at version 0", "version 1 now", "--if-version 1")
	expect(signet(t, on("plan", file, "--if-version", "1")...), exitChanges, "+ 22")
	expect(signet(t, on("apply", file, "--yes")...), exitFailed, "--if-version 1. Nothing was saved.")
	expect(signet(t, on("apply", file, "--yes", "--if-version", "1")...), exitDone, "version 2 now")

	// A group that nobody made may be a typing error; it can be saved.
	write("methods:\n  passkey:\n    exclude: [{group: 22222222-2222-4222-8222-222222222222}]\n")
	expect(signet(t, on("plan", file)...), exitChanges, "Look again: There is no group 22222222-2222-4222-8222-222222222222 here.\n")

	// The same from standard input.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, on("apply", "-", "--yes", "-o", "json")...)
	cmd.Stdin = strings.NewReader("passkey:\n  aaguids:\n    list: [ee882879-721c-4913-9775-3dfcce97072a]\n")
	out, err := cmd.Output()
	if err != nil || !strings.HasPrefix(string(out), "{") || !strings.Contains(string(out), `"version": 3`) {
		t.Errorf("from standard input: %s, %v", out, err)
	}

	// Everything that is wrong, one line each, and nothing saved.
	write("passkey:\n  limits: 3\n  synced: maybe\n  aaguids:\n    list:\n      - ee882879-721c-4913-9775-3dfcce97072b\nsession: {idle: 48h, absolute: 8h}\n")
	for _, command := range []string{"plan", "apply"} {
		r = signet(t, on(command, file)...)
		expect(r, exitFailed,
			file+": passkey.limits, line 2: there is no such property", file+": passkey.synced, line 3: \"maybe\" is not one of",
			"passkey.aaguids.list[0], line 6: \"ee882879-721c-4913-9775-3dfcce97072b\" is no known model; did you mean ee882879-721c-4913-9775-3dfcce97072a (YubiKey",
			"session.idle, line 7 and session.absolute, line 7: a session would end before it is idle")
		if strings.Count(r.errs, "\n") != 4 || r.out != "" {
			t.Errorf("%s of a bad file: %+v", command, r)
		}
	}
	write("\"\\e[2Jpasskey\": {}\n")
	expect(signet(t, on("plan", file)...), exitFailed, "line 1: there is no such property") // and moves no cursor
	expect(signet(t, on("plan", filepath.Join(t.TempDir(), "none"))...), exitFailed, "cannot be read")
	// Wrong usage of a plan is not taken for a plan.
	expect(signet(t, on("plan", file, "--colour")...), exitFailed, "unknown flag")
	expect(signet(t, on("plan")...), exitFailed, "needs a FILE")
	expect(signet(t, on("apply")...), exitUsage, "needs a FILE")
	expect(signet(t, on("plan", file, "--tenant", "nowhere.example")...), exitFailed)
}

// TestPolicyApplyAsks: at a terminal, apply shows the plan and waits for a yes.
func TestPolicyApplyAsks(t *testing.T) {
	data := dataFolder(t)
	serve(t, data)
	must[object](t, "admin", "tenant", "create", "One", "--domain", "one.example", "--data", data)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("passkey: {limit: 21}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		typed string
		code  int
		says  string
	}{
		{"n\n", exitFailed, "nothing was saved, as you said"},
		{"\n", exitFailed, "nothing was saved, as you said"},
		{"y\n", exitDone, "Saved. The policies are of version 1 now."},
	} {
		r := atTerminal(t, tt.typed, "admin", "policy", "apply", file, "--data", data)
		if r.code != tt.code || !strings.Contains(r.out+r.errs, tt.says) || !strings.Contains(r.errs, "Save this? [y/N]") || !strings.Contains(r.out, "+ 21") {
			t.Errorf("typed %q: %+v", tt.typed, r)
		}
	}
	// /dev/null looks like a terminal, and nobody is there.
	cmd := exec.Command(program, "admin", "policy", "apply", file, "--if-version", "1", "--data", data)
	if err := os.WriteFile(file, []byte("passkey: {limit: 22}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "nobody is there to ask") {
		t.Errorf("%s, %v", out, err)
	}
}

// TestPolicyPlanTellsWhom: a plan names the people it would hit, and says what
// apply would be refused for.
func TestPolicyPlanTellsWhom(t *testing.T) {
	data := dataFolder(t)
	serve(t, data)
	on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
	must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
	must[object](t, on("user", "create", "ada@one.example", "--name", "Ada", "--role", "administrator")...)
	must[object](t, on("user", "create", "bo@one.example", "--name", "Bo")...)
	for _, user := range []string{"ada@one.example", "bo@one.example"} {
		securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device}}) // one each
		must[object](t, on("key", "provision", user)...)
	}
	file := filepath.Join(t.TempDir(), "policy.yaml")
	form := "methods:\n  passkey: {on: false}\n"
	if err := os.WriteFile(file, []byte(form), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = `The policies, of version 0, would change in 1 place:

  methods.passkey.on
    - true
    + false

Judged: 2 people with 2 keys.
2 keys of 2 people would stop working, and 2 people would have no way in:
  ada@one.example (Ada): passkey - no way in
  and 1 more; --names shows them
Refused by:
  2 keys: the method is off, by the rule methods.passkey.on
`
	const lock = "signet: No administrator would have a way in after this change, so it is not saved."
	r := signet(t, on("policy", "plan", file, "--names", "1")...)
	if r.code != exitFailed || r.out != want || r.errs != lock+"\n" {
		t.Errorf("plan: exit %d, %q\n%s", r.code, r.errs, r.out)
	}
	r = signet(t, on("policy", "apply", file, "--yes", "--names", "1")...)
	if r.code != exitFailed || r.out != want || r.errs != lock+" Nothing was saved.\n" {
		t.Errorf("apply: exit %d, %q\n%s", r.code, r.errs, r.out)
	}
	r = signet(t, on("policy", "plan", file, "-o", "json")...)
	if r.code != exitFailed || !strings.Contains(r.out, `"reason": "locks_out_administrators"`) || !strings.Contains(r.out, `"peopleWithNoWayIn": 2`) {
		t.Errorf("plan as JSON: %+v", r)
	}
	// For everybody but Ada it may be saved.
	bo := must[object](t, on("user", "show", "bo@one.example")...)["id"].(string)
	if err := os.WriteFile(file, []byte("methods:\n  passkey:\n    exclude: [{user: "+bo+"}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r = signet(t, on("policy", "plan", file)...)
	if r.code != exitChanges || !strings.Contains(r.out, `    + {"user":"`+bo+`" (bo@one.example)}`) || !strings.Contains(r.out, "1 key of 1 person would stop working, and 1 person would have no way in:\n  bo@one.example (Bo)") {
		t.Errorf("plan: %+v", r)
	}
	if r := signet(t, on("policy", "apply", file, "--yes")...); r.code != exitDone || !strings.Contains(r.out, "version 1 now") {
		t.Errorf("apply: %+v", r)
	}
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := signet(t, on("policy", "plan", file)...); r.code != exitChanges || !strings.Contains(r.out, "1 key would work again:\n  bo@one.example (Bo)") {
		t.Errorf("plan back: %+v", r)
	}
}

// TestProgress: long work has one line that is kept up to date, short work none.
func TestProgress(t *testing.T) {
	var out strings.Builder
	tell, done := progress(&out, "judging: %d people", time.Hour)
	tell(1000)
	done()
	if out.Len() != 0 {
		t.Errorf("short work: %q", out.String())
	}
	tell, done = progress(&out, "judging: %d people", time.Nanosecond)
	tell(1000)
	tell(2000)
	done()
	if s := out.String(); strings.Count(s, "\r") != 3 || !strings.HasPrefix(s, "\rjudging: 1000 people, ") || !strings.HasSuffix(s, "s\n") {
		t.Errorf("long work: %q", s)
	}
}
