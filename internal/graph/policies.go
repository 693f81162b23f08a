package graph

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/web"
)

const methodsPolicy = "/policies/authenticationMethodsPolicy"

func policyOperations() []operation {
	look := read("Policy.Read.AuthenticationMethod", "Policy.Read.All", "Policy.ReadWrite.AuthenticationMethod")
	change := write(admins, "Policy.ReadWrite.AuthenticationMethod")
	set, all := "policies/authenticationMethodsPolicy", methodsPolicy+"/authenticationMethodConfigurations"
	return []operation{
		{"GET", methodsPolicy, set, "Who may use which method, the registration campaign and the preferred order", look, options{expand: []string{"authenticationMethodConfigurations"}}, getPolicy},
		{"PATCH", methodsPolicy, set, "Change any of it; with If-Match only what was read", change, options{}, updatePolicy},
		{"GET", all, set + "/authenticationMethodConfigurations", "Every method with its rules", look, options{}, listConfigurations},
		{"GET", all + "/{configuration}", set + "/authenticationMethodConfigurations", "One method: fido2, temporaryAccessPass, …", look, options{}, getConfiguration},
		{"PATCH", all + "/{configuration}", "", "Change who may use a method, and which keys; with If-Match only what was read", change, options{}, updateConfiguration},
		{"DELETE", all + "/{configuration}", "", "Put a method back to what a new tenant has", change, options{}, resetConfiguration},
	}
}

func (c *call) policy(ctx context.Context) (policy.Policy, error) {
	return c.cfg.Policies.Load(ctx, c.cfg.DB, c.tenant.ID)
}

func getPolicy(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	return policyEntity(p, c.cfg.Corridor.Has), nil
}

func listConfigurations(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	out := list{}
	for _, k := range configurations {
		out.items = append(out.items, configurationEntity(k, p, c.cfg.Corridor.Has))
	}
	return out, nil
}

// configuration finds the method of the path.
func (c *call) configuration() (configuration, error) {
	id := c.r.PathValue("configuration")
	k, ok := configurationOf(id)
	if !ok {
		return k, missing(idp.NotFound, id)
	}
	return k, nil
}

func getConfiguration(ctx context.Context, c *call) (any, error) {
	k, err := c.configuration()
	if err != nil {
		return nil, err
	}
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	return tagged(configurationEntity(k, p, c.cfg.Corridor.Has), p), nil
}

func updatePolicy(ctx context.Context, c *call) (any, error) {
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	_, err = c.changePolicy(ctx, "policy.update", methodsPlace, func(p *policy.Policy) error {
		return patchPolicy(raw, p, c.cfg.Corridor.Has, secret.NewUUID4)
	})
	return nil, err
}

func updateConfiguration(ctx context.Context, c *call) (any, error) {
	k, err := c.configuration()
	if err != nil {
		return nil, err
	}
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	_, err = c.changePolicy(ctx, "policy.update", methodsPlace, func(p *policy.Policy) error {
		return patchConfiguration(k, raw, p, c.cfg.Corridor.Has, secret.NewUUID4)
	})
	return nil, err
}

func resetConfiguration(ctx context.Context, c *call) (any, error) {
	k, err := c.configuration()
	if err != nil {
		return nil, err
	}
	_, err = c.changePolicy(ctx, "policy.reset", methodsPlace, func(p *policy.Policy) error {
		fresh := policy.Default()
		if r, ok := fresh.Methods[k.method]; ok {
			p.Methods[k.method] = r
		} else {
			delete(p.Methods, k.method)
		}
		switch k.method {
		case policy.Passkey:
			p.Passkey = fresh.Passkey
		case policy.AccessPass:
			p.AccessPass = fresh.AccessPass
		case policy.Phone:
			// What reports do belongs to the whole policy.
			fresh.Phone.Report = p.Phone.Report
			p.Phone = fresh.Phone
		case policy.Certificate:
			p.Certificate = fresh.Certificate
		case policy.Hello:
			p.Hello = fresh.Hello
		case policy.Platform:
			p.Platform = fresh.Platform
		}
		return nil
	})
	return nil, err
}

// changePolicy has edit change the tenant's policy, and saves it on the one
// road there is. With an entity tag, only what the caller has read is changed;
// without, the change goes on top of what others saved meanwhile. place writes
// the place of a complaint as the caller knows it.
func (c *call) changePolicy(ctx context.Context, activity string, place func(policy.Policy, string) string, edit func(*policy.Policy) error) (policy.Policy, error) {
	const tries = 5
	for try := 1; ; try++ {
		saved, err := c.changeOnce(ctx, activity, place, edit)
		switch {
		case err == nil:
			c.w.Header().Set("ETag", tag(saved))
			return saved, nil
		case !errors.Is(err, idp.Conflict) || idp.AsError(err).Reason != "policy_changed":
			return saved, err
		case c.ifMatch() != "":
			return saved, staleError()
		case try == tries:
			return saved, err
		}
	}
}

func (c *call) changeOnce(ctx context.Context, activity string, place func(policy.Policy, string) string, edit func(*policy.Policy) error) (policy.Policy, error) {
	old, err := c.policy(ctx)
	if err != nil {
		return old, err
	}
	if !matches(c.ifMatch(), tag(old)) {
		return old, staleError()
	}
	next := old.Clone()
	if err := edit(&next); err != nil {
		return old, err
	}
	differ, err := policy.Differences(old, next)
	if err != nil || len(differ) == 0 {
		return old, err
	}
	if err := complain(next, c.cfg.Models, place); err != nil {
		return old, err
	}
	if err := c.known(ctx, old, next); err != nil {
		return old, err
	}
	return c.cfg.Corridor.SavePolicy(ctx, c.tenant.ID, old, next, c.caller.user, audit.Event{
		Activity: activity, Actor: c.caller.actor(), Client: c.caller.client,
		IP: web.ClientIP(c.r), Agent: audit.Clean(c.r.UserAgent(), 256), Trace: web.Trace(ctx),
	})
}

// matches compares an If-Match with an entity tag, weakly: clients send tags
// back as they got them (RFC 9110, Section 13.1.1).
func matches(header, tag string) bool {
	if header == "" {
		return true
	}
	for _, one := range strings.Split(header, ",") {
		one = strings.TrimSpace(one)
		if one == "*" || strings.TrimPrefix(one, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

func staleError() error {
	return idp.Conflictf(stale, "If-Match names another version").
		Say("The policy was changed after you read it. Read it again, and make your change to that.")
}

// complain refuses what contradicts itself, and models that look mistyped, with
// the places as the caller knows them.
func complain(next policy.Policy, known policy.Models, place func(policy.Policy, string) string) error {
	all := next.Complaints(known)
	if len(all) == 0 {
		return nil
	}
	lines := make([]string, 0, len(all))
	for i := range all {
		all[i].At = place(next, all[i].At)
		if all[i].Other != "" {
			all[i].Other = place(next, all[i].Other)
		}
		lines = append(lines, all[i].String())
	}
	return idp.Invalidf(all[0].Reason, "%d complaints, the first at %s", len(all), all[0].At).On(all[0].At).
		Say(strings.Join(lines[:min(len(lines), 20)], "\n"))
}

var profilePlace = regexp.MustCompile(`^passkey\.profiles\[(\d+)\]`)

// places are the names that Graph has for those of a policy, the longer first.
var places = strings.NewReplacer(
	"methods.passkey.on", "Fido2/state", "methods.passkey", "Fido2", "methods.accessPass.on", "TemporaryAccessPass/state", "methods.accessPass", "TemporaryAccessPass",
	"methods.hello.on", "WindowsHelloForBusiness/state", "methods.hello", "WindowsHelloForBusiness",
	"methods.platform.on", "PlatformCredential/state", "methods.platform", "PlatformCredential",
	"methods.certificate.on", "X509Certificate/state", "methods.certificate", "X509Certificate",
	"methods.phone.on", "MicrosoftAuthenticator/state", "methods.phone", "MicrosoftAuthenticator",
	"phone.limit", "MicrosoftAuthenticator/@signet.limit", "phone.warnAt", "MicrosoftAuthenticator/@signet.warnAt",
	"phone.stricter", "MicrosoftAuthenticator/@signet.stricter", "phone.from", "MicrosoftAuthenticator/@signet.from", "phone.synced", "MicrosoftAuthenticator/@signet.synced",
	"phone.showApp.include", "MicrosoftAuthenticator/featureSettings/displayAppInformationRequiredState/includeTarget",
	"phone.showApp.exclude", "MicrosoftAuthenticator/featureSettings/displayAppInformationRequiredState/excludeTarget",
	"phone.showPlace.include", "MicrosoftAuthenticator/featureSettings/displayLocationInformationRequiredState/includeTarget",
	"phone.showPlace.exclude", "MicrosoftAuthenticator/featureSettings/displayLocationInformationRequiredState/excludeTarget",
	"phone.report.include", "reportSuspiciousActivitySettings/includeTarget",
	"phone.showApp", "MicrosoftAuthenticator/featureSettings/displayAppInformationRequiredState",
	"phone.showPlace", "MicrosoftAuthenticator/featureSettings/displayLocationInformationRequiredState", "phone.report", "reportSuspiciousActivitySettings",
	"hello.limit", "WindowsHelloForBusiness/@signet.limit", "hello.warnAt", "WindowsHelloForBusiness/@signet.warnAt",
	"platform.limit", "PlatformCredential/@signet.limit", "platform.warnAt", "PlatformCredential/@signet.warnAt",
	"passkey.aaguids", "Fido2/keyRestrictions", "passkey.attestation", "Fido2/isAttestationEnforced", "passkey.synced", "Fido2/passkeyProfiles[0]/passkeyTypes",
	"passkey.selfService", "Fido2/isSelfServiceRegistrationAllowed", "passkey.profiles", "Fido2/passkeyProfiles", "passkey.id", "Fido2/passkeyProfiles[0]/id", "passkey.name", "Fido2/passkeyProfiles[0]/name",
	"accessPass.default", "TemporaryAccessPass/defaultLifetimeInMinutes", "accessPass.min", "TemporaryAccessPass/minimumLifetimeInMinutes",
	"accessPass.max", "TemporaryAccessPass/maximumLifetimeInMinutes", "accessPass.length", "TemporaryAccessPass/defaultLength",
	"campaign.on", "authenticationMethodsRegistrationCampaign/state", "campaign.method", "authenticationMethodsRegistrationCampaign/includeTargets[0]/targetedAuthenticationMethod",
	"campaign", "authenticationMethodsRegistrationCampaign", "order", "systemCredentialPreferences",
	".include", "/includeTargets", ".exclude", "/excludeTargets", ".profiles", "/allowedPasskeyProfiles", ".required", "/isRegistrationRequired",
	".aaguids", "/keyRestrictions", ".list", "/aaGuids", ".mode", "/enforcementType", ".attestation", "/attestationEnforcement", ".synced", "/passkeyTypes",
	".id", "/id", ".name", "/name",
)

// methodsPlace is a place of the methods policy in Graph's words.
func methodsPlace(p policy.Policy, at string) string {
	if strings.HasPrefix(at, "certificate.") {
		return "X509Certificate/" + certificatePlace(p, at)
	}
	if m := profilePlace.FindStringSubmatch(at); m != nil {
		n, _ := strconv.Atoi(m[1])
		// The default profile stands before the others.
		at = "Fido2/" + index("passkeyProfiles", n+1) + at[len(m[0]):]
	}
	return places.Replace(at)
}

// known refuses groups and people that are named anew and do not exist: a
// typing error in an exclusion would exclude nobody.
func (c *call) known(ctx context.Context, old, next policy.Policy) error {
	before := named(old)
	for _, t := range named(next) {
		if slices.Contains(before, t) {
			continue
		}
		var err error
		id := string(t.Group)
		if t.User != "" {
			id = string(t.User)
			_, err = c.cfg.Directory.User(ctx, c.cfg.DB, c.tenant.ID, t.User)
		} else {
			_, err = c.cfg.Directory.Group(ctx, c.cfg.DB, c.tenant.ID, t.Group)
		}
		if errors.Is(err, idp.NotFound) {
			return idp.Invalidf("no_target", "target %s", id).On("targets").Say("There is no group or user '" + id + "' to be a target.")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// named lists the groups and people that a policy names.
func named(p policy.Policy) []policy.Target {
	var out []policy.Target
	for _, r := range p.Methods {
		for _, i := range r.Include {
			out = append(out, i.Target)
		}
		out = append(out, r.Exclude...)
	}
	out = slices.Concat(out, phoneTargets(&p.Phone), certificateTargets(&p.Certificate), p.Campaign.Include, p.Campaign.Exclude, p.Order.Include, p.Order.Exclude, p.Devices.Include, p.Devices.Exclude)
	return slices.DeleteFunc(out, func(t policy.Target) bool { return t.All })
}
