package main

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAdminMacs goes through the commands on the database itself, and over
// admin.sock.
func TestAdminMacs(t *testing.T) {
	for name, running := range map[string]bool{"stopped": false, "running": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := dataFolder(t)
			on := func(args ...string) []string { return append(append([]string{"admin"}, args...), "--data", data) }
			if r := signet(t, on("migrate")...); r.code != 0 {
				t.Fatal(r)
			}
			must[object](t, on("tenant", "create", "One", "--domain", "one.example")...)
			must[object](t, on("user", "create", "ada@one.example")...)
			if running {
				serve(t, data)
			}
			macs(t, on)
		})
	}
}

func macs(t *testing.T, on func(args ...string) []string) {
	t.Helper()
	if all := must[[]object](t, on("mac", "list")...); len(all) != 0 {
		t.Errorf("Macs %v", all)
	}
	first := must[[]object](t, on("mac", "token", "create", "--user", "ada@one.example", "--note", "lab", "--lifetime", "90m")...)
	if len(first) != 1 || len(first[0]["registrationToken"].(string)) != 47 || first[0]["userPrincipalName"] != "ada@one.example" || first[0]["state"] != "good" {
		t.Fatalf("%v", first)
	}
	two := must[[]object](t, on("mac", "token", "create", "--serial", "c02a", "--serial", "C02B")...)
	if len(two) != 2 || two[0]["serialNumber"] != "C02A" || two[1]["serialNumber"] != "C02B" {
		t.Fatalf("%v", two)
	}
	file := filepath.Join(t.TempDir(), "macs.csv")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("\ufeffSerial,user\r\nc02x,ada@one.example\r\n C02Y ,\r\n")
	r := signet(t, on("mac", "token", "create", "--csv", file)...)
	rows, err := csv.NewReader(strings.NewReader(r.out)).ReadAll()
	if r.code != 0 || err != nil || len(rows) != 3 || strings.Join(rows[0], " ") != "serial user token expires" ||
		rows[1][0] != "C02X" || rows[1][1] != "ada@one.example" || len(rows[1][2]) != 47 || rows[2][0] != "C02Y" || rows[2][1] != "" || rows[2][2] == rows[1][2] {
		t.Fatalf("%+v, %v", r, err)
	}
	for text, want := range map[string]string{
		"":                           "no CSV",
		"user\nada@one.example\n":    "lacks the column serial",
		"serial,name\nC02,x\n":       "has the column name",
		"serial,serial\nC02,C02\n":   "each once",
		"serial\n":                   "no rows",
		"serial,user\nC02,x\n,y\n":   "line 3 has no serial number",
		"serial,user\nC02\n":         "cannot be read",
		"serial\nC02V\nC 02\n":       "Mac 2 (C 02)",
		"serial,user\nC02V,nobody\n": "no such user",
	} {
		write(text)
		if r := signet(t, on("mac", "token", "create", "--csv", file)...); r.code != exitFailed || !strings.Contains(r.errs, want) || r.out != "" {
			t.Errorf("%q: %+v lacks %q", text, r, want)
		}
	}
	for want, args := range map[string][]string{
		"either --serial or --csv":       {"--csv", file, "--serial", "C02"},
		"whole minutes":                  {"--user", "ada@one.example", "--lifetime", "90s"},
		"--serial is empty":              {"--serial", " "},
		"needs a TOKEN":                  nil,
		"for a person or for a serial":   {"--note", "nobody's"},
		"at most 168h":                   {"--user", "ada@one.example", "--lifetime", "169h"},
		"good for one Mac":               {"--serial", "C02", "--uses", "2"},
		"the file cannot be read":        {"--csv", file + ".none"},
		"good for 1 to 100 Macs":         {"--user", "ada@one.example", "--uses", "101"},
		"A serial number has at most 64": {"--serial", strings.Repeat("A", 65)},
	} {
		line := append([]string{"mac", "token", "create"}, args...)
		if args == nil {
			line = []string{"mac", "token", "revoke"}
		}
		if r := signet(t, on(line...)...); r.code == 0 || !strings.Contains(r.errs, want) {
			t.Errorf("%q: %+v lacks %q", args, r, want)
		}
	}
	id := first[0]["id"].(string)
	if got := must[object](t, on("mac", "token", "revoke", id)...); got["state"] != "revoked" {
		t.Errorf("%v", got)
	}
	if all, good := must[[]object](t, on("mac", "token", "list")...), must[[]object](t, on("mac", "token", "list", "--good")...); len(all) != 5 || len(good) != 4 {
		t.Errorf("%d tokens, %d good", len(all), len(good))
	}
	list := signet(t, on("mac", "token", "list")...)
	for _, want := range []string{"STATE", "revoked", "C02X", "lab", "ada@one.example"} {
		if !strings.Contains(list.out, want) {
			t.Errorf("the list lacks %q: %s", want, list.out)
		}
	}
	log := signet(t, on("audit", "-o", "json")...).out
	for _, secret := range []string{first[0]["registrationToken"].(string), rows[1][2]} {
		if strings.Contains(list.out+log, secret) {
			t.Error("a value is shown again")
		}
	}
	for _, want := range []string{`"mac.token.issue"`, `"mac.token.revoke"`} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not on record", want)
		}
	}
}
