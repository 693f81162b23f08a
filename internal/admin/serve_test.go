package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// serve listens on a socket of the test's own until the test ends.
func serve(t *testing.T, o *office) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return path
}

func TestSocket(t *testing.T) {
	o := newOffice(t, sqldbtest.Open(t, sources))
	path := serve(t, o)
	c, err := admin.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.Do(t.Context(), "cli:somebody-else", "tenant.create", json.RawMessage(`{"name":"A","domain":"a.example"}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	var tenant struct{ ID idp.TenantID }
	if err := json.Unmarshal(raw, &tenant); err != nil || tenant.ID == "" {
		t.Fatalf("%s, %v", raw, err)
	}
	// The actor is who the kernel says, whatever the client says.
	raw, err = c.Do(t.Context(), "", "audit.list", nil, nil)
	if err != nil || !strings.Contains(string(raw), fmt.Sprintf("%q", admin.Actor(os.Geteuid()))) || strings.Contains(string(raw), "somebody-else") {
		t.Errorf("audit: %s, %v", raw, err)
	}
	_, err = c.Do(t.Context(), "", "user.show", json.RawMessage(`{"user":"nobody@a.example"}`), nil)
	if e := idp.AsError(err); e == nil || e.Kind != idp.NotFound || e.Reason != "user_unknown" || e.Public != "There is no such user." {
		t.Errorf("the server's error arrived as %#v", e)
	}
	_, err = c.Do(t.Context(), "", "user.create", json.RawMessage(`{"userPrincipalName":"x"}`), nil)
	if e := idp.AsError(err); e == nil || e.Kind != idp.Invalid || e.Field != "userPrincipalName" {
		t.Errorf("the server's error arrived as %#v", e)
	}
}

func TestImportOverSocket(t *testing.T) {
	o := newOffice(t, sqldbtest.Open(t, sources))
	c, err := admin.Dial(t.Context(), serve(t, o))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
	var csv strings.Builder
	csv.WriteString("userPrincipalName,displayName\n")
	for i := range 2500 {
		fmt.Fprintf(&csv, "u%d@a.example,%s\n", i, strings.Repeat("x", 200))
	}
	params, _ := json.Marshal(fields{"csv": csv.String()})
	last, times := 0, 0
	raw, err := c.Do(t.Context(), "", "user.import", params, func(done int) {
		if done <= last {
			t.Errorf("progress went from %d to %d", last, done)
		}
		last = done
		times++
	})
	if err != nil || string(raw) != `{"rows":2500,"created":2500}` {
		t.Fatalf("%s, %v", raw, err)
	}
	if last != 2500 || times == 0 {
		t.Errorf("progress was told %d times and ended at %d", times, last)
	}
}

func TestDialNobody(t *testing.T) {
	dir := t.TempDir()
	if _, err := admin.Dial(t.Context(), filepath.Join(dir, "none.sock")); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("no socket: %v", err)
	}
	// What a server that crashed leaves behind.
	path := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := admin.Dial(t.Context(), path); !errors.Is(err, admin.ErrNoServer) {
		t.Errorf("socket that nobody listens on: %v", err)
	}
}

// Who is not known by the kernel, or is another user, gets nothing.
func TestPeerRefused(t *testing.T) {
	o := newOffice(t, sqldbtest.Open(t, sources))
	ask := func(ctx context.Context) (int, string) {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/do", strings.NewReader(`{"op":"tenant.create","params":{"name":"A","domain":"a.example"}}`))
		w := httptest.NewRecorder()
		o.Handler().ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	for name, ctx := range map[string]context.Context{
		"no credentials":  t.Context(),
		"no unix socket":  admin.ConnContext(t.Context(), near),
		"another user":    admin.WithPeer(t.Context(), uint32(os.Geteuid())+1),
		"nobody of POSIX": admin.WithPeer(t.Context(), 65534),
		"largest user id": admin.WithPeer(t.Context(), 1<<32-1),
	} {
		if code, body := ask(ctx); code != http.StatusForbidden || !strings.Contains(body, `"kind":"denied"`) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
	if got := o.list("tenant.list", fields{}, "id"); len(got) != 0 {
		t.Errorf("somebody refused made %v", got)
	}
	for name, uid := range map[string]int{"root": 0, "the server's user": os.Geteuid()} {
		if code, body := ask(admin.WithPeer(t.Context(), uint32(uid))); code != http.StatusOK || strings.Contains(body, "denied") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

// What is not a request of ours is refused in form.
func TestBadRequests(t *testing.T) {
	o := newOffice(t, sqldbtest.Open(t, sources))
	path := serve(t, o)
	web := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	defer web.CloseIdleConnections()
	for _, body := range []string{"", "x", "[]", `{"op":7}`, `{"op":"tenant.list","more":1}`, `{"op":"tenant.list"}{}`, `{"op":"` + strings.Repeat("x", 1<<20) + `"}`} {
		res, err := web.Post("http://admin/do", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if !strings.Contains(string(text), `"kind":"invalid"`) || len(text) > 4096 {
			t.Errorf("%.40q: %d %.300s", body, res.StatusCode, text)
		}
	}
	res, err := web.Get("http://admin/do")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", res.StatusCode)
	}
}
