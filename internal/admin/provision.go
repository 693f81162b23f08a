package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// Provisioner registers a passkey for somebody else (signin.Corridor).
type Provisioner interface {
	BeginProvision(context.Context, signin.Provisioning, time.Duration, func(show []byte) (string, error), signin.Peer) (signin.Begun, error)
	FinishProvision(ctx context.Context, p signin.Provisioning, name string, payload []byte, peer signin.Peer) (method.Credential, error)
}

// provisionLives is how long somebody at a terminal has for PIN and touch.
const provisionLives = 10 * time.Minute

// optionsView is what a key is asked with, and the page that it is for.
type optionsView struct {
	Origin    string          `json:"origin"`
	Expires   string          `json:"challengeTimeoutDateTime"`
	PublicKey json.RawMessage `json:"publicKey"`
}

func (c *call) provisioning(ctx context.Context, user string) (signin.Provisioning, idp.User, error) {
	if c.Provision == nil || c.Origin == "" {
		return signin.Provisioning{}, idp.User{}, missing("provisioning")
	}
	u, err := c.findUser(ctx, c.DB, user)
	return signin.Provisioning{Tenant: c.tenant.ID, Target: u.ID, Actor: c.actor, Method: policy.Passkey}, u, err
}

// beginKey makes the options of a registration for somebody else, as Graph's
// fido2Methods/creationOptions does. The challenge is bound to that person and
// to the actor.
func beginKey(ctx context.Context, c *call, p userParams) (any, error) {
	about, _, err := c.provisioning(ctx, p.User)
	if err != nil {
		return nil, err
	}
	begun, err := c.Provision.BeginProvision(ctx, about, provisionLives, method.ChallengeShown, signin.Peer{})
	if err != nil {
		return nil, unsaid(err)
	}
	var show struct {
		PublicKey json.RawMessage `json:"publicKey"`
	}
	if err := json.Unmarshal(begun.Show, &show); err != nil {
		return nil, fmt.Errorf("options of a registration: %w", err)
	}
	return optionsView{Origin: c.Origin, Expires: stamp(begun.Expires), PublicKey: show.PublicKey}, nil
}

// finishKeyParams are what the key made, values in base64url without padding.
type finishKeyParams struct {
	inTenant
	User       string `json:"user"`
	Name       string `json:"displayName"`
	Credential struct {
		ID       string `json:"id"`
		Response struct {
			ClientDataJSON    string `json:"clientDataJSON"`
			AttestationObject string `json:"attestationObject"`
		} `json:"response"`
	} `json:"publicKeyCredential"`
}

// passkeyView names fields as Graph's fido2AuthenticationMethod does.
type passkeyView struct {
	ID          idp.CredentialID `json:"id"`
	DisplayName string           `json:"displayName"`
	Model       string           `json:"model"`
	AAGUID      string           `json:"aaGuid"`
	Attestation string           `json:"attestationLevel"`
	User        idp.UserID       `json:"userId"`
	UserName    string           `json:"userPrincipalName"`
	Created     string           `json:"createdDateTime"`
}

func finishKey(ctx context.Context, c *call, p finishKeyParams) (any, error) {
	response := p.Credential.Response
	challenge, err := method.ChallengeSigned(response.ClientDataJSON)
	if err != nil {
		return nil, idp.Invalidf("client_data_malformed", "client data without a challenge").On("publicKeyCredential").
			Say("clientDataJSON is base64url without padding of JSON with a challenge.")
	}
	about, u, err := c.provisioning(ctx, p.User)
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(map[string]any{
		"id": p.Credential.ID, "rawId": p.Credential.ID, "type": "public-key", "name": p.Name, "clientExtensionResults": map[string]any{},
		"response": response,
	})
	if err != nil {
		return nil, err
	}
	cred, err := c.Provision.FinishProvision(ctx, about, challenge, payload, signin.Peer{})
	if err != nil {
		return nil, unsaid(err)
	}
	view := passkeyView{
		ID: cred.ID, DisplayName: cred.Name, Model: cred.Model, AAGUID: cred.Facts.AAGUID, Attestation: "notAttested",
		User: u.ID, UserName: u.Name, Created: stamp(cred.Created),
	}
	if cred.Facts.Attested {
		view.Attestation = "attested"
	}
	return view, nil
}

// unsaid gives sentences that help at a terminal: those of pages say the same
// to everybody, and nothing of the reason.
func unsaid(err error) error {
	e := idp.AsError(err)
	reason := audit.Clean(e.Reason, 64)
	switch e.Kind {
	case idp.Unproven:
		return idp.Invalidf(e.Reason, "provision: %w", err).On("publicKeyCredential").Say("What the key made does not verify: " + reason + ".")
	case idp.Denied:
		if e.Code == policy.CodeKey || e.Code == policy.CodeMethod {
			return idp.Deniedf(e.Reason, "provision: %w", err).Coded(e.Code).Say("The policies do not allow this key for this person: " + reason + ".")
		}
		return idp.Deniedf(e.Reason, "provision: %w", err).Coded(e.Code).Say(cmp.Or(e.Public, "The policies do not allow it.") + " The reason: " + reason + ".")
	}
	return err
}
