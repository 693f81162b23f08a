package psso

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/macprofile"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/web"
)

// The addresses of what an administrator gives to Macs
// (apple-platform-sso.md §4).
const (
	pathProfile     = "/psso/profile.mobileconfig"
	pathAssociation = "/.well-known/apple-app-site-association"
)

// typeProfile is the media type of configuration profiles.
const typeProfile = "application/x-apple-aspen-config"

// Profiles makes the configuration profiles of tenants.
type Profiles struct {
	BaseURL   string // https://id.example, without a slash at the end
	Directory *directory.Directory
	Policies  *policy.Store
	// Extension and App are our programs on a Mac, as TEAMID.bundle; empty:
	// nobody has named any, and there is no profile (decisions 5.2).
	Extension, App string
	Placeholder    bool // they are the demo's
}

// ProfileAsk is what may differ from one profile of a tenant to the next.
type ProfileAsk struct {
	Method macprofile.Method // empty: the tenant's
	// Token is a registration token, or the name of an MDM's variable in whose
	// place it puts one; empty: people register the Mac by signing in.
	Token string
	// Direct lets Macs fetch the association file from this server itself.
	Direct bool
}

// errNoPrograms says that the operator has named no programs.
func errNoPrograms() error {
	return idp.NotFoundf("mac_programs", "mac-extension and mac-app are not set").
		Say("This server has no app for Macs yet. Whoever runs it starts it with --mac-extension and --mac-app.")
}

// Make makes the profile of a tenant, which is linted before it is given out.
// Every use of the same settings gives the same bytes.
//
// Errors: idp.NotFound while the operator has named no programs, or when there
// is no such tenant; idp.Denied while the tenant has devices off; idp.Invalid for
// a method that there is none for.
func (p Profiles) Make(ctx context.Context, id idp.TenantID, ask ProfileAsk) ([]byte, error) {
	if p.Extension == "" {
		return nil, errNoPrograms()
	}
	t, err := p.Directory.Tenant(ctx, id)
	if err != nil {
		return nil, err
	}
	rules, err := p.Policies.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	if !rules.Devices.On {
		return nil, idp.Deniedf("devices_off", "devices are off in %s", id).Say("This organisation does not register devices. An administrator switches them on: signet admin policy set devices.on true")
	}
	domains, err := p.Directory.Domains(ctx, id)
	if err != nil {
		return nil, err
	}
	method := ask.Method
	if method == "" {
		method = macprofile.Method(rules.Macs.Method)
	}
	out, err := macprofile.Make(macprofile.Settings{
		BaseURL: p.BaseURL, Tenant: t.ID, Domains: domains, Organisation: t.Name,
		ClientID: pssowire.ClientID, Configuration: p.BaseURL + "/" + string(t.ID) + pathConfiguration,
		Extension: p.Extension, App: p.App, Demo: p.Placeholder,
		Method: method, AccountName: rules.Macs.AccountName, LoginFrequency: rules.Macs.LoginFrequency,
		Identifiers: rules.Devices.Attestation != policy.AttestationNone, Direct: ask.Direct, Token: ask.Token,
	})
	if err != nil {
		return nil, err
	}
	if found := macprofile.Lint(out); len(found) > 0 {
		return nil, fmt.Errorf("profile of tenant %s: %v", id, found)
	}
	return out, nil
}

// notThere is 404 for what the operator has not set.
func notThere(err error) error {
	if e := idp.AsError(err); e.Kind == idp.NotFound {
		return &Fault{Status: http.StatusNotFound, Word: wordRequest, Cause: e}
	}
	return err
}

func (s *Server) profiles() Profiles {
	return Profiles{
		BaseURL: s.cfg.BaseURL, Directory: s.cfg.Directory, Policies: s.cfg.Policies,
		Extension: s.cfg.Extension, App: s.cfg.App, Placeholder: s.cfg.Placeholder,
	}
}

// profile answers GET {t}/psso/profile.mobileconfig. There is nothing in it that
// only an administrator may know: a registration token comes into a profile in
// the console or by signet admin, and here only the name of an MDM's variable.
func (s *Server) profile(w http.ResponseWriter, r *http.Request) error {
	if ok, wait := s.asks.Allow(web.Source(r)); !ok {
		return limited("device_requests", wait, "source %s", web.ClientIP(r))
	}
	t, err := s.tenant(r)
	if err != nil {
		return err
	}
	ask, err := askedProfile(r.URL.Query())
	if err != nil {
		return err
	}
	out, err := s.profiles().Make(r.Context(), t.ID, ask)
	if err != nil {
		return notThere(err)
	}
	h := w.Header()
	h.Set("Content-Type", typeProfile)
	h.Set("Content-Disposition", `attachment; filename="signet.mobileconfig"`)
	h.Set("Cache-Control", "no-store")
	_, err = w.Write(out)
	return err
}

// askedProfile reads what an address asks for.
func askedProfile(q url.Values) (ProfileAsk, error) {
	if err := web.Single(q); err != nil {
		return ProfileAsk{}, err
	}
	ask := ProfileAsk{Method: macprofile.Method(q.Get("method")), Token: q.Get("variable")}
	for name := range q {
		switch name {
		case "method", "variable", "direct":
		default:
			return ask, idp.Invalidf("parameter_unknown", "parameter %q", clip(name)).On(clip(name)).
				Say("A profile is asked for with method, variable and direct. A registration token has no place in an address.")
		}
	}
	if ask.Token != "" && !macprofile.IsVariable(ask.Token) {
		return ask, idp.Invalidf("variable", "variable of %d bytes", len(ask.Token)).On("variable").
			Say("That is not the name of an MDM's variable, such as $REGISTRATION_TOKEN or {{registrationToken}}.")
	}
	switch d := q.Get("direct"); d {
	case "", "false":
	case "true":
		ask.Direct = true
	default:
		return ask, idp.Invalidf("direct", "direct is %q", clip(d)).On("direct").Say("direct is true or false.")
	}
	return ask, nil
}

// association answers what macOS asks of a host before it lets an extension
// serve it (apple-platform-sso.md §4.1): the programs that the operator has
// named, and nothing while there are none.
func (s *Server) association() http.Handler {
	if s.cfg.Extension == "" {
		return s.api(func(http.ResponseWriter, *http.Request) error { return notThere(errNoPrograms()) })
	}
	body, err := json.Marshal(map[string]any{"authsrv": map[string]any{"apps": []string{s.cfg.App, s.cfg.Extension}}})
	if err != nil {
		panic(err) // strings only
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "public, max-age=3600")
		w.Write(body)
	})
}

// mountProfile adds the addresses of what Macs are given before they register.
func (s *Server) mountProfile(mux *http.ServeMux) {
	mux.Handle("GET /{t}"+pathProfile, s.api(s.profile))
	mux.Handle("GET "+pathAssociation, s.association())
}
