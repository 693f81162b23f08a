package graph

import (
	"cmp"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/policy"
)

// Passkeys in Graph's shapes (entra-behaviours.md §1.4): the rules that are
// nobody's profile stand in two places there, at the top and as the default
// profile.

func showPasskeys(e entity, r *policy.PasskeyRules) {
	e["isSelfServiceRegistrationAllowed"] = r.SelfService
	e["isAttestationEnforced"] = attested(r.Attestation)
	e["keyRestrictions"] = keysEntity(r.AAGUIDs)
	e["defaultPasskeyProfile"] = policy.DefaultProfile
	profiles := []entity{profileEntity(policy.Profile{ID: policy.DefaultProfile, Name: defaultProfileName, KeyRules: r.KeyRules})}
	for _, f := range r.Profiles {
		profiles = append(profiles, profileEntity(f))
	}
	e["passkeyProfiles"] = profiles
	// Graph has no words for these, and what the others say depends on them.
	e["@signet.restrictions"], e["@signet.additive"] = string(r.Restrictions), r.Additive
}

func profileEntity(f policy.Profile) entity {
	return entity{
		"id": f.ID, "name": f.Name, "passkeyTypes": wordOf(passkeyWords, f.Synced),
		"attestationEnforcement": wordOf(attestationWords, attested(f.Attestation)), "keyRestrictions": keysEntity(f.AAGUIDs),
	}
}

func keysEntity(r policy.AAGUIDRules) entity {
	return entity{"isEnforced": r.Mode != policy.ListOff, "enforcementType": wordOf(enforcementWords, listKind(r)), "aaGuids": some(r.List)}
}

// listKind is how a list is read, or would be if it were on.
func listKind(r policy.AAGUIDRules) policy.ListMode {
	if r.Mode != policy.ListOff {
		return r.Mode
	}
	return cmp.Or(r.Resting, policy.ListDeny)
}

func attested(a policy.Attestation) bool {
	return a == policy.AttestationRequired || a == policy.AttestationAlways
}

type passkeysBody struct {
	methodBody
	SelfService  *bool          `json:"isSelfServiceRegistrationAllowed"`
	Attested     *bool          `json:"isAttestationEnforced"`
	Keys         *keysBody      `json:"keyRestrictions"`
	Default      *string        `json:"defaultPasskeyProfile"`
	Profiles     *[]profileBody `json:"passkeyProfiles"`
	Restrictions *string        `json:"@signet.restrictions"`
	Additive     *bool          `json:"@signet.additive"`
}

type keysBody struct {
	head
	Enforced *bool     `json:"isEnforced"`
	Kind     *string   `json:"enforcementType"`
	AAGUIDs  *[]string `json:"aaGuids"`
}

type profileBody struct {
	head
	ID       *string   `json:"id"`
	Name     *string   `json:"name"`
	Types    *string   `json:"passkeyTypes"`
	Attested *string   `json:"attestationEnforcement"`
	Keys     *keysBody `json:"keyRestrictions"`
}

func (in *passkeysBody) patch(r *policy.PasskeyRules, newID func() string) (err error) {
	if in.SelfService != nil {
		r.SelfService = *in.SelfService
	}
	if in.Additive != nil {
		r.Additive = *in.Additive
	}
	if in.Restrictions != nil {
		if r.Restrictions, err = valueOf("@signet.restrictions", *in.Restrictions, restrictionWords); err != nil {
			return err
		}
	}
	if in.Default != nil && !strings.EqualFold(*in.Default, policy.DefaultProfile) {
		return fixed("defaultPasskeyProfile", in.Default, policy.DefaultProfile)
	}
	top := r.KeyRules
	if in.Attested != nil {
		top.Attestation = attest(*in.Attested, top.Attestation)
	}
	if err := in.Keys.patch("keyRestrictions", &top.AAGUIDs); err != nil {
		return err
	}
	if in.Profiles == nil {
		r.KeyRules = top
		return nil
	}
	return in.profiles(r, top, newID)
}

// attest is how far models are proven when Graph says that it is enforced, or
// not; what it is now stays, when Graph says the same of it.
func attest(enforced bool, now policy.Attestation) policy.Attestation {
	switch {
	case enforced == attested(now) && now != "":
		return now
	case enforced:
		return policy.AttestationRequired
	}
	return policy.AttestationPreferred
}

func (in *keysBody) patch(at string, r *policy.AAGUIDRules) error {
	if in == nil {
		return nil
	}
	on, kind := r.Mode != policy.ListOff, listKind(*r)
	if in.Enforced != nil {
		on = *in.Enforced
	}
	if in.Kind != nil {
		var err error
		if kind, err = valueOf(at+"/enforcementType", *in.Kind, enforcementWords); err != nil {
			return err
		}
	}
	r.Mode, r.Resting = kind, ""
	if !on {
		r.Mode = policy.ListOff
		if kind == policy.ListAllow {
			r.Resting = kind
		}
	}
	if in.AAGUIDs != nil {
		r.List = nil
		for _, g := range *in.AAGUIDs {
			r.List = append(r.List, strings.ToLower(g))
		}
	}
	return nil
}

// profiles replaces the profiles. top is what else the body says of the
// default profile, which has two places in Graph: whichever differs from what
// is now holds, and both must not differ in different ways.
func (in *passkeysBody) profiles(r *policy.PasskeyRules, top policy.KeyRules, newID func() string) error {
	var out []policy.Profile
	first := -1
	for i, b := range *in.Profiles {
		at, id := index("passkeyProfiles", i), ""
		if b.ID != nil {
			id = strings.ToLower(*b.ID)
		}
		was := policy.Profile{ID: id, KeyRules: policy.KeyRules{AAGUIDs: policy.AAGUIDRules{Mode: policy.ListOff}, Synced: policy.SyncedAllow}}
		switch k := slices.IndexFunc(r.Profiles, func(f policy.Profile) bool { return f.ID == id }); {
		case id == policy.DefaultProfile && first >= 0:
			return contradiction(index("passkeyProfiles", first)+"/id", at+"/id", "two profiles have one id")
		case id == policy.DefaultProfile:
			first = i
			was.Name, was.KeyRules = defaultProfileName, r.KeyRules
		case id == "":
			was.ID = newID()
		case k >= 0:
			was = r.Profiles[k]
		}
		f, err := b.profile(at, was)
		if err != nil {
			return err
		}
		if id != policy.DefaultProfile {
			out = append(out, f)
			continue
		}
		if f.Name != defaultProfileName {
			return fixed(at+"/name", &f.Name, defaultProfileName)
		}
		if err := merge(r, top, f.KeyRules, at); err != nil {
			return err
		}
	}
	if first < 0 {
		return badProperty("passkeyProfiles", "The list 'passkeyProfiles' is replaced whole, and the default profile, "+policy.DefaultProfile+", cannot be removed.")
	}
	r.Profiles = out
	return nil
}

func merge(r *policy.PasskeyRules, top, profile policy.KeyRules, at string) error {
	if top.Attestation == r.Attestation {
		top.Attestation = profile.Attestation
	} else if profile.Attestation != r.Attestation && profile.Attestation != top.Attestation {
		return contradiction("isAttestationEnforced", at+"/attestationEnforcement", "they say different things of the default profile")
	}
	same := func(a, b policy.AAGUIDRules) bool {
		return a.Mode == b.Mode && a.Resting == b.Resting && slices.Equal(a.List, b.List)
	}
	if same(top.AAGUIDs, r.AAGUIDs) {
		top.AAGUIDs = profile.AAGUIDs
	} else if !same(profile.AAGUIDs, r.AAGUIDs) && !same(profile.AAGUIDs, top.AAGUIDs) {
		return contradiction("keyRestrictions", at+"/keyRestrictions", "they say different things of the default profile")
	}
	top.Synced = profile.Synced
	r.KeyRules = top
	return nil
}

// profile reads a profile, which was so before.
func (in *profileBody) profile(at string, f policy.Profile) (policy.Profile, error) {
	if in.Name != nil {
		f.Name = *in.Name
	}
	enforced := attested(f.Attestation)
	var err error
	if in.Attested != nil {
		if enforced, err = valueOf(at+"/attestationEnforcement", *in.Attested, attestationWords); err != nil {
			return f, err
		}
	}
	f.Attestation = attest(enforced, f.Attestation)
	if in.Types != nil {
		if f.Synced, err = passkeyTypes(at+"/passkeyTypes", *in.Types); err != nil {
			return f, err
		}
	}
	return f, in.Keys.patch(at+"/keyRestrictions", &f.AAGUIDs)
}

// passkeyTypes reads flags with commas between.
func passkeyTypes(at, flags string) (out policy.Synced, err error) {
	for _, word := range strings.Split(flags, ",") {
		one, err := valueOf(at, strings.TrimSpace(word), map[string]policy.Synced{"deviceBound": policy.SyncedDeny, "synced": policy.SyncedOnly})
		if err != nil {
			return "", err
		}
		if out != "" && out != one {
			one = policy.SyncedAllow
		}
		out = one
	}
	return out, nil
}
