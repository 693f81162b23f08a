package app

import (
	"context"
	"net/url"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// rooms are the methods of this house. A new one is a line here and a field,
// when it has something to configure.
type rooms struct {
	Passkeys     *passkey.Room
	Phones       *phone.Room
	Certificates *certificate.Room
	Passes       *accesspass.Method
	Hello        *hello.Room
	Platform     *platform.Room
}

// all lists the rooms in the order in which pages offer them.
func (r rooms) all() []method.Method {
	return []method.Method{r.Passkeys, r.Phones, r.Certificates, r.Hello, r.Platform, r.Passes}
}

// Purposes of sealing keys that rooms are given. A name is for ever: it is
// part of what the key is sealed with.
const (
	purposePass  = "accesspass.code"
	purposeDecoy = "passkey.decoy"
	purposeMark  = "passkey.mark"

	purposeTicket = "certificate.ticket"

	purposePhonePush  = "phone.push"
	purposePhoneCode  = "phone.code"
	purposePhoneDecoy = "phone.decoy"
)

// keyOf names a tenant's sealing key for one purpose.
func (h *House) keyOf(purpose string) func(context.Context, idp.TenantID) (*secret.Key, error) {
	return func(ctx context.Context, t idp.TenantID) (*secret.Key, error) { return h.Keys.Sealing(ctx, t, purpose) }
}

func (h *House) userByName(ctx context.Context, t idp.TenantID, name string) (idp.User, error) {
	return h.Directory.UserByName(ctx, h.DB, t, name)
}

func (h *House) user(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
	return h.Directory.User(ctx, h.DB, t, id)
}

func (h *House) openRooms() (rooms, error) {
	base, err := url.Parse(h.base)
	if err != nil {
		return rooms{}, err
	}
	macs, err := h.openPlatform()
	if err != nil {
		return rooms{}, err
	}
	keys, err := passkey.New(passkey.Config{
		DB:   h.DB,
		RPID: base.Hostname(), RPName: "Signet",
		Origins: []string{h.base}, RelatedOrigins: h.cfg.RelatedOrigins,
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PasskeyRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Passkey, err
		},
		Wishes: func(ctx context.Context, u idp.User) (policy.Wishes, error) {
			p, w, err := h.Policies.For(ctx, u.Tenant, u)
			return p.Wishes(w), err
		},
		Secret: h.keyOf(purposeDecoy),
		Mark: func(ctx context.Context) (*secret.Key, error) {
			return h.Keys.Sealing(ctx, nonce.CommonScope, purposeMark)
		},
		User:       h.user,
		UserByName: h.userByName,
		Fold:       directory.Fold,
		Models:     h.Metadata,
		Platform:   macs.Holds,
		ExtraRPID: func(ctx context.Context, t idp.TenantID) (string, error) {
			p, err := h.Policies.Get(ctx, t)
			if !p.Devices.On {
				return "", err
			}
			return p.Devices.Compat.ExtraRelyingPartyID, err
		},
		Audit: func(ctx context.Context, tx *sqldb.Tx, e audit.Event) error {
			return h.Audit.Write(ctx, tx, e)
		},
	})
	if err != nil {
		return rooms{}, err
	}
	passes := accesspass.New(accesspass.Config{
		DB: h.DB, Now: h.cfg.Now,
		Key: h.keyOf(purposePass),
		Rules: func(ctx context.Context, t idp.TenantID) (policy.AccessPassRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.AccessPass, err
		},
		May: func(ctx context.Context, t idp.TenantID, u idp.UserID) (policy.Refusal, error) {
			// Whether the account is enabled is not the question here.
			p, w, err := h.Policies.For(ctx, t, idp.User{ID: u, Tenant: t, Enabled: true})
			return p.Judge(w, policy.Use, policy.AccessPass, nil).Refusal, err
		},
		User: h.userByName,
	})
	keeper, err := h.openHello()
	if err != nil {
		return rooms{}, err
	}
	phones, err := h.openPhones(keys)
	if err != nil {
		return rooms{}, err
	}
	cards, err := h.openCertificates()
	return rooms{Passkeys: keys, Phones: phones, Certificates: cards, Passes: passes, Hello: keeper, Platform: macs}, err
}
