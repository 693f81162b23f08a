package userkey

import (
	"context"

	"github.com/signetid/signet/internal/idp"
)

// Kept is the key that a device keeps under that name, whoever's it is; NotFound
// when there is none. The caller has verified that the device asks.
func (s *Store[C]) Kept(ctx context.Context, t idp.TenantID, d idp.DeviceID, kid []byte) (Key, error) {
	return s.kept(ctx, t, d, kid)
}
