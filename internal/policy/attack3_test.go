package policy_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// TestAttack3_CrowdedForm: a form of less than a megabyte costs no minute of
// the processor (T64): whoever may look may plan.
func TestAttack3_CrowdedForm(t *testing.T) {
	for what, format := range map[string]string{"members": "z%d: 1\n", "no values": "? z%d\n"} {
		var form strings.Builder
		for i := range 60_000 {
			fmt.Fprintf(&form, format, i)
		}
		for where, text := range map[string]string{"at the top": form.String(), "further down": "passkey:\n  " + strings.ReplaceAll(form.String(), "\n", "\n  ")} {
			start := time.Now()
			if _, err := policy.Parse([]byte(text), nil); !errors.Is(err, idp.Invalid) {
				t.Errorf("%s %s: %v", what, where, err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("%s %s: %s for %d bytes", what, where, took, len(text))
			}
		}
	}
}
