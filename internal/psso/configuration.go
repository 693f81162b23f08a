package psso

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/web"
)

// credentialFault is how the extension tells a person's proof that is not good
// from a nonce that is not: in the words of NSPredicate, over error bodies
// (apple-platform-sso.md §7.6).
const credentialFault = "error = '" + wordGrant + "' AND suberror != '" + subNonce + "'"

// configure answers GET {t}/psso/configuration: all that an extension must know
// (docs/macos-registration.md §2). Nothing of it is a secret.
func (s *Server) configure(w http.ResponseWriter, r *http.Request) error {
	t, err := s.tenant(r)
	if err != nil {
		return err
	}
	c, err := s.configuration(r.Context(), t)
	if err != nil {
		return err
	}
	return web.JSON(w, http.StatusOK, c)
}

// configuration is the document of a tenant. Its addresses have the tenant's id:
// what Macs sign names them so.
func (s *Server) configuration(ctx context.Context, t idp.Tenant) (pssowire.Configuration, error) {
	p, err := s.cfg.Policies.Get(ctx, t.ID)
	if err != nil {
		return pssowire.Configuration{}, err
	}
	at := func(path string) string { return s.address(t.ID, path) }
	out := pssowire.Configuration{
		ClientID: pssowire.ClientID, Issuer: at("/v2.0"), Audience: at(pathAudience),
		TokenEndpoint: at(pathToken), NonceEndpoint: at(pathNonce), KeyEndpoint: at(pathKey),
		DeviceEndpoint: at(pathDevice), UserEndpoint: at(pathUser),
		AuthorizationEndpoint: at("/oauth2/v2.0/authorize"), OAuthTokenEndpoint: at("/oauth2/v2.0/token"),
		JWKSURI: at("/discovery/v2.0/keys"), RedirectURI: client.MacRedirect, RegistrationScope: token.RegistrationAudience + "/.default",
		NonceKeypath: "Nonce", NonceClaim: "request_nonce", AdditionalScopes: pssowire.ScopeMac,
		GroupClaim: "groups", UniqueClaim: "oid", InvalidCredential: credentialFault,
		AccountName: cmp.Or(p.Macs.AccountName, t.Name), Method: string(p.Macs.Method), BiometricPolicy: p.Macs.Biometric,
		LoginFrequency: int64(p.Macs.LoginFrequency / time.Second), Attestation: string(p.Devices.Attestation),
		Algorithms: []string{"ES256"},
	}
	if p.Macs.Method != policy.MacKey { // a Mac with a key signs in again, silently
		out.RefreshEndpoint = at(pathToken)
	}
	return out, nil
}
