package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// This file has the small addresses that clients of Entra ask before they sign
// anybody in (decisions 4.6; device-protocol.md §2.1, 2.3, 2.4). They answer by
// domain and tenant, never by account: nobody learns here who exists.

// maxUPN bounds a user name in an address.
const maxUPN = 320

// mountSmall adds the small addresses.
func (s *Server) mountSmall(get func(path string, h web.HandlerFunc)) {
	get("/{t}/discovery/instance", s.instance)
	get("/{t}/UserRealm/{upn}", s.userRealm)
	get("/odc/v2.1/federationProvider", s.federationProvider)
}

// host is this server as clients name an authority: host and port.
func (s *Server) host() string {
	_, host, _ := strings.Cut(s.cfg.BaseURL, "://")
	return host
}

type instanceReply struct {
	Discovery  string             `json:"tenant_discovery_endpoint"`
	APIVersion string             `json:"api-version"`
	Metadata   []instanceMetadata `json:"metadata"`
}

type instanceMetadata struct {
	Network string   `json:"preferred_network"`
	Cache   string   `json:"preferred_cache"`
	Aliases []string `json:"aliases"`
}

// instance is GET /common/discovery/instance: where the configuration of the
// tenant in authorization_endpoint is. Of that address only the tenant is
// read; every address in the answer is ours.
func (s *Server) instance(w http.ResponseWriter, r *http.Request) error {
	p, _, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	ref := r.PathValue("t")
	if asked := p.get("authorization_endpoint"); asked != "" {
		u, err := url.Parse(asked)
		if err != nil || len(asked) > maxURI || u.Scheme != "https" && u.Scheme != "http" {
			return badRequest("authorization_endpoint", "authorization_endpoint must be an address.", "authorization_endpoint %q", clip(asked))
		}
		ref, _, _ = strings.Cut(strings.TrimLeft(u.Path, "/"), "/")
		ref = strings.ToLower(ref)
	}
	if !isCommon(ref) {
		t, err := s.tenant(r.Context(), ref, nil)
		if err != nil {
			return err
		}
		ref = string(t.ID)
	}
	return s.cacheable(w, instanceReply{
		Discovery:  s.cfg.BaseURL + "/" + ref + "/v2.0/.well-known/openid-configuration",
		APIVersion: "1.1", // [I]
		Metadata:   []instanceMetadata{{s.host(), s.host(), []string{s.host()}}},
	})
}

// realmV2 and realmV1 are the answers of api-version 2.0 and 1.0.
type realmV2 struct {
	Kind   string `json:"NameSpaceType"`
	Login  string `json:"Login"`
	Domain string `json:"DomainName,omitempty"`
	Brand  string `json:"FederationBrandName,omitempty"`
	Cloud  string `json:"cloud_instance_name,omitempty"`
}

type realmV1 struct {
	Version string `json:"ver"`
	Kind    string `json:"account_type"`
	Domain  string `json:"domain_name,omitempty"`
	Cloud   string `json:"cloud_instance_name,omitempty"`
}

// userRealm is GET /{t}/UserRealm/{upn}: whether the domain of the name is
// managed here. There is no other kind: nothing is federated.
func (s *Server) userRealm(w http.ResponseWriter, r *http.Request) error {
	p, _, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	upn := r.PathValue("upn")
	if !plain(upn, maxUPN) {
		return badRequest("upn", "The user name is too long.", "user name of %d bytes", len(upn))
	}
	domain := strings.ToLower(upn[strings.LastIndex(upn, "@")+1:])
	t, err := s.byDomain(r.Context(), domain)
	known := err == nil
	if err != nil && !errors.Is(err, idp.NotFound) {
		return err
	}
	if ref := r.PathValue("t"); known && !isCommon(ref) {
		asked, err := s.tenant(r.Context(), ref, nil)
		if err != nil {
			return err
		}
		known = asked.ID == t.ID
	}
	kind, cloud := "Unknown", ""
	if known {
		kind, cloud = "Managed", s.host()
	} else {
		domain, t.Name = "", ""
	}
	switch p.get("api-version") {
	case "1.0":
		return web.JSON(w, http.StatusOK, realmV1{"1.0", kind, domain, cloud})
	case "", "2.0", "2.1":
		return web.JSON(w, http.StatusOK, realmV2{kind, upn, domain, t.Name, cloud})
	}
	return badRequest("api-version", "api-version must be 1.0 or 2.0.", "api-version %q", clip(p.get("api-version")))
}

// federationProvider is GET /odc/v2.1/federationProvider: who is responsible
// for a domain.
func (s *Server) federationProvider(w http.ResponseWriter, r *http.Request) error {
	p, duplicates, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if len(duplicates) > 0 {
		return repeated(duplicates)
	}
	domain := strings.ToLower(p.get("domain"))
	if domain == "" {
		return missing("domain")
	}
	t, err := s.byDomain(r.Context(), domain)
	if err != nil {
		return unknownTenant(domain, err)
	}
	return web.JSON(w, http.StatusOK, struct {
		Tenant    idp.TenantID `json:"tenantId"`
		Authority string       `json:"authority_host"`
		Graph     string       `json:"graph"`
	}{t.ID, s.host(), s.cfg.BaseURL})
}

// byDomain finds the tenant of a verified domain, and of nothing else: what
// has no dot would be an id.
func (s *Server) byDomain(ctx context.Context, domain string) (idp.Tenant, error) {
	if !strings.Contains(domain, ".") || len(domain) > 253 {
		return idp.Tenant{}, idp.NotFoundf("tenant_unknown", "domain %q", clip(domain))
	}
	t, err := s.cfg.Directory.Resolve(ctx, domain)
	if errors.Is(err, idp.Invalid) {
		return t, idp.NotFoundf("tenant_unknown", "%w", err)
	}
	return t, err
}
