package app

import (
	"context"
	"net/netip"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// openPhones opens the room of the phones that approve sign-ins. All WebAuthn in
// it is the passkey room's.
func (h *House) openPhones(keys phone.Passkeys) (*phone.Room, error) {
	room, err := phone.New(phone.Config{
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
		Accepts: func(ctx context.Context, u idp.User, f idp.Facts) (policy.Refusal, error) {
			p, w, err := h.Policies.For(ctx, u.Tenant, u)
			// Who may not use passkeys on pages may have one for their phone.
			if err != nil || !p.Judge(w, policy.Use, policy.Passkey, nil).Allowed() {
				return policy.Refusal{}, err
			}
			return p.Judge(w, policy.Add, policy.Passkey, &f).Refusal, nil
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
		Place: func(ip string) phone.Where {
			addr, _ := netip.ParseAddr(ip) // none is nowhere
			a := h.Places.Look(addr)
			return phone.Where{Kind: a.Kind, Country: a.Country, Network: a.Network, Hosting: a.Hosting}
		},
		Remove: func(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) error {
			// As its owner does it, so that the last way in stays.
			return h.Corridor.RemoveFor(ctx, t, u, phone.ID, id, string(u), signin.Peer{})
		},
		Failed: func(err error) { h.cfg.Log.Warn("phones to be told", "cause", err) },
		Audit:  h.Audit.Write,
	})
	if err == nil {
		h.Push.OnGone(func(ctx context.Context, tx *sqldb.Tx, r push.Ref) error {
			return room.Unsubscribe(ctx, tx, r.Tenant, r.Phone)
		})
	}
	return room, err
}
