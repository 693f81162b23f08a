package oidc_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
)

// The benchmarks call the handlers, without a network between: what the door
// itself costs beyond the signature.

func (d *door) serve(b *testing.B, req *http.Request, want int) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, req)
	if rec.Code != want {
		b.Fatalf("%s: %d %s", req.URL.Path, rec.Code, rec.Body)
	}
	return rec
}

func (a app) form(d *door, v url.Values) *http.Request {
	req := httptest.NewRequest("POST", d.at("/oauth2/v2.0/token"), strings.NewReader(v.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(string(a.ID), a.secret)
	return req
}

func BenchmarkClientCredentials(b *testing.B) {
	for _, alg := range []string{"ES256", "RS256"} {
		b.Run(alg, func(b *testing.B) {
			d := newDoor(b)
			a := d.newApp(func(c *client.Client) { c.Alg = alg })
			v := url.Values{"grant_type": {"client_credentials"}}
			d.serve(b, a.form(d, v), http.StatusOK)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					d.serve(b, a.form(d, v), http.StatusOK)
				}
			})
		})
	}
}

func BenchmarkClientCredentialsAlone(b *testing.B) {
	d := newDoor(b)
	a := d.newApp(nil)
	v := url.Values{"grant_type": {"client_credentials"}}
	d.serve(b, a.form(d, v), http.StatusOK)
	b.ReportAllocs()
	for b.Loop() {
		d.serve(b, a.form(d, v), http.StatusOK)
	}
}

// session opens a session for the user without a page.
func (d *door) session(u idp.User) (out *http.Cookie) {
	d.t.Helper()
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		_, bearer, err := d.sessions.Open(ctx, tx, session.Session{Tenant: u.Tenant, User: u.ID, Proofs: []idp.Proof{{
			Tenant: u.Tenant, User: u.ID, Method: "passkey", Mode: idp.ModeFIDO2, Credential: "stub", AMR: []string{"fido", "mfa"},
			Properties: []idp.Property{idp.PhishingResistant, idp.UserVerified, idp.MultiFactor}, Time: d.clock(),
		}}})
		if err != nil {
			return err
		}
		rec := httptest.NewRecorder()
		d.sessions.Set(rec, httptest.NewRequest("GET", d.url, nil), bearer, "")
		out = rec.Result().Cookies()[0]
		return nil
	})
	return out
}

func (a app) silent(b *testing.B, d *door, cookie *http.Cookie) string {
	req := httptest.NewRequest("GET", d.at("/oauth2/v2.0/authorize?"+a.ask("prompt", "none").Encode()), nil)
	req.AddCookie(cookie)
	u, err := url.Parse(d.serve(b, req, http.StatusSeeOther).Header().Get("Location"))
	if err != nil || u.Query().Get("code") == "" {
		b.Fatalf("no code: %v %v", u, err)
	}
	return u.Query().Get("code")
}

func tokenField(b *testing.B, rec *httptest.ResponseRecorder, name string) string {
	var out map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		b.Fatal(err)
	}
	return str(out, name)
}

// BenchmarkAuthorize is a request that a session answers without a page.
func BenchmarkAuthorize(b *testing.B) {
	d := newDoor(b)
	a, cookie := d.newApp(nil), d.session(d.ada)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a.silent(b, d, cookie)
		}
	})
}

func BenchmarkRedeem(b *testing.B) {
	d := newDoor(b)
	a, cookie := d.newApp(nil), d.session(d.ada)
	codes := make([]string, b.N)
	for n := range codes {
		codes[n] = a.silent(b, d, cookie)
	}
	var next atomic.Int64
	b.ReportAllocs()
	b.ResetTimer()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.serve(b, a.form(d, a.redeem(codes[next.Add(1)-1])), http.StatusOK)
		}
	})
}

// BenchmarkRefresh rotates a family of its own in each of many goroutines.
func BenchmarkRefresh(b *testing.B) {
	for scope, name := range map[string]string{"notes.read offline_access": "access", "openid offline_access": "with ID token"} {
		b.Run(name, func(b *testing.B) {
			d := newDoor(b)
			a, cookie := d.newApp(nil), d.session(d.ada)
			b.ReportAllocs()
			b.SetParallelism(16)
			b.RunParallel(func(pb *testing.PB) {
				req := httptest.NewRequest("GET", d.at("/oauth2/v2.0/authorize?"+a.ask("prompt", "none", "scope", scope).Encode()), nil)
				req.AddCookie(cookie)
				u, err := url.Parse(d.serve(b, req, http.StatusSeeOther).Header().Get("Location"))
				if err != nil {
					b.Error(err)
					return
				}
				token := tokenField(b, d.serve(b, a.form(d, a.redeem(u.Query().Get("code"))), http.StatusOK), "refresh_token")
				for pb.Next() {
					rec := d.serve(b, a.form(d, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}), http.StatusOK)
					token = tokenField(b, rec, "refresh_token")
				}
			})
		})
	}
}

// BenchmarkCodeFlow is authorize, redeem and userinfo for somebody signed in.
func BenchmarkCodeFlow(b *testing.B) {
	d := newDoor(b)
	a, cookie := d.newApp(nil), d.session(d.ada)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			rec := d.serve(b, a.form(d, a.redeem(a.silent(b, d, cookie))), http.StatusOK)
			req := httptest.NewRequest("GET", d.at("/openid/userinfo"), nil)
			req.Header.Set("Authorization", "Bearer "+tokenField(b, rec, "access_token"))
			d.serve(b, req, http.StatusOK)
		}
	})
}
