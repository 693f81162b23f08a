package phone

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

const (
	// clockLeeway is how far a phone's clock may be off (security.md TOK05).
	clockLeeway = time.Minute
	// minID and maxID bound the jti: 96 bits in base64url, and enough for others.
	minID, maxID = 16, 64
	// purposeID is that of a spent jti.
	purposeID = "phone.jti"
	// algorithm is the only one that phones sign by.
	algorithm = "ES256"
	// maxHeader is more than a signed request takes.
	maxHeader = 4 << 10
)

// signed is a request that a phone has proven to be its own.
type signed struct {
	phone phoneRow
	body  []byte
	id    nonce.Sealed // the jti, to be burnt by what changes something
	now   time.Time
	ip    string
}

// burn has a request change something once only. It goes into the transaction
// of the change.
func (s signed) burn(ctx context.Context, tx *sqldb.Tx) error {
	if err := nonce.Burn(ctx, tx, s.id); err != nil {
		if errors.Is(err, idp.Expired) {
			return idp.Unprovenf("request_replayed", "jti of phone %s was used before", s.phone.id).Say("This was sent before. Try again.")
		}
		return err
	}
	return nil
}

// verifySigned reads and judges the request of a phone. Errors: Unproven
// "clock_off" when only its clock is wrong, Unproven with other reasons, for
// which there is one answer; Limited.
func (m *Room) verifySigned(w http.ResponseWriter, r *http.Request) (signed, error) {
	source := web.Source(r)
	if full, wait := m.door.failures.Full(source); full {
		return signed{}, tooMany(wait, "unproven requests from %s", source)
	}
	s, err := m.judgeSigned(w, r)
	if errors.Is(err, idp.Unproven) {
		m.door.failures.Allow(source)
	}
	if err != nil {
		return signed{}, err
	}
	if ok, wait := m.door.asks.Allow(string(s.phone.id)); !ok {
		return signed{}, tooMany(wait, "requests of phone %s", s.phone.id)
	}
	return s, nil
}

func (m *Room) judgeSigned(w http.ResponseWriter, r *http.Request) (signed, error) {
	s := signed{now: m.cfg.Now(), ip: web.ClientIP(r)}
	message, said, fault := parseSigned(r.Header.Values("Authorization"))
	if fault != nil {
		return s, fault
	}
	var err error
	if s.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, web.BodyLimit)); err != nil {
		return s, idp.Invalidf("body_too_large", "%w", err).Say("The body is too large, or did not arrive whole.")
	}
	found, err := phoneByID(r.Context(), m.db, idp.TenantID(said.Tenant), idp.CredentialID(message.KeyID))
	if err != nil && !errors.Is(err, idp.NotFound) {
		return s, fmt.Errorf("find phone: %w", err)
	}
	there := err == nil && (found.active() || s.now.Before(found.created.Add(codeLives)))
	public := m.door.decoy
	if there {
		k, err := storedKey(found.spki)
		if err != nil {
			return s, err
		}
		public = k.public
	}
	var c phonewire.Claims
	err = message.Verify(algorithm, public, &c)
	switch {
	case !there:
		return s, unproven("phone_unknown", "phone %.40q", message.KeyID)
	case err != nil:
		return s, unproven("wrong_signature", "request of phone %s: %w", found.id, err)
	}
	s.phone = found
	if fault := m.judgeClaims(&s, c, r); fault != nil {
		return s, fault
	}
	return s, nil
}

// parseSigned reads the header of a signed request, and its claims before
// anybody has verified them: they only say where to look for the key.
func parseSigned(headers []string) (jose.Message, phonewire.Claims, *idp.Error) {
	var c phonewire.Claims
	if len(headers) != 1 || len(headers[0]) > maxHeader {
		return jose.Message{}, c, unproven("authorization_missing", "%d Authorization headers", len(headers))
	}
	scheme, compact, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, phonewire.Scheme) {
		return jose.Message{}, c, unproven("authorization_missing", "Authorization by %.20q", scheme)
	}
	message, err := jose.Parse(compact, algorithm)
	if err != nil {
		return message, c, unproven("token_malformed", "%w", err)
	}
	if message.Type != phonewire.Type {
		return message, c, unproven("token_type", "typ %.40q", message.Type)
	}
	if err := jose.Unverified(compact, &c); err != nil {
		return message, c, unproven("token_malformed", "%w", err)
	}
	return message, c, nil
}

// judgeClaims holds what a phone has signed against the request it came with.
// The clock comes last: who is told that it is off has proven to be a phone.
func (m *Room) judgeClaims(s *signed, c phonewire.Claims, r *http.Request) *idp.Error {
	issued := time.Unix(min(max(c.Issued, 0), 1<<40), 0)
	var want string
	if len(s.body) > 0 {
		want = base64.RawURLEncoding.EncodeToString(secret.Digest(string(s.body)))
	}
	switch {
	case c.Tenant != string(s.phone.tenant):
		return unproven("other_tenant", "request for tenant %.40q", c.Tenant)
	case c.Method != r.Method:
		return unproven("other_method", "request signed for %.20q", c.Method)
	case c.URL != m.cfg.BaseURL+r.URL.EscapedPath():
		return unproven("other_address", "request signed for %.200q", c.URL)
	case !secret.Equal([]byte(want), []byte(c.Body)):
		return unproven("other_body", "request signed for another body")
	case len(c.ID) < minID || len(c.ID) > maxID:
		return unproven("id_length", "jti of %d characters", len(c.ID))
	case s.now.Sub(issued).Abs() > clockLeeway:
		return idp.Unprovenf("clock_off", "phone's clock says %s", issued.UTC()).
			Say("The clock of this phone is wrong. Set it to the network's time.")
	}
	until := issued.Add(2 * clockLeeway)
	s.id = nonce.Sealed{
		Tenant: s.phone.tenant, Purpose: purposeID, Expires: until,
		ID: nonce.ID(until, string(s.phone.id)+" "+c.ID),
	}
	return nil
}

// sayUnproven is the one sentence for phones that are not known.
const sayUnproven = "This phone is not registered any more. Add it again on your account page."

func unproven(reason, format string, args ...any) *idp.Error {
	return idp.Unprovenf(reason, format, args...).Say(sayUnproven)
}
