package app

import (
	"context"
	"net/netip"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/place"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
)

// openPhones opens the room of the phones that approve sign-ins. All WebAuthn in
// it is the passkey room's.
func (h *House) openPhones(keys phone.Passkeys) (*phone.Room, error) {
	return phone.New(phone.Config{
		DB: h.DB, Now: h.cfg.Now, Bus: h.bus, BaseURL: h.base,
		Rules: func(ctx context.Context, t idp.TenantID) (policy.PhoneRules, error) {
			p, err := h.Policies.Get(ctx, t)
			return p.Phone, err
		},
		For: func(ctx context.Context, u idp.User) (policy.PhoneFor, error) {
			p, w, err := h.Policies.For(ctx, u.Tenant, u)
			return p.PhoneFor(w), err
		},
		May: func(ctx context.Context, u idp.User) (policy.Refusal, error) {
			// Whether the account is enabled is not the question here.
			u.Enabled = true
			p, w, err := h.Policies.For(ctx, u.Tenant, u)
			return p.Judge(w, policy.Use, policy.Phone, nil).Refusal, err
		},
		Fold: directory.Fold,
		Tenant: func(ctx context.Context, t idp.TenantID) (idp.Tenant, error) {
			return h.Directory.Tenant(ctx, t)
		},
		User: func(ctx context.Context, t idp.TenantID, id idp.UserID) (idp.User, error) {
			return h.Directory.User(ctx, h.DB, t, id)
		},
		UserByName: h.userByName,
		Seal:       h.keyOf(purposePhonePush),
		Code: func(ctx context.Context) (*secret.Key, error) {
			return h.Keys.Sealing(ctx, nonce.CommonScope, purposePhoneCode)
		},
		Decoy:    h.keyOf(purposePhoneDecoy),
		Passkeys: keys,
		Push:     h.Push,
		Place:    h.whereIs,
		Remove: func(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
			// As its owner does it, so that the last way in stays.
			return h.Corridor.RemoveFor(ctx, t, u, phone.ID, id, string(u), signin.Peer{})
		},
		Kick:  func(job string) { h.jobs.Kick(job) },
		Audit: h.Audit.Write,
	})
}

// whereIs says where an address is, as far as the table of places knows. What
// is no address is nowhere.
func (h *House) whereIs(ip string) phone.Where {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return phone.Where{Kind: place.Unknown}
	}
	at := h.Places.Look(addr)
	return phone.Where{Kind: at.Kind, Country: at.Country, Network: at.Network, Hosting: at.Hosting}
}
