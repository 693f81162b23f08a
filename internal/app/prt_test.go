package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// broker is an application of the tenant that has refresh tokens standing on a
// PRT.
func broker(t idp.TenantID) client.Client {
	return client.Client{ID: "29d9ed98-a469-4536-ade2-f981bc1d605e", Tenant: t, Alg: "ES256", Subject: "public", Enabled: true}
}

// standing makes a PRT that stands on a credential, and a refresh token that
// stands on the PRT.
func (s *site) standing(t *testing.T, u idp.User, m idp.MethodID, c idp.CredentialID, code byte) (value, refresh string) {
	t.Helper()
	i, err := s.PRTs.Prepare(t.Context(), prt.PRT{
		Tenant: u.Tenant, User: u.ID, Device: idp.DeviceID(secret.NewUUID4()), Protocol: prt.V3, Direct: true,
		Proofs: []idp.Proof{{Tenant: u.Tenant, User: u.ID, Method: m, Credential: c}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var family idp.FamilyID
	err = s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		if err = s.PRTs.Add(ctx, tx, i); err != nil {
			return err
		}
		family, err = s.Tokens.OpenFamily(ctx, tx, token.Subject{Tenant: u.Tenant, User: u, Session: i.PRT.ID, Client: broker(u.Tenant)},
			token.CodeID{0x7f, code}) // of the far future: no sweep takes it
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return i.Value, must(s.Tokens.FirstRefresh(t.Context(), u.Tenant, family))
}

// TestSec_DEV07_WiredEnds: what ends a person's ways in ends their PRTs, and with
// a PRT ends what stands on it.
func TestSec_DEV07_WiredEnds(t *testing.T) {
	s := newSite(t, nil)
	bela := s.made.Users[1]
	b := newBrowser(t, s.BaseURL())
	b.firstDay(s, bela)
	tenant := idp.TenantID(s.made.TenantID)
	user := must(s.Directory.UserByName(t.Context(), s.DB, tenant, bela.UserName))
	var key idp.CredentialID
	for _, c := range must(s.Corridor.Credentials(t.Context(), tenant, user.ID)) {
		if c.Method == "passkey" {
			key = c.ID
		}
	}
	write := func(fn func(context.Context, *sqldb.Tx) error) func() error {
		return func() error { return s.DB.Write(t.Context(), fn) }
	}
	for n, c := range []struct {
		name string
		end  func() error
		want string
	}{
		{"nothing", func() error { return nil }, ""},
		{"sign-out everywhere", write(func(ctx context.Context, tx *sqldb.Tx) error { return s.SignOut(ctx, tx, tenant, user.ID) }), "prt_revoked"},
		{"sign-out of another person", write(func(ctx context.Context, tx *sqldb.Tx) error {
			return s.SignOut(ctx, tx, tenant, idp.UserID(secret.NewUUID4()))
		}), ""},
		{"lost passkey", func() error {
			return s.Corridor.RemoveFor(t.Context(), tenant, user.ID, "passkey", key, "cli:test", signin.Peer{})
		}, "prt_revoked"},
		{"removed person", func() error {
			return s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
				return s.Directory.DeleteUser(ctx, tx, tenant, user.ID)
			})
		}, "prt_revoked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			value, refresh := s.standing(t, user, "passkey", key, byte(n+1))
			if err := c.end(); err != nil {
				t.Fatal(err)
			}
			_, err := s.PRTs.Find(t.Context(), tenant, value)
			if got := why(err); got != c.want {
				t.Errorf("the PRT: %q, want %q", got, c.want)
			}
			_, err = s.Tokens.Refresh(t.Context(), refresh, broker(tenant), token.Presenter{})
			if (err == nil) != (c.want == "") {
				t.Errorf("what stands on it: %v", err)
			}
		})
	}
}

// TestSec_DEV07_OneEnds: a PRT that is revoked alone takes its refresh tokens
// with it, and leaves those of another.
func TestSec_DEV07_OneEnds(t *testing.T) {
	s := newSite(t, nil)
	tenant := idp.TenantID(s.made.TenantID)
	user := must(s.Directory.UserByName(t.Context(), s.DB, tenant, s.made.Users[1].UserName))
	value, refresh := s.standing(t, user, "hello", "k", 1)
	stays, staysRefresh := s.standing(t, user, "hello", "k", 2)
	o := must(s.PRTs.Find(t.Context(), tenant, value))
	if err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		return s.PRTs.RevokeDevice(ctx, tx, tenant, o.PRT.Device)
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PRTs.Find(t.Context(), tenant, value); why(err) != "prt_revoked" {
		t.Errorf("the PRT of the device: %v", err)
	}
	if _, err := s.Tokens.Refresh(t.Context(), refresh, broker(tenant), token.Presenter{}); why(err) != "refresh_revoked" {
		t.Errorf("its refresh token: %v", err)
	}
	must(s.PRTs.Find(t.Context(), tenant, stays))
	must(s.Tokens.Refresh(t.Context(), staysRefresh, broker(tenant), token.Presenter{}))
}

func why(err error) string {
	if err == nil {
		return ""
	}
	return idp.AsError(err).Reason
}

// TestSec_T39_PRTIsNoOtherToken: a PRT is taken for nothing else, and nothing
// else for a PRT.
func TestSec_T39_PRTIsNoOtherToken(t *testing.T) {
	s := newSite(t, nil)
	tenant := idp.TenantID(s.made.TenantID)
	user := must(s.Directory.UserByName(t.Context(), s.DB, tenant, s.made.Users[1].UserName))
	value, refresh := s.standing(t, user, "hello", "k", 1)
	if _, err := s.Tokens.Refresh(t.Context(), value, broker(tenant), token.Presenter{}); why(err) != "refresh_unreadable" {
		t.Errorf("as a refresh token: %v", err)
	}
	if _, err := s.Tokens.VerifyAccess(t.Context(), tenant, value); why(err) != "token_malformed" {
		t.Errorf("as an access token: %v", err)
	}
	if _, err := s.Sessions.Find(t.Context(), tenant, value); why(err) != "session_unknown" {
		t.Errorf("as a session: %v", err)
	}
	for _, purpose := range []string{nonce.ServerNonce, "prt", "code", "flow"} {
		if _, err := s.Box.Open(t.Context(), tenant, purpose, value); why(err) != "unreadable" {
			t.Errorf("as a sealed value for %s: %v", purpose, err)
		}
	}
	access, _, err := s.Tokens.Access(t.Context(), token.Subject{Tenant: tenant, User: user, Client: broker(tenant), Audience: "urn:x"})
	if err != nil {
		t.Fatal(err)
	}
	sealed := must(s.Box.Seal(t.Context(), tenant, "prt", time.Minute, make([]byte, 40)))
	for name, other := range map[string]string{
		"a refresh token": refresh, "an access token": access, "a sealed value": sealed, "a sealed value with our prefix": "1." + sealed,
		"a refresh token with our prefix": "1." + refresh,
	} {
		if _, err := s.PRTs.Find(t.Context(), tenant, other); why(err) != "prt_unreadable" {
			t.Errorf("%s as a PRT: %v", name, err)
		}
	}
	must(s.PRTs.Find(t.Context(), tenant, value))
}
