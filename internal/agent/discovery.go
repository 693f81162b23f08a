package agent

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/program"
)

// endpoints are the addresses of one tenant.
type endpoints struct {
	Tenant      string `json:"tenant"` // GUID
	Domain      string `json:"domain,omitempty"`
	Name        string `json:"name,omitempty"` // of the organisation
	Authorize   string `json:"authorize"`
	Token       string `json:"token"`
	DeviceCode  string `json:"deviceCode,omitempty"`
	Join        string `json:"join"`
	Key         string `json:"key"`
	Nonce       string `json:"nonce"`
	Attestation string `json:"attestation,omitempty"`
	Leave       string `json:"leave,omitempty"` // asks for client certificates
}

// registrationResource is what tokens for the device registration service are
// for; its spelling is the protocol's (device-protocol.md §0.17).
const registrationResource = "urn:ms-drs:enterpriseregistration.windows.net"

// discover asks a server for the addresses of a tenant: by id, by a domain, or
// by "organizations" when the person's sign-in will tell.
func (r *remote) discover(ctx context.Context, server, tenant string) (endpoints, error) {
	base, err := program.Address(server)
	if err != nil {
		return endpoints{}, err
	}
	var oidc struct {
		Issuer       string   `json:"issuer"`
		Authorize    string   `json:"authorization_endpoint"`
		Token        string   `json:"token_endpoint"`
		DeviceCode   string   `json:"device_authorization_endpoint"`
		Capabilities []string `json:"capabilities"`
	}
	if err := r.get(ctx, base.JoinPath(tenant, "v2.0/.well-known/openid-configuration").String(), &oidc); err != nil {
		return endpoints{}, err
	}
	if !slices.Contains(oidc.Capabilities, "kdf_ver2") {
		return endpoints{}, idp.Deniedf("no_devices", "capabilities %q", oidc.Capabilities).
			Say(base.Host + " does not register devices, or is older than this program: check the address, or ask your administrator")
	}
	e := endpoints{Authorize: oidc.Authorize, Token: oidc.Token, DeviceCode: oidc.DeviceCode}
	if issuer, err := url.Parse(oidc.Issuer); err == nil {
		e.Tenant, _, _ = strings.Cut(strings.Trim(strings.TrimPrefix(issuer.Path, base.Path), "/"), "/")
	}
	return e, e.check(e.Authorize, e.Token)
}

// services asks for the addresses of the device registration service.
func (r *remote) services(ctx context.Context, server, tenant string, e *endpoints) error {
	base, err := program.Address(server)
	if err != nil {
		return err
	}
	var found struct {
		Join struct {
			Endpoint string `json:"JoinEndpoint"`
		} `json:"DeviceJoinService"`
		Key struct {
			Endpoint string `json:"KeyProvisionEndpoint"`
		} `json:"KeyProvisioningService"`
		Nonce struct {
			Endpoint string `json:"Endpoint"`
		} `json:"NonceService"`
		Attestation struct {
			Endpoint string `json:"AttestationEndpoint"`
		} `json:"AttestationService"`
		Leave struct {
			Endpoint string `json:"LeaveEndpoint"`
		} `json:"DeviceLeaveService"`
		Tenant struct {
			ID     string `json:"TenantId"`
			Domain string `json:"TenantName"`
			Name   string `json:"DisplayName"`
		} `json:"TenantInfo"`
	}
	at := base.JoinPath(tenant, "Discover")
	at.RawQuery = url.Values{"api-version": {"1.9"}, "managed": {"True"}}.Encode()
	if err := r.get(ctx, at.String(), &found); err != nil {
		return err
	}
	e.Join, e.Key, e.Nonce, e.Attestation = found.Join.Endpoint, found.Key.Endpoint, found.Nonce.Endpoint, found.Attestation.Endpoint
	if e.Leave = found.Leave.Endpoint; e.Leave == "" {
		e.Leave = e.Join // other makers' servers have one address for both
	}
	e.Tenant, e.Domain, e.Name = found.Tenant.ID, found.Tenant.Domain, found.Tenant.Name
	return e.check(e.Join, e.Key, e.Nonce, e.Leave)
}

// check refuses addresses that would send secrets in the clear.
func (e *endpoints) check(all ...string) error {
	for _, a := range all {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" || !program.Private(u) {
			return idp.Deniedf("bad_discovery", "endpoint %q", a).Say("the server names an address that is not https: check the server's address")
		}
	}
	return nil
}

// device is the address at which one registered device leaves.
func (e *endpoints) device(id string) string {
	return strings.TrimRight(e.Leave, "/") + "/" + url.PathEscape(id)
}
