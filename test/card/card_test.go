package card

import (
	"slices"
	"strings"
	"testing"
)

// TestCard signs in to the application with each kind of card, in both versions
// of TLS, as one factor and as several.
func TestCard(t *testing.T) {
	o := NewOffice(t)
	ada := o.Users[0]
	for _, kind := range []Kind{RSA, P256} {
		for _, c := range []struct {
			policy string
			multi  bool
		}{{SoftPolicy, false}, {CardPolicy, true}} {
			card := o.issue(kind, ada, Policies(c.policy))
			for _, version := range []string{"1.2", "1.3"} {
				b := o.at(card)
				b.TLS = version
				p := o.signIn(b)
				claims := o.claims(p)
				if claims["preferred_username"] != ada.Name {
					t.Fatalf("%s, TLS %s: not signed in: %d %s: %s", kind, version, p.Status, p.URL, p.Words())
				}
				amr, _ := claims["amr"].([]any)
				if slices.Contains(amr, any("mfa")) != c.multi || len(amr) == 0 {
					t.Errorf("%s, TLS %s, %s: amr is %v", kind, version, c.policy, amr)
				}
				if len(b.Handshakes) != 1 || !strings.Contains(b.Handshakes[0], "SSL connection using TLSv"+version+" ") ||
					!strings.Contains(b.Handshakes[0], "(OUT), TLS handshake, CERT verify") {
					t.Errorf("%s, TLS %s: handshakes %q", kind, version, b.Handshakes)
				}
				if all := o.latest("1"); len(all) != 1 || all[0].Outcome != "success" || all[0].Method != "certificate" ||
					!strings.Contains(all[0].Detail["certificatePolicies"], c.policy) {
					t.Errorf("%s, TLS %s: the record is %+v", kind, version, all)
				}
			}
		}
	}
}
