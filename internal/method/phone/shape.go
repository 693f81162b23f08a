package phone

import (
	"time"

	"github.com/signetid/signet/internal/method"
)

// deviceTag is what Graph calls an app that holds its own key [K]
// (entra-behaviours.md §2.1).
const deviceTag = "SoftwareTokenActivated"

// Shape is how phones look in the Graph-shaped API (entra-behaviours.md §2.1),
// with what that has no place for behind the others: when a phone was last used,
// and that it cannot be, because its passkey is gone.
func (m *Room) Shape() method.Shape {
	return method.Shape{
		Collection: "microsoftAuthenticatorMethods", Type: "microsoftAuthenticatorAuthenticationMethod",
		Fields: func(c method.Credential) map[string]any {
			out := map[string]any{
				"displayName": c.Name, "deviceTag": deviceTag, "phoneAppVersion": c.Model, "device": nil,
				"isUsable": c.Usable(), "lastUsedDateTime": nil,
			}
			if !c.LastUsed.IsZero() {
				out["lastUsedDateTime"] = c.LastUsed.UTC().Format(time.RFC3339)
			}
			return out
		},
	}
}
