package platform

import (
	"context"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/pssowire"
)

// Kept is the key that a Mac keeps under that name, whoever's it is; NotFound
// when there is none. The caller has verified that the Mac asks.
func (m *Room) Kept(ctx context.Context, t idp.TenantID, d idp.DeviceID, kid pssowire.KeyID) (method.Credential, error) {
	k, err := m.keys.Kept(ctx, t, d, kid[:])
	if err != nil {
		return method.Credential{}, err
	}
	on, gone, err := m.keys.Machine(ctx, t, d)
	if err != nil {
		return method.Credential{}, err
	}
	return credential(k, on, gone), nil
}
