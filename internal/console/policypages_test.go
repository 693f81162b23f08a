package console

import (
	"testing"
)

func TestPagesOpen(t *testing.T) {
	d := newDesk(t)
	d.crowd(3)
	for _, path := range []string{"/admin/methods", "/admin/methods/passkey", "/admin/methods/passkey/new", "/admin/methods/accessPass", "/admin/methods/campaign", "/admin/methods/order", "/admin/strengths", "/admin/strengths/new"} {
		if r := d.get(path); r.status != 200 {
			t.Errorf("%s: %d %s", path, r.status, r.text())
		}
	}
}
