package mac

import (
	"net/http"
	"testing"
	"time"

	"github.com/signetid/signet/internal/macagent"
)

// What a profile brings along registers a Mac with nobody at its keyboard; it can
// do nothing until the person whom it is for is registered on it.
func TestRegistrationToken(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	ada, bob := s.somebody(), s.somebody()
	var made []struct{ Token string }
	s.admin(&made, "mac", "token", "create", "--user", ada.upn, "--serial", "C02TEST")
	if len(made) != 1 || made[0].Token == "" {
		t.Fatalf("tokens %+v", made)
	}
	register := func(token, serial string) (*macagent.Mac, macagent.Device, error) {
		m := s.blank(t, macagent.Form{}, nil)
		d, err := m.Register(t.Context(), macagent.RegisterOptions{Name: "Stand-in", OS: "none", Serial: serial, RegistrationToken: token})
		return m, d, err
	}
	for name, bad := range map[string][2]string{
		"for another Mac": {made[0].Token, "C02OTHER"}, "of nobody's making": {made[0].Token[:len(made[0].Token)-4] + "AAAA", "C02TEST"},
	} {
		if _, d, err := register(bad[0], bad[1]); macagent.AsRefusal(err).Status != http.StatusUnauthorized {
			t.Errorf("a token %s: %+v, %v", name, d, err)
		}
	}
	m, d, err := register(made[0].Token, "C02TEST")
	if err != nil || !d.Pending || d.Until.Before(time.Now().Add(23*time.Hour)) {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, d, err := register(made[0].Token, "C02TEST"); macagent.AsRefusal(err).Status != http.StatusUnauthorized {
		t.Errorf("a token that was used: %+v, %v", d, err)
	}
	if p, err := m.RegisterUser(t.Context(), bob.token(t)); macagent.AsRefusal(err).Status != http.StatusForbidden {
		t.Errorf("somebody else's Mac: %+v, %v", p, err)
	}
	if p, err := m.RegisterUser(t.Context(), ada.token(t)); err != nil || p.Pending || p.User != ada.upn {
		t.Fatalf("%+v, %v", p, err)
	}
	login(t, m)
	// Once it is somebody's, others may use it as well.
	if p, err := m.RegisterUser(t.Context(), bob.token(t)); err != nil || p.User != bob.upn {
		t.Errorf("a second person: %+v, %v", p, err)
	}
	login(t, m)
	s.onRecord(t, "mac.token.use", "success")
}

// A token for registering that was seen on its way is of no use for other keys,
// and one that joined a device joins no other.
func TestTokenIsOfOneDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t, 1, "")
	o := s.somebody()
	token := o.token(t)
	first := s.blank(t, macagent.Form{}, nil)
	ask := macagent.RegisterOptions{Name: "Stand-in", OS: "none", AccessToken: token}
	if _, err := first.Register(t.Context(), ask); err != nil {
		t.Fatal(err)
	}
	second := s.blank(t, macagent.Form{}, nil)
	if d, err := second.Register(t.Context(), ask); macagent.AsRefusal(err).Status != http.StatusUnauthorized {
		t.Errorf("a second device by one token: %+v, %v", d, err)
	}
	if _, err := first.RegisterUser(t.Context(), token); err != nil {
		t.Errorf("the person of that token: %v", err)
	}
}
