package app

import (
	"context"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/portal"
)

// phonePages says what the phone room knows in the portal's words.
func (h *House) phonePages() *portal.Phones {
	return &portal.Phones{
		Enrolment: func(ctx context.Context, t idp.TenantID, u idp.UserID, id string) (portal.PhoneEnrolment, error) {
			e, err := h.Phones.Enrolment(ctx, t, u, id)
			if err == nil && e.State != phone.EnrolmentOpen && e.State != phone.EnrolmentAnswered {
				err = idp.NotFoundf("enrolment_over", "enrolment %.40q of %s is %s", id, u, e.State)
			}
			return portal.PhoneEnrolment{
				Answered: e.State == phone.EnrolmentAnswered, Words: e.Words, Name: e.Phone, Platform: e.System, Expires: e.Expires,
			}, err
		},
		Enrolled: h.Phones.Enrolled,
		Withdraw: h.Phones.WithdrawEnrolment,
		List: func(ctx context.Context, t idp.TenantID, u idp.UserID) ([]portal.Phone, error) {
			all, err := h.Phones.Phones(ctx, t, u)
			out := make([]portal.Phone, len(all))
			for i, p := range all {
				out[i] = portal.Phone{ID: p.ID, Passkey: p.Passkey, PasskeyGone: p.Gone, Platform: p.Platform, Push: p.Push}
			}
			return out, err
		},
		Holding: func(ctx context.Context, t idp.TenantID, u idp.UserID) (portal.Holding, error) {
			all, err := h.Phones.Phones(ctx, t, u)
			if err != nil {
				return portal.Holding{}, err
			}
			p, err := h.Policies.Get(ctx, t)
			return portal.Holding{Held: len(all), Limit: p.Phone.Limit, WarnAt: p.Phone.WarnAt}, err
		},
		Blocks: func(ctx context.Context, t idp.TenantID, u idp.UserID) ([]portal.PhoneBlock, error) {
			all, err := h.Phones.Blocks(ctx, t, u)
			out := make([]portal.PhoneBlock, len(all))
			for i, b := range all {
				out[i] = portal.PhoneBlock{Address: b.Address, Since: b.Since, Expires: b.Until}
			}
			return out, err
		},
		Test: func(ctx context.Context, t idp.TenantID, u idp.UserID, id idp.CredentialID) (string, error) {
			r, err := h.Phones.Test(ctx, t, u, id)
			return r.Result, err
		},
	}
}
