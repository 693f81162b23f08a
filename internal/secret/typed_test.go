package secret_test

import (
	"strings"
	"testing"

	"github.com/signetid/signet/internal/secret"
)

func TestTyped(t *testing.T) {
	code := secret.Typed(12)
	if len(code) != 12 || strings.Trim(code, secret.TypedAlphabet) != "" || code == secret.Typed(12) {
		t.Errorf("code %q", code)
	}
	if got, ok := secret.ReadTyped(" "+strings.ToLower(secret.Spell(code)), 12); !ok || got != code {
		t.Errorf("read %q as %q, %v", code, got, ok)
	}
	for typed, want := range map[string]string{"oO-iI-lL": "001111", "k7qf\u00a02m9x": "K7QF2M9X", "": "", "K7QF-2M9X-4B8D": "-", "K7QU": "-", "K7Ä": "-"} {
		got, ok := secret.ReadTyped(typed, 8)
		if ok != (want != "-") || ok && got != want {
			t.Errorf("read %q as %q, %v", typed, got, ok)
		}
	}
	if got := secret.Spell("K7QF2M9X4"); got != "K7QF-2M9X-4" {
		t.Errorf("spelt %q", got)
	}
}
