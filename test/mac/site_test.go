package mac

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/signetid/signet/internal/macagent"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// site is one installation: its servers, and an organisation with Macs.
type site struct {
	t      *testing.T
	base   string
	addrs  []string // of the servers
	data   string   // of the first
	db     string   // PostgreSQL; empty for SQLite
	tenant string
	at     atomic.Int64  // server that is spoken to
	people *atomic.Int64 // how many there are
}

const domain = "corp.example"

// newSite starts so many servers, on SQLite when db is empty.
func newSite(t *testing.T, servers int, db string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, db: db, data: filepath.Join(dir, "0"), people: new(atomic.Int64)}
	for n := range servers {
		s.addrs = append(s.addrs, running.FreeAddr(t))
		if n == 0 {
			s.base = "http://localhost" + s.addrs[0][strings.LastIndexByte(s.addrs[0], ':'):]
		}
		const free = "1000000"
		args := []string{"serve", "--data", filepath.Join(dir, fmt.Sprint(n)), "--listen", s.addrs[n], "--listen-tls", "off", "--base-url", s.base, "--drain", "0s",
			"--metadata-url", "off", "--log-level", "error", "--limit-sign-ins", free, "--limit-failures", free, "--limit-nonces", free, "--limit-pass-tries", free}
		if db != "" {
			args = append(args, "--database", db)
		}
		if n > 0 {
			args = append(args, "--kek-file", filepath.Join(s.data, "kek"))
		}
		running.StartBinary(t, running.Binary(t), args, nil)
	}
	var made struct{ ID string }
	s.admin(&made, "tenant", "create", "Corp", "--domain", domain)
	s.tenant = made.ID
	for _, setting := range []string{"devices.on", "method.platform"} {
		s.admin(nil, "policy", "set", setting, "true")
	}
	return s
}

// admin runs a command at the first server.
func (s *site) admin(into any, args ...string) {
	s.t.Helper()
	args = append(append([]string{"admin"}, args...), "--data", s.data, "-o", "json")
	if s.db != "" {
		args = append(args, "--database", s.db)
	}
	cmd := exec.Command(running.Binary(s.t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("signet %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	if into != nil {
		if err := json.Unmarshal(out, into); err != nil {
			s.t.Fatalf("signet %s: %v in %s", strings.Join(args, " "), err, out)
		}
	}
}

// in is the site for a test in the test.
func (s *site) in(t *testing.T) *site {
	return &site{t: t, base: s.base, addrs: s.addrs, data: s.data, db: s.db, tenant: s.tenant, people: s.people}
}

// dial reaches the server whose turn it is, whatever the address says.
func (s *site) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, s.addrs[int(s.at.Load())%len(s.addrs)])
}

// owner is a person with a passkey.
type owner struct {
	*person.Person
	site *site
	upn  string
	id   string
}

// macApp is what all Macs are, on its way to a token that registers.
func macApp(base, tenant string) person.App {
	return person.App{Issuer: base + "/" + tenant + "/v2.0", ID: pssowire.ClientID, Redirect: "http://127.0.0.1/",
		Scope: "openid profile offline_access urn:ms-drs:enterpriseregistration.windows.net/.default"}
}

// somebody makes a person, who has signed in with a pass and made a passkey.
func (s *site) somebody() *owner {
	s.t.Helper()
	n := s.people.Add(1)
	o := &owner{site: s, upn: fmt.Sprintf("p%d@%s", n, domain)}
	var user struct{ ID string }
	s.admin(&user, "user", "create", o.upn, "--name", fmt.Sprint("Person ", n))
	o.id = user.ID
	var tap struct{ TemporaryAccessPass string }
	s.admin(&tap, "tap", "issue", o.upn)
	var err error
	if o.Person, err = person.New(s.base, person.At(s.addrs[0])); err != nil {
		s.t.Fatal(err)
	}
	page, err := o.Get(s.t.Context(), s.base+"/account")
	if err == nil {
		page, err = o.UsePass(s.t.Context(), page, o.upn, tap.TemporaryAccessPass)
	}
	if err == nil {
		_, err = o.AddPasskey(s.t.Context(), page)
	}
	if err != nil {
		s.t.Fatalf("first day of %s: %v", o.upn, err)
	}
	return o
}

// token signs in with the passkey, for a token that registers.
func (o *owner) token(t *testing.T) string {
	t.Helper()
	app := macApp(o.site.base, o.site.tenant)
	page, verifier, err := o.Authorize(t.Context(), app, url.Values{"prompt": {"login"}, "amr_values": {"ngcmfa"}})
	if err == nil {
		page, err = o.UsePasskey(t.Context(), page)
	}
	if err != nil {
		t.Fatal(err)
	}
	code, err := page.Code()
	if err != nil {
		t.Fatal(err)
	}
	got, err := app.Ask(t.Context(), o.HTTP, "token", url.Values{"grant_type": {"authorization_code"}, "client_id": {app.ID}, "code": {code},
		"redirect_uri": {app.Redirect}, "code_verifier": {verifier}})
	if err != nil || got.Access == "" {
		t.Fatalf("token to register: %+v, %v", got, err)
	}
	return got.Access
}

// blank is a stand-in that knows where it belongs, and is not registered.
func (s *site) blank(t *testing.T, form macagent.Form, card *macagent.Card) *macagent.Mac {
	t.Helper()
	return s.blankIn(t, filepath.Join(t.TempDir(), "mac"), form, card)
}

func (s *site) blankIn(t *testing.T, folder string, form macagent.Form, card *macagent.Card) *macagent.Mac {
	t.Helper()
	m, err := macagent.New(macagent.Config{Folder: folder, Now: time.Now, Form: form, Card: card, Dial: s.dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if err := m.Configure(t.Context(), s.base, domain, nil); err != nil {
		t.Fatal(err)
	}
	return m
}

// enrolled is a stand-in of somebody's, registered with them.
func (o *owner) enrolled(t *testing.T, form macagent.Form) (*macagent.Mac, macagent.Device) {
	t.Helper()
	m := o.site.blank(t, form, nil)
	return m, o.register(t, m)
}

func (o *owner) register(t *testing.T, m *macagent.Mac) macagent.Device {
	t.Helper()
	token := o.token(t)
	d, err := m.Register(t.Context(), macagent.RegisterOptions{Name: "Stand-in", OS: "none", AccessToken: token})
	if err != nil {
		t.Fatalf("register the device: %v", err)
	}
	p, err := m.RegisterUser(t.Context(), token)
	if err != nil || p.User != o.upn || p.Pending {
		t.Fatalf("register the person: %+v, %v", p, err)
	}
	return d
}

// login signs in, or fails the test.
func login(t *testing.T, m *macagent.Mac) macagent.Session {
	t.Helper()
	s, err := m.Login(t.Context(), macagent.LoginOptions{})
	if err != nil {
		t.Fatalf("login: %v", err)
	}
	return s
}

// removeKey has an administrator remove the key of the person's Mac.
func (o *owner) removeKey(t *testing.T) {
	t.Helper()
	var token struct{ Token string }
	o.site.admin(&token, "token", "--role", "administrator")
	list := o.site.base + "/v1.0/users/" + o.id + "/authentication/platformCredentialMethods"
	var all struct{ Value []struct{ ID string } }
	ask(t, http.MethodGet, list, token.Token, &all)
	if len(all.Value) != 1 {
		t.Fatalf("keys: %+v", all)
	}
	ask(t, http.MethodDelete, list+"/"+all.Value[0].ID, token.Token, nil)
}

// ask asks the administration API.
func ask(t *testing.T, method, address, token string, into any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode > 299 {
		t.Fatalf("%s %s: %d %s, %v", method, address, res.StatusCode, text, err)
	}
	if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
}
