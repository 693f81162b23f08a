package phone_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/signetid/signet/internal/phonewire"
)

// TestSec_PHN03_IdsThatNobodyHas: an id that no row can have is answered like
// one that no row has, on every database.
func TestSec_PHN03_IdsThatNobodyHas(t *testing.T) {
	each(t, func(t *testing.T, w *house) {
		p := w.enrol(t, w.Ada)
		for _, odd := range []string{"\x00", "a\x00b", "\xff\xfe", "\ufffd", "' or '1' = '1"} {
			p.OnToken = func(h map[string]any) { h["kid"] = odd }
			_, err := p.Self()
			wantWord(t, "phone "+odd, err, http.StatusUnauthorized, "phone_unproven")
			p.OnToken = nil
			p.OnClaims = func(c *phonewire.Claims) { c.Tenant = odd }
			_, err = p.Self()
			wantWord(t, "tenant "+odd, err, http.StatusUnauthorized, "phone_unproven")
			p.OnClaims = func(c *phonewire.Claims) { c.ID = "0123456789abcdef" + odd }
			name := "Renamed" + odd
			if _, err = p.Change(phonewire.Change{Name: &name}); err != nil {
				t.Errorf("an odd name and an odd jti: %v", err)
			}
			p.OnClaims = nil
			_, err = p.Deny(url.PathEscape(odd), false)
			wantWord(t, "request "+odd, err, http.StatusNotFound, "request_unknown")
		}
	})
}
