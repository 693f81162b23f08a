package hello

import (
	"time"

	"github.com/signetid/signet/internal/method"
)

// Shape is how keys look in the Graph-shaped API (entra-behaviours.md §2.1),
// with what that has no place for behind the others: when a key was last used,
// and that its device is gone.
func (m *Room) Shape() method.Shape {
	return method.Shape{
		Collection: "windowsHelloForBusinessMethods", Type: "windowsHelloForBusinessAuthenticationMethod",
		Fields: func(c method.Credential) map[string]any {
			strength := "normal"
			if c.Weak {
				strength = "weak"
			}
			out := map[string]any{
				"displayName": c.Name, "keyStrength": strength, "device": nil, "isOrphaned": c.Orphaned, "lastUsedDateTime": nil,
			}
			if !c.Orphaned {
				out["device"] = map[string]any{"id": c.Facts.Device, "deviceId": c.Facts.Device}
			}
			if !c.LastUsed.IsZero() {
				out["lastUsedDateTime"] = c.LastUsed.UTC().Format(time.RFC3339)
			}
			return out
		},
	}
}
