package app_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/pkix/pkixtest"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
)

// seen writes that somebody has signed in with a certificate below these
// authorities, and what they have by it.
func (s *site) seen(t *testing.T, u idp.User, id idp.CredentialID, code byte, issuers ...string) (idp.SessionID, string) {
	t.Helper()
	facts, err := json.Marshal(idp.Facts{Issuer: issuers[0], Certificate: &idp.CertificateFacts{Issuers: issuers}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var opened session.Session
	err = s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into certificate_seen (id, tenant_id, user_id, name, subject, issuer, serial, thumbprint, facts, not_after, created, last_used, removed)
			values ($1, $2, $3, 'Badge', 'CN=x', 'CN=y', '1', '00', $4, $5, $6, $6, 0)`,
			id, u.Tenant, u.ID, string(facts), now.Add(time.Hour).UnixMilli(), now.UnixMilli())
		if err != nil {
			return err
		}
		opened, _, err = s.Sessions.Open(ctx, tx, session.Session{Tenant: u.Tenant, User: u.ID,
			Proofs: []idp.Proof{{Tenant: u.Tenant, User: u.ID, Method: certificate.ID, Credential: id, Time: now}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, refresh := s.standing(t, u, certificate.ID, id, code)
	return opened.ID, refresh
}

// TestSec_CBA13_SessionsOfAnAuthority: what people have by certificates below an
// authority is ended on demand, also when it was removed; what others have by
// another stays.
func TestSec_CBA13_SessionsOfAnAuthority(t *testing.T) {
	s := newSite(t, nil)
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	tenant := idp.TenantID(s.made.TenantID)
	now := time.Now()
	root := pkixtest.Root(t, "Root", now)
	low, other := root.Sub("People", now), root.Sub("Others", now)
	var made []trust.Authority
	err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, err = s.Trust.Add(ctx, tx, tenant, "", []trust.Offer{{Cert: root.Cert, Root: true}, {Cert: low.Cert}, {Cert: other.Cert}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	bela := must(s.Directory.UserByName(t.Context(), s.DB, tenant, s.made.Users[1].UserName))
	ada := must(s.Directory.UserByName(t.Context(), s.DB, tenant, s.made.Users[0].UserName))
	below, refresh := s.seen(t, bela, "c1", 1, made[1].Key(), made[0].Key())
	beside, kept := s.seen(t, ada, "c2", 2, made[2].Key(), made[0].Key())
	alive := func(id idp.SessionID, refresh string) (bool, bool) {
		_, err := s.Tokens.Refresh(t.Context(), refresh, broker(tenant), token.Presenter{})
		return must(s.Sessions.Alive(t.Context(), s.DB, tenant, id)), err == nil
	}
	if _, err := a.Do(t.Context(), "cert-authority.remove", map[string]any{"authority": "People"}, nil); err != nil {
		t.Fatal(err)
	}
	raw, err := a.Do(t.Context(), "cert-authority.endSessions", map[string]any{"authority": "People"}, nil)
	if err != nil || !strings.Contains(string(raw), `"certificates":1`) || !strings.Contains(string(raw), `"sessions":1`) {
		t.Errorf("%s, %v", raw, err)
	}
	if one, two := alive(below, refresh); one || two {
		t.Errorf("below it: session %v, refresh token %v", one, two)
	}
	if one, two := alive(beside, kept); !one || !two {
		t.Errorf("beside it: session %v, refresh token %v", one, two)
	}
	if _, err := a.Do(t.Context(), "cert-authority.endSessions", map[string]any{"authority": "Root"}, nil); err != nil {
		t.Error(err)
	}
	if one, _ := alive(beside, kept); one {
		t.Error("the root stands above it, and the session lives on")
	}
}

// TestSec_POL07_LastAuthority: the authority by which the only administrators
// come in cannot be taken away, whichever way.
func TestSec_POL07_LastAuthority(t *testing.T) {
	s := newSite(t, nil)
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	defer a.Close()
	tenant := idp.TenantID(s.made.TenantID)
	root := pkixtest.Root(t, "Root", time.Now(), func(c *x509.Certificate) { c.AuthorityKeyId = c.SubjectKeyId })
	var made []trust.Authority
	err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		made, err = s.Trust.Add(ctx, tx, tenant, "", []trust.Offer{{Cert: root.Cert, Root: true}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"method.certificate": "true", "certificate.mode": string(idp.ModeCertificateMulti)} {
		if _, err := a.Do(t.Context(), "policy.set", map[string]string{"name": name, "value": value}, nil); err != nil {
			t.Fatal(err)
		}
	}
	holders := must(s.Directory.WithRole(t.Context(), tenant))
	for i, p := range holders {
		s.seen(t, p.User, idp.CredentialID("c"+p.ID), byte(i+1), made[0].Key())
	}
	withdraw := map[string]map[string]any{
		"cert-authority.remove": {}, "cert-authority.disable": {}, "cert-authority.update": {"certificateAuthorityType": "intermediate"},
	}
	for op, in := range withdraw {
		in["authority"] = "Root"
		if _, err := a.Do(t.Context(), op, in, nil); err == nil || !strings.Contains(err.Error(), "locks_out_administrators") {
			t.Errorf("%s: %v", op, err)
		}
	}
	if _, err := a.Do(t.Context(), "cert-authority.update", map[string]any{"authority": "Root", "displayName": "Our root"}, nil); err != nil {
		t.Errorf("another name: %v", err)
	}
	if _, err := s.DB.Exec(t.Context(), `update certificate_seen set removed = 1 where tenant_id = $1`, tenant); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Do(t.Context(), "cert-authority.remove", map[string]any{"authority": "Our root"}, nil); err != nil {
		t.Errorf("when nobody comes in by it: %v", err)
	}
}
