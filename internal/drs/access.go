package drs

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// How fresh the gesture behind a token must be: to join (security.md DEV01,
// decisions 4.1), and to have a user key registered (device-protocol.md §6).
const (
	joinWithin = 15 * time.Minute
	keyWithin  = token.FreshLives
)

// registrationID is the resource's other name [C]: clients ask by either.
const registrationID = "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9"

// access is a verified access token for this service, the person it is of, and
// what the tenant's rules are.
type access struct {
	token.Claims
	person idp.User
	rules  policy.Policy
	who    policy.Who
}

// authorise verifies the bearer token: ours, for this service, of a person of a
// tenant that has devices on. It names its tenant itself; nothing but which key
// to verify by depends on that until it is verified. Errors are Unproven or
// Expired (401), and Denied.
func (s *Server) authorise(r *http.Request) (access, error) {
	ctx := r.Context()
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 {
		return access{}, badToken("token_missing", "no bearer token")
	}
	presented = strings.TrimSpace(presented)
	t, ok := token.ClaimedTenant(presented)
	if !ok {
		return access{}, badToken("token_malformed", "no tenant in the token")
	}
	var a access
	var err error
	if a.Claims, err = s.cfg.Tokens.VerifyAccess(ctx, t, presented); err != nil {
		return access{}, unproven(err)
	}
	if a.Audience != token.RegistrationAudience && a.Audience != registrationID {
		return access{}, badToken("token_audience", "audience %.60q", a.Audience)
	}
	if a.Claims.User == "" {
		return access{}, badToken("token_of_nobody", "a token of client %s itself", a.Client)
	}
	a.person, err = s.cfg.Directory.User(ctx, s.cfg.DB, t, a.Claims.User)
	if errors.Is(err, idp.NotFound) {
		return access{}, badToken("user_unknown", "user %s is gone", a.Claims.User)
	}
	if err != nil {
		return access{}, err
	}
	if a.rules, a.who, err = s.cfg.Policies.For(ctx, t, a.person); err != nil {
		return access{}, err
	}
	return a, nil
}

// turnedAway records that somebody came with a token that is not good, in the
// tenant that it names. Nothing of such a token is proven, so the record has
// nobody's name; a token that names no tenant of ours is recorded nowhere.
func (s *Server) turnedAway(ctx context.Context, r *http.Request, e audit.Event, err error) error {
	_, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	t, ok := token.ClaimedTenant(strings.TrimSpace(presented))
	if !ok {
		return err
	}
	switch _, unknown := s.cfg.Directory.Tenant(ctx, t); {
	case errors.Is(unknown, idp.NotFound):
		return err
	case unknown != nil:
		return unknown
	}
	e.Tenant = t
	return s.failed(ctx, e, err)
}

func badToken(reason, format string, args ...any) *idp.Error {
	return idp.Unprovenf(reason, format, args...).Coded(codeBadToken).Say("The access token is not good here. Sign in again.")
}

// unproven is an error of a token as the door tells it: whatever is wrong with
// one, the client has to get another.
func unproven(err error) error {
	e := idp.AsError(err)
	switch e.Kind {
	case idp.Unproven, idp.Expired, idp.Invalid, idp.NotFound:
		return badToken(e.Reason, "%w", err)
	}
	return err
}

// mayJoin asks whether the person may join a device, with this token, now.
func (a access) mayJoin(now time.Time) error {
	if no := a.rules.Join(a.who); !no.Allowed() {
		return idp.Deniedf(no.Reason, "rule %s", no.Rule).Coded(no.Code).Say(sayJoin[no.Reason])
	}
	switch {
	case a.Device != "":
		return idp.Deniedf("token_of_device", "the token is of device %s", a.Device).Coded(codeJoin).
			Say("This device has joined already.")
	case a.Code == token.ByDeviceCode && !a.rules.Devices.Compat.DeviceCodeToPRT:
		return remote()
	case a.byPass():
		if err := a.passStands(); err != nil {
			return err
		}
	case !slices.Contains(a.AMR, "mfa"):
		return idp.Deniedf("mfa_missing", "amr %v", a.AMR).Coded(codeMFA).
			Say("To join a device, sign in with a passkey, or with another way that is as strong.")
	}
	return a.fresh(now, joinWithin)
}

// byPass says whether an access pass is behind the token: it joins one device
// and has one key registered there (ADR 0021). How strong a proof a pass is,
// nobody asks.
func (a access) byPass() bool { return a.Code == token.ByAccessPass }

// passStands asks whether the tenant still takes passes of this person: one
// that was switched off stops at once (security.md POL02).
func (a access) passStands() error {
	if no := a.rules.Judge(a.who, policy.Use, policy.AccessPass, nil); !no.Allowed() {
		return idp.Deniedf(no.Reason, "rule %s", no.Rule).Coded(no.Code).Say("Your organisation does not take access passes of you any more.")
	}
	return nil
}

// bound is an error of the grant of a pass that has had what it was for.
func bound(err error) error {
	if errors.Is(err, idp.Expired) {
		return badToken("token_used", "%w", err)
	}
	return err
}

// sayJoin tells the person why policy refuses; words that are missing are told
// in general.
var sayJoin = map[string]string{
	"devices_off":          "This organisation does not register devices.",
	"guest_may_not_join":   "Guests cannot join devices.",
	"excluded":             "Your organisation does not let you join devices.",
	"not_included":         "Your organisation does not let you join devices.",
	"user_disabled":        "This account is disabled.",
	"attestation_required": "Your organisation admits only devices whose TPM can be verified.",
}

// remote refuses what was approved in another place than where it takes effect
// (device-protocol.md §15).
func remote() error {
	return idp.Deniedf("device_code_refused", "the sign-in was approved on another device").Coded(codePolicy).
		Say("Sign in on this device itself: a sign-in that is approved elsewhere does not do here.")
}

// fresh asks whether the person's last gesture is recent. One from the future
// is none: no clock of ours made it.
func (a access) fresh(now time.Time, within time.Duration) error {
	age := now.Sub(a.AuthTime)
	if a.AuthTime.IsZero() || age > within || age < -token.Skew {
		return idp.Unprovenf("proof_too_old", "the last gesture was %s ago", age.Round(time.Second)).Coded(codeFresh).
			Say("You signed in too long ago for this. Sign in again.")
	}
	return nil
}

// burn makes the token good for one join (decisions 4.8).
func (a access) burn(ctx context.Context, tx *sqldb.Tx) error {
	err := nonce.Burn(ctx, tx, nonce.Sealed{
		Tenant: a.Tenant, Purpose: "drs.join", ID: nonce.ID(a.Expires, a.ID), Expires: a.Expires,
	})
	if errors.Is(err, idp.Expired) {
		return badToken("token_used", "token %s joined a device before", a.ID)
	}
	return err
}
