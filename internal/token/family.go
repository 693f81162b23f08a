package token

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// AADSTS numbers of this package (entra-behaviours §13).
const (
	codeRevoked        = 50173
	codeUnreadable     = 70000
	codeOver           = 70008
	codeUserDisabled   = 50057
	codeClientDisabled = 7000112
)

// A refresh token is family (16) ‖ generation (4) ‖ MAC (32), base64url.
const refreshSize = 16 + 4 + 32

// family is a row: one grant and where its rotation stands.
type family struct {
	id         idp.FamilyID
	tenant     idp.TenantID
	user       idp.UserID
	session    idp.SessionID
	client     idp.ClientID
	grant      grant
	generation int64
	rotated    time.Time
	expires    time.Time
	revoked    bool
	prt        idp.SessionID
	device     idp.DeviceID
}

// grant is what the tokens of a family state besides whose they are, as it is
// stored.
type grant struct {
	Scopes   []string `json:"scopes,omitempty"`
	Audience string   `json:"audience,omitempty"`
	Info     []string `json:"info,omitempty"`
	ACR      string   `json:"acr,omitempty"`
	AMR      []string `json:"amr,omitempty"`
	AuthTime int64    `json:"authTime"` // Unix milliseconds
	Nonce    string   `json:"nonce,omitempty"`
	Basis    []Basis  `json:"basis,omitempty"`
	Asked    []string `json:"asked,omitempty"`
	Code     string   `json:"code,omitempty"`
}

// OpenFamily burns a code and writes its grant, by one statement: the row of
// the grant is the mark that the code was redeemed, so that a code that comes
// again finds what it was turned into. Whoever comes second, on whatever node,
// gets idp.Expired with the reason "spent". FirstRefresh gives the refresh
// token, after the commit.
func (s *Service) OpenFamily(ctx context.Context, tx *sqldb.Tx, sub Subject, code CodeID) (idp.FamilyID, error) {
	granted, err := json.Marshal(grant{
		Scopes: sub.Scopes, Audience: sub.Audience, Info: sub.Info, ACR: sub.ACR, AMR: sub.AMR,
		AuthTime: sub.AuthTime.UnixMilli(), Nonce: sub.Nonce, Basis: sub.Basis, Asked: sub.Asked, Code: sub.Code,
	})
	if err != nil {
		return "", err
	}
	return s.openFamily(ctx, tx, sub, code, string(granted), 0)
}

// lives is until when the refresh token of a new grant is good, at most.
func (s *Service) lives(sub Subject) time.Time {
	now := s.cfg.Now()
	until := now.Add(FamilyLives)
	if sub.Shared() && !sub.Bound() {
		until = now.Add(UnboundLives)
	}
	if !sub.Until.IsZero() && sub.Until.Before(until) {
		until = sub.Until
	}
	return until
}

// VoidCode burns a code that was presented wrongly: its grant is over before
// it began. The error is as that of OpenFamily.
func (s *Service) VoidCode(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, c idp.ClientID, code CodeID) error {
	sub := Subject{Tenant: t, Client: client.Client{ID: c}}
	_, err := s.openFamily(ctx, tx, sub, code, "{}", s.cfg.Now().UnixMilli())
	return err
}

func (s *Service) openFamily(ctx context.Context, tx *sqldb.Tx, sub Subject, code CodeID, granted string, revoked int64) (idp.FamilyID, error) {
	now, id := s.cfg.Now(), code.family()
	n, err := tx.Exec(ctx, `
		insert into refresh_family (id, tenant_id, user_id, session_id, client_id, granted,
			generation, rotated_at, expires_at, revoked_at, stands_on, device_id)
		values ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11)
		on conflict (id) do nothing`,
		id, sub.Tenant, sub.User.ID, sub.Session, sub.Client.ID, granted,
		now.UnixMilli(), s.lives(sub).UnixMilli(), revoked, sub.PRT, sub.Device)
	if err != nil {
		return "", fmt.Errorf("open family: %w", err)
	}
	if n == 0 {
		return "", idp.Expiredf("spent", "the code of family %s was redeemed before", id)
	}
	return id, nil
}

// CodeID names an authorization code: a time in milliseconds (6 bytes), then
// random bytes, as nonce.Sealed has it.
type CodeID [16]byte

// family is the family that the code opens, and no other.
func (c CodeID) family() idp.FamilyID { return idp.FamilyID(secret.UUID7Of(c)) }

// FirstRefresh is the refresh token of a family that was just opened. It may
// have to make the tenant's key, so it must not be called in a transaction.
func (s *Service) FirstRefresh(ctx context.Context, t idp.TenantID, id idp.FamilyID) (string, error) {
	return s.refreshToken(ctx, t, id, 1)
}

// chain derives the tokens of one family: nothing that is stored would give
// them to somebody who reads the database.
type chain struct {
	id  [16]byte
	key []byte // HMAC key of this family and epoch
}

func (s *Service) chain(ctx context.Context, t idp.TenantID, id [16]byte) (chain, error) {
	key, err := s.cfg.Keys.Sealing(ctx, t, "refresh")
	if err != nil {
		return chain{}, fmt.Errorf("refresh key: %w", err)
	}
	var epoch [8]byte
	binary.BigEndian.PutUint64(epoch[:], uint64(s.cfg.Epoch()))
	return chain{id, key.MAC([]byte("family"), id[:], epoch[:])}, nil
}

// token is the refresh token of a generation.
func (c chain) token(generation int64) string {
	out := make([]byte, 0, refreshSize)
	out = append(out, c.id[:]...)
	out = binary.BigEndian.AppendUint32(out, uint32(generation))
	h := hmac.New(sha256.New, c.key)
	h.Write(out[16:20])
	return encode(h.Sum(out))
}

func (s *Service) refreshToken(ctx context.Context, t idp.TenantID, id idp.FamilyID, generation int64) (string, error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(string(id), "-", ""))
	if err != nil || len(raw) != 16 {
		return "", fmt.Errorf("family id %q is no GUID", id)
	}
	c, err := s.chain(ctx, t, [16]byte(raw))
	if err != nil {
		return "", err
	}
	return c.token(generation), nil
}

// claimed is a presented refresh token that is one of ours: whose, and which.
type claimed struct {
	family     idp.FamilyID
	generation int64
	chain      chain
}

// readRefresh takes a presented token apart and checks its MAC.
func (s *Service) readRefresh(ctx context.Context, t idp.TenantID, presented string) (claimed, error) {
	unreadable := func() error {
		return idp.Expiredf("refresh_unreadable", "refresh token of %d bytes", len(presented)).Coded(codeUnreadable)
	}
	if len(presented) != base64.RawURLEncoding.EncodedLen(refreshSize) {
		return claimed{}, unreadable()
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(presented)
	if err != nil || len(raw) != refreshSize {
		return claimed{}, unreadable()
	}
	c := claimed{generation: int64(binary.BigEndian.Uint32(raw[16:20]))}
	if c.chain, err = s.chain(ctx, t, [16]byte(raw[:16])); err != nil {
		return claimed{}, err
	}
	if !secret.Equal([]byte(c.chain.token(c.generation)), []byte(presented)) {
		return claimed{}, unreadable()
	}
	h := hex.EncodeToString(raw[:16])
	c.family = idp.FamilyID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
	return c, nil
}

func readFamily(ctx context.Context, q sqldb.Querier, t idp.TenantID, id idp.FamilyID) (family, error) {
	f := family{id: id, tenant: t}
	var granted []byte
	var rotated, expires, revoked int64
	err := q.QueryRow(ctx, `
		select user_id, session_id, client_id, granted, generation, rotated_at, expires_at, revoked_at, stands_on, device_id
		from refresh_family where tenant_id = $1 and id = $2`, t, id).
		Scan(&f.user, &f.session, &f.client, &granted, &f.generation, &rotated, &expires, &revoked, &f.prt, &f.device)
	if err != nil {
		return f, fmt.Errorf("read family %s: %w", id, err)
	}
	if err := json.Unmarshal(granted, &f.grant); err != nil {
		return f, fmt.Errorf("read family %s: %w", id, err)
	}
	f.rotated, f.expires = time.UnixMilli(rotated), time.UnixMilli(expires)
	f.revoked = revoked > 0
	return f, nil
}

// Refreshed is what a refresh token was turned into.
type Refreshed struct {
	Subject Subject
	Refresh string
}

// Refresh rotates a refresh token (decisions 1.6). Of many uses of one token
// within Overlap all get the same successor; a later one, or one of an older
// generation, revokes the family with an event. Every refusal is Expired. That
// of a built-in application stays the same however often it comes, and is good
// for as long as what it is bound to (decisions 4.3).
//
// admit, when given, sees the grant before anything is rotated; its error is
// returned as it is and leaves the token as good as it was. Whoever refuses a
// request for its own reasons, a scope too wide, must do it there: refused
// after the rotation, the client would be left with a spent token.
func (s *Service) Refresh(ctx context.Context, presented string, c client.Client, from Presenter, admit ...func(Subject) error) (Refreshed, error) {
	p, err := s.readRefresh(ctx, c.Tenant, presented)
	if err != nil {
		return Refreshed{}, err
	}
	f, err := s.usable(ctx, c, p.family)
	if err != nil {
		return Refreshed{}, err
	}
	user, err := s.cfg.User(ctx, s.cfg.DB, f.tenant, f.user)
	if errors.Is(err, idp.NotFound) || (err == nil && !user.Enabled) {
		return Refreshed{}, idp.Expiredf("user_disabled", "user %s", f.user).Coded(codeUserDisabled)
	}
	if err != nil {
		return Refreshed{}, err
	}
	if s.stale(f, p.generation) {
		return Refreshed{}, s.reused(ctx, f, p.generation, from)
	}
	sub := f.subject(c, user)
	for _, ask := range admit {
		if err := ask(sub); err != nil {
			return Refreshed{}, err
		}
	}
	if f.generation == p.generation && !sub.Shared() {
		if f, err = s.advance(ctx, f); err != nil {
			return Refreshed{}, err
		}
		if s.stale(f, p.generation) { // others were faster, more than once
			return Refreshed{}, s.reused(ctx, f, p.generation, from)
		}
	}
	return Refreshed{Refresh: p.chain.token(f.generation), Subject: sub}, nil
}

// stale says whether a token of this generation is one too many: neither the
// current one, nor the one before it within Overlap, on either side: a rotation
// from the future is one before the clock was set back (security.md REL07).
func (s *Service) stale(f family, generation int64) bool {
	switch f.generation {
	case generation:
		return false
	case generation + 1:
		return s.cfg.Now().Sub(f.rotated).Abs() > Overlap
	}
	return true
}

// subject is whom the family's tokens speak of.
func (f family) subject(c client.Client, user idp.User) Subject {
	return Subject{
		Tenant: f.tenant, User: user, Session: f.session, Family: f.id, Client: c, Scopes: f.grant.Scopes, Audience: f.grant.Audience,
		Info: f.grant.Info, AuthTime: time.UnixMilli(f.grant.AuthTime), ACR: f.grant.ACR, AMR: f.grant.AMR, Nonce: f.grant.Nonce,
		Basis: f.grant.Basis, Asked: f.grant.Asked, Device: f.device, PRT: f.prt, Code: f.grant.Code, Until: f.expires,
	}
}

// usable reads the family and checks what does not change with rotation.
func (s *Service) usable(ctx context.Context, c client.Client, id idp.FamilyID) (family, error) {
	f, err := readFamily(ctx, s.cfg.DB, c.Tenant, id)
	switch {
	case errors.Is(err, idp.NotFound):
		return f, idp.Expiredf("refresh_unknown", "family %s", id).Coded(codeOver)
	case err != nil:
		return f, err
	case !c.Enabled:
		return f, idp.Expiredf("client_disabled", "client %s", c.ID).Coded(codeClientDisabled)
	case f.client != c.ID:
		return f, idp.Expiredf("refresh_other_client", "family of %s used by %s", f.client, c.ID).Coded(codeOver)
	case f.revoked:
		return f, idp.Expiredf("refresh_revoked", "family %s", id).Coded(codeRevoked)
	case f.grant.Code == ByAccessPass: // nobody was given one
		return f, idp.Expiredf("refresh_on_pass", "family %s", id).Coded(codeOver)
	case !s.cfg.Now().Before(f.expires):
		return f, idp.Expiredf("refresh_over", "family %s", id).Coded(codeOver)
	}
	return f, s.cameBy(ctx, s.cfg.DB, f)
}

// advance moves the family on by one generation. When another was faster it
// gives what that one made of it.
func (s *Service) advance(ctx context.Context, f family) (family, error) {
	now := s.cfg.Now()
	n, err := s.cfg.DB.Exec(ctx, `
		update refresh_family set generation = generation + 1, rotated_at = $4
		where tenant_id = $1 and id = $2 and generation = $3 and revoked_at = 0`,
		f.tenant, f.id, f.generation, now.UnixMilli())
	if err != nil {
		return f, fmt.Errorf("rotate family %s: %w", f.id, err)
	}
	if n == 1 {
		f.generation, f.rotated = f.generation+1, now
		return f, nil
	}
	was := f.generation
	f, err = readFamily(ctx, s.cfg.DB, f.tenant, f.id)
	switch {
	case err != nil:
		return f, err
	case f.revoked:
		return f, idp.Expiredf("refresh_revoked", "family %s", f.id).Coded(codeRevoked)
	case f.generation == was:
		return f, fmt.Errorf("family %s neither moved nor could be moved", f.id)
	}
	return f, nil
}

// Presenter is who presented a token, for the record of one that was reused.
type Presenter struct{ IP, Agent, Trace string }

// reused ends a family of which an old token turned up: either the thief or
// the owner holds a copy, and we cannot tell which (RFC 9700, Section 4.14.2).
func (s *Service) reused(ctx context.Context, f family, generation int64, from Presenter) error {
	err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := revoke(ctx, tx, s.cfg.Now(), f.tenant, "id", string(f.id))
		if err != nil || n == 0 {
			return err
		}
		return s.cfg.Audit.Write(ctx, tx, audit.Event{
			Tenant: f.tenant, Category: "token", Activity: "token.refresh_reuse", Outcome: "failure",
			User: f.user, Client: f.client, Session: f.session, Reason: "refresh_reuse", Code: codeRevoked,
			Actor: "client:" + string(f.client), IP: from.IP, Agent: from.Agent, Trace: from.Trace,
			Detail: map[string]string{"family": string(f.id), "generation": fmt.Sprint(generation), "current": fmt.Sprint(f.generation)},
		})
	})
	if err != nil {
		return fmt.Errorf("revoke family %s: %w", f.id, err)
	}
	return idp.Expiredf("refresh_reuse", "generation %d of family %s, current is %d", generation, f.id, f.generation).Coded(codeRevoked)
}
