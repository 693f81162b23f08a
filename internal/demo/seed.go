package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// Maker makes the demo tenant in a house.
type Maker struct {
	DB        *sqldb.DB
	Directory *directory.Directory
	Clients   *client.Registry
	Passes    *accesspass.Method
	Policies  *policy.Store
	Audit     *audit.Log
	Now       func() time.Time

	BaseURL string // of the pages
	AppURL  string // of the demo app
	// TLSBaseURL and CAFile are told to people and scripts, no more.
	TLSBaseURL, CAFile string
	Issuer             func(idp.TenantID) string // the address of the tenant's OpenID provider
	// Keys makes the tenant's keys that passes need: a key is made in a
	// transaction of its own, so not in the one that issues a pass.
	Keys func(context.Context, idp.TenantID) error
}

// Made is what a start of the demo gives: facts for people and scripts, and
// the app's secret, which only the app gets.
type Made struct {
	Facts
	Secret string
}

// Make brings the demo tenant, its people and its app into being where they
// are not there yet, and gives everybody a new pass.
func (m Maker) Make(ctx context.Context) (Made, error) {
	made, err := m.settle(ctx)
	if err != nil {
		return Made{}, fmt.Errorf("make the demo: %w", err)
	}
	t := idp.TenantID(made.TenantID)
	if err := m.Keys(ctx, t); err != nil {
		return Made{}, fmt.Errorf("make the demo's keys: %w", err)
	}
	err = m.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		for i := range made.Users {
			if err := m.pass(ctx, tx, t, &made.Users[i]); err != nil {
				return fmt.Errorf("issue a pass for %s: %w", made.Users[i].UserName, err)
			}
		}
		return nil
	})
	return made, err
}

// settle makes tenant, app and people in one transaction.
func (m Maker) settle(ctx context.Context) (made Made, err error) {
	err = m.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		t, err := m.tenant(ctx, tx)
		if err != nil {
			return err
		}
		made = Made{Facts: Facts{ // anew each time: this may run twice
			BaseURL: m.BaseURL, AccountURL: m.BaseURL + "/account", AppURL: m.AppURL,
			TenantID: string(t.ID), TenantDomain: t.Domain, TenantName: t.Name, Issuer: m.Issuer(t.ID),
			TLSBaseURL: m.TLSBaseURL, CAFile: m.CAFile,
		}}
		c, secret, err := m.app(ctx, tx, t.ID)
		if err != nil {
			return err
		}
		made.ClientID, made.Secret = string(c.ID), secret
		for _, p := range People {
			fact, err := m.person(ctx, tx, t, p)
			if err != nil {
				return err
			}
			made.Users = append(made.Users, fact)
		}
		return nil
	})
	return made, err
}

func (m Maker) tenant(ctx context.Context, tx *sqldb.Tx) (idp.Tenant, error) {
	all, err := m.Directory.Tenants(ctx)
	if err != nil {
		return idp.Tenant{}, err
	}
	for _, t := range all {
		if t.Domain == TenantDomain {
			return t, nil
		}
	}
	t, err := m.Directory.CreateTenant(ctx, tx, idp.Tenant{Name: TenantName, Domain: TenantDomain})
	if err != nil {
		return t, err
	}
	if err := m.note(ctx, tx, t.ID, "tenant.create", nil); err != nil {
		return t, err
	}
	return t, m.open(ctx, tx, t.ID)
}

// open switches on, in a tenant that was just made, what is off until an
// administrator wants it: devices, their keys, those of Macs, phones, and codes
// typed elsewhere. It is a place to try things; nothing of it comes back once it
// was switched off.
func (m Maker) open(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	p, err := m.Policies.Load(ctx, tx, t)
	if err != nil {
		return err
	}
	p = p.Clone()
	p.Devices.On, p.Devices.DeviceCode = true, true
	p.Switch(policy.Hello, true)
	p.Switch(policy.Platform, true)
	p.Switch(policy.Phone, true)
	if err := m.Policies.Put(ctx, tx, t, p); err != nil {
		return err
	}
	return m.note(ctx, tx, t, "policy.set", nil)
}

// app registers the demo app, or moves it to where it is this time and gives
// it a new secret: nobody kept the last one.
func (m Maker) app(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) (client.Client, string, error) {
	want := client.Client{
		Tenant: t, Name: AppName, Kind: client.Web, Auth: client.AuthBasic, Enabled: true, FirstParty: true,
		Grants:         []string{client.GrantCode, client.GrantRefresh},
		RedirectURIs:   []string{m.AppURL + "/callback"},
		PostLogoutURIs: []string{m.AppURL + "/"},
		Scopes:         []string{"openid", "profile", "offline_access"},
	}
	c, err := m.Clients.ByName(ctx, tx, t, AppName)
	if errors.Is(err, idp.NotFound) {
		c, secret, err := m.Clients.Create(ctx, tx, want)
		if err != nil {
			return c, "", err
		}
		return c, secret, m.note(ctx, tx, t, "app.create", map[string]string{"app": string(c.ID)})
	}
	if err != nil {
		return c, "", err
	}
	c.RedirectURIs, c.PostLogoutURIs = want.RedirectURIs, want.PostLogoutURIs
	if c, err = m.Clients.Update(ctx, tx, c); err != nil {
		return c, "", err
	}
	// The newest secret stays, so the new one comes after the others went.
	if _, err := m.Clients.DropOldSecrets(ctx, tx, t, c.ID); err != nil {
		return c, "", err
	}
	secret, err := m.Clients.AddSecret(ctx, tx, t, c.ID)
	return c, secret, err
}

func (m Maker) person(ctx context.Context, tx *sqldb.Tx, t idp.Tenant, p Person) (PersonFact, error) {
	name := p.Name + "@" + t.Domain
	u, err := m.Directory.UserByName(ctx, tx, t.ID, name)
	if errors.Is(err, idp.NotFound) {
		u, err = m.Directory.CreateUser(ctx, tx, idp.User{Tenant: t.ID, Name: name, DisplayName: p.DisplayName, Enabled: true})
		if err == nil && p.Role != "" {
			err = m.Directory.SetRole(ctx, tx, t.ID, u.ID, p.Role)
		}
		if err == nil {
			err = m.note(ctx, tx, t.ID, "user.create", map[string]string{"user": string(u.ID)})
		}
	}
	return PersonFact{ID: string(u.ID), UserName: u.Name, DisplayName: u.DisplayName, Role: p.Role}, err
}

func (m Maker) pass(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, p *PersonFact) error {
	user := idp.UserID(p.ID)
	code, pass, err := m.Passes.Issue(ctx, tx, t, user, accesspass.Options{Lifetime: PassLife, Once: true})
	if errors.Is(err, idp.Denied) {
		return nil // somebody has switched passes off in this demo
	}
	if err != nil {
		return err
	}
	p.AccessPass, p.Expires = code, m.Now().Add(PassLife)
	return m.Audit.Write(ctx, tx, audit.Event{
		Tenant: t, Category: audit.Change, Activity: "tap.issue", Outcome: audit.Success, Actor: "demo",
		User: user, UserName: p.UserName, Method: accesspass.ID, Credential: pass.ID,
	})
}

func (m Maker) note(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, activity string, detail map[string]string) error {
	return m.Audit.Write(ctx, tx, audit.Event{
		Tenant: t, Category: audit.Change, Activity: activity, Outcome: audit.Success, Actor: "demo", Detail: detail,
	})
}
