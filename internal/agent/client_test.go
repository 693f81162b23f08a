package agent_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/agent"
	"github.com/signetid/signet/internal/idp"
)

// What a server refuses tells the person what to do next, by the number it
// has, then by its sub-error (device-protocol.md §3.2).
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   idp.Kind
		reason string
		code   int
		says   string
	}{
		{400, `{"error":"invalid_grant","error_description":"AADSTS50155: Device authentication failed. Trace ID: 1","error_codes":[50155],"suberror":"device_authentication_failed"}`,
			idp.Denied, "device_authentication_failed", 50155, "signet device leave --force, then join again"},
		{400, `{"error":"invalid_grant","error_codes":[135011],"suberror":"device_authentication_failed"}`, idp.Denied, "device_authentication_failed", 135011, "Ask your administrator"},
		{400, `{"error":"invalid_grant","error_codes":[50173],"suberror":"bad_token"}`, idp.Expired, "bad_token", 50173, "signet device sign-in"},
		{400, `{"error":"invalid_grant","error_codes":[130004],"suberror":"bad_token"}`, idp.Unproven, "bad_token", 130004, "signet device hello reset"},
		{400, `{"error":"invalid_grant","error_codes":[130005],"suberror":"bad_token"}`, idp.Unproven, "bad_token", 130005, "signet device hello reset"},
		{400, `{"error":"invalid_grant","error_codes":[700082],"suberror":"token_expired"}`, idp.Expired, "token_expired", 700082, "signet device sign-in"},
		{400, `{"error":"interaction_required","error_description":"AADSTS50076: a second proof. Trace ID: x","error_codes":[50076],"suberror":"basic_action"}`,
			idp.Denied, "basic_action", 50076, "a second proof. Sign in again"},
		{400, `{"error":"invalid_grant","error_codes":[50057]}`, idp.Denied, "invalid_grant", 50057, "Ask your administrator"},
		{400, `{"error":"access_denied","error_description":"AADSTS53003: not from there","error_codes":[53003],"suberror":"message_only"}`, idp.Denied, "message_only", 53003, "not from there"},
		{429, `{"error":"temporarily_unavailable"}`, idp.Limited, "temporarily_unavailable", 0, "wait"},
		{502, `<html>no gateway</html>`, idp.Unavailable, "refused", 0, "Bad Gateway"},
		{403, `{"ErrorType":"AuthorizationError","Message":"You own too many.","TraceId":"t","Reason":"device_quota"}`, idp.Denied, "device_quota", 0, "You own too many"},
		{400, `{"code":"bad","subcode":"key_registered","message":"This key is taken.","error":{"code":"bad","message":"x"}}`, idp.Denied, "key_registered", 0, "This key is taken"},
		{400, `{"error":["no","text"],"error_codes":"many"}`, idp.Denied, "refused", 0, "Bad Request"},
		{200, ``, idp.Denied, "refused", 0, "OK"},
	} {
		e := idp.AsError(agent.Refused(c.status, []byte(c.body)))
		if e.Kind != c.kind || e.Reason != c.reason || e.Code != c.code || !strings.Contains(e.Public, c.says) {
			t.Errorf("%d %s:\n%s %s %d %q", c.status, c.body, e.Kind, e.Reason, e.Code, e.Public)
		}
		var r *agent.Refusal
		if !errors.As(e, &r) || r.Status != c.status {
			t.Errorf("%s: no refusal in it", c.body)
		}
	}
}

func FuzzRefused(f *testing.F) {
	f.Add(400, []byte(`{"error":"invalid_grant","error_codes":[50155],"suberror":"device_authentication_failed"}`))
	f.Add(401, []byte(`{"ErrorType":"AuthenticationError","Message":"…","TraceId":"t"}`))
	f.Add(400, []byte(`{"error":{"code":"x"},"subcode":"y"}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if e := idp.AsError(agent.Refused(status, body)); e.Public == "" || e.Reason == "" {
			t.Errorf("%d %q: %+v", status, body, e)
		}
	})
}

// A server that would have secrets sent in the clear, or that registers no
// devices, is refused before anything is sent.
func TestDiscoveryRefuses(t *testing.T) {
	capable, join := "kdf_ver2", ""
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	mux.HandleFunc("/t/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":"%[1]s/t/v2.0","authorization_endpoint":"%[1]s/a","token_endpoint":"%[1]s/t","capabilities":[%[2]q]}`, server.URL, capable)
	})
	mux.HandleFunc("/t/Discover", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"DeviceJoinService":{"JoinEndpoint":%[2]q},"KeyProvisioningService":{"KeyProvisionEndpoint":"%[1]s/k"},"NonceService":{"Endpoint":"%[1]s/n"}}`, server.URL, join)
	})
	mux.HandleFunc("/elsewhere/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, server.URL+"/t/"+strings.TrimPrefix(r.URL.Path, "/elsewhere/"), http.StatusFound)
	})
	join = server.URL + "/j"
	if err := agent.Discover(t.Context(), server.URL, "t"); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for _, bad := range []string{"http://id.example.com/j", "", "ftp://127.0.0.1/", "/j", "javascript:1"} {
		join = bad
		if err := agent.Discover(t.Context(), server.URL, "t"); idp.AsError(err).Reason != "bad_discovery" {
			t.Errorf("join endpoint %q: %v", bad, err)
		}
	}
	join, capable = server.URL+"/j", "kdf_ver1"
	if err := agent.Discover(t.Context(), server.URL, "t"); idp.AsError(err).Reason != "no_devices" {
		t.Errorf("a server without key derivation version 2: %v", err)
	}
	capable = "kdf_ver2"
	if err := agent.Discover(t.Context(), server.URL, "elsewhere"); err == nil {
		t.Error("a redirect was followed")
	}
	for _, bad := range []string{"http://id.example.com", "id.example.com", "https://ada@id.example.com", "https://id.example.com?x=1", "https://", ""} {
		if err := agent.Discover(t.Context(), bad, "t"); idp.AsError(err).Reason != "server_address" {
			t.Errorf("server %q: %v", bad, err)
		}
	}
}

// A nonce that the server did not take is no reason to bother the person; any
// other refusal is not repeated.
func TestRenonced(t *testing.T) {
	for _, c := range []struct {
		code, tries int
	}{{140000, 2}, {130005, 1}, {50173, 1}} {
		tries := 0
		err := agent.Renonced(func() error {
			tries++
			return agent.Refused(400, fmt.Appendf(nil, `{"error":"invalid_grant","error_codes":[%d]}`, c.code))
		})
		if tries != c.tries || !agent.Is(err, c.code) {
			t.Errorf("%d: %d tries, %v", c.code, tries, err)
		}
	}
	tries := 0
	if err := agent.Renonced(func() error {
		if tries++; tries == 1 {
			return idp.Unavailablef("server_unreachable", "once")
		}
		return nil
	}); err != nil || tries != 2 {
		t.Errorf("an answer that was lost: %d tries, %v", tries, err)
	}
}

func TestPassForm(t *testing.T) {
	page := `<form action="/search"><input name="q"></form>
		<form id="signin" method="post" action="/t/signin/answer"><input type="hidden" name="handle" value="h"><div><input name="username"><input name="access_pass"></div></form>`
	if action, fields := agent.PassForm(page); action != "/t/signin/answer" || fields != 1 {
		t.Errorf("%q with %d fields", action, fields)
	}
	if action, _ := agent.PassForm(`<form action="/x"><input name="username"></form>`); action != "" {
		t.Errorf("%q", action)
	}
}

func FuzzPassForm(f *testing.F) {
	f.Add(`<form action="/a"><input type=hidden name=h value=1><input name=access_pass></form>`)
	f.Add(`<form><form><input name="access_pass">`)
	f.Fuzz(func(t *testing.T, page string) {
		if action, _ := agent.PassForm(page); len(action) > 4*len(page) {
			t.Errorf("action of %d bytes out of %d", len(action), len(page))
		}
	})
}
