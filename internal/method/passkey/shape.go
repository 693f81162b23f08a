package passkey

import (
	"time"

	"github.com/signetid/signet/internal/method"
)

// Shape is how passkeys look in the Graph-shaped API (entra-behaviours.md
// §2.1), with what that has no place for behind the others (§14.1): when the
// key was last used.
func (m *Room) Shape() method.Shape {
	return method.Shape{Collection: "fido2Methods", Type: "fido2AuthenticationMethod", Fields: func(c method.Credential) map[string]any {
		level, kind := "notAttested", "deviceBound"
		if c.Facts.Attested {
			level = "attested"
		}
		if c.Facts.Synced {
			kind = "synced"
		}
		out := map[string]any{
			"displayName": c.Name, "aaGuid": c.Facts.AAGUID, "model": c.Model, "attestationLevel": level, "passkeyType": kind,
			"lastUsedDateTime": nil,
		}
		if !c.LastUsed.IsZero() {
			out["lastUsedDateTime"] = c.LastUsed.UTC().Format(time.RFC3339)
		}
		return out
	}}
}
