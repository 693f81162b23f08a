package graph

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Standing is what stands on a device, and goes or rests with it.
type Standing struct {
	Holders []idp.UserID // who has a key on it, each once
	Keys    int          // Hello keys that it keeps
	MacKeys int          // Platform Credentials that it keeps
	Tokens  int          // primary refresh tokens
	Signed  []idp.UserID // who is signed in by one of these, each once
	Only    []idp.UserID // who has no other way in than a key of it
}

var lookDevices = []string{"Device.Read.All", "Device.ReadWrite.All", "Directory.Read.All"}

func deviceOperations() []operation {
	one := options{expand: []string{"registeredOwners"}}
	many := options{
		list: true, fields: device.Fields, count: true, order: []string{"registrationDateTime", "registrationDateTime asc"},
		expand: one.expand, search: []string{"displayName"},
	}
	look := read(lookDevices...)
	change := write(helpdesk, "Device.ReadWrite.All", "Directory.ReadWrite.All")
	theirs := needs{permissions: lookDevices, roles: readers, self: []string{"Device.Read", "User.Read"}}
	// What is named is the owner already, or it is refused: nothing changes, so
	// that machines may say it long after a gesture.
	own := needs{permissions: []string{"Device.ReadWrite.All", "Directory.ReadWrite.All"}, roles: helpdesk, self: theirs.self, owner: true}
	out := []operation{
		{"GET", "/devices", "devices", "List machines that have joined or are registered", look, many, listDevices},
		{"GET", "/devices/$count", "devices", "Count them", look, options{fields: device.Fields, search: many.search}, countDevices},
		{"GET", "/devices/{device}", "devices", "One machine", look, one, getDevice},
		{"PATCH", "/devices/{device}", "devices", "Switch a machine off or on, or give it another name", change, options{}, updateDevice},
		{"DELETE", "/devices/{device}", "", "Remove a machine; the keys on it sign nobody in any more", change, options{}, deleteDevice},
		{"GET", "/devices/{device}/signet.standing", "signet.standing", "What stands on a machine, and ends or rests with it", look, options{}, getStanding},
		{"GET", "/devices/{device}/registeredOwners", "directoryObjects", "Who joined a machine", look, options{}, listOwners},
		{"GET", "/devices/{device}/registeredUsers", "directoryObjects", "Who joined a machine, and who has a key on it", look, options{}, listDeviceUsers},
		{"POST", "/devices/{device}/registeredOwners/$ref", "", "Say who owns a machine; it is who joined it, and that does not change", own, options{}, addOwner},
	}
	for _, who := range []string{"/me", "/users/{user}"} {
		out = append(out,
			operation{"GET", who + "/ownedDevices", "directoryObjects", "Machines that a person joined, the newest first", theirs, options{list: true}, listOwned},
			operation{"GET", who + "/registeredDevices", "directoryObjects", "These, and the machines on which they have a key", theirs, options{list: true}, listRegistered},
		)
	}
	return out
}

// deviceEntity shows a device (entra-behaviours.md §6.1). What nobody here
// knows of it, whether it is managed or obeys rules of its own, is null. What
// Graph has no word for is ours.
func deviceEntity(d device.Device) (entity, error) {
	id, err := d.SecurityID()
	if err != nil {
		return nil, err
	}
	return entity{
		"id": d.ID, "deviceId": d.ID, "displayName": d.Name, "accountEnabled": d.Enabled, "trustType": d.Join,
		"operatingSystem": orNull(d.OS), "operatingSystemVersion": orNull(d.OSVersion),
		"registrationDateTime": stamp(d.Created), "approximateLastSignInDateTime": stamp(d.LastSeen),
		"alternativeSecurityIds": []entity{{"type": 2, "identityProvider": nil, "key": wide(id)}},
		"isCompliant":            nil, "isManaged": nil, "enrollmentType": nil, "profileType": "RegisteredDevice",
		"@signet.assurance": d.Assurance, "@signet.softwareKeys": d.Software, "@signet.certificateExpires": stamp(d.Certified),
		"@signet.attestationDue": stamp(d.Pending),
	}, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// wide is a text as Graph writes keys: base64 of UTF-16, the low byte first [K].
func wide(s string) string {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		out = binary.LittleEndian.AppendUint16(out, u)
	}
	return base64.StdEncoding.EncodeToString(out)
}

// machine finds the device of the path.
func (c *call) machine(ctx context.Context) (device.Device, error) {
	id := strings.ToLower(c.r.PathValue("device"))
	if !isGUID(id) {
		return device.Device{}, missing(idp.NotFound, id)
	}
	d, err := c.cfg.Devices.Load(ctx, c.cfg.DB, c.tenant.ID, idp.DeviceID(id))
	return d, missing(err, id)
}

// owns says whether the caller owns the device of the path.
func (c *call) owns(ctx context.Context) (bool, error) {
	d, err := c.machine(ctx)
	if errors.Is(err, idp.NotFound) {
		return false, nil
	}
	return err == nil && d.Owner == c.caller.user, err
}

func listDevices(ctx context.Context, c *call) (any, error) {
	page, next, err := c.cfg.Devices.List(ctx, c.tenant.ID, device.Page{After: c.query.after, Limit: c.limit(), Where: c.query.where})
	if err != nil {
		return nil, err
	}
	out := list{next: next}
	for _, d := range page {
		e, err := c.expandedDevice(ctx, d)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, e)
	}
	if c.query.count {
		out.total, err = c.cfg.Devices.Count(ctx, c.tenant.ID, c.query.where)
	}
	return out, err
}

func countDevices(ctx context.Context, c *call) (any, error) {
	n, err := c.cfg.Devices.Count(ctx, c.tenant.ID, c.query.where)
	return count(n), err
}

func getDevice(ctx context.Context, c *call) (any, error) {
	d, err := c.machine(ctx)
	if err != nil {
		return nil, err
	}
	return c.expandedDevice(ctx, d)
}

// expandedDevice is a device with what $expand asks for.
func (c *call) expandedDevice(ctx context.Context, d device.Device) (entity, error) {
	e, err := deviceEntity(d)
	if err != nil {
		return nil, err
	}
	for _, x := range c.query.expand {
		owners, err := c.peopleOf(ctx, []idp.UserID{d.Owner})
		if err != nil {
			return nil, err
		}
		e[x.name] = picked(owners, x.selected)
	}
	return e, nil
}

// standing is what stands on a device at this moment.
func (c *call) standing(ctx context.Context, d device.Device) (Standing, error) {
	if c.cfg.OnDevice == nil {
		return Standing{}, nil
	}
	return c.cfg.OnDevice(ctx, c.tenant.ID, d.ID)
}

func getStanding(ctx context.Context, c *call) (any, error) {
	d, err := c.machine(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.standing(ctx, d)
	if err != nil {
		return nil, err
	}
	only := append([]idp.UserID{}, s.Only...)
	return entity{"id": d.ID, "helloKeys": s.Keys, "platformKeys": s.MacKeys, "primaryRefreshTokens": s.Tokens, "onlyWayInOf": only}, nil
}

// deviceBody is what may be written of a device: Graph lets administrators
// write more, of which nothing here is true because somebody says so.
type deviceBody struct {
	ODataType *string `json:"@odata.type"`
	Name      *string `json:"displayName"`
	Enabled   *bool   `json:"accountEnabled"`
}

func (in deviceBody) activity() string {
	switch {
	case in.Enabled == nil:
		return "device.rename"
	case *in.Enabled:
		return "device.enable"
	}
	return "device.disable"
}

func updateDevice(ctx context.Context, c *call) (any, error) {
	var in deviceBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if err := (head{ODataType: in.ODataType}).is("device"); err != nil {
		return nil, err
	}
	if in.Name == nil && in.Enabled == nil {
		return nil, badProperty("", "Of a device, accountEnabled and displayName can be changed.")
	}
	ends := in.Enabled != nil && !*in.Enabled
	if c.onDesk() && (!ends || in.Name != nil) {
		return nil, denied("desk_only_stops", "The help desk may switch a device off or remove it; only a Global Administrator may switch it on or rename it.")
	}
	return nil, c.onDevice(ctx, in.activity(), ends, func(ctx context.Context, tx *sqldb.Tx, d device.Device, e *audit.Event) error {
		if in.Name != nil {
			e.Detail["displayName"] = d.Name + " -> " + audit.Clean(*in.Name, 256)
			if err := c.cfg.Devices.Rename(ctx, tx, d.Tenant, d.ID, *in.Name); err != nil {
				return err
			}
		}
		if in.Enabled == nil {
			return nil
		}
		return c.cfg.Devices.SetEnabled(ctx, tx, d.Tenant, d.ID, *in.Enabled)
	})
}

func deleteDevice(ctx context.Context, c *call) (any, error) {
	return nil, c.onDevice(ctx, "device.remove", true, func(ctx context.Context, tx *sqldb.Tx, d device.Device, _ *audit.Event) error {
		return c.cfg.Devices.Remove(ctx, tx, d.Tenant, d.ID)
	})
}

// EndedHeader tells, in an answer without a body, what ended or rests with a
// device that was switched off or removed: a dictionary of RFC 9651.
const EndedHeader = "Signet-Ended"

// onDevice changes the device of the path, and tells what ends with it in the
// record and, when ends is set, in a header.
func (c *call) onDevice(ctx context.Context, activity string, ends bool, fn func(context.Context, *sqldb.Tx, device.Device, *audit.Event) error) error {
	d, err := c.machine(ctx)
	if err != nil {
		return err
	}
	stood, err := c.standing(ctx, d)
	if err != nil {
		return err
	}
	err = c.change(ctx, activity, d.Owner, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) error {
		if err := c.overDevice(ctx, tx, d, stood); err != nil {
			return err
		}
		e.Detail["device"], e.Detail["displayName"] = string(d.ID), d.Name
		if ends {
			e.Detail["helloKeys"], e.Detail["primaryRefreshTokens"] = strconv.Itoa(stood.Keys), strconv.Itoa(stood.Tokens)
			if stood.MacKeys > 0 {
				e.Detail["platformKeys"] = strconv.Itoa(stood.MacKeys)
			}
		}
		return missing(fn(ctx, tx, d, e), string(d.ID))
	})
	if err == nil && ends {
		c.w.Header().Set(EndedHeader, fmt.Sprintf("hello-keys=%d, platform-keys=%d, primary-refresh-tokens=%d, only-way-in-of=%d", stood.Keys, stood.MacKeys, stood.Tokens, len(stood.Only)))
	}
	return err
}

// onDesk says whether the caller is of the help desk and nothing more. What
// stopped a machine may be what made its thief call there.
func (c *call) onDesk() bool {
	return c.caller.holds([]Role{AuthenticationAdministrator}) && !c.caller.holds(admins)
}

// overDevice keeps the help desk from the machines of those who stand above it
// (security.md ADM04): of their own, of those with a key that lets them in, and
// of those that they are signed in with.
func (c *call) overDevice(ctx context.Context, tx *sqldb.Tx, d device.Device, s Standing) error {
	if !c.onDesk() {
		return nil
	}
	for _, u := range slices.Concat([]idp.UserID{d.Owner}, s.Holders, s.Signed) {
		role, err := c.cfg.Directory.RoleIn(ctx, tx, c.tenant.ID, u)
		if errors.Is(err, idp.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if role != "" {
			return denied("device_of_administrator", "Somebody who has a role owns this device, or signs in with it; only a Global Administrator may do this.")
		}
	}
	return nil
}
