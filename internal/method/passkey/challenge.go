package passkey

import (
	"context"
	"encoding/base64"
	"errors"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/secret"
)

// Challenge makes the options of an assertion (WebAuthn Level 3, §7.2 steps 1
// and 2). With nobody known it reads nothing: autofill and the one button need
// no more. With a proven person it lists that person's keys; with a typed name
// it lists keys and decoys that look alike whether or not the name exists.
func (m *Room) Challenge(ctx context.Context, r method.Request) (method.Challenge, error) {
	k := keep{Purpose: purposeSignIn, Challenge: secret.Bytes(32)}
	var allow []descriptor
	var err error
	switch {
	case r.User.Known():
		k.User = r.User.ID
		allow, err = m.keysOf(ctx, r.Tenant, r.User.ID)
	case r.UserName != "":
		k.Named = true
		allow, k.User, err = m.named(ctx, r.Tenant, r.UserName)
	}
	if err != nil {
		return method.Challenge{}, err
	}
	for _, d := range allow {
		k.Allow = append(k.Allow, listed(d.ID))
	}
	show, err := encode(showRequest{
		PublicKey: requestOptions{
			Challenge: k.Challenge, Timeout: lives.Milliseconds(), RPID: m.site.rpID,
			AllowCredentials: allow, UserVerification: "required",
		},
		Mediation: "optional",
	})
	return method.Challenge{Show: show, Keep: k.bytes(), Lives: lives}, err
}

// keysOf lists the keys of somebody who has proven to be them.
func (m *Room) keysOf(ctx context.Context, tenant idp.TenantID, user idp.UserID) ([]descriptor, error) {
	rows, err := listOf(ctx, m.db, tenant, user)
	if err != nil {
		return nil, err
	}
	return descriptors(rows), nil
}

// named lists what a stranger may see who typed a name. Statements and secrets
// used are the same for a name that exists and one that does not.
func (m *Room) named(ctx context.Context, tenant idp.TenantID, name string) ([]descriptor, idp.UserID, error) {
	key, err := m.cfg.Secret(ctx, tenant)
	if err != nil {
		return nil, "", err
	}
	marks, err := m.cfg.Mark(ctx)
	if err != nil {
		return nil, "", err
	}
	rules, err := m.rules(ctx, tenant)
	if err != nil {
		return nil, "", err
	}
	user, err := m.cfg.UserByName(ctx, tenant, name)
	if err != nil && !errors.Is(err, idp.NotFound) {
		return nil, "", err
	}
	rows, err := listOf(ctx, m.db, tenant, user.ID)
	if err != nil {
		return nil, "", err
	}
	var real [][]byte
	for _, d := range descriptors(rows) {
		real = append(real, d.ID)
	}
	var allow []descriptor
	for _, id := range cover(key, marks, m.cfg.Fold(name), real, rules.limit) {
		allow = append(allow, descriptor{Type: "public-key", ID: id})
	}
	return allow, user.ID, nil
}

func descriptors(rows []listing) []descriptor {
	out := make([]descriptor, 0, len(rows))
	for _, r := range rows {
		id, err := base64.RawURLEncoding.DecodeString(string(r.id))
		if err == nil && !r.disabled {
			out = append(out, descriptor{Type: "public-key", ID: id, Transports: r.transports})
		}
	}
	return out
}

// KeepFrom makes what Verify needs of a nonce that the server gave out and a
// device used as the challenge. A nonce under 16 bytes verifies nothing.
func (m *Room) KeepFrom(nonce []byte) []byte {
	return keep{Purpose: purposeOnce, Challenge: nonce}.bytes()
}
