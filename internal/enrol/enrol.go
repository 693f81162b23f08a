package enrol

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// How fresh the gesture behind a token must be: to join (security.md DEV01,
// decisions 4.1), and to have a user key registered (device-protocol.md §6,
// decisions 5.4).
const (
	JoinWithin = 15 * time.Minute
	KeyWithin  = token.FreshLives
)

// registrationID is the resource's other name [C]: clients ask by either.
const registrationID = "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9"

// AADSTS numbers of what is refused here (device-protocol.md §3.2;
// entra-behaviours.md §13).
const (
	codeBadToken = 50173
	codeFresh    = 50133 // the proof is too old
	codeMFA      = 50076 // several factors are needed
	codePolicy   = 53003
	codeJoin     = 801002 // [K] the person may not join devices
)

// Config is what a Gate needs.
type Config struct {
	DB        *sqldb.DB
	Directory *directory.Directory
	Policies  *policy.Store
	Tokens    *token.Service
}

// Gate verifies access tokens for the registration of devices. It is safe for
// concurrent use.
type Gate struct{ cfg Config }

// New makes a Gate.
func New(cfg Config) *Gate { return &Gate{cfg} }

// Access is a verified access token for the registration of devices, the person
// it is of, and what the tenant's rules are.
type Access struct {
	token.Claims
	Person idp.User
	Rules  policy.Policy
	Who    policy.Who
}

// Presented is the bearer token of a request, as it was sent; false when there
// is none, or more than one.
func Presented(r *http.Request) (string, bool) {
	scheme, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 {
		return "", false
	}
	return strings.TrimSpace(presented), true
}

// Authorise verifies the bearer token: ours, for this service, of a person of a
// tenant. It names its tenant itself; nothing but which key to verify by depends
// on that until it is verified. Errors are Unproven (401).
func (g *Gate) Authorise(r *http.Request) (Access, error) {
	ctx := r.Context()
	presented, ok := Presented(r)
	if !ok {
		return Access{}, BadToken("token_missing", "no bearer token")
	}
	t, ok := token.ClaimedTenant(presented)
	if !ok {
		return Access{}, BadToken("token_malformed", "no tenant in the token")
	}
	var a Access
	var err error
	if a.Claims, err = g.cfg.Tokens.VerifyAccess(ctx, t, presented); err != nil {
		return Access{}, unproven(err)
	}
	if a.Audience != token.RegistrationAudience && a.Audience != registrationID {
		return Access{}, BadToken("token_audience", "audience %.60q", a.Audience)
	}
	if a.User == "" {
		return Access{}, BadToken("token_of_nobody", "a token of client %s itself", a.Client)
	}
	a.Person, err = g.cfg.Directory.User(ctx, g.cfg.DB, t, a.User)
	if errors.Is(err, idp.NotFound) {
		return Access{}, BadToken("user_unknown", "user %s is gone", a.User)
	}
	if err != nil {
		return Access{}, err
	}
	rules, who, err := g.cfg.Policies.For(ctx, t, a.Person)
	if err != nil {
		return Access{}, err
	}
	a.Rules, a.Who = *rules, who
	return a, nil
}

// Claimed is the tenant that a request's bearer token names, if it is one of
// ours; else it is empty. Nothing of such a token is proven: it is for the
// record of who was turned away.
func (g *Gate) Claimed(r *http.Request) (idp.TenantID, error) {
	_, presented, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	t, ok := token.ClaimedTenant(strings.TrimSpace(presented))
	if !ok {
		return "", nil
	}
	switch _, err := g.cfg.Directory.Tenant(r.Context(), t); {
	case errors.Is(err, idp.NotFound):
		return "", nil
	case err != nil:
		return "", err
	}
	return t, nil
}

// MayJoin asks whether the person may join a device, with this token, now.
// Errors are Denied, and Unproven for a gesture that is too old.
func (a Access) MayJoin(now time.Time) error {
	if no := a.Rules.Join(a.Who); !no.Allowed() {
		return idp.Deniedf(no.Reason, "rule %s", no.Rule).Coded(no.Code).Say(SayJoin(no.Reason))
	}
	switch {
	case a.Device != "":
		return idp.Deniedf("token_of_device", "the token is of device %s", a.Device).Coded(codeJoin).
			Say("This device has joined already.")
	case a.Code == token.ByDeviceCode && !a.Rules.Devices.Compat.DeviceCodeToPRT:
		return remote()
	case a.ByPass():
		if err := a.passStands(); err != nil {
			return err
		}
	case !slices.Contains(a.AMR, "mfa"):
		return idp.Deniedf("mfa_missing", "amr %v", a.AMR).Coded(codeMFA).
			Say("To join a device, sign in with a passkey, or with another way that is as strong.")
	}
	return a.fresh(now, JoinWithin)
}

// DevicesOn asks whether the tenant has devices at all.
func (a Access) DevicesOn() error {
	if a.Rules.Devices.On {
		return nil
	}
	return idp.Deniedf("devices_off", "tenant %s", a.Tenant).Coded(codeJoin).Say(SayJoin("devices_off"))
}

// MayKeep asks whether the token is one with which a machine may have a key
// registered: of a gesture just now, with several factors, at the machine itself
// (device-protocol.md §6, §15). Which machine, the door asks.
func (a Access) MayKeep(now time.Time) error {
	switch {
	case a.Code == token.ByDeviceCode && !a.Rules.Devices.Compat.DeviceCodeToHello:
		return remote()
	case a.ByPass():
		if err := a.passStands(); err != nil {
			return err
		}
	case !slices.Contains(a.AMR, "ngcmfa"):
		return idp.Unprovenf("ngcmfa_missing", "amr %v", a.AMR).Coded(codeMFA).
			Say("Show once more that it is you, with a passkey or a way that is as strong, and then try again.")
	}
	return a.fresh(now, KeyWithin)
}

// ByPass says whether an access pass is behind the token: it joins one device
// and has one key registered there (ADR 0021). How strong a proof a pass is,
// nobody asks.
func (a Access) ByPass() bool { return a.Code == token.ByAccessPass }

// passStands asks whether the tenant still takes passes of this person: one
// that was switched off stops at once (security.md POL02).
func (a Access) passStands() error {
	if no := a.Rules.Judge(a.Who, policy.Use, policy.AccessPass, nil); !no.Allowed() {
		return idp.Deniedf(no.Reason, "rule %s", no.Rule).Coded(no.Code).Say("Your organisation does not take access passes of you any more.")
	}
	return nil
}

// fresh asks whether the person's last gesture is recent. One from the future
// is none: no clock of ours made it.
func (a Access) fresh(now time.Time, within time.Duration) error {
	age := now.Sub(a.AuthTime)
	if a.AuthTime.IsZero() || age > within || age < -token.Skew {
		return idp.Unprovenf("proof_too_old", "the last gesture was %s ago", age.Round(time.Second)).Coded(codeFresh).
			Say("You signed in too long ago for this. Sign in again.")
	}
	return nil
}

// Burn makes the token good for one join, whichever door it comes to (decisions
// 4.8). Of several callers one gets nil, the others Unproven "token_used".
func (a Access) Burn(ctx context.Context, tx *sqldb.Tx) error {
	err := nonce.Burn(ctx, tx, nonce.Sealed{
		Tenant: a.Tenant, Purpose: "drs.join", ID: nonce.ID(a.Expires, a.ID), Expires: a.Expires,
	})
	if errors.Is(err, idp.Expired) {
		return BadToken("token_used", "token %s joined a device before", a.ID)
	}
	return err
}

// Joined binds the grant of a pass to the device that it joined; other tokens
// it leaves alone.
func (g *Gate) Joined(ctx context.Context, tx *sqldb.Tx, a Access, d idp.DeviceID) error {
	if !a.ByPass() {
		return nil
	}
	return had(g.cfg.Tokens.BindDevice(ctx, tx, a.Tenant, a.Family, d))
}

// Kept ends the grant of a pass, whose one key is registered; other tokens it
// leaves alone.
func (g *Gate) Kept(ctx context.Context, tx *sqldb.Tx, a Access) error {
	if !a.ByPass() {
		return nil
	}
	return had(g.cfg.Tokens.Finish(ctx, tx, a.Tenant, a.Family))
}

// had is an error of the grant of a pass that has had what it was for.
func had(err error) error {
	if errors.Is(err, idp.Expired) {
		return BadToken("token_used", "%w", err)
	}
	return err
}
