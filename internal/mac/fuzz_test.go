package mac_test

import (
	"strings"
	"testing"

	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/secret"
)

// Whatever a Mac sends as a context, what opens is one that was made, for that
// holder, in its one spelling.
func FuzzContext(f *testing.F) {
	sealing := secret.RandomKey()
	h := mac.Holder{Tenant: tenant, Device: someDevice, User: ada, Purpose: mac.UserUnlock}
	his := h
	his.User = bob
	made := mac.ContextOf(h, sealing, "the key")
	for _, seed := range []string{made, mac.ContextOf(his, sealing, "the key"), "", "!", made + "=", made + "\n", strings.Repeat("A", 600)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := mac.OpenContext(h, sealing, text)
		if (err == nil) != (text == made) || err == nil && id != "the key" || err != nil && reason(err) != "invalid key_context" {
			t.Fatalf("%q opens as %q, %v", text, id, err)
		}
	})
}

// Whatever a Mac says of its hardware fits its column, and stays as it is when it
// is cleaned again.
func FuzzCleanSerial(f *testing.F) {
	for _, seed := range []string{"C02XK1ABJG5J", " c02 ", "00008103-000a1b2c3d4e5f60", "ſ", "\x00", strings.Repeat("ß", 40)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := mac.CleanSerial(text)
		if len(got) > 64 || mac.CleanSerial(got) != got || strings.Trim(got, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
			t.Fatalf("%q is %q", text, got)
		}
	})
}
