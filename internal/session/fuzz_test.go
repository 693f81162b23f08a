package session_test

import (
	"context"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// FuzzCookie feeds the cookies that a browser may send: nothing panics, nobody
// is signed in, and what is set is one well-formed cookie.
func FuzzCookie(f *testing.F) {
	db := sqldbtest.Open(f, []fs.FS{session.Migrations})
	st := session.New(session.Config{
		DB: db, Now: func() time.Time { return time.Unix(1_800_000_000, 0) },
		Limits: func(context.Context, idp.TenantID) (time.Duration, time.Duration, error) {
			return time.Hour, time.Hour, nil
		},
	})
	f.Add("")
	f.Add(".")
	f.Add(strings.Repeat("A", 64))
	f.Add(strings.Repeat("A", 64) + "." + strings.Repeat("B", 64))
	f.Add(strings.Repeat(".", 600))
	f.Fuzz(func(t *testing.T, value string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.AddCookie(&http.Cookie{Name: "signet-session", Value: value})
		r.AddCookie(&http.Cookie{Name: "signet-browser", Value: value})
		all, err := st.AllFromRequest(t.Context(), r)
		if err != nil || len(all) != 0 {
			t.Fatalf("%q: %v, %v", value, all, err)
		}
		w := httptest.NewRecorder()
		st.Browser(w, r)
		st.Set(w, r, strings.Repeat("C", 64), "")
		st.Drop(w, r, "x")
		n := 0
		for _, c := range w.Result().Cookies() {
			if c.Name == "signet-session" {
				n++
				if len(c.Value) > 8*65 || !strings.HasPrefix(c.Value, strings.Repeat("C", 64)) {
					t.Fatalf("cookie %q from %q", c.Value, value)
				}
			}
		}
		if n != 1 {
			t.Fatalf("%d session cookies", n)
		}
	})
}
