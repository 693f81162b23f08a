package accesspass

import (
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// Shape is how passes look in the Graph-shaped API (entra-behaviours.md §2.1
// and §11). The code itself is there only when a pass is made.
func (m *Method) Shape() method.Shape {
	return method.Shape{Collection: "temporaryAccessPassMethods", Type: "temporaryAccessPassAuthenticationMethod", Fields: func(c method.Credential) map[string]any {
		usable, why := true, "EnabledByPolicy"
		switch {
		case !m.cfg.Now().Before(c.Expires):
			usable, why = false, "Expired"
		case c.Mode == idp.ModeAccessPassOnce && !c.LastUsed.IsZero():
			usable, why = false, "OneTimeUsed"
		case c.Disabled:
			usable, why = false, "DisabledByPolicy"
		}
		return map[string]any{
			"temporaryAccessPass": nil, "startDateTime": c.Created.UTC().Format(time.RFC3339),
			"lifetimeInMinutes": int(c.Expires.Sub(c.Created) / time.Minute), "isUsableOnce": c.Mode == idp.ModeAccessPassOnce,
			"isUsable": usable, "methodUsabilityReason": why,
		}
	}}
}
