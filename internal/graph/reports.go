package graph

import (
	"context"
	"slices"

	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/report"
)

func reportOperations() []operation {
	look := read("UserAuthenticationMethod.Read.All", "AuditLog.Read.All")
	return []operation{
		{"GET", "/reports/authenticationMethods/userRegistrationDetails", "reports/authenticationMethods/userRegistrationDetails",
			"What every person has registered, and could sign in with today", look,
			options{list: true, fields: directory.UserFields, count: true}, listRegistrations},
		{"GET", "/reports/authenticationMethods/userRegistrationDetails/{user}", "reports/authenticationMethods/userRegistrationDetails",
			"The same of one person", look, options{}, getRegistration},
		{"GET", "/reports/authenticationMethods/usersRegisteredByMethod", "microsoft.graph.userRegistrationMethodSummary",
			"How many people have registered each method", look, options{params: whoParams}, countByMethod},
		{"GET", "/reports/authenticationMethods/usersRegisteredByFeature", "microsoft.graph.userRegistrationFeatureSummary",
			"How many people can sign in without a password", look, options{params: whoParams}, countByFeature},
	}
}

// listRegistrations is a page of people with what they have registered: as it
// is now, not as of a nightly job (entra-behaviours.md §14, wish 15).
func listRegistrations(ctx context.Context, c *call) (any, error) {
	people, next, err := c.cfg.Directory.Users(ctx, c.tenant.ID, directory.Page{After: c.query.after, Limit: c.query.top, Where: c.query.where})
	if err != nil {
		return nil, err
	}
	out := list{next: next}
	for _, p := range people {
		e, err := c.registration(ctx, p)
		if err != nil {
			return nil, err
		}
		out.items = append(out.items, e)
	}
	if c.query.count {
		out.total, err = c.cfg.Directory.CountUsers(ctx, c.tenant.ID, c.query.where)
	}
	return out, err
}

func getRegistration(ctx context.Context, c *call) (any, error) {
	u, err := c.person(ctx)
	if err != nil {
		return nil, err
	}
	p := directory.Person{User: u}
	roles, err := c.cfg.Directory.Roles(ctx, c.tenant.ID, u.ID)
	if len(roles) > 0 {
		p.Role = roles[0]
	}
	if err != nil {
		return nil, err
	}
	return c.registration(ctx, p)
}

// registration tells registered from capable (entra-behaviours.md §12.3):
// registered is what somebody holds, capable what of it opens a session today.
func (c *call) registration(ctx context.Context, p directory.Person) (entity, error) {
	held, err := c.cfg.Corridor.Credentials(ctx, c.tenant.ID, p.ID)
	if err != nil {
		return nil, err
	}
	words := []string{}
	registered, capable := false, false
	var last method.Credential
	for _, cred := range held {
		if w := registeredWord(cred); !slices.Contains(words, w) {
			words = append(words, w)
		}
		if cred.Created.After(last.Created) {
			last = cred
		}
		if cred.Bootstrap {
			continue
		}
		registered = true
		capable = capable || p.Enabled && cred.Usable()
	}
	kind := "member"
	if p.Type == idp.Guest {
		kind = "guest"
	}
	return entity{
		"id": p.ID, "userPrincipalName": p.Name, "userDisplayName": p.DisplayName, "userType": kind, "isAdmin": p.Role != "",
		"isMfaRegistered": registered, "isMfaCapable": capable, "isPasswordlessCapable": capable,
		"isSsprRegistered": false, "isSsprEnabled": false, "isSsprCapable": false, // there is no password to reset
		"isSystemPreferredAuthenticationMethodEnabled": true, "systemPreferredAuthenticationMethods": preferred(held),
		"userPreferredMethodForSecondaryAuthentication": "none", "methodsRegistered": words, "lastUpdatedDateTime": stamp(last.Created),
	}, nil
}

// registeredWord is Graph's word for a kind of credential.
func registeredWord(cred method.Credential) string {
	switch cred.Method {
	case policy.Passkey:
		if cred.Facts.Synced {
			return "passKeySynced"
		}
		return "passKeyDeviceBound"
	case policy.AccessPass:
		return "temporaryAccessPass"
	case policy.Phone:
		return "microsoftAuthenticatorPasswordless" // [K]
	case policy.Hello:
		return "windowsHelloForBusiness"
	case policy.Platform:
		return "macOsSecureEnclaveKey" // [K]
	}
	return string(cred.Method)
}

// preferred is the strongest of what somebody has, by the ranking of reports.
func preferred(held []method.Credential) []string {
	best, ok := report.Strongest(held)
	if !ok {
		return []string{}
	}
	return []string{registeredWord(best)}
}
