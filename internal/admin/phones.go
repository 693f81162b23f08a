package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Phones are the phones that approve sign-ins.
type Phones interface {
	List(context.Context, idp.TenantID, idp.UserID) ([]method.Credential, error)
	// Phones gives what List has no place for, in the same order.
	Phones(context.Context, idp.TenantID, idp.UserID) ([]phone.Phone, error)
	Test(context.Context, idp.TenantID, idp.UserID, idp.CredentialID) (phonewire.Tested, error)
	Blocks(context.Context, idp.TenantID, idp.UserID) ([]phone.Block, error)
	Unblock(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID) error
}

// phoneView names fields as Graph does, and beside them what is ours.
type phoneView struct {
	ID       idp.CredentialID `json:"id"`
	Name     string           `json:"displayName"`
	UserName string           `json:"userPrincipalName"`
	Platform string           `json:"operatingSystem"` // the phone's own word
	App      string           `json:"phoneAppVersion"`
	Push     string           `json:"push"` // "webpush", "apns", "fcm"; "none": the app asks
	Usable   bool             `json:"isUsable"`
	Gone     bool             `json:"passkeyGone"`
	Created  string           `json:"createdDateTime"`
	Used     string           `json:"lastUsedDateTime"` // empty: never
	Seen     string           `json:"lastSeenDateTime"` // when it last asked
	Address  string           `json:"lastSeenAddress"`
}

// phoneBlocksView is what reports have closed for a person.
type phoneBlocksView struct {
	phoneView
	Blocks []phoneBlockView `json:"blocks"`
}

type phoneBlockView struct {
	Address string `json:"ipAddress"` // empty: from anywhere
	Since   string `json:"since"`
	Until   string `json:"until"` // empty: until somebody lifts it
}

type phonesParams struct {
	inTenant
	User string `json:"user"`
}

type phoneParams struct {
	phonesParams
	Phone string `json:"phone"` // id or name; empty: the only one
}

// phones are those of the person that is named.
func (c *call) phones(ctx context.Context, ref string) (idp.User, []phoneView, error) {
	if c.Phones == nil {
		return idp.User{}, nil, missing("phones")
	}
	u, err := c.findUser(ctx, c.DB, ref)
	if err != nil {
		return u, nil, err
	}
	list, err := c.Phones.List(ctx, u.Tenant, u.ID)
	if err != nil {
		return u, nil, err
	}
	more, err := c.Phones.Phones(ctx, u.Tenant, u.ID)
	if err != nil {
		return u, nil, err
	}
	out := make([]phoneView, len(list))
	for i, p := range list {
		out[i] = phoneView{
			ID: p.ID, Name: p.Name, UserName: u.Name, App: p.Model, Push: "none", Usable: p.Usable(), Created: stamp(p.Created), Used: stampOr(p.LastUsed),
		}
		// It may have been removed between the two.
		if k := slices.IndexFunc(more, func(m phone.Phone) bool { return m.ID == p.ID }); k >= 0 {
			m := more[k]
			out[i].Platform, out[i].Gone, out[i].Seen, out[i].Address = m.Platform, m.Gone, stampOr(m.Seen), m.Address
			if m.Push != "" {
				out[i].Push = m.Push
			}
		}
	}
	return u, out, nil
}

// phone is the one that is named.
func (c *call) phone(ctx context.Context, p phoneParams) (idp.User, phoneView, error) {
	u, all, err := c.phones(ctx, p.User)
	if err != nil {
		return u, phoneView{}, err
	}
	var found []phoneView
	for _, one := range all {
		if p.Phone == "" || string(one.ID) == p.Phone || strings.EqualFold(one.Name, p.Phone) {
			found = append(found, one)
		}
	}
	switch {
	case len(all) == 0:
		return u, phoneView{}, idp.NotFoundf("phone_missing", "%s has none", u.ID).Say("This person has no phone.")
	case len(found) == 0:
		return u, phoneView{}, idp.NotFoundf("phone_missing", "phone %q", audit.Clean(p.Phone, 64)).Say("This person has no such phone.")
	case len(found) > 1:
		return u, phoneView{}, idp.Invalidf("which_phone", "%d phones", len(found)).On("phone").
			Say("Several phones could be meant. Name one by its id: signet admin phone list shows it.")
	}
	return u, found[0], nil
}

func listPhones(ctx context.Context, c *call, p phonesParams) (any, error) {
	_, all, err := c.phones(ctx, p.User)
	return all, err
}

func showPhone(ctx context.Context, c *call, p phoneParams) (any, error) {
	u, one, err := c.phone(ctx, p)
	if err != nil {
		return nil, err
	}
	view := phoneBlocksView{one, []phoneBlockView{}}
	blocks, err := c.Phones.Blocks(ctx, u.Tenant, u.ID)
	for _, b := range blocks {
		view.Blocks = append(view.Blocks, phoneBlockView{b.Address, stamp(b.Since), stampOr(b.Until)})
	}
	return view, err
}

// testPhone sends a phone a message. It changes nothing, but for a road that is
// found to be gone.
func testPhone(ctx context.Context, c *call, p phoneParams) (any, error) {
	u, one, err := c.phone(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := c.guardNow(ctx, u); err != nil {
		return nil, err
	}
	tested, err := c.Phones.Test(ctx, u.Tenant, u.ID, one.ID)
	return struct {
		phonewire.Tested
		ID   idp.CredentialID `json:"id"`
		Name string           `json:"displayName"`
	}{tested, one.ID, one.Name}, err
}

// guardNow is guard for what is done in no transaction of this door's.
func (c *call) guardNow(ctx context.Context, u idp.User) error {
	if c.grant == nil {
		return nil
	}
	return c.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return c.guard(ctx, tx, u) })
}

func removePhone(ctx context.Context, c *call, p phoneParams) (any, error) {
	if c.RemoveMethod == nil {
		return nil, missing("phones")
	}
	u, one, err := c.phone(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := c.guardNow(ctx, u); err != nil {
		return nil, err
	}
	return one, c.RemoveMethod(ctx, u.Tenant, u.ID, policy.Phone, one.ID, c.actor)
}

// unblockPhones opens again all that reports have closed for a person.
func unblockPhones(ctx context.Context, c *call, p phonesParams) (any, error) {
	if c.Phones == nil {
		return nil, missing("phones")
	}
	var u idp.User
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if u, err = c.findUser(ctx, tx, p.User); err != nil {
			return err
		}
		if err := c.guard(ctx, tx, u); err != nil {
			return err
		}
		e.User, e.UserName, e.Method = u.ID, u.Name, policy.Phone
		return c.Phones.Unblock(ctx, tx, u.Tenant, u.ID)
	})
	return struct {
		User idp.UserID `json:"userId"`
		Name string     `json:"userPrincipalName"`
	}{u.ID, u.Name}, err
}
