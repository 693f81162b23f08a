package oidc

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/web"
)

// metadata is the discovery document (OpenID Connect Discovery 1.0, Section 3;
// RFC 8414, Section 2). A test exercises every value in it: what is not true
// is not here.
type metadata struct {
	Issuer                string   `json:"issuer"`
	Authorization         string   `json:"authorization_endpoint"`
	Token                 string   `json:"token_endpoint"`
	UserInfo              string   `json:"userinfo_endpoint"`
	Keys                  string   `json:"jwks_uri"`
	EndSession            string   `json:"end_session_endpoint"`
	Introspection         string   `json:"introspection_endpoint"`
	Revocation            string   `json:"revocation_endpoint"`
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	ACR                   []string `json:"acr_values_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgs []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs    []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	ClaimTypes            []string `json:"claim_types_supported"`
	Claims                []string `json:"claims_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	IssuerInResponse      bool     `json:"authorization_response_iss_parameter_supported"`
	// What clients of Entra look for besides (device-protocol.md §2.2). Members
	// of that list which would not be true here are left out.
	Cloud string `json:"cloud_instance_name"`
	Graph string `json:"msgraph_host"`
	// These are there while the tenant has devices on, or device code.
	Capabilities []string          `json:"capabilities,omitempty"`
	Region       string            `json:"tenant_region_scope,omitempty"`
	DeviceCode   string            `json:"device_authorization_endpoint,omitempty"`
	WithCert     map[string]string `json:"mtls_endpoint_aliases,omitempty"`
}

// extended is doc with what the tenant's policy adds to it.
func (s *Server) extended(doc metadata, p policy.Policy) metadata {
	doc.Cloud, doc.Graph = s.host(), s.host()
	if p.Devices.On {
		doc.Capabilities, doc.Region = []string{"kdf_ver2"}, device.Region
	}
	if p.Devices.DeviceCode {
		doc.DeviceCode = strings.TrimSuffix(doc.Token, "/token") + "/devicecode"
		doc.GrantTypes = append(doc.GrantTypes, client.GrantDeviceCode)
	}
	if s.cfg.TLSURL != "" {
		// RFC 8705, Section 5: the same endpoint where certificates are asked for.
		doc.WithCert = map[string]string{"token_endpoint": s.cfg.TLSURL + strings.TrimPrefix(doc.Token, s.cfg.BaseURL)}
	}
	return doc
}

var secretMethods = []string{"client_secret_basic", "client_secret_post", "private_key_jwt"}

// describeProvider makes the document. ref is the tenant as addresses have it,
// version what stands between it and the endpoint names: "/v2.0", or nothing.
func describeProvider(base, ref, issuer, version string, acr []string) metadata {
	root := base + "/" + ref
	return metadata{
		Issuer:        issuer,
		Authorization: root + "/oauth2" + version + "/authorize",
		Token:         root + "/oauth2" + version + "/token",
		UserInfo:      root + "/openid/userinfo",
		Keys:          root + "/discovery" + version + "/keys",
		EndSession:    root + "/oauth2" + version + "/logout",
		// These two have one address each (product.md §5 has no v1 twin).
		Introspection: root + "/oauth2/v2.0/introspect",
		Revocation:    root + "/oauth2/v2.0/revoke",

		Scopes:                openidScopes,
		ResponseTypes:         []string{"code"},
		ResponseModes:         modeNames(),
		GrantTypes:            []string{"authorization_code", "refresh_token", "client_credentials"},
		ACR:                   acr,
		SubjectTypes:          []string{"public", "pairwise"},
		IDTokenAlgs:           []string{"ES256", "RS256"},
		TokenAuth:             append([]string{"none"}, secretMethods...),
		TokenAuthAlgs:         assertionAlgs,
		IntrospectionAuth:     secretMethods,
		IntrospectionAuthAlgs: assertionAlgs,
		RevocationAuth:        append([]string{"none"}, secretMethods...),
		RevocationAuthAlgs:    assertionAlgs,
		ChallengeMethods:      []string{"S256"},
		Prompts:               promptWords,
		ClaimTypes:            []string{"normal"},
		Claims:                []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid", "tid", "name", "preferred_username", "email"},
		ClaimsParameter:       true,
		IssuerInResponse:      true,
	}
}

func modeNames() []string {
	var out []string
	for _, m := range responseModes {
		out = append(out, string(m))
	}
	return out
}

// acrValues lists the acr values of the tenant.
func acrValues(p policy.Policy) []string {
	var out []string
	for _, s := range p.Strengths {
		// The weaker built-in ones have no acr value of their own.
		if asked := s.Asked(); (s.ACR != "" || !s.BuiltIn()) && !slices.Contains(out, asked) {
			out = append(out, asked)
		}
	}
	return out
}

// discovery serves the document. Whatever alias the address names, the
// document names the one issuer and the addresses of its GUID form (decisions
// 3.1). Under common with several tenants there is no one issuer: then it is a
// template, as clients that use common expect, and the tenant follows from the
// client of each request.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) error {
	version := ""
	if strings.Contains(r.URL.Path, "/v2.0/") {
		version = "/v2.0"
	}
	ctx, ref := r.Context(), r.PathValue("t")
	t, err := s.tenant(ctx, ref, nil)
	if err != nil {
		if !isCommon(ref) {
			return err
		}
		doc := describeProvider(s.cfg.BaseURL, ref, s.cfg.BaseURL+"/{tenantid}/v2.0", version, acrValues(policy.Default()))
		return s.cacheable(w, s.extended(doc, policy.Default()))
	}
	p, err := s.cfg.Policies.Get(ctx, t.ID)
	if err != nil {
		return err
	}
	return s.cacheable(w, s.extended(describeProvider(s.cfg.BaseURL, string(t.ID), t.Issuer, version, acrValues(p)), p))
}

// cacheFor is how long others may keep discovery and keys. A new signing key
// is published longer than that before its first use (security.md KEY03).
const cacheFor = "public, max-age=300"

func (s *Server) cacheable(w http.ResponseWriter, v any) error {
	w.Header().Set("Cache-Control", cacheFor)
	return web.JSON(w, http.StatusOK, v)
}

// keys serves the public keys of the tenant; under common with several
// tenants those of all, since the reader there does not know whose token it
// will see. Which tenant a key speaks for is decided by the issuer of the
// token, never by finding a key.
func (s *Server) keys(w http.ResponseWriter, r *http.Request) error {
	ctx, ref := r.Context(), r.PathValue("t")
	t, err := s.tenant(ctx, ref, nil)
	if err == nil {
		set, err := s.cfg.Keys.JWKS(ctx, t.ID)
		if err != nil {
			return err
		}
		return s.cacheable(w, json.RawMessage(set))
	}
	if !isCommon(ref) {
		return err
	}
	all, err := s.cfg.Directory.Tenants(ctx)
	if err != nil {
		return err
	}
	union := struct {
		Keys []json.RawMessage `json:"keys"`
	}{Keys: []json.RawMessage{}}
	for _, one := range all[:min(len(all), 100)] {
		set, err := s.cfg.Keys.JWKS(ctx, one.ID)
		if err != nil {
			return err
		}
		var part struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(set, &part); err != nil {
			return err
		}
		union.Keys = append(union.Keys, part.Keys...)
	}
	return s.cacheable(w, union)
}
