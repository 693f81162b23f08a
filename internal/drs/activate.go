package drs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/web"
)

// purposeAttest is what challenges are sealed for.
const purposeAttest = "device.attest"

// attestationReply is what an attestation came to.
type attestationReply struct {
	Assurance device.Assurance
	Challenge *challenged `json:",omitempty"`
}

// challenged is what the TPM is asked: only the one that has both the attestation
// key and the endorsement key can give the secret back (TPM 2.0 Library, Part 1,
// §24). Context is sealed, and holds what the answer is compared with: no row is
// needed for it.
type challenged struct {
	Context    string
	Credential string // TPM2B_ID_OBJECT
	Secret     string // TPM2B_ENCRYPTED_SECRET
	Expires    string
}

// expected is what a context holds.
type expected struct {
	Device idp.DeviceID `json:"d"`
	Digest []byte       `json:"s"` // SHA-256 of the secret
}

// challenge makes the challenge for a device that is about to join; nil when
// there is nobody to ask.
func (s *Server) challenge(ctx context.Context, d device.Device, shown shown) (*challenged, error) {
	if shown.activation == nil {
		return nil, nil
	}
	plain, ec, err := shown.activation.Generate()
	if err != nil {
		return nil, idp.Invalidf("attestation_invalid", "%w", err).Coded(codeMalformed).On("Attestation").Say("The attestation does not verify.")
	}
	digest := sha256.Sum256(plain)
	payload, err := nonce.Encode(expected{d.ID, digest[:]})
	if err != nil {
		return nil, err
	}
	sealed, err := s.cfg.Box.Seal(ctx, d.Tenant, purposeAttest, attestWithin, payload)
	if err != nil {
		return nil, err
	}
	return &challenged{
		Context: sealed, Credential: base64.StdEncoding.EncodeToString(ec.Credential), Secret: base64.StdEncoding.EncodeToString(ec.Secret),
		Expires: s.cfg.Now().Add(attestWithin).UTC().Format(time.RFC3339),
	}, nil
}

// activation is the body of the second round trip, activationClaims what the
// device signed in it.
type activation struct {
	TenantID idp.TenantID `json:"TenantId"`
	DeviceID idp.DeviceID `json:"DeviceId"`
	Request  string
}

type activationClaims struct {
	Audience string `json:"aud"`
	Context  string `json:"context"`
	Secret   string `json:"secret"`
}

// typActivation is the type of what the device signs.
const typActivation = "signet-attestation+jwt"

// attestation is the second round trip: the device gives back what only its TPM
// could read, signed by its key. It may be sent again while the challenge
// lives: the answer may have been lost, and it says nothing new.
func (s *Server) attestation(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	var asked activation
	if err := body(w, r, &asked); err != nil {
		return err
	}
	if len(asked.TenantID) != 36 || len(asked.DeviceID) != 36 {
		return malformed("DeviceId", "tenant %.40q, device %.40q", string(asked.TenantID), string(asked.DeviceID))
	}
	if _, err := s.tenant(ctx, string(asked.TenantID)); err != nil {
		return err
	}
	d, err := s.cfg.Devices.Get(ctx, asked.TenantID, asked.DeviceID)
	if errors.Is(err, idp.NotFound) {
		return idp.Unprovenf("device_unknown", "%w", err).Coded(codeDevice).Say(sayDevice)
	}
	if err != nil {
		return err
	}
	event := audit.Event{
		Tenant: d.Tenant, Category: audit.Change, Activity: "device.attest", Actor: "device:" + string(d.ID), User: d.Owner,
		IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx), Detail: map[string]string{"device": string(d.ID), "name": d.Name},
	}
	if err := s.activated(ctx, d, asked.Request); err != nil {
		return s.failed(ctx, event, err)
	}
	if d.Assurance != device.Attested {
		err := s.cfg.DB.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if err := s.cfg.Devices.SetAttested(ctx, tx, d.Tenant, d.ID); err != nil {
				return err
			}
			event.Outcome = audit.Success
			return s.cfg.Audit.Write(ctx, tx, event)
		})
		if errors.Is(err, idp.NotFound) {
			err = idp.Expiredf("device_unknown", "%w", err).Coded(codeDevice).Say(sayDevice)
		}
		if err != nil {
			return s.failed(ctx, event, err)
		}
	}
	return web.JSON(w, http.StatusOK, attestationReply{Assurance: device.Attested})
}

// activated checks the answer of a device to its challenge.
func (s *Server) activated(ctx context.Context, d device.Device, request string) error {
	said, err := s.signed(d, request)
	if err != nil {
		return err
	}
	sealed, err := s.cfg.Box.Open(ctx, d.Tenant, purposeAttest, said.Context)
	if errors.Is(err, idp.Expired) {
		return idp.Expiredf("challenge_over", "%w", err).Coded(codeNonce).Say("The challenge is over. Join again.")
	}
	if err != nil {
		return err
	}
	var want expected
	if err := nonce.Decode(sealed.Payload, &want); err != nil {
		return err
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(said.Secret)
	if err != nil {
		return malformed("secret", "%w", err)
	}
	digest := sha256.Sum256(plain)
	if want.Device != d.ID || !secret.Equal(want.Digest, digest[:]) {
		return idp.Unprovenf("attestation_failed", "the challenge of device %s was not answered", want.Device).Coded(codeDevice).
			Say("The TPM did not answer the challenge.")
	}
	return nil
}

// signed verifies that a device signed this request to us.
func (s *Server) signed(d device.Device, request string) (activationClaims, error) {
	var said activationClaims
	m, err := jose.Parse(request, "RS256", "ES256")
	if err != nil {
		return said, err
	}
	if m.Type != typActivation || m.KeyID != string(d.ID) {
		return said, idp.Unprovenf("attestation_header", "type %.40q, key %.40q", m.Type, m.KeyID).Coded(codeDevice).Say(sayDevice)
	}
	algs, err := jose.Usable(d.Key)
	if err != nil {
		return said, err
	}
	if err := m.Verify(algs[0], d.Key, &said); err != nil { // one of the two: CheckKey
		return said, err
	}
	if said.Audience != s.cfg.BaseURL+pathAttest {
		return said, idp.Unprovenf("attestation_audience", "audience %.100q", said.Audience).Coded(codeDevice).Say(sayDevice)
	}
	return said, nil
}
