package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// Provisioning on behalf (entra-behaviours.md §3.6): an administrator asks for
// the options of a registration, makes the passkey on a security key in hand,
// and sends back what the key made.
func provisionOperations() []operation {
	give := write(helpdesk, "UserAuthMethod-Passkey.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All")
	at := "/users/{user}/authentication/fido2Methods"
	return []operation{
		{"GET", at + "/creationOptions", "microsoft.graph.webauthnCredentialCreationOptions",
			"Begin to register a passkey for somebody", give, options{params: []string{timeoutParam}}, creationOptions},
		{"POST", at, methodSet, "Register the passkey that was made with those options", give, options{}, createPasskey},
	}
}

const (
	timeoutParam   = "challengeTimeoutInMinutes"
	defaultTimeout = 5
)

func (c *call) provisioning(ctx context.Context) (signin.Provisioning, error) {
	u, err := c.person(ctx)
	if err != nil {
		return signin.Provisioning{}, err
	}
	return signin.Provisioning{Tenant: c.tenant.ID, Target: u.ID, Actor: c.caller.actor(), Method: policy.Passkey}, c.overAdministrators(ctx, u)
}

func creationOptions(ctx context.Context, c *call) (any, error) {
	minutes := defaultTimeout
	for name, v := range c.query.raw {
		if strings.EqualFold(name, timeoutParam) {
			n, err := strconv.Atoi(v[0])
			if err != nil || n < 5 || n > 43200 {
				return nil, badOption(timeoutParam, timeoutParam+" is 5 to 43200.")
			}
			minutes = n
		}
	}
	p, err := c.provisioning(ctx)
	if err != nil {
		return nil, err
	}
	begun, err := c.cfg.Corridor.BeginProvision(ctx, p, time.Duration(minutes)*time.Minute, method.ChallengeShown, c.peer())
	if err != nil {
		return nil, err
	}
	var show struct {
		PublicKey map[string]any `json:"publicKey"`
	}
	if err := json.Unmarshal(begun.Show, &show); err != nil {
		return nil, fmt.Errorf("options of a registration: %w", err)
	}
	// Whoever holds the key in hand can always show what it is.
	show.PublicKey["attestation"] = "direct"
	return entity{"challengeTimeoutDateTime": stamp(begun.Expires), "publicKey": show.PublicKey}, nil
}

// passkeyBody is what Graph's clients send. Values are base64url without
// padding.
type passkeyBody struct {
	ODataType   *string `json:"@odata.type"`
	DisplayName *string `json:"displayName"`
	Credential  *struct {
		ODataType *string `json:"@odata.type"`
		ID        string  `json:"id"`
		Response  struct {
			ODataType         *string `json:"@odata.type"`
			ClientDataJSON    string  `json:"clientDataJSON"`
			AttestationObject string  `json:"attestationObject"`
		} `json:"response"`
		ClientExtensionResults map[string]any `json:"clientExtensionResults"`
	} `json:"publicKeyCredential"`
}

func createPasskey(ctx context.Context, c *call) (any, error) {
	var in passkeyBody
	if err := c.body(&in); err != nil {
		return nil, err
	}
	if in.Credential == nil {
		return nil, required("publicKeyCredential")
	}
	challenge, err := method.ChallengeSigned(in.Credential.Response.ClientDataJSON)
	if err != nil {
		return nil, badProperty("publicKeyCredential", "clientDataJSON is base64url without padding of JSON with a challenge.")
	}
	p, err := c.provisioning(ctx)
	if err != nil {
		return nil, err
	}
	name := ""
	if in.DisplayName != nil {
		name = *in.DisplayName
	}
	payload, err := json.Marshal(map[string]any{
		"id": in.Credential.ID, "rawId": in.Credential.ID, "type": "public-key", "name": name, "clientExtensionResults": map[string]any{},
		"response": map[string]any{"clientDataJSON": in.Credential.Response.ClientDataJSON, "attestationObject": in.Credential.Response.AttestationObject},
	})
	if err != nil {
		return nil, err
	}
	cred, err := c.cfg.Corridor.FinishProvision(ctx, p, challenge, payload, c.peer())
	if err != nil {
		return nil, notProvisioned(err)
	}
	shape := c.cfg.Corridor.Shapes()[policy.Passkey]
	return created{methodEntity(cred, shape), fmt.Sprintf("/users/%s/authentication/fido2Methods/%s", p.Target, cred.ID)}, nil
}

// notProvisioned keeps a wrong key from looking like a wrong token, which has
// the same kind: here it is the body that is wrong.
func notProvisioned(err error) error {
	e := idp.AsError(err)
	if e.Kind != idp.Unproven && e.Kind != idp.Expired {
		return err
	}
	says := e.Public
	if says == "" {
		says = "What the key made does not verify: " + e.Reason + "."
	}
	return idp.Invalidf(e.Reason, "provision: %w", err).On("publicKeyCredential").Say(says)
}
