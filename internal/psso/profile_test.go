package psso_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/macprofile"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/web"
)

const (
	macApp       = "ABCDE12345.com.example.mac"
	macExtension = macApp + ".sso"
)

// shop is as much of a server as gives out profiles.
type shop struct {
	t         *testing.T
	policies  *policy.Store
	directory *directory.Directory
	db        *sqldb.DB
	tenant    idp.Tenant
}

func openShop(t *testing.T) *shop {
	t.Helper()
	db := sqldbtest.Open(t, []fs.FS{audit.Migrations, bus.Migrations, directory.Migrations, policy.Migrations})
	s := &shop{t: t, db: db, directory: directory.New(directory.Config{DB: db, Now: time.Now})}
	s.policies = policy.New(policy.Config{DB: db, Now: time.Now, Groups: s.directory.GroupsOf})
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		s.tenant, err = s.directory.CreateTenant(ctx, tx, idp.Tenant{Name: "Nordhafen", Domain: "nordhafen.example"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	s.rules(func(p *policy.Policy) { p.Devices.On = true })
	return s
}

func (s *shop) rules(change func(*policy.Policy)) {
	s.t.Helper()
	p, err := s.policies.Get(s.t.Context(), s.tenant.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	p = p.Clone()
	change(&p)
	if err := s.db.Write(s.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return s.policies.Put(ctx, tx, s.tenant.ID, p) }); err != nil {
		s.t.Fatal(err)
	}
}

// server is the door with changes to its configuration.
func (s *shop) server(changes ...func(*psso.Config)) http.Handler {
	cfg := psso.Config{BaseURL: "https://id.example", DB: s.db, Directory: s.directory, Policies: s.policies, Now: time.Now, Extension: macExtension, App: macApp}
	for _, c := range changes {
		c(&cfg)
	}
	mux := http.NewServeMux()
	psso.New(cfg).Mount(mux)
	return web.Chain(mux, web.Identify(nil))
}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "https://id.example"+path, nil))
	return w
}

// explained is what a profile says, by path.
func explained(t *testing.T, profile []byte) map[string]string {
	t.Helper()
	for _, f := range macprofile.Lint(profile) {
		t.Errorf("%s: %s\n%s", f.Rule, f, profile)
	}
	lines, err := macprofile.Explain(profile)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, l := range lines {
		out[l.Path] = l.Value
	}
	return out
}

// The profile says what the tenant has set.
func TestProfile(t *testing.T) {
	s := openShop(t)
	h := s.server()
	path := "/" + string(s.tenant.ID) + "/psso/profile.mobileconfig"
	w := get(h, path)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-apple-aspen-config" || !strings.Contains(w.Header().Get("Content-Disposition"), ".mobileconfig") {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	got := explained(t, w.Body.Bytes())
	for name, want := range map[string]string{
		"ExtensionIdentifier": "com.example.mac.sso", "TeamIdentifier": "ABCDE12345", "PlatformSSO.AuthenticationMethod": "UserSecureEnclaveKey",
		"PlatformSSO.AccountDisplayName": "Nordhafen", "PlatformSSO.LoginFrequency": "64800", "PlatformSSO.AllowDeviceIdentifiersInAttestation": "true",
		"RegistrationToken": "", "PlatformSSO.UseSharedDeviceKeys": "true",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
	}
	if !strings.Contains(got["ExtensionData"], "https://id.example/"+string(s.tenant.ID)+"/psso/configuration") || !strings.Contains(got["URLs"], "https://id.example/nordhafen.example/oauth2/v2.0/authorize") {
		t.Errorf("%v", got)
	}
	if again := get(h, "/nordhafen.example/psso/profile.mobileconfig"); again.Body.String() != w.Body.String() {
		t.Error("the tenant's domain gives another profile")
	}

	s.rules(func(p *policy.Policy) {
		p.Macs.Method, p.Macs.AccountName, p.Macs.LoginFrequency = "SmartCard", "Harbour", 2*time.Hour
		p.Devices.Attestation = policy.AttestationNone
	})
	got = explained(t, get(h, path).Body.Bytes())
	if got["PlatformSSO.AuthenticationMethod"] != "SmartCard" || got["AuthenticationMethod"] != "" || got["PlatformSSO.AccountDisplayName"] != "Harbour" ||
		got["PlatformSSO.LoginFrequency"] != "7200" || got["PlatformSSO.AllowDeviceIdentifiersInAttestation"] != "" {
		t.Errorf("%v", got)
	}
	got = explained(t, get(h, path+"?method=UserSecureEnclaveKey&variable=%7B%7BregistrationToken%7D%7D&direct=true").Body.Bytes())
	if got["PlatformSSO.AuthenticationMethod"] != "UserSecureEnclaveKey" || got["RegistrationToken"] != "{{registrationToken}}" || !strings.Contains(got["Configuration"], "EnableDirectDownloads true") {
		t.Errorf("%v", got)
	}
}

// A profile of the demo says that nobody has made its programs.
func TestProfilePlaceholder(t *testing.T) {
	s := openShop(t)
	h := s.server(func(c *psso.Config) { c.Placeholder = true })
	got := explained(t, get(h, "/"+string(s.tenant.ID)+"/psso/profile.mobileconfig").Body.Bytes())
	if !strings.HasPrefix(got["PayloadDescription"], "DEMO.") || !strings.Contains(got["ExtensionData"], "SignetDemo true") {
		t.Errorf("%v", got)
	}
}

func TestProfileRefuses(t *testing.T) {
	s := openShop(t)
	h := s.server()
	path := "/" + string(s.tenant.ID) + "/psso/profile.mobileconfig"
	refused := func(name string, h http.Handler, path string, status int) {
		t.Helper()
		w := get(h, path)
		var body struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); w.Code != status || err != nil || body.Error == "" || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	refused("password", h, path+"?method=Password", 400)
	refused("a method of no profile", h, path+"?method=x", 400)
	refused("a token in the address", h, path+"?variable=smr_0123456789", 400)
	refused("a token beside it", h, path+"?token=smr_0123456789", 400)
	refused("a variable that is more", h, path+"?variable=%7B%7Ba%7D%7Db", 400)
	refused("direct", h, path+"?direct=1", 400)
	refused("twice", h, path+"?method=SmartCard&method=SmartCard", 400)
	refused("no such tenant", h, "/8d1c2f5e-3b4a-4c6d-9e7f-0a1b2c3d4e5f/psso/profile.mobileconfig", 400)
	refused("common", h, "/common/psso/profile.mobileconfig", 400)
	refused("no programs", s.server(func(c *psso.Config) { c.Extension, c.App = "", "" }), path, 404)
	s.rules(func(p *policy.Policy) { p.Devices.On = false })
	refused("devices off", h, path, 400)
	s.rules(func(p *policy.Policy) { p.Devices.On = true })
	h = s.server(func(c *psso.Config) { c.Limits.Asks = 2 })
	for range 2 {
		if w := get(h, path); w.Code != 200 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	refused("too often", h, path, 429)
}

// The association file lists the programs that the operator has named, without a
// redirect, and there is none while nobody has.
func TestAssociation(t *testing.T) {
	s := openShop(t)
	const path = "/.well-known/apple-app-site-association"
	w := get(s.server(), path)
	var body any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"authsrv": map[string]any{"apps": []any{macApp, macExtension}}}
	if d := cmp.Diff(want, body); w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || d != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), d)
	}
	if w := get(s.server(func(c *psso.Config) { c.Extension, c.App = "", "" }), path); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "authsrv") {
		t.Errorf("nothing configured: %d %s", w.Code, w.Body)
	}
}
