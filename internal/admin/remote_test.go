package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
)

// hereOnly are the operations that no token reaches, with the reason.
var hereOnly = map[string]string{
	"tenant.create": "is of no tenant", "tenant.list": "lists all", "tenant.addDomain": "names are verified by the operator",
	"metadata.load": "reads a file of the server", "metadata.refresh": "is for all tenants", "token": "would renew itself",
	"kek.status": "is for all tenants", "kek.add": "writes a file of the server", "kek.rewrap": "is for all tenants", "kek.finish": "writes files of the server",
}

// reach is a server with tokens "reader", "helpdesk" and "administrator".
func (o *office) reach(tenant idp.TenantID) func(token string) *admin.Client {
	mux := http.NewServeMux()
	mux.Handle("POST "+admin.RemotePath, o.Remote(func(_ context.Context, token string) (admin.Grant, error) {
		if !slices.Contains([]string{admin.Reader, directory.Helpdesk, directory.Administrator}, token) {
			return admin.Grant{}, idp.Unprovenf("token_refused", "no token of ours").Say("The token is no good.")
		}
		return admin.Grant{Tenant: tenant, Role: token, Actor: "cli:ada"}, nil
	}))
	server := httptest.NewServer(mux)
	o.t.Cleanup(server.Close)
	return func(token string) *admin.Client {
		c, err := admin.DialRemote(server.URL, token)
		if err != nil {
			o.t.Fatal(err)
		}
		return c
	}
}

// TestRemote holds every operation against every token: what a role reaches,
// and that it ends at its tenant.
func TestRemote(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		var a, b struct{ ID idp.TenantID }
		for domain, into := range map[string]any{"a.example": &a, "b.example": &b} {
			raw, err := o.try("tenant.create", fields{"name": domain, "domain": domain})
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, into); err != nil {
				t.Fatal(err)
			}
		}
		o.do("user.create", fields{"tenant": "a.example", "userPrincipalName": "boss@a.example", "role": "administrator"})
		o.do("user.create", fields{"tenant": "a.example", "userPrincipalName": "ada@a.example"})
		o.do("user.create", fields{"tenant": "b.example", "userPrincipalName": "eve@b.example"})
		as := o.reach(a.ID)
		call := func(token, op string, in fields) error {
			text, err := json.Marshal(in)
			if err != nil {
				t.Fatal(err)
			}
			_, err = as(token).Do(t.Context(), "", op, text, nil)
			return err
		}
		reason := func(err error) string {
			if err == nil {
				return ""
			}
			return idp.AsError(err).Reason
		}
		for _, op := range admin.Operations() {
			for _, role := range []string{admin.Reader, directory.Helpdesk, directory.Administrator} {
				got := reason(call(role, op, fields{"x-unknown": 1}))
				switch {
				case hereOnly[op] != "":
					if got != "not_remote" {
						t.Errorf("%s by %s: %q", op, role, got)
					}
				case role == directory.Administrator:
					// The parameter is wrong, and that is all: the gate is behind.
					if got != "bad_parameters" {
						t.Errorf("%s by an administrator: %q", op, got)
					}
				default:
					if got != "bad_parameters" && got != "role_missing" {
						t.Errorf("%s by %s: %q", op, role, got)
					}
				}
			}
		}
		for _, c := range []struct {
			token, op string
			in        fields
			want      string
		}{
			{"reader", "user.list", fields{}, ""},
			{"reader", "user.list", fields{"tenant": "A.example"}, ""},
			{"reader", "user.list", fields{"tenant": "b.example"}, "other_tenant"},
			{"administrator", "user.list", fields{"tenant": string(b.ID)}, "other_tenant"},
			{"administrator", "user.show", fields{"user": "eve@b.example"}, "user_unknown"},
			{"reader", "tap.issue", fields{"user": "ada@a.example"}, "role_missing"},
			{"reader", "policy.set", fields{"name": "passkey.limit", "value": "16"}, "role_missing"},
			{"helpdesk", "policy.set", fields{"name": "passkey.limit", "value": "16"}, "role_missing"},
			{"helpdesk", "tap.issue", fields{"user": "ada@a.example"}, ""},
			{"helpdesk", "tap.issue", fields{"user": "boss@a.example"}, "target_is_administrator"},
			{"helpdesk", "session.revokeUser", fields{"user": "boss@a.example"}, "target_is_administrator"},
			{"helpdesk", "user.revokeConsent", fields{"user": "boss@a.example", "app": "x"}, "target_is_administrator"},
			{"administrator", "tap.issue", fields{"user": "boss@a.example"}, ""},
			{"administrator", "policy.set", fields{"name": "passkey.limit", "value": "16"}, ""},
			{"stolen", "user.list", fields{}, "token_refused"},
		} {
			if got := reason(call(c.token, c.op, c.in)); got != c.want && !(c.want == "user_unknown" && got != "") {
				t.Errorf("%s by %s with %v: %q, want %q", c.op, c.token, c.in, got, c.want)
			}
		}
	})
}

// TestRemoteAsks: without a token nothing is read, and none is sent in the clear.
func TestRemoteAsks(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		h := o.Remote(func(context.Context, string) (admin.Grant, error) {
			t.Error("an empty token was looked at")
			return admin.Grant{}, errors.New("no")
		})
		for _, header := range []string{"", "Basic eDp5", "Bearer ", "Bearer"} {
			rec := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, admin.RemotePath, strings.NewReader(`{"op":"user.list"}`))
			r.Header.Set("Authorization", header)
			h.ServeHTTP(rec, r)
			if rec.Code != http.StatusUnauthorized || rec.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%q: %d", header, rec.Code)
			}
		}
	})
	for _, bad := range []string{"", "id.example", "http://id.example", "https://u:p@id.example", "https://id.example/x", "ftp://id.example", "https://", "http://127.0.0.1.evil.example", "https://id.example?x"} {
		if _, err := admin.DialRemote(bad, "t"); err == nil {
			t.Errorf("%q was taken for a server", bad)
		}
	}
	if _, err := admin.DialRemote("https://id.example", ""); err == nil {
		t.Error("no token was asked for")
	}
}

// TestRemoteDoesNotFollow: a redirect would carry the token elsewhere.
func TestRemoteDoesNotFollow(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("asked with %q", r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	c, err := admin.DialRemote(server.URL, "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Do(t.Context(), "", "user.list", nil, nil); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a redirect: %v", err)
	}
}
