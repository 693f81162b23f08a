package graph

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// Bodies that change a policy: what policyshape.go shows, with every property
// optional. The words in which one is refused name the property.

type targetBody struct {
	head
	ID         *string `json:"id"`
	TargetType *string `json:"targetType"`
}

// target reads a target; at is where it stands.
func (b targetBody) target(at string) (policy.Target, error) {
	switch {
	case b.ID == nil:
		return policy.Target{}, required(at + "/id")
	case b.TargetType == nil:
		return policy.Target{}, required(at + "/targetType")
	}
	kind, err := valueOf(at+"/targetType", *b.TargetType, map[string]string{"user": "user", "group": "group"})
	id := strings.ToLower(*b.ID)
	switch {
	case err != nil:
		return policy.Target{}, err
	case kind == "group" && id == everybody:
		return policy.Target{All: true}, nil
	case !isGUID(id):
		return policy.Target{}, badProperty(at+"/id", "The property '"+at+"/id' is "+everybody+" for a group, or the id of one group or user, and not '"+clip(*b.ID)+"'.")
	case kind == "user":
		return policy.Target{User: idp.UserID(id)}, nil
	}
	return policy.Target{Group: idp.GroupID(id)}, nil
}

func targets(at string, sent *[]targetBody, into *[]policy.Target) error {
	if sent == nil {
		return nil
	}
	var out []policy.Target
	for i, b := range *sent {
		t, err := b.target(index(at, i))
		if err != nil {
			return err
		}
		out = append(out, t)
	}
	*into = out
	return nil
}

func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }

func turn(at string, sent *string, on *bool) error {
	if sent == nil {
		return nil
	}
	v, err := valueOf(at, *sent, stateWords)
	if err == nil {
		*on = v
	}
	return err
}

// policyBody is what may be sent to the whole policy.
type policyBody struct {
	head
	ID           *string `json:"id"`
	DisplayName  *string `json:"displayName"`
	Description  *string `json:"description"`
	Version      *string `json:"policyVersion"`
	Migration    *string `json:"policyMigrationState"`
	Changed      *string `json:"lastModifiedDateTime"`
	Reconfirm    *int    `json:"reconfirmationInDays"`
	Registration *struct {
		head
		Campaign *campaignBody `json:"authenticationMethodsRegistrationCampaign"`
	} `json:"registrationEnforcement"`
	Preferences           *preferencesBody   `json:"systemCredentialPreferences"`
	Report                *reportBody        `json:"reportSuspiciousActivitySettings"`
	Configurations        *[]json.RawMessage `json:"authenticationMethodConfigurations"`
	ConfigurationsContext *string            `json:"authenticationMethodConfigurations@odata.context"`
}

type campaignBody struct {
	head
	State   *string           `json:"state"`
	Days    *int              `json:"snoozeDurationInDays"`
	Forced  *bool             `json:"enforceRegistrationAfterAllowedSnoozes"`
	Include *[]campaignTarget `json:"includeTargets"`
	Exclude *[]targetBody     `json:"excludeTargets"`
}

type campaignTarget struct {
	targetBody
	Method *string `json:"targetedAuthenticationMethod"`
}

type preferencesBody struct {
	head
	State   *string       `json:"state"`
	Include *[]targetBody `json:"includeTargets"`
	Exclude *[]targetBody `json:"excludeTargets"`
}

// patchPolicy changes p as the body of a PATCH of the whole policy says. What
// the body does not mention stays; lists are replaced whole.
func patchPolicy(raw []byte, p *policy.Policy, have rooms, newID func() string) error {
	var in policyBody
	if err := readShape(raw, &in); err != nil {
		return err
	}
	if err := firstError(in.is("authenticationMethodsPolicy"), fixed("id", in.ID, "authenticationMethodsPolicy"), fixed("displayName", in.DisplayName, policyName),
		fixed("description", in.Description, policyAbout), fixed("policyVersion", in.Version, policyVersion),
		fixed("policyMigrationState", in.Migration, migrationState), fixed("reconfirmationInDays", in.Reconfirm, 0), unchanged("lastModifiedDateTime", in.Changed, p.Changed)); err != nil {
		return err
	}
	if in.Registration != nil && in.Registration.Campaign != nil {
		if err := in.Registration.Campaign.patch("registrationEnforcement/authenticationMethodsRegistrationCampaign", &p.Campaign); err != nil {
			return err
		}
	}
	if in.Preferences != nil {
		if err := in.Preferences.patch("systemCredentialPreferences", &p.Order); err != nil {
			return err
		}
	}
	if in.Report != nil {
		if err := in.Report.patch("reportSuspiciousActivitySettings", &p.Phone.Report); err != nil {
			return err
		}
	}
	if in.Configurations == nil {
		return nil
	}
	for i, one := range *in.Configurations {
		if err := patchOne(one, index("authenticationMethodConfigurations", i), p, have, newID); err != nil {
			return err
		}
	}
	return nil
}

// unchanged refuses a copy of the policy that is older than the policy.
func unchanged(at string, sent *string, now time.Time) error {
	if sent == nil {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, *sent)
	if err != nil {
		return badProperty(at, "The property '"+at+"' is no time.")
	}
	if !t.Equal(now) {
		return staleError()
	}
	return nil
}

func patchOne(raw []byte, at string, p *policy.Policy, have rooms, newID func() string) error {
	var who struct {
		ID *string `json:"id"`
	}
	if json.Unmarshal(raw, &who) != nil || who.ID == nil {
		return required(at + "/id")
	}
	k, ok := configurationOf(*who.ID)
	if !ok {
		return badProperty(at+"/id", "There is no method '"+clip(*who.ID)+"'.")
	}
	return within(at, patchConfiguration(k, raw, p, have, newID))
}

func (in *campaignBody) patch(at string, c *policy.CampaignRules) error {
	if in.State != nil && strings.EqualFold(*in.State, "default") {
		*in.State = wordOf(stateWords, policy.Default().Campaign.On)
	}
	if err := turn(at+"/state", in.State, &c.On); err != nil {
		return err
	}
	if in.Days != nil {
		if *in.Days < 0 || *in.Days > 14 {
			return badProperty(at+"/snoozeDurationInDays", "snoozeDurationInDays is 0 to 14.")
		}
		c.SnoozeDays = *in.Days
	}
	if in.Forced != nil && *in.Forced != (c.Snoozes > 0) {
		c.Snoozes = 0
		if *in.Forced {
			c.Snoozes = policy.Default().Campaign.Snoozes
		}
	}
	return firstError(in.targets(at+"/includeTargets", c), targets(at+"/excludeTargets", in.Exclude, &c.Exclude))
}

// targets takes the people of the campaign, and the method that they are asked
// to register. Graph says that of each; here a campaign is for one method.
func (in *campaignBody) targets(at string, c *policy.CampaignRules) error {
	if in.Include == nil {
		return nil
	}
	all, said, was := make([]targetBody, 0, len(*in.Include)), "", c.Method
	for i, t := range *in.Include {
		all = append(all, t.targetBody)
		if t.Method == nil {
			continue
		}
		here := index(at, i) + "/targetedAuthenticationMethod"
		m := was
		if *t.Method != campaignWord(was) {
			var err error
			if m, err = valueOf(here, *t.Method, campaignWords); err != nil {
				return err
			}
		}
		if said != "" && m != c.Method {
			return contradiction(said, here, "a campaign is for one method")
		}
		said, c.Method = here, m
	}
	return targets(at, &all, &c.Include)
}

func (in *preferencesBody) patch(at string, o *policy.OrderRules) error {
	if in.State != nil && strings.EqualFold(*in.State, "default") {
		*in.State = wordOf(stateWords, policy.Default().Order.On)
	}
	return firstError(turn(at+"/state", in.State, &o.On), targets(at+"/includeTargets", in.Include, &o.Include), targets(at+"/excludeTargets", in.Exclude, &o.Exclude))
}

// contradiction names the two places that cannot both hold.
func contradiction(one, other, why string) error {
	says := one + " and " + other + ": " + why + "."
	return idp.Invalidf("contradiction", "%s", says).On(one).Say(says)
}

// methodBody is what may be sent of any method.
type methodBody struct {
	head
	ID             *string        `json:"id"`
	State          *string        `json:"state"`
	Include        *[]includeBody `json:"includeTargets"`
	IncludeContext *string        `json:"includeTargets@odata.context"`
	Exclude        *[]targetBody  `json:"excludeTargets"`
}

type includeBody struct {
	targetBody
	Required *bool     `json:"isRegistrationRequired"`
	Profiles *[]string `json:"allowedPasskeyProfiles"`
}

func (in *methodBody) patch(k configuration, r *policy.MethodRules) error {
	if err := firstError(in.is(k.kind), turn("state", in.State, &r.On), targets("excludeTargets", in.Exclude, &r.Exclude)); err != nil {
		return err
	}
	if in.ID != nil && !strings.EqualFold(*in.ID, k.id) {
		return fixed("id", in.ID, k.id)
	}
	if in.Include == nil {
		return nil
	}
	var out []policy.Include
	for i, b := range *in.Include {
		at := index("includeTargets", i)
		t, err := b.target(at)
		if err != nil {
			return err
		}
		include := policy.Include{Target: t, Required: b.Required != nil && *b.Required}
		switch {
		case b.Profiles != nil && k.method != policy.Passkey:
			return badProperty(at+"/allowedPasskeyProfiles", "The property '"+at+"/allowedPasskeyProfiles' does not exist.")
		case b.Profiles != nil:
			for _, id := range *b.Profiles {
				include.Profiles = append(include.Profiles, strings.ToLower(id))
			}
		}
		out = append(out, include)
	}
	r.Include = out
	return nil
}

// patchConfiguration changes what p says of one method.
func patchConfiguration(k configuration, raw []byte, p *policy.Policy, have rooms, newID func() string) error {
	if k.method == "" || !have(k.method) {
		return keepOff(k, raw)
	}
	var in methodBody
	switch k.method {
	case policy.Passkey:
		var body passkeysBody
		if err := readShape(raw, &body); err != nil {
			return err
		}
		if err := body.patch(&p.Passkey, newID); err != nil {
			return err
		}
		in = body.methodBody
	case policy.AccessPass:
		var body passesBody
		if err := readShape(raw, &body); err != nil {
			return err
		}
		if err := body.patch(&p.AccessPass); err != nil {
			return err
		}
		in = body.methodBody
	case policy.Phone:
		var body phonesBody
		if err := readShape(raw, &body); err != nil {
			return err
		}
		if err := body.patch(&p.Phone); err != nil {
			return err
		}
		in = body.methodBody
	case policy.Certificate:
		var body certificatesBody
		if err := readShape(raw, &body); err != nil {
			return err
		}
		if err := body.patch(&p.Certificate); err != nil {
			return err
		}
		in = body.methodBody
	case policy.Hello, policy.Platform:
		var body machineKeysBody
		if err := readShape(raw, &body); err != nil {
			return err
		}
		if k.method == policy.Hello {
			body.patch(&p.Hello.Limit, &p.Hello.WarnAt)
		} else {
			body.patch(&p.Platform.Limit, &p.Platform.WarnAt)
		}
		in = body.methodBody
	default:
		if err := readShape(raw, &in); err != nil {
			return err
		}
	}
	r, there := p.Methods[k.method]
	if err := in.patch(k, &r); err != nil {
		return err
	}
	if there || r.On || len(r.Include)+len(r.Exclude) > 0 {
		p.Methods[k.method] = r
	}
	return nil
}

// keepOff takes what leaves a method off that is not here anyway.
func keepOff(k configuration, raw []byte) error {
	var in methodBody
	if err := readShape(raw, &in); err != nil {
		return err
	}
	var r policy.MethodRules
	if err := in.patch(k, &r); err != nil {
		return err
	}
	says := "There is no such method here, and nobody can be given it."
	switch {
	case r.On:
		return badProperty("state", says)
	case len(r.Include) > 0:
		return badProperty("includeTargets", says)
	case len(r.Exclude) > 0:
		return badProperty("excludeTargets", says)
	}
	return nil
}

// machineKeysBody has what our rules on Hello keys, and on Platform Credentials, say: how
// many a person may have, and from how many on that is many. Which numbers there
// are is the policy's.
type machineKeysBody struct {
	methodBody
	Limit  *int `json:"@signet.limit"`
	WarnAt *int `json:"@signet.warnAt"`
}

func (in *machineKeysBody) patch(limit, warnAt *int) {
	if in.Limit != nil {
		*limit = *in.Limit
	}
	if in.WarnAt != nil {
		*warnAt = *in.WarnAt
	}
}

type passesBody struct {
	methodBody
	Default *int  `json:"defaultLifetimeInMinutes"`
	Min     *int  `json:"minimumLifetimeInMinutes"`
	Max     *int  `json:"maximumLifetimeInMinutes"`
	Length  *int  `json:"defaultLength"`
	Once    *bool `json:"isUsableOnce"`
}

func (in *passesBody) patch(r *policy.AccessPassRules) error {
	for _, one := range []struct {
		at   string
		sent *int
		into *time.Duration
	}{{"defaultLifetimeInMinutes", in.Default, &r.Default}, {"minimumLifetimeInMinutes", in.Min, &r.Min}, {"maximumLifetimeInMinutes", in.Max, &r.Max}} {
		switch {
		case one.sent == nil || *one.sent == minutes(*one.into): // seconds that are not shown stay
		case *one.sent < 10 || *one.sent > 43200:
			return badProperty(one.at, one.at+" is 10 to 43200.")
		default:
			*one.into = time.Duration(*one.sent) * time.Minute
		}
	}
	if in.Length != nil {
		if *in.Length < 8 || *in.Length > 48 {
			return badProperty("defaultLength", "defaultLength is 8 to 48.")
		}
		r.Length = *in.Length
	}
	if in.Once != nil {
		r.Once = *in.Once
	}
	return nil
}
