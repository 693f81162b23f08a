package mac

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// ByKid finds the Mac of the tenant whose key of that role has that name, and the
// key: it is asked at every login. It answers from a cache that every node
// invalidates on change; cold it costs one read. NotFound "mac_key_unknown" when
// there is none, when the key has another role, and when its rotation is over.
func (r *Registry) ByKid(ctx context.Context, t idp.TenantID, role Role, id KeyID) (Mac, Key, error) {
	m, err := r.macs.Get(ctx, place{t, id})
	if err != nil {
		return Mac{}, Key{}, err
	}
	m = m.at(r.now())
	k, ok := m.Find(role, id)
	if !ok {
		return Mac{}, Key{}, unknownKey(id)
	}
	return m, k, nil
}

// Get reads the Mac that a device of the tenant is. NotFound when it is none. In
// a transaction the rows stay as they were read until it commits.
func (r *Registry) Get(ctx context.Context, q sqldb.Querier, t idp.TenantID, d idp.DeviceID) (Mac, error) {
	m, err := load(ctx, q, t, d)
	return m.at(r.now()), err
}

// Keys lists the keys of a Mac that are accepted now, signing before encryption
// and current before pending. NotFound when the device is no Mac.
func (r *Registry) Keys(ctx context.Context, t idp.TenantID, d idp.DeviceID) ([]Key, error) {
	m, err := r.Get(ctx, r.cfg.DB, t, d)
	return m.Keys, err
}

// OfSerial finds the Macs that say that they have this serial number, newest
// first: claimed or proven (Mac.Proven).
func (r *Registry) OfSerial(ctx context.Context, q sqldb.Querier, t idp.TenantID, serial string) ([]Mac, error) {
	list, err := ofSerial(ctx, q, t, CleanSerial(serial))
	now := r.now()
	for i := range list {
		list[i] = list[i].at(now)
	}
	return list, err
}

// List reads what the devices named have as Macs, in one statement; those that
// are none are not in the map. It is for pages of a list of devices (device.Registry.List).
func (r *Registry) List(ctx context.Context, t idp.TenantID, devices []idp.DeviceID) (map[idp.DeviceID]Mac, error) {
	list, err := loadAll(ctx, r.cfg.DB, t, devices)
	if err != nil {
		return nil, err
	}
	now := r.now()
	out := make(map[idp.DeviceID]Mac, len(list))
	for _, m := range list {
		out[m.Device] = m.at(now)
	}
	return out, nil
}

// Page lists the Macs of the tenant in the order of their device ids, those after
// the given one, 100 when limit is 0 and 999 at most (decisions 3.7); fewer are
// the last.
func (r *Registry) Page(ctx context.Context, t idp.TenantID, after idp.DeviceID, limit int) ([]Mac, error) {
	if limit <= 0 {
		limit = 100
	}
	list, err := page(ctx, r.cfg.DB, t, after, min(limit, mostListed))
	now := r.now()
	for i := range list {
		list[i] = list[i].at(now)
	}
	return list, err
}

func unknownKey(id KeyID) error {
	return idp.NotFoundf("mac_key_unknown", "key %s", id).Say("This Mac is not registered.")
}

// changed tells every node which keys changed hands.
func (r *Registry) changed(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, keys []Key) error {
	if r.cfg.Bus == nil || len(keys) == 0 {
		return nil
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = hex.EncodeToString(k.ID[:])
	}
	if err := r.cfg.Bus.Publish(ctx, tx, Topic, string(t)+"/"+strings.Join(names, ",")); err != nil {
		return fmt.Errorf("tell of keys of a Mac: %w", err)
	}
	return nil
}

// forget drops what a notice is about.
func (r *Registry) forget(key string) {
	t, names, ok := strings.Cut(key, "/")
	if !ok {
		r.macs.DropAll()
		return
	}
	for name := range strings.SplitSeq(names, ",") {
		p := place{tenant: idp.TenantID(t)}
		if n, err := hex.Decode(p.id[:], []byte(name)); err != nil || n != len(p.id) {
			r.macs.DropAll()
			return
		}
		r.macs.Drop(p)
	}
}
