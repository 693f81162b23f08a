package oddclient

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/signetid/signet/test/person"
	"github.com/signetid/signet/test/running"
)

// site is one running server.
type site struct {
	t                     *testing.T
	base, tls, data, addr string
	db                    string // PostgreSQL; empty for SQLite
	cmd                   *exec.Cmd
	taken                 int // of the keys
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteLogging(t, "error")
}

// stop ends the server and returns what it said.
func (s *site) stop() string {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.cmd.Wait()
	return fmt.Sprint(s.cmd.Stderr)
}

func newSiteLogging(t *testing.T, level string) *site {
	t.Helper()
	t.Parallel()
	s := &site{t: t, addr: running.FreeAddr(t), data: filepath.Join(t.TempDir(), "data")}
	s.base = "http://localhost" + s.addr[strings.LastIndexByte(s.addr, ':'):]
	tls := running.FreeAddr(t)
	s.tls = "https://localhost" + tls[strings.LastIndexByte(tls, ':'):]
	s.cmd = s.serve(s.addr, s.data, tls, level)
	return s
}

// serve starts a server of the site.
func (s *site) serve(addr, data, tls, level string, more ...string) *exec.Cmd {
	s.t.Helper()
	const free = "1000000"
	return running.StartBinary(s.t, running.Binary(s.t), append([]string{
		"serve", "--data", data, "--listen", addr, "--listen-tls", tls, "--base-url", s.base, "--drain", "0s", "--metadata-url", "off",
		"--log-level", level, "--limit-sign-ins", free, "--limit-failures", free, "--limit-nonces", free, "--limit-pass-tries", free,
	}, more...), nil)
}

// admin runs `signet admin` at the running server.
func (s *site) admin(into any, args ...string) {
	s.t.Helper()
	if err := s.try(into, args...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) try(into any, args ...string) error {
	args = append(append([]string{"admin"}, args...), "--data", s.data, "-o", "json")
	if s.db != "" {
		args = append(args, "--database", s.db)
	}
	cmd := exec.Command(running.Binary(s.t), args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("signet %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(out, into)
}

// organisation is a tenant with devices on.
type organisation struct {
	*site
	id, domain string
	app        person.App // the broker's, asking for device registration
}

// organise makes a tenant; settings are names and values.
func (s *site) organise(domain string, settings ...string) *organisation {
	s.t.Helper()
	o := &organisation{site: s, domain: domain}
	var made struct{ ID string }
	s.admin(&made, "tenant", "create", domain, "--domain", domain)
	o.id = made.ID
	o.app = person.App{Issuer: s.base + "/" + o.id + "/v2.0", ID: brokerID, Redirect: "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID,
		Scope: "openid profile offline_access " + drsGUID + "/.default"}
	o.set(append([]string{"devices.on", "true", "method.hello", "true"}, settings...)...)
	return o
}

func (o *organisation) set(settings ...string) {
	o.t.Helper()
	for i := 0; i+1 < len(settings); i += 2 {
		o.admin(nil, "policy", "set", settings[i], settings[i+1], "--tenant", o.domain)
	}
}

// somebody is a person of the organisation, signed in with a passkey that is
// minutes old.
type somebody struct {
	*person.Person
	org *organisation
	upn string
	id  string
}

func (o *organisation) somebody(name string) *somebody {
	o.t.Helper()
	s := &somebody{org: o, upn: name + "@" + o.domain}
	var user struct{ ID string }
	o.admin(&user, "user", "create", s.upn, "--name", name, "--tenant", o.domain)
	s.id = user.ID
	var tap struct{ TemporaryAccessPass string }
	o.admin(&tap, "tap", "issue", s.upn, "--tenant", o.domain)
	var err error
	if s.Person, err = person.New(o.base, person.At(o.addr)); err != nil {
		o.t.Fatal(err)
	}
	if _, _, err := s.FirstDay(o.t.Context(), o.plain(), s.upn, tap.TemporaryAccessPass); err != nil {
		o.t.Fatalf("the first day of %s: %v", name, err)
	}
	return s
}

// plain is the broker asking for no resource: for the registration of devices
// alone a pass would do, and nobody be asked for a passkey.
func (o *organisation) plain() person.App {
	app := o.app
	app.Scope = "openid profile"
	return app
}

// tokens are new tokens of the broker for device registration, from the
// session that there is.
func (s *somebody) tokens(t *testing.T) person.Tokens {
	t.Helper()
	got, err := s.authorize(t.Context(), s.org.app)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (s *somebody) authorize(ctx context.Context, app person.App) (person.Tokens, error) {
	page, verifier, err := s.Authorize(ctx, app, nil)
	if err != nil {
		return person.Tokens{}, err
	}
	code, err := page.Code()
	if err != nil {
		return person.Tokens{}, err
	}
	// Without the browser's cookies, as an application would.
	got, err := app.Ask(ctx, http.DefaultClient, "token", url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {app.Redirect}, "code_verifier": {verifier}, "client_id": {app.ID}})
	if err == nil && (got.Access == "" || got.Refresh == "") {
		err = fmt.Errorf("no tokens for the broker: %+v", got)
	}
	return got, err
}

// client is a dialect at this organisation, which it names by GUID.
func (o *organisation) client(d Dialect) *Client {
	c := NewClient(d, o.base, o.id)
	c.NewKey = o.takeKey
	return c
}

// join joins a device of one's own and keeps the refresh token of that sign-in.
func (s *somebody) join(t *testing.T, c *Client) (*Device, string) {
	t.Helper()
	tokens := s.tokens(t)
	j := c.joining(t, false)
	d, a, err := c.Join(t.Context(), tokens.Access, j)
	if err != nil || d == nil {
		t.Fatalf("join in dialect %s: %d %.500s, %v", c.Name, a.Status, a.Body, err)
	}
	return d, tokens.Refresh
}

// joining is newJoining with keys that were made while others waited.
func (c *Client) joining(t *testing.T, shared bool) *Joining {
	t.Helper()
	j, err := c.newJoining(shared)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// enrolled is a person with a device, a Hello key and a PRT by refresh token.
type enrolled struct {
	*somebody
	device *Device
	hello  HelloKey
	first  PRT
}

// enrol walks from the join to the Hello key as published clients do (§6): PRT
// by refresh token, code by that PRT with amr_values=ngcmfa, key.
func (s *somebody) enrol(t *testing.T, c *Client) *enrolled {
	t.Helper()
	d, refresh := s.join(t, c)
	e := &enrolled{somebody: s, device: d}
	var err error
	if e.first, err = c.PRTByRefresh(t.Context(), d, refresh); err != nil {
		t.Fatalf("PRT by refresh token in dialect %s: %v", c.Name, err)
	}
	e.hello = HelloKey{s.upn, s.org.key()}
	token := c.registrationToken(t, e.first, d)
	a, err := c.RegisterHello(t.Context(), token, &e.hello.Key.PublicKey)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("Hello key in dialect %s: %d %.500s, %v", c.Name, a.Status, a.Body, err)
	}
	return e
}

// registrationToken is a fresh token for device registration through a PRT.
func (c *Client) registrationToken(t *testing.T, p PRT, d *Device) string {
	t.Helper()
	a, err := c.registrationAnswer(t.Context(), p, d, "amr_values", "ngcmfa")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(a.Body), &got); err != nil || got.Token == "" {
		t.Fatalf("no token for device registration: %d %.400s", a.Status, a.Body)
	}
	return got.Token
}

func (c *Client) registrationAnswer(ctx context.Context, p PRT, d *Device, more ...string) (Answer, error) {
	v1 := *c
	v1.AuthorizePath = "oauth2/authorize"
	redirect := "ms-appx-web://Microsoft.AAD.BrokerPlugin/" + brokerID
	to, err := v1.SSO(ctx, p, d, v1.authorizeURL(brokerID, redirect, drsURN, more...))
	if err != nil {
		return Answer{}, err
	}
	code := to.Query().Get("code")
	if code == "" {
		return Answer{}, fmt.Errorf("no code in %s", to)
	}
	return v1.Redeem(ctx, brokerID, redirect, code, drsURN)
}

// prt is a PRT by Hello key.
func (e *enrolled) prt(t *testing.T, c *Client) PRT {
	t.Helper()
	p, err := c.PRTByHello(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatalf("PRT by Hello key in dialect %s: %v", c.Name, err)
	}
	return p
}

// nonce is a new one.
func (c *Client) nonce(t *testing.T) string {
	t.Helper()
	n, err := c.Nonce(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// made are RSA keys for all sites: they take long to make, and servers that
// know nothing of each other may meet the same ones.
var made struct {
	sync.Mutex
	keys []*rsa.PrivateKey
}

// takeKey is a key that this site has not seen.
func (s *site) takeKey() (*rsa.PrivateKey, error) {
	made.Lock()
	defer made.Unlock()
	if s.taken == len(made.keys) {
		k, err := newRSA()
		if err != nil {
			return nil, err
		}
		made.keys = append(made.keys, k)
	}
	s.taken++
	return made.keys[s.taken-1], nil
}

// key is takeKey.
func (s *site) key() *rsa.PrivateKey {
	s.t.Helper()
	k, err := s.takeKey()
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

// want is how a refusal must look. Where the specification leaves a part open,
// err or sub is any, or codes is nil.
type want struct {
	err   string
	sub   string
	codes []int // one of them first
}

const anything = "*"

// check compares a refusal.
func (w want) check(t *testing.T, name string, a Answer, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	r := a.Refusal()
	good := r.Error != "" && (w.err == anything || r.Error == w.err) && (w.sub == anything || r.Suberror == w.sub) &&
		r.Code() != 0 && (w.codes == nil || slices.Contains(w.codes, r.Code()))
	if a.Status/100 != 4 || !good {
		t.Errorf("%s: got %v\n\twant %s %v %q", name, orBody(a), w.err, w.codes, w.sub)
		return
	}
	if !strings.Contains(r.Description, fmt.Sprint("AADSTS", r.Code(), ": ")) || r.Trace == "" || r.Correlation == "" || r.Timestamp == "" {
		t.Errorf("%s: members of §3.2 are missing in %.400s", name, a.Body)
	}
}

// orBody shows an answer.
func orBody(a Answer) string {
	if r := a.Refusal(); r.Error != "" {
		return r.String()
	}
	return fmt.Sprintf("%d %.200q", a.Status, a.Body)
}

// each runs f for every item at the same time and waits.
func each[T any](items []T, f func(T)) {
	var wait sync.WaitGroup
	for _, item := range items {
		wait.Go(func() { f(item) })
	}
	wait.Wait()
}
