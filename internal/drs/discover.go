package drs

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// service is one entry of the discovery document, in its three spellings.
type (
	joinService struct {
		JoinEndpoint, JoinResourceId, ServiceVersion string //nolint:revive // names of the wire
	}
	keyService struct {
		KeyProvisionEndpoint, KeyProvisionResourceId, ServiceVersion string //nolint:revive // names of the wire
	}
	plainService struct {
		Endpoint, ResourceId, ServiceVersion string //nolint:revive // names of the wire
	}
)

// discovered is device-protocol.md §2.5, without the services and addresses that
// nobody serves here: enrolment by SOAP, sign-in by WS-Federation, and those of
// other products. Every member is optional for clients.
type discovered struct {
	DiscoveryService struct {
		DiscoveryEndpoint, ServiceVersion string
	}
	// DeviceRegistrationService says what tokens have to be for, and no more.
	DeviceRegistrationService struct {
		RegistrationResourceId string //nolint:revive // name of the wire
	}
	AuthenticationService struct {
		OAuth2 struct {
			AuthCodeEndpoint, TokenEndpoint string
		}
	}
	IdentityProviderService struct {
		Federated bool
	}
	DeviceJoinService      joinService
	KeyProvisioningService keyService
	NonceService           plainService
	// AttestationService and DeviceLeaveService are ours.
	AttestationService struct {
		AttestationEndpoint, ServiceVersion string
	}
	DeviceLeaveService *leaveService `json:",omitempty"`
	TenantInfo         struct {
		DisplayName string
		TenantID    idp.TenantID `json:"TenantId"`
		TenantName  string
	}
}

// leaveService is where client certificates are asked for.
type leaveService struct{ LeaveEndpoint, ServiceVersion string }

// discover says where everything is. Nobody has to sign in for it.
func (s *Server) discover(w http.ResponseWriter, r *http.Request) error {
	t, err := s.tenant(r.Context(), r.PathValue("t"))
	if err != nil {
		return err
	}
	base, id := s.cfg.BaseURL, string(t.ID)
	const resource = token.RegistrationAudience
	var d discovered
	d.DiscoveryService.DiscoveryEndpoint, d.DiscoveryService.ServiceVersion = base+"/"+id+"/Discover", "1.9"
	d.DeviceRegistrationService.RegistrationResourceId = resource
	d.AuthenticationService.OAuth2.AuthCodeEndpoint = base + "/" + id + "/oauth2/authorize"
	d.AuthenticationService.OAuth2.TokenEndpoint = base + "/" + id + "/oauth2/token"
	d.DeviceJoinService = joinService{base + pathDevices, resource, "2.0"}
	d.KeyProvisioningService = keyService{base + pathKey, resource, "1.0"}
	d.NonceService = plainService{base + "/EnrollmentServer/nonce/" + id + "/", resource, "1.0"}
	d.AttestationService.AttestationEndpoint, d.AttestationService.ServiceVersion = base+pathAttest, "1.0"
	if s.cfg.TLSBaseURL != "" {
		d.DeviceLeaveService = &leaveService{s.cfg.TLSBaseURL + pathDevices, "1.0"}
	}
	d.TenantInfo.DisplayName, d.TenantInfo.TenantID, d.TenantInfo.TenantName = t.Name, t.ID, t.Domain
	return web.JSON(w, http.StatusOK, d)
}

// tenant finds a tenant that has devices on, by its id or a domain. One that
// has not is answered like one that is not there.
func (s *Server) tenant(ctx context.Context, ref string) (idp.Tenant, error) {
	t, err := s.cfg.Directory.Resolve(ctx, ref)
	if errors.Is(err, idp.NotFound) {
		return t, noTenant("tenant %.60q", ref)
	}
	if err != nil {
		return t, err
	}
	p, err := s.cfg.Policies.Get(ctx, t.ID)
	if err == nil && !p.Devices.On {
		err = noTenant("tenant %s has devices off", t.ID)
	}
	return t, err
}

func noTenant(format string, args ...any) error {
	return idp.NotFoundf("tenant_unknown", format, args...).Coded(codeTenant).
		Say("There is no such organisation here, or it does not register devices.")
}

// nonceLives is how long a nonce may be answered (device-protocol.md §4).
const nonceLives = 5 * time.Minute

// nonceReply has its first member spelled as clients read it.
type nonceReply struct {
	Status nonceStatus `json:"ReponseStatus"`
	Value  string
}

type nonceStatus struct {
	Message string `json:"message"`
	Trace   string `json:"traceId"`
	Time    string `json:"time"`
}

// nonce gives out a nonce of the tenant (device-protocol.md §2.6), for joins
// alone: the token endpoint has others. Nothing is written.
func (s *Server) nonce(w http.ResponseWriter, r *http.Request) error {
	if ok, _ := s.nonces.Allow(web.Source(r)); !ok {
		return idp.Limitedf("nonce_requests", "source %s", web.ClientIP(r)).Coded(codeTooMany)
	}
	t, err := s.tenant(r.Context(), r.PathValue("t"))
	if err != nil {
		return err
	}
	value, err := s.cfg.Box.Seal(r.Context(), t.ID, nonce.RegistrationNonce, nonceLives, nil)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, nonceReply{
		nonceStatus{"Success", web.Trace(r.Context()), s.stamp()}, value,
	})
}
