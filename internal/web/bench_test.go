package web_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/web"
)

// posted gives a request with a body again and again.
func posted(b *testing.B, kind, body string) func() *http.Request {
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", kind)
	r.ContentLength = int64(len(body))
	reader := bytes.NewReader([]byte(body))
	b.ReportAllocs()
	return func() *http.Request {
		reader.Reset([]byte(body))
		r.Body = io.NopCloser(reader)
		return r
	}
}

// BenchmarkBody measures the readers of bodies as doors get them.
func BenchmarkBody(b *testing.B) {
	const form = "application/x-www-form-urlencoded"
	token := "client_id=6f3b1c0e-5d0a-4e57-8f44-1b0a2c3d4e5f&grant_type=refresh_token&scope=openid+profile+offline_access" +
		"&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&client_secret=" + strings.Repeat("s3cr", 10) + "&refresh_token=" + strings.Repeat("Ab_9", 60)
	assertion := `{"id":"` + strings.Repeat("Ab_9", 11) + `","rawId":"` + strings.Repeat("Ab_9", 11) + `","type":"public-key","response":{"clientDataJSON":"` +
		strings.Repeat("eyJ0", 45) + `","authenticatorData":"` + strings.Repeat("SZYN", 12) + `","signature":"` + strings.Repeat("MEUC", 24) +
		`","userHandle":"` + strings.Repeat("Ab_9", 5) + `"},"clientExtensionResults":{"appid":false}}`
	w := httptest.NewRecorder()
	b.Run("token", func(b *testing.B) {
		next := posted(b, form, token)
		for b.Loop() {
			if _, _, err := web.BareForm(w, next()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("begin", func(b *testing.B) {
		next := posted(b, "application/json", `{"handle":"`+strings.Repeat("Ab_9", 120)+`","method":"passkey","username":""}`)
		for b.Loop() {
			var in struct {
				Handle   string `json:"handle"`
				Method   string `json:"method"`
				UserName string `json:"username"`
			}
			if err := web.ReadJSON(w, next(), &in); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("assertion", func(b *testing.B) {
		b.ReportAllocs()
		raw := []byte(assertion)
		for b.Loop() {
			var in struct {
				ID       string `json:"id"`
				RawID    string `json:"rawId"`
				Type     string `json:"type"`
				Response *struct {
					ClientData string  `json:"clientDataJSON"`
					AuthData   string  `json:"authenticatorData"`
					Signature  string  `json:"signature"`
					UserHandle *string `json:"userHandle"`
				} `json:"response"`
				Results map[string]json.RawMessage `json:"clientExtensionResults"`
			}
			if err := web.Strict(raw, &in); err != nil {
				b.Fatal(err)
			}
		}
	})
}
