// Package rp runs a relying party that is not ours (oauth4webapi, on Node.js)
// against the built binary, with a real browser for the person.
package rp

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/test/browser"
	"github.com/signetid/signet/test/running"
)

// node is the relying party's process: one JSON line in, one out.
type node struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

// reply is what a step came to.
type reply struct {
	OK            bool           `json:"ok"`
	URL           string         `json:"url"`
	Issuer        string         `json:"issuer"`
	Claims        map[string]any `json:"claims"`
	Userinfo      map[string]any `json:"userinfo"`
	Introspection map[string]any `json:"introspection"`
	Refresh       bool           `json:"refresh"`
	Rotated       bool           `json:"rotated"`
	Message       string         `json:"message"`
	Error         string         `json:"error"`
	Name          string         `json:"name"`
}

func startNode(t *testing.T) *node {
	t.Helper()
	if _, err := os.Stat("node_modules/oauth4webapi"); err != nil {
		t.Fatal("the npm packages of the tests are not here: `make test` fetches them")
	}
	args := []string{"rp.mjs"}
	if v, err := exec.Command("node", "--version").Output(); err == nil && strings.HasPrefix(string(v), "v18.") {
		args = []string{"--experimental-global-webcrypto", "rp.mjs"}
	}
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); cmd.Wait() })
	return &node{t: t, in: in, out: bufio.NewScanner(out)}
}

// try runs a step and gives its reply, whatever it is.
func (n *node) try(step string, input map[string]any) reply {
	n.t.Helper()
	ask := map[string]any{"step": step}
	for k, v := range input {
		ask[k] = v
	}
	line, err := json.Marshal(ask)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := n.in.Write(append(line, '\n')); err != nil {
		n.t.Fatalf("%s: %v", step, err)
	}
	if !n.out.Scan() {
		n.t.Fatalf("%s: the relying party has ended", step)
	}
	var r reply
	if err := json.Unmarshal(n.out.Bytes(), &r); err != nil {
		n.t.Fatalf("%s: %v in %s", step, err, n.out.Bytes())
	}
	return r
}

// do runs a step that must succeed.
func (n *node) do(step string, input map[string]any) reply {
	n.t.Helper()
	r := n.try(step, input)
	if !r.OK {
		n.t.Fatalf("%s: %s %s (%s)", step, r.Name, r.Message, r.Error)
	}
	return r
}

// landing is where the redirect URI leads: it keeps the last address.
func landing(t *testing.T) (redirect string, next func() string) {
	came := make(chan string, 8)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cb" {
			came <- "http://" + r.Host + r.URL.String()
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p id=back>back</p>")
	}))
	t.Cleanup(srv.Close)
	return srv.URL + "/cb", func() string {
		select {
		case u := <-came:
			return u
		case <-time.After(20 * time.Second):
			t.Fatal("nobody came back to the redirect URI")
			return ""
		}
	}
}

func TestSecondRelyingParty(t *testing.T) {
	d := running.StartDemo(t)
	redirect, came := landing(t)
	var app struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	d.Admin(t, &app, "app", "create", "Survey", "--redirect-uri", redirect, "--alg", "ES256")
	if app.ID == "" || app.Secret == "" {
		t.Fatalf("app create gave %+v", app)
	}
	p := browser.NewPerson(t, browser.Chromium(t))
	p.FirstDay(d, d.Users[1])

	n := startNode(t)
	if r := n.do("discover", map[string]any{"issuer": d.Issuer, "clientID": app.ID, "secret": app.Secret, "redirect": redirect}); r.Issuer != d.Issuer {
		t.Errorf("issuer %q, want %q", r.Issuer, d.Issuer)
	}
	authorize := func(extra map[string]string) string {
		return n.do("authorize", map[string]any{"scope": "openid profile offline_access", "extra": extra}).URL
	}

	// A third-party app is asked for consent, once; refusing is an answer too.
	p.Open(authorize(nil))
	p.Press("consent-deny")
	if back := came(); !strings.Contains(back, "error=access_denied") || !strings.Contains(back, "iss=") {
		t.Errorf("refused consent came back as %s", back)
	}
	p.Open(authorize(nil))
	p.Press("consent-allow")
	got := n.do("callback", map[string]any{"url": came()})
	if got.Claims["preferred_username"] != d.Users[1].Name || got.Claims["acr"] != "phr" || !got.Refresh {
		t.Errorf("claims %v, refresh %v", got.Claims, got.Refresh)
	}
	if u := n.do("userinfo", nil).Userinfo; u["sub"] != got.Claims["sub"] || u["name"] != d.Users[1].Show {
		t.Errorf("userinfo %v", u)
	}
	if in := n.do("introspect", nil).Introspection; in["active"] != true || in["client_id"] != app.ID {
		t.Errorf("introspection %v", in)
	}
	if !n.do("refresh", nil).Rotated {
		t.Error("the refresh token was not rotated")
	}
	n.do("revoke", nil)
	if r := n.try("refresh", nil); r.OK || r.Error != "invalid_grant" {
		t.Errorf("refresh after revoke: %+v", r)
	}
	if in := n.do("introspect", nil).Introspection; in["active"] != false {
		t.Errorf("the access token outlives its revoked grant: %v", in)
	}

	// Consent was given: no page, straight back.
	again := func(extra map[string]string) string {
		p.Open(authorize(extra))
		return came()
	}
	t.Run("code twice", func(t *testing.T) {
		n.t = t
		back := again(nil)
		n.do("callback", map[string]any{"url": back})
		if r := n.try("callback", map[string]any{"url": back}); r.OK || r.Error != "invalid_grant" {
			t.Fatalf("second use: %+v", r)
		}
		if in := n.do("introspect", nil).Introspection; in["active"] != false {
			t.Error("tokens of the first use live on")
		}
	})
	t.Run("other verifier", func(t *testing.T) {
		n.t = t
		if r := n.try("callback", map[string]any{"url": again(nil), "verifier": strings.Repeat("x", 43)}); r.OK || r.Error != "invalid_grant" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("mix-up", func(t *testing.T) {
		n.t = t
		back := again(nil)
		at := strings.Index(back, "iss=")
		end := strings.IndexByte(back[at:], '&')
		bent := back[:at] + "iss=https%3A%2F%2Fevil.example" + map[bool]string{true: "", false: back[at+max(end, 0):]}[end < 0]
		if r := n.try("callback", map[string]any{"url": bent}); r.OK || !strings.Contains(r.Message, "iss") {
			t.Errorf("another issuer's answer: %+v", r)
		}
	})
	for name, extra := range map[string]map[string]string{
		"no PKCE":    {"code_challenge": "", "code_challenge_method": ""},
		"plain PKCE": {"code_challenge_method": "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			n.t = t
			if r := n.try("callback", map[string]any{"url": again(extra)}); r.OK || r.Error != "invalid_request" {
				t.Errorf("%+v", r)
			}
		})
	}
	t.Run("wrong redirect", func(t *testing.T) {
		p.Open(authorize(map[string]string{"redirect_uri": redirect + "/x"}))
		p.See("[data-code]")
	})
}
