package app

import (
	"context"

	"github.com/signetid/signet/internal/console"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/psso"
)

// macPages is what the console knows of Macs.
func (h *House) macPages() *console.Macs {
	app, _, placeholder := h.cfg.programs()
	return &console.Macs{
		Registry: h.Macs,
		Profile: func(ctx context.Context, t idp.TenantID, ask console.MacProfileAsk) (console.MacProfile, error) {
			if app == "" {
				return console.MacProfile{}, nil
			}
			file, err := h.MacProfile(ctx, t, psso.ProfileAsk{Token: ask.Token, Direct: ask.Direct})
			return console.MacProfile{File: file, App: app, Demo: placeholder}, err
		},
	}
}

// macKeyRules are the tenant's rules about the keys that Macs keep for people.
func (h *House) macKeyRules(ctx context.Context, t idp.TenantID) (policy.PlatformRules, error) {
	p, err := h.Policies.Get(ctx, t)
	return p.Platform, err
}

// serials gives the serial numbers of those devices that are Macs.
func (h *House) serials(ctx context.Context, t idp.TenantID, devices []idp.DeviceID) (map[idp.DeviceID]string, error) {
	macs, err := h.Macs.List(ctx, t, devices)
	out := make(map[idp.DeviceID]string, len(macs))
	for id, m := range macs {
		out[id] = m.Serial
	}
	return out, err
}
