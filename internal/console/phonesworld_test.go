package console

import (
	"context"
	"slices"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
)

// pocket is a room of phones that are what a test says they are.
type pocket struct {
	phones map[idp.UserID][]phone.Phone
	blocks map[idp.UserID][]phone.Block
	says   phonewire.Tested
	tested []idp.CredentialID
}

func (*pocket) ID() idp.MethodID { return policy.Phone }
func (*pocket) Challenge(context.Context, method.Request) (method.Challenge, error) {
	return method.Challenge{}, idp.Unprovenf("stub", "no challenge here")
}
func (*pocket) Verify(context.Context, method.Answer) (method.Verdict, error) {
	return method.Verdict{}, idp.Unprovenf("stub", "no proof here")
}
func (p *pocket) List(_ context.Context, t idp.TenantID, u idp.UserID) (out []method.Credential, _ error) {
	for _, one := range p.phones[u] {
		out = append(out, method.Credential{ID: one.ID, Tenant: t, User: u, Method: policy.Phone, Mode: idp.ModePhone, Name: "Phone " + string(one.ID), Model: one.App, Disabled: one.Gone})
	}
	return out, nil
}
func (*pocket) Rename(context.Context, *sqldb.Tx, idp.TenantID, idp.UserID, idp.CredentialID, string) error {
	return idp.NotFoundf("stub", "none")
}
func (p *pocket) Remove(_ context.Context, _ *sqldb.Tx, _ idp.TenantID, u idp.UserID, id idp.CredentialID) error {
	n := len(p.phones[u])
	p.phones[u] = slices.DeleteFunc(slices.Clone(p.phones[u]), func(one phone.Phone) bool { return one.ID == id })
	if len(p.phones[u]) == n {
		return idp.NotFoundf("phone_missing", "%s", id)
	}
	return nil
}
func (p *pocket) Count(ctx context.Context, _ *sqldb.Tx, t idp.TenantID, u idp.UserID) (int, error) {
	all, err := p.List(ctx, t, u)
	return len(all), err
}
func (p *pocket) Walk(ctx context.Context, t idp.TenantID, fn func(method.Credential) error) error {
	for u := range p.phones {
		all, _ := p.List(ctx, t, u)
		for _, c := range all {
			if err := fn(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pocket) Phones(_ context.Context, _ idp.TenantID, u idp.UserID) ([]phone.Phone, error) {
	return p.phones[u], nil
}
func (p *pocket) Test(_ context.Context, _ idp.TenantID, u idp.UserID, id idp.CredentialID) (phonewire.Tested, error) {
	if !slices.ContainsFunc(p.phones[u], func(one phone.Phone) bool { return one.ID == id }) {
		return phonewire.Tested{}, idp.NotFoundf("phone_missing", "%s", id)
	}
	p.tested = append(p.tested, id)
	return p.says, nil
}
func (p *pocket) Blocks(_ context.Context, _ idp.TenantID, u idp.UserID) ([]phone.Block, error) {
	return p.blocks[u], nil
}
func (p *pocket) Blocked(context.Context, idp.TenantID) (out []idp.UserID, _ error) {
	for u, all := range p.blocks {
		if slices.ContainsFunc(all, func(b phone.Block) bool { return b.Address == "" }) {
			out = append(out, u)
		}
	}
	return out, nil
}
func (p *pocket) Unblock(_ context.Context, tx *sqldb.Tx, _ idp.TenantID, u idp.UserID) error {
	if len(p.blocks[u]) == 0 {
		return idp.NotFoundf("phone_not_blocked", "%s", u)
	}
	tx.OnCommit(func() { delete(p.blocks, u) })
	return nil
}

// carries gives somebody a phone that was seen just now.
func (w *world) carries(u idp.User, id idp.CredentialID, change func(*phone.Phone)) {
	p := phone.Phone{ID: id, Platform: "Android", App: "Signet 1.2", Push: "webpush", Seen: w.Now().Add(-time.Hour)}
	if change != nil {
		change(&p)
	}
	w.phones.phones[u.ID] = append(w.phones.phones[u.ID], p)
}
