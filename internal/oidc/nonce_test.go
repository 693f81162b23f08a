package oidc_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
)

func TestServerNonce(t *testing.T) {
	d := newDoor(t)
	ask := func(path string) (int, map[string]any) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d.send(req, url.Values{"grant_type": {"srv_challenge"}})
	}
	for path, scope := range map[string]idp.TenantID{
		"/" + string(d.tenant.ID) + "/oauth2/v2.0/token": d.tenant.ID,
		"/" + string(d.tenant.ID) + "/oauth2/token":      d.tenant.ID,
		"/common/oauth2/v2.0/token":                      nonce.CommonScope,
	} {
		status, out := ask(path)
		if status != http.StatusOK || len(out) != 1 {
			t.Fatalf("%s: %d %v", path, status, out)
		}
		s, err := d.box.Open(t.Context(), scope, nonce.ServerNonce, out["Nonce"].(string))
		if err != nil || s.Expires.Before(d.clock().Add(4*time.Minute)) || s.Expires.After(d.clock().Add(5*time.Minute)) {
			t.Errorf("%s: %v until %v", path, err, s.Expires)
		}
	}
	if status, _ := ask("/nobody.example/oauth2/token"); status == http.StatusOK {
		t.Error("a nonce for a tenant that does not exist")
	}
	// The allowance of a source ends, and comes back.
	limited := false
	for range 61 {
		status, out := ask("/common/oauth2/token")
		if limited = status == http.StatusTooManyRequests; limited {
			if out["Nonce"] != nil {
				t.Errorf("refused, and given all the same: %v", out)
			}
			break
		}
	}
	if !limited {
		t.Error("a source may ask without end")
	}
	d.advance(2 * time.Second)
	if status, _ := ask("/common/oauth2/token"); status != http.StatusOK {
		t.Errorf("still refused after the wait: %d", status)
	}
}
