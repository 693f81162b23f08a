package admin

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/filter"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// deviceView names fields as Graph's device does, and beside them what is ours.
type deviceView struct {
	ID        idp.DeviceID     `json:"id"`
	Name      string           `json:"displayName"`
	OS        string           `json:"operatingSystem"`
	Version   string           `json:"operatingSystemVersion"`
	Trust     device.JoinType  `json:"trustType"`
	Enabled   bool             `json:"accountEnabled"`
	Owner     idp.UserID       `json:"registeredOwner"`
	OwnerName string           `json:"ownerUserPrincipalName"`
	Assurance device.Assurance `json:"assurance"`
	Software  bool             `json:"softwareKeys"`
	Created   string           `json:"registrationDateTime"`
	Seen      string           `json:"approximateLastSignInDateTime"`
	Certified string           `json:"certificateExpires"`
	Pending   string           `json:"attestationDue,omitempty"`
	*followsView
}

// followsView is what stands on a device, and goes or rests with it.
type followsView struct {
	Keys    int      `json:"helloKeys"`
	MacKeys int      `json:"platformKeys"`
	Tokens  int      `json:"primaryRefreshTokens"`
	Only    []string `json:"onlyWayInOf"`
}

type deviceParams struct {
	inTenant
	Device string `json:"device"`
}

// findDevice finds a device by its id, or by its name when only one is called
// so.
func (c *call) findDevice(ctx context.Context, ref string) (device.Device, error) {
	if c.Devices == nil {
		return device.Device{}, missing("devices")
	}
	if ref == "" {
		return device.Device{}, idp.Invalidf("no_device", "no device named").On("device").Say("Say which device is meant.")
	}
	d, err := c.Devices.Load(ctx, c.DB, c.tenant.ID, idp.DeviceID(audit.Clean(directory.Fold(ref), 64)))
	if !errors.Is(err, idp.NotFound) {
		return d, err
	}
	where, err := filter.Parse("displayName eq "+quoted(audit.Clean(ref, 256)), device.Fields)
	if err != nil {
		return device.Device{}, err
	}
	all, _, err := c.Devices.List(ctx, c.tenant.ID, device.Page{Where: where, Limit: 2})
	switch {
	case err != nil:
		return device.Device{}, err
	case len(all) == 0:
		return device.Device{}, idp.NotFoundf("device_unknown", "device %q", audit.Clean(ref, 64)).Say("There is no such device.")
	case len(all) > 1:
		return device.Device{}, idp.Invalidf("which_device", "two devices called %q", audit.Clean(ref, 64)).On("device").
			Say("Several devices are called that. Use the id: signet admin device list shows it.")
	}
	return all[0], nil
}

// quoted is a text in a filter (OData 4.01 URL Conventions, Section 5.1.1.14.1).
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// ownerName is what a person is called who may be gone.
func (c *call) ownerName(ctx context.Context, id idp.UserID) (string, error) {
	if id == "" {
		return "", nil
	}
	u, err := c.Directory.User(ctx, c.DB, c.tenant.ID, id)
	if errors.Is(err, idp.NotFound) {
		return "", nil
	}
	return u.Name, err
}

func (c *call) viewDevice(ctx context.Context, d device.Device) (deviceView, error) {
	owner, err := c.ownerName(ctx, d.Owner)
	return deviceView{
		ID: d.ID, Name: d.Name, OS: d.OS, Version: d.OSVersion, Trust: d.Join, Enabled: d.Enabled, Owner: d.Owner, OwnerName: owner,
		Assurance: d.Assurance, Software: d.Software, Created: stamp(d.Created), Seen: stampOr(d.LastSeen), Certified: stampOr(d.Certified),
		Pending: stampOr(d.Pending),
	}, err
}

// follows is what stands on a device at this moment.
func (c *call) follows(ctx context.Context, id idp.DeviceID) (*followsView, error) {
	if c.OnDevice == nil {
		return nil, nil
	}
	s, err := c.OnDevice(ctx, c.tenant.ID, id)
	if err != nil {
		return nil, err
	}
	out := &followsView{Keys: s.Keys, MacKeys: s.MacKeys, Tokens: s.Tokens, Only: []string{}}
	for _, u := range s.Only {
		name, err := c.ownerName(ctx, u)
		if err != nil {
			return nil, err
		}
		out.Only = append(out.Only, name)
	}
	return out, nil
}

type listDevicesParams struct {
	listParams
	User string `json:"user"`
}

func listDevices(ctx context.Context, c *call, p listDevicesParams) (any, error) {
	if c.Devices == nil {
		return nil, missing("devices")
	}
	page := device.Page{Limit: p.Limit}
	if p.After != "" {
		d, err := c.Devices.Load(ctx, c.DB, c.tenant.ID, idp.DeviceID(audit.Clean(p.After, 64)))
		if errors.Is(err, idp.NotFound) {
			return nil, gone(p.After)
		}
		if err != nil {
			return nil, err
		}
		page.After = device.Cursor(d)
	}
	if p.User != "" {
		u, err := c.findUser(ctx, c.DB, p.User)
		if err != nil {
			return nil, err
		}
		if page.Where, err = filter.Parse("registeredOwner eq "+quoted(string(u.ID)), device.Fields); err != nil {
			return nil, err
		}
	}
	all, _, err := c.Devices.List(ctx, c.tenant.ID, page)
	if err != nil {
		return nil, err
	}
	out := make([]deviceView, len(all))
	for i, d := range all {
		if out[i], err = c.viewDevice(ctx, d); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func showDevice(ctx context.Context, c *call, p deviceParams) (any, error) {
	d, err := c.findDevice(ctx, p.Device)
	if err != nil {
		return nil, err
	}
	view, err := c.viewDevice(ctx, d)
	if err == nil {
		view.followsView, err = c.follows(ctx, d.ID)
	}
	return view, err
}

// onDevice changes a device and shows it as it is then, with what stood on it
// before.
func (c *call) onDevice(ctx context.Context, ref string, fn func(context.Context, *sqldb.Tx, device.Device, *audit.Event) error) (any, error) {
	d, err := c.findDevice(ctx, ref)
	if err != nil {
		return nil, err
	}
	stood, err := c.follows(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	now := d
	err = c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		e.User, e.Detail["device"], e.Detail["displayName"] = d.Owner, string(d.ID), d.Name
		if stood != nil {
			e.Detail["helloKeys"], e.Detail["primaryRefreshTokens"] = strconv.Itoa(stood.Keys), strconv.Itoa(stood.Tokens)
			if stood.MacKeys > 0 {
				e.Detail["platformKeys"] = strconv.Itoa(stood.MacKeys)
			}
		}
		if err := fn(ctx, tx, d, e); err != nil {
			return err
		}
		var err error
		if now, err = c.Devices.Load(ctx, tx, d.Tenant, d.ID); errors.Is(err, idp.NotFound) {
			now, err = d, nil // it was to go
			now.Enabled = false
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	view, err := c.viewDevice(ctx, now)
	view.followsView = stood
	return view, err
}

func (c *call) switchDevice(ctx context.Context, ref string, on bool) (any, error) {
	return c.onDevice(ctx, ref, func(ctx context.Context, tx *sqldb.Tx, d device.Device, _ *audit.Event) error {
		return c.Devices.SetEnabled(ctx, tx, d.Tenant, d.ID, on)
	})
}

func disableDevice(ctx context.Context, c *call, p deviceParams) (any, error) {
	return c.switchDevice(ctx, p.Device, false)
}

func enableDevice(ctx context.Context, c *call, p deviceParams) (any, error) {
	return c.switchDevice(ctx, p.Device, true)
}

type renameDeviceParams struct {
	deviceParams
	Name string `json:"displayName"`
}

func renameDevice(ctx context.Context, c *call, p renameDeviceParams) (any, error) {
	return c.onDevice(ctx, p.Device, func(ctx context.Context, tx *sqldb.Tx, d device.Device, e *audit.Event) error {
		e.Detail["displayName"] = d.Name + " -> " + audit.Clean(p.Name, 256)
		return c.Devices.Rename(ctx, tx, d.Tenant, d.ID, p.Name)
	})
}

func removeDevice(ctx context.Context, c *call, p deviceParams) (any, error) {
	return c.onDevice(ctx, p.Device, func(ctx context.Context, tx *sqldb.Tx, d device.Device, _ *audit.Event) error {
		return c.Devices.Remove(ctx, tx, d.Tenant, d.ID)
	})
}
