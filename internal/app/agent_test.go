package app_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/agent/agenttest"
	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/demo"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/securitykey/securitykeytest"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/tpmtest"
)

func TestMain(m *testing.M) {
	agenttest.Main()
	securitykeytest.Main()
	os.Exit(m.Run())
}

// desk is a desktop with a TPM, and a person with a browser in front of it.
type desk struct {
	*agent.Agent
	site   *site
	who    demo.PersonFact
	web    *browser
	folder string
	tpm    string
}

// devicesOn lets the tenant of a site have devices.
func devicesOn(t *testing.T, s *site) {
	t.Helper()
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	for name, value := range map[string]string{"devices.on": "true", "method.hello": "true"} {
		if _, err := do(t.Context(), "policy.set", map[string]string{"name": name, "value": value}, nil); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// newDesk gives a person a machine, and a passkey in a browser on it.
func newDesk(t *testing.T, s *site) *desk {
	t.Helper()
	d := &desk{site: s, who: s.made.Users[1], web: newBrowser(t, s.BaseURL()), folder: filepath.Join(t.TempDir(), "device"), tpm: agenttest.TPM(t)}
	d.web.firstDay(s, d.who)
	var err error
	d.Agent, err = agent.New(agent.Config{
		Folder: d.folder, TPM: d.tpm, Now: time.Now, Child: agenttest.Child,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// inBrowser is the person's browser, which the agent opens.
func (d *desk) inBrowser() agent.SignIn { return agent.Browser{Open: d.visit} }

// visit signs in where the agent asks to, and goes where that leads.
func (d *desk) visit(address string) error {
	p := d.web.get(address)
	if strings.Contains(p.text, `id="signin"`) {
		p = d.web.usePasskey(p)
	}
	if !strings.Contains(p.text, "close this page") {
		return fmt.Errorf("the sign-in led to %d %s:\n%s", p.status, p.url, p.text)
	}
	return nil
}

const deskPIN = "424289"

func (d *desk) join(t *testing.T) agent.JoinResult {
	t.Helper()
	got, err := d.Join(t.Context(), agent.JoinOptions{
		Server: d.site.BaseURL(), CA: must(os.ReadFile(d.site.LocalCA())), Name: "ws-17", OS: "Debian 12", Type: agent.Joined, SignIn: d.inBrowser(),
	})
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return got
}

// TestDesktop is the whole road of a desktop on both databases: it joins,
// makes a key behind a PIN, signs in with it, has tokens, opens the app in a
// browser, is switched off by an administrator, and leaves.
func TestDesktop(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { desktop(t, nil) })
	t.Run("postgres", func(t *testing.T) {
		if address := sqldbtest.NewPostgres(t); address != "" {
			desktop(t, func(c *app.Config) { c.Database = address })
		}
	})
}

func desktop(t *testing.T, change func(*app.Config)) {
	s := newSite(t, func(c *app.Config) {
		withTLS(c)
		if change != nil {
			change(c)
		}
	})
	devicesOn(t, s)
	d := newDesk(t, s)
	ctx := t.Context()

	joined := d.join(t)
	t.Logf("joined: %+v", joined)
	if joined.Place != agent.InTPM || joined.TenantID != s.made.TenantID || joined.User != d.who.UserName || !joined.SignedIn || len(joined.Notes) > 0 {
		t.Fatalf("joined: %+v", joined)
	}
	registered := must(s.Devices.Get(ctx, idp.TenantID(joined.TenantID), idp.DeviceID(joined.DeviceID)))
	if string(registered.Assurance) != string(joined.Assurance) || registered.Software || registered.Name != "ws-17" {
		t.Errorf("registered as %+v", registered)
	}
	enrolled, err := d.Enrol(ctx, agent.EnrolOptions{PIN: deskPIN, SignIn: d.inBrowser()})
	if err != nil {
		t.Fatalf("enrol: %v", err)
	}
	t.Logf("enrolled: %+v", enrolled)
	if _, err := d.SignIn(ctx, "", "424288"); idp.AsError(err).Reason != "pin_wrong" {
		t.Errorf("a wrong PIN: %v", err)
	}
	signed, err := d.SignIn(ctx, "", deskPIN)
	if err != nil {
		t.Fatalf("sign in: %v", err)
	}
	if signed.Method != "hello" || signed.User != d.who.UserName || time.Until(signed.Expires) < 13*24*time.Hour {
		t.Errorf("signed in: %+v", signed)
	}
	got, err := d.Token(ctx, agent.TokenOptions{Resource: "urn:ms-drs:enterpriseregistration.windows.net"})
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	claims := claimsOf(t, got.AccessToken)
	if claims["deviceid"] != joined.DeviceID || claims["aud"] != "urn:ms-drs:enterpriseregistration.windows.net" || claims["tid"] != s.made.TenantID {
		t.Errorf("claims %v", claims)
	}
	// For another application, at another API.
	got, err = d.Token(ctx, agent.TokenOptions{Resource: "https://graph.microsoft.com", Client: "29d9ed98-a469-4536-ade2-f981bc1d605e"})
	if err != nil {
		t.Fatalf("token of another application: %v", err)
	}
	if claims := claimsOf(t, got.AccessToken); claims["aud"] != "https://graph.microsoft.com" || claims["deviceid"] != joined.DeviceID {
		t.Errorf("claims %v", claims)
	}
	if _, err := d.Token(ctx, agent.TokenOptions{Resource: "https://nowhere.example"}); !errors.Is(err, idp.Denied) {
		t.Errorf("a token for an API that there is not: %v", err)
	}
	renewed, err := d.Renew(ctx, "")
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	if renewed.Expires.Before(signed.Expires) {
		t.Errorf("renewed: %+v", renewed)
	}
	d.opensApp(t)
	d.keepsNoSecret(t)
	d.switchedOff(t, joined)
}

// claimsOf reads a token, as its resource would after checking it.
func claimsOf(t *testing.T, compact string) map[string]any {
	t.Helper()
	parts := strings.Split(compact, ".")
	if len(parts) != 3 {
		t.Fatalf("token %q", compact)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[1])), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// opensApp has a browser that was never here sign in to the demo app by the
// header alone.
func (d *desk) opensApp(t *testing.T) {
	t.Helper()
	fresh := newBrowser(t, d.site.BaseURL())
	// Where the app sends a browser.
	fresh.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), d.site.BaseURL()) {
			return http.ErrUseLastResponse
		}
		return nil
	}
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, d.site.made.AppURL+"/login", nil))
	res := must(fresh.http.Do(r))
	res.Body.Close()
	address := must(res.Location()).String()

	if _, err := d.BrowserHeader(t.Context(), "", "https://elsewhere.example/authorize"); idp.AsError(err).Reason != "foreign_address" {
		t.Errorf("a header for somebody else's address: %v", err)
	}
	header, err := d.BrowserHeader(t.Context(), "", address)
	if err != nil {
		t.Fatalf("browser-header: %v", err)
	}
	fresh.http.CheckRedirect = nil
	r = must(http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil))
	r.Header.Set(header.Name, header.Value)
	if p := fresh.do(r); p.url.String() != d.site.made.AppURL+"/" || !strings.Contains(p.text, `data-action="logout"`) {
		t.Errorf("the header led to %d %s:\n%s", p.status, p.url, p.text)
	}
}

// keepsNoSecret looks for what must not be in the state.
func (d *desk) keepsNoSecret(t *testing.T) {
	t.Helper()
	text := must(os.ReadFile(filepath.Join(d.folder, "state.json")))
	for _, word := range []string{deskPIN, "PRIVATE KEY", "session_key_jwe", "access_token", "refresh_token"} {
		if strings.Contains(string(text), word) {
			t.Errorf("the state has %q", word)
		}
	}
	if info := must(os.Stat(filepath.Join(d.folder, "state.json"))); info.Mode().Perm() != 0o600 {
		t.Errorf("the state is %s", info.Mode())
	}
}

// switchedOff: an administrator disables the device, which is over at once,
// and stays over for this PRT; then it leaves.
func (d *desk) switchedOff(t *testing.T, joined agent.JoinResult) {
	t.Helper()
	ctx := t.Context()
	do := must(app.Administer(ctx, app.Config{Data: d.site.data})).Do
	if _, err := do(ctx, "device.disable", map[string]string{"device": joined.DeviceID}, nil); err != nil {
		t.Fatal(err)
	}
	_, err := d.Token(ctx, agent.TokenOptions{Resource: "urn:ms-drs:enterpriseregistration.windows.net"})
	if !agent.Is(err, 135011) {
		t.Errorf("a token on a disabled device: %v", err)
	}
	if _, err := d.SignIn(ctx, "", deskPIN); err == nil || !strings.Contains(idp.AsError(err).Public, "administrator") {
		t.Errorf("a sign-in on a disabled device: %v", err)
	}
	if s := must(d.Status(ctx)); s.Last == nil || s.Last.Doing != "sign-in" {
		t.Errorf("status: %+v", s)
	}
	if _, err := do(ctx, "device.enable", map[string]string{"device": joined.DeviceID}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Renew(ctx, ""); !errors.Is(err, idp.Expired) {
		t.Errorf("the old PRT, after the device is on again: %v", err)
	}
	if _, err := d.SignIn(ctx, "", deskPIN); err != nil {
		t.Errorf("a sign-in after the device is on again: %v", err)
	}
	left, err := d.Leave(ctx, false)
	if err != nil || !left.Server {
		t.Fatalf("leave: %+v, %v", left, err)
	}
	if _, err := d.site.Devices.Get(ctx, idp.TenantID(joined.TenantID), idp.DeviceID(joined.DeviceID)); !errors.Is(err, idp.NotFound) {
		t.Errorf("after leaving: %v", err)
	}
	if s := must(d.Status(ctx)); s.Joined || len(s.People) > 0 {
		t.Errorf("status after leaving: %+v", s)
	}
}

// TestDesktopByPass: a machine without a browser joins by an access pass, whose
// sign-in also registers a key there; the key then signs in. The pass opens
// nothing else, and leaves no way in behind.
func TestDesktopByPass(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { desktopByPass(t, nil) })
	t.Run("postgres", func(t *testing.T) {
		if address := sqldbtest.NewPostgres(t); address != "" {
			desktopByPass(t, func(c *app.Config) { c.Database = address })
		}
	})
}

func desktopByPass(t *testing.T, change func(*app.Config)) {
	s := newSite(t, func(c *app.Config) {
		withTLS(c)
		if change != nil {
			change(c)
		}
	})
	devicesOn(t, s)
	ctx := t.Context()
	d := bareDesk(t, s, s.made.Users[2])
	pass := d.who.AccessPass
	_, err := d.joinBy(t, pass[:len(pass)-1]+"?")
	if st := must(d.Status(ctx)); idp.AsError(err).Reason != "pass_refused" || st.Joined || st.Last == nil || st.Last.Reason != "pass_refused" {
		t.Errorf("a wrong pass: %v, status %+v", err, st)
	}
	joined, err := d.joinBy(t, pass)
	if err != nil || joined.SignedIn || joined.User != d.who.UserName || len(joined.Notes) != 1 {
		t.Fatalf("join: %+v, %v", joined, err)
	}
	registered := must(s.Devices.Get(ctx, idp.TenantID(joined.TenantID), idp.DeviceID(joined.DeviceID)))
	if string(registered.Owner) != d.who.ID {
		t.Errorf("registered %+v", registered)
	}
	if _, err := d.Renew(ctx, ""); idp.AsError(err).Reason != "no_prt" {
		t.Errorf("a primary refresh token by a pass: %v", err)
	}
	// The pass is spent; what is left of its sign-in registers one key.
	if _, err := bareDesk(t, s, d.who).joinBy(t, pass); idp.AsError(err).Reason != "pass_refused" {
		t.Errorf("a second device: %v", err)
	}
	if _, err := d.Enrol(ctx, agent.EnrolOptions{PIN: deskPIN}); err != nil {
		t.Fatalf("enrol: %v", err)
	}
	if _, err := d.Reset(ctx, agent.EnrolOptions{PIN: deskPIN}); idp.AsError(err).Reason != "not_fresh" {
		t.Errorf("a second key: %v", err)
	}
	d.keepsNoSecret(t)
	if text := must(os.ReadFile(filepath.Join(d.folder, "state.json"))); strings.Contains(string(text), `"registration"`) {
		t.Error("the token of the pass stays in the state")
	}
	signed, err := d.SignIn(ctx, "", deskPIN)
	if err != nil || signed.Method != "hello" {
		t.Fatalf("sign in: %+v, %v", signed, err)
	}
	if _, err := d.Token(ctx, agent.TokenOptions{Resource: "https://graph.microsoft.com", Client: "29d9ed98-a469-4536-ade2-f981bc1d605e"}); err != nil {
		t.Errorf("a token by the key: %v", err)
	}
	manyByPass(t, s)
	takenBack(t, s)
}

// bareDesk gives a person a machine where nobody has a browser.
func bareDesk(t *testing.T, s *site, who demo.PersonFact) *desk {
	t.Helper()
	d := &desk{site: s, who: who, folder: filepath.Join(t.TempDir(), "device"), tpm: agenttest.TPM(t)}
	d.Agent = must(agent.New(agent.Config{Folder: d.folder, TPM: d.tpm, Now: time.Now, Child: agenttest.Child}))
	return d
}

func (d *desk) byPass(pass string) agent.SignIn {
	return agent.AccessPass{User: d.who.UserName, Pass: pass}
}

func (d *desk) joinBy(t *testing.T, pass string) (agent.JoinResult, error) {
	t.Helper()
	return d.Join(t.Context(), agent.JoinOptions{
		Server: d.site.BaseURL(), CA: must(os.ReadFile(d.site.LocalCA())), Name: "ws-18", OS: "Debian 12", Type: agent.Joined, SignIn: d.byPass(pass),
	})
}

// newPass gives the person of a desk another pass.
func (d *desk) newPass(t *testing.T, once bool) string {
	t.Helper()
	do := must(app.Administer(t.Context(), app.Config{Data: d.site.data})).Do
	raw, err := do(t.Context(), "tap.issue", map[string]any{"tenant": d.site.made.TenantID, "user": d.who.UserName, "isUsableOnce": once}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Pass string `json:"temporaryAccessPass"`
	}
	if err := json.Unmarshal(raw, &got); err != nil || got.Pass == "" {
		t.Fatalf("%s, %v", raw, err)
	}
	return got.Pass
}

// manyByPass uses a pass for several uses, and one for a PIN that was
// forgotten: the device says itself which one it is.
func manyByPass(t *testing.T, s *site) {
	t.Helper()
	ctx := t.Context()
	do := must(app.Administer(ctx, app.Config{Data: s.data})).Do
	if _, err := do(ctx, "policy.set", map[string]string{"name": "accessPass.once", "value": "false"}, nil); err != nil {
		t.Fatal(err)
	}
	other := bareDesk(t, s, s.made.Users[1])
	many := other.newPass(t, false)
	if got, err := other.joinBy(t, many); err != nil || got.SignedIn {
		t.Fatalf("another device: %+v, %v", got, err)
	}
	if _, err := other.Enrol(ctx, agent.EnrolOptions{PIN: deskPIN}); err != nil {
		t.Fatalf("a key there: %v", err)
	}
	if _, err := other.Reset(ctx, agent.EnrolOptions{PIN: "135791", SignIn: other.byPass(many)}); err != nil {
		t.Fatalf("a key by another use: %v", err)
	}
	once := other.newPass(t, true)
	if _, err := other.Reset(ctx, agent.EnrolOptions{PIN: deskPIN, SignIn: other.byPass(once)}); err != nil {
		t.Errorf("a forgotten PIN: %v", err)
	}
	if _, err := other.Reset(ctx, agent.EnrolOptions{PIN: "135791", SignIn: other.byPass(once)}); err == nil || idp.AsError(err).Reason != "pass_refused" {
		t.Errorf("a used pass: %v", err)
	}
	if got, err := other.SignIn(ctx, "", deskPIN); err != nil || got.Method != "hello" {
		t.Errorf("sign in: %+v, %v", got, err)
	}
}

// takenBack: a pass that is replaced ends what stands on it, a join under way
// among that.
func takenBack(t *testing.T, s *site) {
	t.Helper()
	d := bareDesk(t, s, s.made.Users[3])
	if _, err := d.joinBy(t, d.who.AccessPass); err != nil {
		t.Fatalf("join: %v", err)
	}
	d.newPass(t, true)
	_, err := d.Enrol(t.Context(), agent.EnrolOptions{PIN: deskPIN})
	if idp.AsError(err).Reason != "token_revoked" {
		t.Errorf("a key by a pass that was replaced: %v", err)
	}
	if _, err := d.SignIn(t.Context(), "", deskPIN); idp.AsError(err).Reason != "no_hello" {
		t.Errorf("a sign-in afterwards: %v", err)
	}
	// As it goes with whoever is given a role: the help desk may know the pass.
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	promoted := bareDesk(t, s, s.made.Users[3])
	if _, err := promoted.joinBy(t, d.newPass(t, true)); err != nil {
		t.Fatalf("join: %v", err)
	}
	if _, err := do(t.Context(), "user.setRole", map[string]string{"tenant": s.made.TenantID, "user": d.who.UserName, "role": "helpdesk"}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := promoted.Enrol(t.Context(), agent.EnrolOptions{PIN: deskPIN}); idp.AsError(err).Reason != "token_revoked" {
		t.Errorf("a key by a pass of before the role: %v", err)
	}
}

// TestSoftwareDesktop: a machine without a TPM, which everybody is told.
func TestSoftwareDesktop(t *testing.T) {
	s := newSite(t, withTLS)
	devicesOn(t, s)
	d := newDesk(t, s)
	ctx := t.Context()
	joined, err := d.Join(ctx, agent.JoinOptions{
		Server: s.BaseURL(), Tenant: s.made.TenantDomain, CA: must(os.ReadFile(s.LocalCA())), Name: "trial", OS: "Debian 12",
		Type: agent.Registered, Software: true, SignIn: d.inBrowser(),
	})
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	registered := must(s.Devices.Get(ctx, idp.TenantID(joined.TenantID), idp.DeviceID(joined.DeviceID)))
	if joined.Place != agent.InSoftware || !registered.Software || registered.Assurance != "unproven" || registered.Join != "Workplace" {
		t.Errorf("joined %+v, registered %+v", joined, registered)
	}
	if _, err := d.Enrol(ctx, agent.EnrolOptions{PIN: deskPIN, SignIn: d.inBrowser()}); err != nil {
		t.Fatalf("enrol: %v", err)
	}
	if _, err := d.SignIn(ctx, "", "424288"); idp.AsError(err).Reason != "pin_wrong" {
		t.Errorf("a wrong PIN: %v", err)
	}
	if _, err := d.SignIn(ctx, "", deskPIN); err != nil {
		t.Fatalf("sign in: %v", err)
	}
	if _, err := d.Renew(ctx, ""); err != nil {
		t.Errorf("renew: %v", err)
	}
	if left, err := d.Leave(ctx, false); err != nil || !left.Server {
		t.Errorf("leave: %+v, %v", left, err)
	}
}

// TestClearedTPM: a TPM that was cleared has no keys of this device any more,
// which is said, and leaves a way out.
func TestClearedTPM(t *testing.T) {
	s := newSite(t, withTLS)
	devicesOn(t, s)
	d := newDesk(t, s)
	ctx := t.Context()
	joined := d.join(t)
	agenttest.Clear(t, d.tpm)
	if status := must(d.Status(ctx)); !status.Joined || status.KeysReady || !strings.Contains(status.KeysProblem, "cleared") {
		t.Errorf("status %+v", status)
	}
	for what, do := range map[string]func() error{
		"renew": func() error { _, err := d.Renew(ctx, ""); return err },
		"enrol": func() error {
			_, err := d.Enrol(ctx, agent.EnrolOptions{PIN: deskPIN, SignIn: d.inBrowser()})
			return err
		},
		"leave":   func() error { _, err := d.Leave(ctx, false); return err },
		"browser": func() error { _, err := d.BrowserHeader(ctx, "", s.BaseURL()+"/x"); return err },
	} {
		if err := do(); idp.AsError(err).Reason != "tpm_other" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := d.Leave(ctx, true); err != nil {
		t.Fatalf("leave --force: %v", err)
	}
	if again := d.join(t); again.DeviceID == joined.DeviceID {
		t.Error("the new keys have the old device")
	}
}

// TestAttestedDesktop: a TPM whose maker the server knows shows that the keys
// are in it; an organisation that insists on that admits no other.
func TestAttestedDesktop(t *testing.T) {
	maker := tpmtest.NewMaker(t, time.Now())
	roots := filepath.Join(t.TempDir(), "makers.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: maker.Root.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *app.Config) { withTLS(c); c.TPMRoots = roots })
	devicesOn(t, s)
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	if _, err := do(t.Context(), "policy.set", map[string]string{"name": "devices.attestation", "value": "required"}, nil); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, s)
	options := agent.JoinOptions{Server: s.BaseURL(), CA: must(os.ReadFile(s.LocalCA())), Name: "ws-17", OS: "Debian 12", Type: agent.Joined, SignIn: d.inBrowser()}
	if _, err := d.Join(t.Context(), options); idp.AsError(err).Reason != "attestation_required" {
		t.Errorf("a TPM without a maker: %v", err)
	}
	agenttest.Endorse(t, d.tpm, func(ek crypto.PublicKey) []byte { return maker.EndorseKey(ek, nil) })
	joined := d.join(t)
	registered := must(s.Devices.Get(t.Context(), idp.TenantID(joined.TenantID), idp.DeviceID(joined.DeviceID)))
	if joined.Assurance != agent.Attested || registered.Assurance != "attested" || !registered.Enabled || !joined.SignedIn {
		t.Errorf("joined %+v, registered %+v", joined, registered)
	}
	// What was shown of the device's keys says nothing of a user key on it
	// (security.md DEV11).
	must(d.Enrol(t.Context(), agent.EnrolOptions{PIN: "blue horse", SignIn: d.inBrowser()}))
	must(d.SignIn(t.Context(), "", "blue horse"))
	tokens := must(s.PRTs.OfDevice(t.Context(), registered.Tenant, registered.ID))
	byHello := slices.IndexFunc(tokens, func(p prt.PRT) bool { return p.Proofs[0].Method == policy.Hello })
	if byHello < 0 || tokens[byHello].Proofs[0].Has(idp.HardwareBound) || slices.Contains(tokens[byHello].Proofs[0].AMR, "hwk") {
		t.Errorf("tokens %+v", tokens)
	}
}

// TestDesktopByDeviceCode: a machine without a browser is let in on another
// device, where the organisation allows what follows from that.
func TestDesktopByDeviceCode(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits as long as the protocol says: for the whole suite")
	}
	t.Parallel() // it waits most of the time, as codes make machines wait
	s := newSite(t, withTLS)
	devicesOn(t, s)
	do := must(app.Administer(t.Context(), app.Config{Data: s.data})).Do
	set := func(name string) {
		t.Helper()
		if _, err := do(t.Context(), "policy.set", map[string]string{"name": name, "value": "true"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	set("devices.deviceCode")
	d := newDesk(t, s)
	var answered sync.WaitGroup
	by := agent.DeviceCode{Show: func(address, code string) {
		answered.Go(func() { d.allows(address, code) })
	}}
	options := agent.JoinOptions{
		Server: s.BaseURL(), Tenant: s.made.TenantID, CA: must(os.ReadFile(s.LocalCA())), Name: "ws-19", OS: "Debian 12", Type: agent.Joined, SignIn: by,
	}
	if _, err := d.Join(t.Context(), options); idp.AsError(err).Reason != "device_code_refused" {
		t.Errorf("where codes join nothing: %v", err)
	}
	set("devices.compat.deviceCodeToPrt")
	set("devices.compat.deviceCodeToHello")
	joined, err := d.Join(t.Context(), options)
	if err != nil || !joined.SignedIn {
		t.Fatalf("join: %+v, %v", joined, err)
	}
	if _, err := d.Enrol(t.Context(), agent.EnrolOptions{PIN: deskPIN, SignIn: by}); err != nil {
		t.Fatalf("enrol: %v", err)
	}
	if _, err := d.SignIn(t.Context(), "", deskPIN); err != nil {
		t.Errorf("sign in: %v", err)
	}
	answered.Wait()
}

// allows types a code where the person is signed in, and lets the machine in
// once it has asked.
func (d *desk) allows(address, code string) {
	t := d.web.t
	p := d.web.get(address)
	if strings.Contains(p.text, `id="signin"`) {
		p = d.web.usePasskey(p)
	}
	session := p.field(t, `name="session" value="([^"]*)"`)
	p = d.web.post(p, "/device", url.Values{"session": {session}, "user_code": {code}})
	if strings.Contains(p.text, `id="signin"`) {
		p = d.web.usePasskey(p)
	}
	for range 100 {
		if strings.Contains(p.text, `data-action="consent-allow"`) {
			p = d.web.post(p, "/device/answer", url.Values{
				"session": {session}, "id": {p.field(t, `name="id" value="([^"]*)"`)}, "decision": {"allow"},
			})
			if strings.Contains(p.text, `id="signin"`) {
				d.web.usePasskey(p)
			}
			return
		}
		time.Sleep(200 * time.Millisecond)
		p = d.web.get(p.url.String())
	}
	t.Errorf("the machine did not ask: %d %s\n%s", p.status, p.url, p.text)
}
