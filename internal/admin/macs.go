package admin

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

// macView is a device, and beside it what it is as a Mac.
type macView struct {
	deviceView
	Serial     string       `json:"serialNumber"`
	UDID       string       `json:"hardwareId"`
	Proven     bool         `json:"hardwareProven"` // by an attestation; else the Mac says so
	Source     mac.Source   `json:"registeredBy"`
	Token      mac.TokenID  `json:"registrationToken,omitempty"` // its id
	Registered string       `json:"keysRegistered"`
	Keys       []macKeyView `json:"keys"`
}

type macKeyView struct {
	ID       string    `json:"kid"`
	Role     mac.Role  `json:"use"`
	State    mac.State `json:"state"`
	Attested bool      `json:"attested"`
	Created  string    `json:"created"`
	Until    string    `json:"until,omitempty"`
}

func listMacs(ctx context.Context, c *call, p listParams) (any, error) {
	if c.Macs == nil || c.Devices == nil {
		return nil, missing("Macs")
	}
	all, err := c.Macs.Page(ctx, c.tenant.ID, idp.DeviceID(audit.Clean(p.After, 64)), p.Limit)
	if err != nil {
		return nil, err
	}
	out := make([]macView, 0, len(all))
	for _, m := range all {
		d, err := c.Devices.Get(ctx, m.Tenant, m.Device)
		if errors.Is(err, idp.NotFound) {
			continue // removed between the two reads
		}
		if err != nil {
			return nil, err
		}
		view := macView{
			Serial: m.Serial, UDID: m.UDID, Proven: m.Proven, Source: m.Source, Token: m.Token, Registered: stamp(m.Registered),
		}
		if view.deviceView, err = c.viewDevice(ctx, d); err != nil {
			return nil, err
		}
		for _, k := range m.Keys {
			view.Keys = append(view.Keys, macKeyView{k.ID.String(), k.Role, k.State, k.Attested, stamp(k.Created), stampOr(k.Until)})
		}
		out = append(out, view)
	}
	return out, nil
}

// macTokenView is a registration token; its value is there once.
type macTokenView struct {
	ID       mac.TokenID  `json:"id"`
	Value    string       `json:"registrationToken,omitempty"`
	Serial   string       `json:"serialNumber"`
	User     idp.UserID   `json:"userId"`
	UserName string       `json:"userPrincipalName"` // for whom; empty: for its first person
	By       string       `json:"openedBy"`          // empty: at the command line
	Note     string       `json:"note"`
	State    string       `json:"state"` // "good", "used", "expired", "revoked"
	Uses     int          `json:"uses"`
	Used     int          `json:"used"`
	Device   idp.DeviceID `json:"deviceId,omitempty"` // the last that it registered
	Created  string       `json:"created"`
	Expires  string       `json:"expires"`
	LastUsed string       `json:"lastUsed,omitempty"`
}

func (c *call) viewMacToken(ctx context.Context, t mac.Token) (macTokenView, error) {
	v := macTokenView{
		ID: t.ID, Serial: t.Serial, User: t.For, Note: t.Note, Uses: t.Uses, Used: t.Used, Device: t.Device,
		Created: stamp(t.Created), Expires: stamp(t.Expires), LastUsed: stampOr(t.LastUsed), State: "good",
	}
	switch {
	case !t.Revoked.IsZero():
		v.State = "revoked"
	case t.Used >= t.Uses:
		v.State = "used"
	case !t.Good(c.Now()):
		v.State = "expired"
	}
	var err error
	if v.UserName, err = c.ownerName(ctx, t.For); err != nil {
		return v, err
	}
	v.By, err = c.ownerName(ctx, t.By)
	return v, err
}

// issueMacParams ask for one token, or one for each of Macs.
type issueMacParams struct {
	inTenant
	User     string     `json:"user"` // for whom; of those in Macs that name nobody
	Note     string     `json:"note"`
	Uses     int        `json:"uses"` // 0: one
	Lifetime int        `json:"lifetimeInMinutes"`
	Macs     []macWants `json:"macs"`
}

type macWants struct {
	Serial string `json:"serialNumber"`
	User   string `json:"user"`
}

// mostMacTokens bounds the tokens that are issued at once.
const mostMacTokens = 5000

// issueMacTokens issues all of the tokens or none, each with its record.
func issueMacTokens(ctx context.Context, c *call, p issueMacParams) (any, error) {
	if c.Macs == nil {
		return nil, missing("Macs")
	}
	wants := p.Macs
	if len(wants) == 0 {
		wants = []macWants{{}}
	}
	switch most := int(mac.MaxTokenLife / time.Minute); {
	case len(wants) > mostMacTokens:
		return nil, idp.Invalidf("too_many", "%d tokens", len(wants)).On("macs").Say("At most " + strconv.Itoa(mostMacTokens) + " tokens are issued at once.")
	case p.Lifetime < 0 || p.Lifetime > most:
		return nil, idp.Invalidf("bad_lives", "%d minutes", p.Lifetime).On("lifetimeInMinutes").
			Say("A registration token lives for at least a minute and at most " + mac.MaxTokenLife.String() + ".")
	}
	var tokens []mac.Token
	var values []string
	err := c.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		tokens, values = tokens[:0], values[:0]
		people := make(map[string]idp.User)
		for i, w := range wants {
			t, value, err := c.issueMacToken(ctx, tx, p, w, people)
			if err != nil {
				return inRow(err, i, w, len(p.Macs))
			}
			tokens, values = append(tokens, t), append(values, value)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]macTokenView, len(tokens))
	for i, t := range tokens {
		if out[i], err = c.viewMacToken(ctx, t); err != nil {
			return nil, err
		}
		out[i].Value = values[i]
	}
	return out, nil
}

// inRow says of an error which of many Macs it is about.
func inRow(err error, i int, w macWants, of int) error {
	e := idp.AsError(err)
	if of < 2 || e == nil || e.Public == "" {
		return err
	}
	e.Public = "Mac " + strconv.Itoa(i+1) + " (" + audit.Clean(w.Serial, 64) + "): " + e.Public
	return e
}

func (c *call) issueMacToken(ctx context.Context, tx *sqldb.Tx, p issueMacParams, w macWants, people map[string]idp.User) (mac.Token, string, error) {
	ref := w.User
	if ref == "" {
		ref = p.User
	}
	var u idp.User
	if ref != "" {
		known, ok := people[directory.Fold(ref)]
		if !ok {
			var err error
			if known, err = c.findUser(ctx, tx, ref); err != nil {
				return mac.Token{}, "", err
			}
			people[directory.Fold(ref)] = known
		}
		u = known
	}
	t, value, err := c.Macs.Tokens.Issue(ctx, tx, mac.TokenRequest{
		Tenant: c.tenant.ID, For: u.ID, Serial: w.Serial, Note: p.Note, Uses: p.Uses, Lives: time.Duration(p.Lifetime) * time.Minute,
	})
	if err != nil {
		return t, "", err
	}
	e := c.event()
	e.User, e.UserName = u.ID, u.Name
	describeMacToken(&e, t)
	return t, value, c.Audit.Write(ctx, tx, e)
}

// describeMacToken says in a record which token it is about, and never its value.
func describeMacToken(e *audit.Event, t mac.Token) {
	e.Detail["token"], e.Detail["expires"], e.Detail["uses"] = string(t.ID), stamp(t.Expires), strconv.Itoa(t.Uses)
	if t.Serial != "" {
		e.Detail["serial"] = t.Serial
	}
	if t.Note != "" {
		e.Detail["note"] = t.Note
	}
}

type listMacTokensParams struct {
	listParams
	Good bool `json:"good"` // only those that may still be used
}

func listMacTokens(ctx context.Context, c *call, p listMacTokensParams) (any, error) {
	if c.Macs == nil {
		return nil, missing("Macs")
	}
	ask := mac.TokenPage{Limit: p.Limit, Good: p.Good}
	if p.After != "" {
		t, err := c.Macs.Tokens.Get(ctx, c.DB, c.tenant.ID, mac.TokenID(audit.Clean(p.After, 64)))
		if errors.Is(err, idp.NotFound) {
			return nil, gone(p.After)
		}
		if err != nil {
			return nil, err
		}
		ask.After = mac.TokenCursor(t)
	}
	all, _, err := c.Macs.Tokens.List(ctx, c.tenant.ID, ask)
	if err != nil {
		return nil, err
	}
	out := make([]macTokenView, len(all))
	for i, t := range all {
		if out[i], err = c.viewMacToken(ctx, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type macTokenParams struct {
	inTenant
	ID string `json:"id"`
}

func revokeMacToken(ctx context.Context, c *call, p macTokenParams) (any, error) {
	if c.Macs == nil {
		return nil, missing("Macs")
	}
	var t mac.Token
	err := c.change(ctx, func(ctx context.Context, tx *sqldb.Tx, e *audit.Event) (err error) {
		if t, err = c.Macs.Tokens.Revoke(ctx, tx, c.tenant.ID, mac.TokenID(audit.Clean(p.ID, 64))); err != nil {
			return err
		}
		e.User = t.For
		describeMacToken(e, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.viewMacToken(ctx, t)
}
