package app_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestDeviceDoor knocks at the door for devices through the whole house: what
// comes without a content type gets a nonce, and a message of a device is read
// by who reads such messages.
func TestDeviceDoor(t *testing.T) {
	s := newSite(t, nil)
	post := func(path, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "POST", s.BaseURL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		out, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	for _, path := range []string{"/common/oauth2/token", "/Common//oAuth2/v2.0/Token", "/" + s.made.TenantID + "/oauth2/token"} {
		if out := post(path, "grant_type=srv_challenge"); !strings.Contains(out, `"Nonce":"`) {
			t.Errorf("%s: %s", path, out)
		}
	}
	out := post("/common/oauth2/token", "windows_api_version=2.0&grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&request=abc")
	if !strings.Contains(out, "AADSTS50027") || strings.Contains(out, `"suberror"`) { // what cannot be read has none
		t.Errorf("a message: %s", out)
	}
	if out := post("/common/oauth2/token", "grant_type=client_credentials"); strings.Contains(out, "access_token") || !strings.Contains(out, "error") {
		t.Errorf("no content type, and no device: %s", out)
	}
}
