package app

import (
	"context"

	"github.com/signetid/signet/internal/hygiene"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// openHygiene lets keys be listed and cleared. What goes and what comes back
// goes through the corridor, like every other removal.
func (h *House) openHygiene() *hygiene.Keeper {
	type many = func(context.Context, idp.TenantID, []signin.Named, signin.Cleaning) ([]error, error)
	through := func(do many) func(context.Context, idp.TenantID, []hygiene.Key, hygiene.Options, bool) ([]error, error) {
		return func(ctx context.Context, t idp.TenantID, keys []hygiene.Key, o hygiene.Options, try bool) ([]error, error) {
			list := make([]signin.Named, len(keys))
			for i, k := range keys {
				list[i] = signin.Named{User: k.User, Method: k.Method, Credential: k.ID}
			}
			return do(ctx, t, list, signin.Cleaning{Actor: o.Actor, Try: try, Progress: o.Progress})
		}
	}
	return hygiene.New(hygiene.Config{
		DB: h.DB, Directory: h.Directory, Rooms: []hygiene.Lister{h.Hello, h.Platform, h.Passkeys},
		Rules: func(ctx context.Context, t idp.TenantID) (policy.HelloRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Hello, err
		},
		Macs: func(ctx context.Context, t idp.TenantID) (policy.PlatformRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Platform, err
		},
		Clean: through(h.Corridor.Clean), Restore: through(h.Corridor.Restore), Removed: h.Corridor.Removed,
	})
}
