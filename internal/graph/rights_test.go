package graph_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/knadh/koanf/parsers/yaml"

	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

var update = flag.Bool("update", false, "write docs/reference/graph.md anew")

var placeholder = regexp.MustCompile(`\{\w+\}`)

// TestSec_ADM02_RoleMatrix sends every operation as every kind of caller, and
// holds what happens against testdata/rights.txt, which people read and
// review: a right that appears or goes is seen there.
func TestSec_ADM02_RoleMatrix(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	var all []string
	for _, o := range graph.Operations() {
		for _, p := range slices.Concat(o.Permissions, o.Self) {
			if !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	w.app = w.newApp(all...)
	bare := w.newApp("Unrelated.Read")
	callers := []struct {
		name   string
		bearer string
	}{
		{"administrator", w.bearer(w.ada)}, {"helpdesk", w.bearer(w.bob)}, {"person", w.bearer(w.eve)},
		{"administrator-stale", w.bearer(w.ada, func(s *token.Subject) { s.AuthTime = w.now.Add(-3600e9) })},
		{"administrator-on-device", w.byDevice(w.ada)},
		{"app", w.own(w.app)}, {"app-bare", w.own(bare)},
		{"cli-administrator", w.cli("administrator")}, {"cli-helpdesk", w.cli("helpdesk")}, {"cli-reader", w.cli("reader")},
	}
	var got strings.Builder
	for _, o := range graph.Operations() {
		fmt.Fprintf(&got, "%s %s:", o.Method, o.Path)
		for _, c := range callers {
			// Nobody's ids: what is allowed finds nothing and changes nothing.
			path := placeholder.ReplaceAllString(o.Path, "00000000-0000-4000-8000-000000000000")
			a := w.ask(c.bearer, o.Method, "/v1.0"+path, map[string]any{"nothing": true})
			switch a.Code {
			case http.StatusForbidden:
			case http.StatusUnauthorized:
				fmt.Fprintf(&got, " %s(fresh proof)", c.name)
			default:
				fmt.Fprintf(&got, " %s", c.name)
			}
		}
		got.WriteByte('\n')
	}
	const file = "testdata/rights.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Errorf("rights have changed (-reviewed +now):\n%s", diff)
	}
}

// What people may do to themselves they may not do to others.
func TestSec_ADM03_OnlyOneself(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	w.keys.held = []method.Credential{{ID: "a", Tenant: w.tenant.ID, User: w.eve.ID, Method: "passkey"}, {ID: "b", Tenant: w.tenant.ID, User: w.eve.ID, Method: "passkey"}}
	eve := w.bearer(w.eve)
	for _, o := range graph.Operations() {
		if len(o.Self) == 0 || !strings.Contains(o.Path, "{user}") || o.Method != "GET" {
			continue
		}
		for u, want := range map[idp.User]int{w.eve: http.StatusOK, w.bob: http.StatusForbidden} {
			path := strings.Replace(strings.Replace(o.Path, "{user}", string(u.ID), 1), "{method}", "a", 1)
			status := w.ask(eve, o.Method, "/v1.0"+path, nil).Code
			if status != want && !(u == w.eve && status == http.StatusNotFound && (strings.Contains(o.Path, "temporaryAccessPass") || strings.Contains(o.Path, "windowsHello") || strings.Contains(o.Path, "platformCredential") || strings.Contains(o.Path, "microsoftAuthenticator") || strings.Contains(o.Path, "operations/{id}"))) {
				t.Errorf("%s %s of %s: %d, want %d", o.Method, o.Path, u.Name, status, want)
			}
		}
	}
}

// TestOpenAPI holds openapi.yaml and the table of operations together: each
// has what the other has, with the same sentence.
func TestOpenAPI(t *testing.T) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yaml.Parser().Unmarshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1") {
		t.Errorf("openapi is %v", doc["openapi"])
	}
	described, permissions := map[string]string{}, map[string]string{}
	paths, _ := doc["paths"].(map[string]any)
	for path, item := range paths {
		for verb, op := range item.(map[string]any) {
			if verb == "parameters" {
				continue
			}
			summary, _ := op.(map[string]any)["summary"].(string)
			described[strings.ToUpper(verb)+" "+path] = summary
			permissions[strings.ToUpper(verb)+" "+path] = fmt.Sprint(op.(map[string]any)["x-permissions"])
		}
		declared := fmt.Sprint(item.(map[string]any)["parameters"])
		for _, name := range placeholder.FindAllString(path, -1) {
			if !strings.Contains(declared, "/parameters/"+strings.Trim(name, "{}")+"]") {
				t.Errorf("%s does not declare %s", path, name)
			}
		}
	}
	for _, ref := range regexp.MustCompile(`#/components/(\w+)/(\w+)`).FindAllStringSubmatch(string(raw), -1) {
		part, _ := doc["components"].(map[string]any)[ref[1]].(map[string]any)
		if part[ref[2]] == nil {
			t.Errorf("%s leads nowhere", ref[0])
		}
	}
	if described["POST /$batch"] == "" {
		t.Error("$batch is not described")
	}
	delete(described, "POST /$batch")
	there := map[string]string{}
	for _, o := range graph.Operations() {
		there[o.Method+" "+o.Path] = o.About
		if want, got := fmt.Sprint(o.Permissions), permissions[o.Method+" "+o.Path]; got != want {
			t.Errorf("%s %s: permissions %s, want %s", o.Method, o.Path, got, want)
		}
	}
	if diff := cmp.Diff(there, described); diff != "" {
		t.Errorf("the table and openapi.yaml differ (-table +file):\n%s", diff)
	}
}

// TestReference holds the table of least privilege in the documentation to the
// table in the code.
func TestReference(t *testing.T) {
	const file = "../../docs/reference/graph.md"
	var b strings.Builder
	b.WriteString("# Rights in the administration API\n\nWhat each operation needs, the least permission first. A person needs one of the permissions, granted to the\n" +
		"application they use, and one of the roles; an application on its own one of the permissions; a token of\n`signet admin token` one of the roles. " +
		"*Oneself* lists what is enough for people's own data. Operations marked *fresh* ask\na person for a phishing-resistant sign-in of the last 15 minutes.\n\n" +
		"| operation | what | permissions | roles | oneself | |\n|---|---|---|---|---|---|\n")
	for _, o := range graph.Operations() {
		fresh := ""
		if o.Fresh {
			fresh = "fresh"
		}
		roles := make([]string, len(o.Roles))
		for i, r := range o.Roles {
			roles[i] = string(r)
		}
		fmt.Fprintf(&b, "| `%s %s` | %s | %s | %s | %s | %s |\n", o.Method, o.Path, o.About,
			strings.Join(o.Permissions, ", "), strings.Join(roles, ", "), strings.Join(o.Self, ", "), fresh)
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), b.String()); diff != "" {
		t.Errorf("docs/reference/graph.md is not what the code says; go test ./internal/graph -run TestReference -update\n%s", diff)
	}
}
