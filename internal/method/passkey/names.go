package passkey

import (
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/method"
)

// maxName is how long a name of a passkey, and each name of a person in the
// options, may be: authenticators keep 64 bytes (WebAuthn Level 3, §6.4.1).
const maxName = 64

// suggest is the name of a key that its owner did not name: its model, or what
// its transports tell, with a number when they have one of that name.
func suggest(model string, transports []string, taken []string) string {
	base := cleanName(model)
	if base == "" {
		base = "Passkey"
		switch joined := " " + strings.Join(transports, " ") + " "; {
		case strings.Contains(joined, " internal "):
			base = "This device"
		case strings.Contains(joined, " usb "), strings.Contains(joined, " nfc "):
			base = "Security key"
		case strings.Contains(joined, " hybrid "):
			base = "Phone"
		}
	}
	name := base
	for n := 2; contains(taken, name); n++ {
		name = base + " " + strconv.Itoa(n)
	}
	return name
}

func contains(all []string, name string) bool {
	for _, s := range all {
		if strings.EqualFold(s, name) {
			return true
		}
	}
	return false
}

// cleanName makes of what somebody typed a name that can stand in any list.
func cleanName(s string) string { return method.CleanName(s, maxName) }
