package graph

import (
	"slices"

	"github.com/signetid/signet/internal/policy"
)

// Phones in Graph's shapes (entra-behaviours.md §1.5, §1.10). Graph knows two
// ways of using a phone, and only one is here: without a password.

// passwordless is the one word that is shown for how a phone is used. Clients
// send any for it, too: it is all that any can mean here.
const passwordless = "deviceBasedPush"

// nobody is the id of an exclude that excludes nobody (entra-behaviours.md §1.3).
const nobody = "00000000-0000-0000-0000-000000000000"

var (
	fromWords   = map[string]policy.PhoneFrom{"anywhere": policy.FromAnywhere, "knownOrNetwork": policy.FromNetwork, "known": policy.FromKnown}
	syncedWords = map[string]policy.Synced{"allow": policy.SyncedAllow, "deny": policy.SyncedDeny}
)

func showPhones(e entity, r *policy.PhoneRules) {
	for _, t := range e["includeTargets"].([]entity) {
		t["authenticationMode"] = passwordless
	}
	e["isSoftwareOathEnabled"] = false
	e["featureSettings"] = entity{
		"displayAppInformationRequiredState":      featureEntity(r.ShowApp),
		"displayLocationInformationRequiredState": featureEntity(r.ShowPlace),
		"numberMatchingRequiredState":             featureEntity(policy.Feature{On: true, Include: policy.Target{All: true}}),
	}
	// Graph has no words for these.
	stricter := make([]entity, 0, len(r.Stricter))
	for _, s := range r.Stricter {
		t := targetEntity(s.Target)
		t["from"] = wordOf(fromWords, s.From)
		stricter = append(stricter, t)
	}
	e["@signet.from"], e["@signet.stricter"], e["@signet.synced"] = wordOf(fromWords, r.From), stricter, wordOf(syncedWords, r.Synced)
	e["@signet.limit"], e["@signet.warnAt"] = r.Limit, r.WarnAt
}

func featureEntity(f policy.Feature) entity {
	exclude := entity{"id": nobody, "targetType": "group"}
	if f.Exclude != (policy.Target{}) {
		exclude = targetEntity(f.Exclude)
	}
	return entity{"state": wordOf(stateWords, f.On), "includeTarget": targetEntity(f.Include), "excludeTarget": exclude}
}

// suspicionEntity shows reportSuspiciousActivitySettings of the whole policy.
func suspicionEntity(r policy.ReportRules) entity {
	return entity{
		"state": wordOf(stateWords, r.On), "includeTarget": targetEntity(r.Include), "voiceReportingCode": 0, // nobody is called here
		"@signet.block": r.Block,
	}
}

type phonesBody struct {
	methodBody
	Include  *[]phoneInclude `json:"includeTargets"` // in the place of methodBody's
	OATH     *bool           `json:"isSoftwareOathEnabled"`
	Features *featuresBody   `json:"featureSettings"`
	From     *string         `json:"@signet.from"`
	Stricter *[]stricterBody `json:"@signet.stricter"`
	Synced   *string         `json:"@signet.synced"`
	Limit    *int            `json:"@signet.limit"`
	WarnAt   *int            `json:"@signet.warnAt"`
}

type phoneInclude struct {
	includeBody
	Mode *string `json:"authenticationMode"`
}

type stricterBody struct {
	targetBody
	From *string `json:"from"`
}

type featuresBody struct {
	head
	App       *featureBody `json:"displayAppInformationRequiredState"`
	Place     *featureBody `json:"displayLocationInformationRequiredState"`
	Companion *featureBody `json:"companionAppAllowedState"`
	Number    *featureBody `json:"numberMatchingRequiredState"`
}

type featureBody struct {
	head
	State   *string     `json:"state"`
	Include *targetBody `json:"includeTarget"`
	Exclude *targetBody `json:"excludeTarget"`
}

// patch changes the rules on phones; in.methodBody has then what is left to do.
func (in *phonesBody) patch(r *policy.PhoneRules) (err error) {
	if in.OATH != nil && *in.OATH {
		return badProperty("isSoftwareOathEnabled", "There are no codes to type off a phone here: 'isSoftwareOathEnabled' can only be false.")
	}
	if err := firstError(in.include(), in.Features.patch(r), in.stricter(r)); err != nil {
		return err
	}
	if in.From != nil {
		if r.From, err = valueOf("@signet.from", *in.From, fromWords); err != nil {
			return err
		}
	}
	if in.Synced != nil {
		if r.Synced, err = valueOf("@signet.synced", *in.Synced, syncedWords); err != nil {
			return err
		}
	}
	if in.Limit != nil {
		r.Limit = *in.Limit
	}
	if in.WarnAt != nil {
		r.WarnAt = *in.WarnAt
	}
	return nil
}

// include takes the people as any method's, when how they use their phone is
// the one way that there is.
func (in *phonesBody) include() error {
	if in.Include == nil {
		return nil
	}
	all := make([]includeBody, 0, len(*in.Include))
	for i, b := range *in.Include {
		if b.Mode != nil {
			at := index("includeTargets", i) + "/authenticationMode"
			mode, err := valueOf(at, *b.Mode, map[string]string{"any": "any", "push": "push", passwordless: passwordless})
			if err != nil {
				return err
			}
			if mode == "push" {
				return badProperty(at, "The property '"+at+"' is "+passwordless+" or any: push alone is a second step after a password, and there are no passwords here.")
			}
		}
		all = append(all, b.includeBody)
	}
	in.methodBody.Include = &all
	return nil
}

func (in *phonesBody) stricter(r *policy.PhoneRules) error {
	if in.Stricter == nil {
		return nil
	}
	var out []policy.PhoneFromFor
	for i, b := range *in.Stricter {
		at := index("@signet.stricter", i)
		t, err := b.target(at)
		if err != nil {
			return err
		}
		if b.From == nil {
			return required(at + "/from")
		}
		from, err := valueOf(at+"/from", *b.From, fromWords)
		if err != nil {
			return err
		}
		out = append(out, policy.PhoneFromFor{Target: t, From: from})
	}
	r.Stricter = out
	return nil
}

// patch changes what phones show. What is not mentioned stays: Graph's clients
// are told to send the whole block, and those that do are understood as well.
func (in *featuresBody) patch(r *policy.PhoneRules) error {
	if in == nil {
		return nil
	}
	fresh := policy.Default().Phone
	err := firstError(in.App.patch("featureSettings/displayAppInformationRequiredState", &r.ShowApp, fresh.ShowApp.On),
		in.Place.patch("featureSettings/displayLocationInformationRequiredState", &r.ShowPlace, fresh.ShowPlace.On))
	if err != nil {
		return err
	}
	// Numbers are matched always; what is said of it does nothing, as in Graph's
	// beta.
	number := policy.Feature{On: true, Include: policy.Target{All: true}}
	if err := in.Number.patch("featureSettings/numberMatchingRequiredState", &number, true); err != nil {
		return err
	}
	watch := policy.Feature{Include: policy.Target{All: true}}
	at := "featureSettings/companionAppAllowedState"
	if err := in.Companion.patch(at, &watch, false); err != nil {
		return err
	}
	if watch.On {
		return badProperty(at+"/state", "Nothing but the phone itself can approve: '"+at+"/state' can only be disabled.")
	}
	return nil
}

// patch changes one feature; standard is what the state "default" means.
func (in *featureBody) patch(at string, f *policy.Feature, standard bool) error {
	if in == nil {
		return nil
	}
	if in.State != nil {
		on, err := valueOf(at+"/state", *in.State, map[string]bool{"enabled": true, "disabled": false, "default": standard})
		if err != nil {
			return err
		}
		f.On = on
	}
	if in.Include != nil {
		t, err := in.Include.target(at + "/includeTarget")
		if err != nil {
			return err
		}
		f.Include = t
	}
	if in.Exclude == nil {
		return nil
	}
	if in.Exclude.ID != nil && *in.Exclude.ID == nobody {
		f.Exclude = policy.Target{}
		return nil
	}
	t, err := in.Exclude.target(at + "/excludeTarget")
	if err == nil {
		f.Exclude = t
	}
	return err
}

// reportBody is reportSuspiciousActivitySettings.
type reportBody struct {
	head
	State   *string     `json:"state"`
	Include *targetBody `json:"includeTarget"`
	Voice   *int        `json:"voiceReportingCode"`
	Block   *bool       `json:"@signet.block"`
}

func (in *reportBody) patch(at string, r *policy.ReportRules) error {
	f := policy.Feature{On: r.On, Include: r.Include}
	one := featureBody{State: in.State, Include: in.Include}
	if err := firstError(one.patch(at, &f, policy.Default().Phone.Report.On), fixed(at+"/voiceReportingCode", in.Voice, 0)); err != nil {
		return err
	}
	if r.On, r.Include = f.On, f.Include; in.Block != nil {
		r.Block = *in.Block
	}
	return nil
}

// phoneTargets are the groups and people that rules on phones name.
func phoneTargets(r *policy.PhoneRules) []policy.Target {
	out := []policy.Target{r.ShowApp.Include, r.ShowApp.Exclude, r.ShowPlace.Include, r.ShowPlace.Exclude, r.Report.Include}
	for _, s := range r.Stricter {
		out = append(out, s.Target)
	}
	return slices.DeleteFunc(out, func(t policy.Target) bool { return t == policy.Target{} })
}
