package passkey

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/signetid/signet/internal/method"
)

// Mount adds the two documents that browsers and password managers fetch:
// related origins (WebAuthn Level 3, §5.11.1) and passkey endpoints (W3C, A
// Well-Known URL for Passkey Endpoints). Neither tells anything of a tenant.
func (m *Room) Mount(mux *http.ServeMux) {
	base := m.cfg.Origins[0]
	enroll, manage := m.cfg.EnrollURL, m.cfg.ManageURL
	if enroll == "" {
		enroll = base + "/account"
	}
	if manage == "" {
		manage = base + "/account"
	}
	mux.Handle("GET /.well-known/webauthn", document(map[string]any{
		"origins": slices.Concat(m.cfg.Origins, m.cfg.RelatedOrigins),
	}))
	mux.Handle("GET /.well-known/passkey-endpoints", document(map[string]any{
		"enroll": enroll, "manage": manage,
	}))
}

func document(v any) http.Handler {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings only
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Write(body)
	})
}

// View implements method.Viewer: a button of its own, no fields. The page's
// script speaks to the browser; doc.go has the shapes.
func (m *Room) View() method.View {
	return method.View{
		Action: "signin-passkey", Icon: "key",
		Label: "method.passkey", Note: "method.passkey.note", Primary: true,
	}
}
