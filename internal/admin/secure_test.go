package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
)

// ask posts to the remote door and gives status and text of the answer.
func ask(o *office, verify func(context.Context, string) (admin.Grant, error), body string) (int, string) {
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, admin.RemotePath, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer x")
	o.Remote(verify).ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// TestSec_LOG06_RemoteKeepsCauses: over the network nobody reads what failed
// inside (LOG06), and a database that is away is no bad token.
func TestSec_LOG06_RemoteKeepsCauses(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		const inside = "dial tcp 10.1.2.3:5432 user=signet"
		for what, c := range map[string]struct {
			err    error
			status int
		}{
			"an unknown key": {idp.Unprovenf("key_unknown", "key of "+inside), http.StatusUnauthorized},
			"no database":    {fmt.Errorf("verification key: %w", idp.Unavailablef("database", inside)), http.StatusServiceUnavailable},
			"a bug":          {errors.New(inside), http.StatusInternalServerError},
		} {
			status, body := ask(o, func(context.Context, string) (admin.Grant, error) { return admin.Grant{}, c.err }, `{"op":"user.list"}`)
			if status != c.status || strings.Contains(body, "10.1.2.3") {
				t.Errorf("%s: %d %s", what, status, body)
			}
		}
		// Nor does who holds a token, of what is not theirs.
		o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		as := func(context.Context, string) (admin.Grant, error) {
			return admin.Grant{Tenant: idp.TenantID("00000000-0000-4000-8000-000000000000"), Role: directory.Administrator, Actor: "cli:x"}, nil
		}
		o.db.Close()
		if _, body := ask(o, as, `{"op":"user.list"}`); strings.Contains(body, "cause") || !strings.Contains(body, "trace id") {
			t.Errorf("a database that is closed: %s", body)
		}
	})
}

// TestSec_REL08_RemoteBodyThatNeverComes: a token is no leave to hold a
// connection for ever (NET03).
func TestSec_REL08_RemoteBodyThatNeverComes(t *testing.T) {
	service := admin.New(admin.Config{})
	service.RemoteWithin(200 * time.Millisecond)
	server := httptest.NewServer(service.Remote(func(context.Context, string) (admin.Grant, error) {
		return admin.Grant{Role: admin.Reader, Actor: "cli:x"}, nil
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 1000\r\n\r\n{", admin.RemotePath)
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, conn); err != nil {
		t.Errorf("the server still waits: %v", err)
	}
}
