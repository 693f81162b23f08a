package signin_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/signin"
)

// TestHostileText: what browsers and strangers send is no trouble of ours, on
// either database: PostgreSQL takes neither zero bytes nor what is no UTF-8.
func TestHostileText(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		held := w.page.room(t).Enrol(t, w.Ada)
		s := w.Session(t, w.Ada)
		for _, bad := range []string{"\x00", "\xff", strings.Repeat("x", 100_000), "", "%", "../x", "ä"} {
			handle := (bad + "00000000-0000-0000-0000-000000000000")[:36]
			if _, err := w.Corridor.Resume(t.Context(), w.Tenant.ID, handle, w.peer); !errors.Is(err, idp.Expired) {
				t.Errorf("resume %.20q: %v, want expired", handle, err)
			}
			id := idp.CredentialID(bad)
			if err := w.Corridor.Rename(t.Context(), s, "passkey", id, "x", w.peer); !errors.Is(err, idp.NotFound) {
				t.Errorf("rename %.20q: %v, want not found", bad, err)
			}
			if err := w.Corridor.Remove(t.Context(), s, "passkey", id, w.peer); !errors.Is(err, idp.NotFound) {
				t.Errorf("remove %.20q: %v, want not found", bad, err)
			}
			if err := w.Corridor.RemoveFor(t.Context(), w.Tenant.ID, w.Ada.ID, "passkey", id, "cli:root", w.peer); !errors.Is(err, idp.NotFound) {
				t.Errorf("remove %.20q by an administrator: %v, want not found", bad, err)
			}
			w.peer.Agent = "Mozilla " + bad
			step := w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, nil, signin.Done)
			found := w.Found(t, w.Tenant.ID, step.Bearer)
			if len(found.Agent) > 1024 || strings.ContainsAny(found.Agent, "\x00") {
				t.Errorf("a User-Agent of %.20q is kept as %d bytes, %.40q", w.peer.Agent, len(found.Agent), found.Agent)
			}
			w.must(t, w.Flow(t, signin.Flow{}, w.peer), w.page, held, &found, signin.Done)
		}
	})
}
