package graph

import (
	"context"
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
)

// readPeople are the permissions to see more of people than that they are.
var readPeople = []string{"User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", "Directory.Read.All"}

// peopleOf shows people by their ids. Who may see devices and not people sees
// ids, as in Graph (security.md ADM03).
func (c *call) peopleOf(ctx context.Context, ids []idp.UserID) ([]entity, error) {
	whole := c.caller.cli != "" || c.caller.has(readPeople)
	out := []entity{}
	for _, id := range ids {
		u, err := c.cfg.Directory.User(ctx, c.cfg.DB, c.tenant.ID, id)
		if errors.Is(err, idp.NotFound) {
			continue // removed between the two reads
		}
		if err != nil {
			return nil, err
		}
		e := entity{"id": u.ID}
		if whole {
			e = userEntity(directory.Person{User: u})
		}
		e["@odata.type"] = "#microsoft.graph.user"
		out = append(out, e)
	}
	return out, nil
}

func listOwners(ctx context.Context, c *call) (any, error) {
	d, err := c.machine(ctx)
	if err != nil {
		return nil, err
	}
	owners, err := c.peopleOf(ctx, []idp.UserID{d.Owner})
	return list{items: owners}, err
}

func listDeviceUsers(ctx context.Context, c *call) (any, error) {
	d, err := c.machine(ctx)
	if err != nil {
		return nil, err
	}
	s, err := c.standing(ctx, d)
	if err != nil {
		return nil, err
	}
	ids := []idp.UserID{d.Owner}
	for _, u := range s.Holders {
		if !slices.Contains(ids, u) {
			ids = append(ids, u)
		}
	}
	people, err := c.peopleOf(ctx, ids)
	return list{items: people}, err
}

// addOwner takes the word of a machine that has just joined, whose it is
// (device-protocol.md §9.9). It is known already; another owner is refused, so
// that nobody gives away a machine that vouches for people.
func addOwner(ctx context.Context, c *call) (any, error) {
	var in struct {
		ODataType *string `json:"@odata.type"`
		ID        string  `json:"@odata.id"`
	}
	if err := c.body(&in); err != nil {
		return nil, err
	}
	id := strings.ToLower(path.Base(in.ID))
	if !isGUID(id) {
		return nil, badProperty("@odata.id", "@odata.id is the address of a person and ends in their id.")
	}
	d, err := c.machine(ctx)
	if err != nil {
		return nil, err
	}
	if d.Owner != idp.UserID(id) {
		return nil, idp.Invalidf("owner_fixed", "device %s belongs to somebody else", d.ID).On("registeredOwners").
			Say("The owner of a device is who joined it. To change the owner, remove the device and let the other person join it.")
	}
	return nil, nil
}

func listOwned(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Devices.Owned(ctx, c.tenant.ID, u.ID)
	if err != nil {
		return nil, err
	}
	return c.devicePage(all)
}

func listRegistered(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Devices.Owned(ctx, c.tenant.ID, u.ID)
	if err != nil {
		return nil, err
	}
	held, err := c.cfg.Corridor.Credentials(ctx, c.tenant.ID, u.ID)
	if err != nil {
		return nil, err
	}
	for _, cred := range held {
		id := cred.Facts.Device
		if id == "" || cred.Orphaned || slices.ContainsFunc(all, func(d device.Device) bool { return d.ID == id }) {
			continue
		}
		d, err := c.cfg.Devices.Load(ctx, c.cfg.DB, c.tenant.ID, id)
		if errors.Is(err, idp.NotFound) {
			continue // removed between the two reads
		}
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return c.devicePage(all)
}

func (c *call) devicePage(all []device.Device) (any, error) {
	out := make([]entity, 0, len(all))
	for _, d := range all {
		e, err := deviceEntity(d)
		if err != nil {
			return nil, err
		}
		e["@odata.type"] = "#microsoft.graph.device"
		out = append(out, e)
	}
	return c.part(out)
}

// part is the page that is asked for of a list that is short enough to be read
// whole: its cursor is how many came before.
func (c *call) part(all []entity) (list, error) {
	from := 0
	if c.query.after != "" {
		n, err := strconv.Atoi(c.query.after)
		if err != nil || n < 0 {
			return list{}, badOption("$skiptoken", "The skip token is none that this list gave.")
		}
		from = min(n, len(all))
	}
	to := len(all)
	if c.query.top > 0 {
		to = min(to, from+c.query.top)
	}
	out := list{items: all[from:to]}
	if to < len(all) {
		out.next = strconv.Itoa(to)
	}
	return out, nil
}
