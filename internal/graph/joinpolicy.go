package graph

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

const joinPolicy = "/policies/deviceRegistrationPolicy"

// joinOperations are about the policy of who may join devices. Graph documents
// PUT, which says all of it; PATCH says what is to change, as everywhere here.
func joinOperations() []operation {
	look := read("Policy.Read.DeviceConfiguration", "Policy.Read.All", "Policy.ReadWrite.DeviceConfiguration")
	change := write(admins, "Policy.ReadWrite.DeviceConfiguration")
	set := "policies/deviceRegistrationPolicy"
	return []operation{
		{"GET", joinPolicy, set, "Who may join machines, how many, and with what proof", look, options{}, getJoinPolicy},
		{"PUT", joinPolicy, set, "Say all of it anew; with If-Match only what was read", change, options{}, updateJoinPolicy},
		{"PATCH", joinPolicy, set, "Change some of it; with If-Match only what was read", change, options{}, updateJoinPolicy},
	}
}

// What of it is the same in every tenant.
const (
	joinPolicyID    = "deviceRegistrationPolicy"
	joinPolicyName  = "Device Registration Policy"
	joinPolicyAbout = "Who may join devices, how many, and what is asked of them."
	// joinProof is what a join demands always (security.md DEV01).
	joinProof = "required"
)

// The kinds of membership [K], without the namespace.
const (
	everyoneJoins = "allDeviceRegistrationMembership"
	nobodyJoins   = "noDeviceRegistrationMembership"
	someJoin      = "enumeratedDeviceRegistrationMembership"
)

const (
	joinPlace     = "azureADJoin/allowedToJoin"
	registerPlace = "azureADRegistration/allowedToRegister"
	statePlace    = "@signet.state"
	excludedPlace = "@signet.excludeTargets"
)

var (
	joinPlaces       = strings.NewReplacer("devices.include", joinPlace, "devices.exclude", excludedPlace, "devices.quota", "userDeviceQuota", "devices.attestation", "@signet.attestation")
	joinAttestations = map[string]policy.Attestation{
		"none": policy.AttestationNone, "preferred": policy.AttestationPreferred, "required": policy.AttestationRequired,
	}
)

// membership is who may join, in Graph's terms: a kind, and the people and
// groups of the kind that lists them.
type membership struct {
	kind          string
	users, groups []string
}

func membershipOf(all []policy.Target) membership {
	m := membership{kind: nobodyJoins}
	for _, t := range all {
		switch {
		case t.All:
			return membership{kind: everyoneJoins}
		case t.User != "":
			m.users = append(m.users, string(t.User))
		default:
			m.groups = append(m.groups, string(t.Group))
		}
		m.kind = someJoin
	}
	return m
}

func (m membership) equal(o membership) bool {
	return m.kind == o.kind && slices.Equal(m.users, o.users) && slices.Equal(m.groups, o.groups)
}

func (m membership) entity() entity {
	e := entity{"@odata.type": "#microsoft.graph." + m.kind}
	if m.kind == someJoin {
		e["users"], e["groups"] = some(m.users), some(m.groups)
	}
	return e
}

func (m membership) targets() []policy.Target {
	if m.kind == everyoneJoins {
		return []policy.Target{{All: true}}
	}
	var out []policy.Target
	for _, u := range m.users {
		out = append(out, policy.Target{User: idp.UserID(u)})
	}
	for _, g := range m.groups {
		out = append(out, policy.Target{Group: idp.GroupID(g)})
	}
	return out
}

// joining is who may join as the policy stands: nobody, while devices are off.
func joining(d *policy.DeviceRules) membership {
	if !d.On {
		return membership{kind: nobodyJoins}
	}
	return membershipOf(d.Include)
}

func joinPolicyEntity(p policy.Policy) entity {
	d := &p.Devices
	m := joining(d).entity()
	return entity{
		"@odata.etag": tag(p), "id": joinPolicyID, "displayName": joinPolicyName, "description": joinPolicyAbout,
		"userDeviceQuota": d.Quota, "multiFactorAuthConfiguration": joinProof,
		"azureADRegistration": entity{"isAdminConfigurable": true, "allowedToRegister": m},
		"azureADJoin": entity{"isAdminConfigurable": true, "allowedToJoin": m, "localAdmins": entity{
			// Who joins a machine is its administrator, and nobody else is made one.
			"enableGlobalAdmins": false, "registeringUsers": membership{kind: everyoneJoins}.entity(),
		}},
		"localAdminPassword": entity{"isEnabled": false},
		statePlace:           wordOf(stateWords, d.On), excludedPlace: targetEntities(d.Exclude),
		"@signet.attestation": wordOf(joinAttestations, d.Attestation),
	}
}

func getJoinPolicy(ctx context.Context, c *call) (any, error) {
	p, err := c.policy(ctx)
	if err != nil {
		return nil, err
	}
	return joinPolicyEntity(p), nil
}

func updateJoinPolicy(ctx context.Context, c *call) (any, error) {
	raw, err := c.sent()
	if err != nil {
		return nil, err
	}
	place := func(_ policy.Policy, at string) string { return joinPlaces.Replace(at) }
	saved, err := c.changePolicy(ctx, "policy.update", place, func(p *policy.Policy) error {
		return patchJoinPolicy(raw, p, c.r.Method == http.MethodPut)
	})
	if err != nil {
		return nil, err
	}
	return joinPolicyEntity(saved), nil
}

type membershipBody struct {
	ODataType *string  `json:"@odata.type"`
	Users     []string `json:"users"`
	Groups    []string `json:"groups"`
}

// membership reads who may join; at is where it stands.
func (b *membershipBody) membership(at string) (*membership, error) {
	if b == nil {
		return nil, nil
	}
	if b.ODataType == nil {
		return nil, required(at + "/@odata.type")
	}
	m := membership{kind: strings.TrimPrefix(strings.TrimPrefix(*b.ODataType, "#"), "microsoft.graph.")}
	if m.kind != everyoneJoins && m.kind != nobodyJoins && m.kind != someJoin {
		return nil, badProperty(at+"/@odata.type", "The property '"+at+"/@odata.type' is #microsoft.graph."+everyoneJoins+", …"+someJoin+" or …"+nobodyJoins+".")
	}
	var err error
	if m.users, err = guids(at+"/users", b.Users); err != nil {
		return nil, err
	}
	if m.groups, err = guids(at+"/groups", b.Groups); err != nil {
		return nil, err
	}
	listed := len(m.users)+len(m.groups) > 0
	if listed && m.kind != someJoin {
		return nil, badProperty(at, "Only "+someJoin+" lists users and groups.")
	}
	if !listed && m.kind == someJoin {
		return nil, badProperty(at, "The property '"+at+"' lists nobody. Nobody is "+nobodyJoins+".")
	}
	return &m, nil
}

func guids(at string, all []string) ([]string, error) {
	var out []string
	for i, id := range all {
		if !isGUID(id) {
			return nil, badProperty(index(at, i), "The property '"+index(at, i)+"' is the id of one user or group, and not '"+clip(id)+"'.")
		}
		out = append(out, strings.ToLower(id))
	}
	return out, nil
}

// joinBody is what may be sent of the policy.
type joinBody struct {
	head
	ID           *string `json:"id"`
	DisplayName  *string `json:"displayName"`
	Description  *string `json:"description"`
	Quota        *int    `json:"userDeviceQuota"`
	Proof        *string `json:"multiFactorAuthConfiguration"`
	Registration *struct {
		head
		Configurable *bool           `json:"isAdminConfigurable"`
		Allowed      *membershipBody `json:"allowedToRegister"`
	} `json:"azureADRegistration"`
	Join *struct {
		head
		Configurable *bool            `json:"isAdminConfigurable"`
		Allowed      *membershipBody  `json:"allowedToJoin"`
		Admins       *localAdminsBody `json:"localAdmins"`
	} `json:"azureADJoin"`
	Password *struct {
		head
		On *bool `json:"isEnabled"`
	} `json:"localAdminPassword"`
	State       *string       `json:"@signet.state"`
	Exclude     *[]targetBody `json:"@signet.excludeTargets"`
	Attestation *string       `json:"@signet.attestation"`
}

type localAdminsBody struct {
	head
	Global *bool           `json:"enableGlobalAdmins"`
	Users  *membershipBody `json:"registeringUsers"`
}

// whole names what Graph demands of a PUT and is not there.
func (in *joinBody) whole() error {
	switch {
	case in.Quota == nil:
		return required("userDeviceQuota")
	case in.Proof == nil:
		return required("multiFactorAuthConfiguration")
	case in.Registration == nil || in.Registration.Allowed == nil:
		return required(registerPlace)
	case in.Join == nil || in.Join.Allowed == nil:
		return required(joinPlace)
	}
	return nil
}

// fixed refuses to change what is the same in every tenant.
func (in *joinBody) fixed() error {
	if err := firstError(in.is("deviceRegistrationPolicy"), fixed("id", in.ID, joinPolicyID), fixed("displayName", in.DisplayName, joinPolicyName),
		fixed("description", in.Description, joinPolicyAbout)); err != nil {
		return err
	}
	if in.Proof != nil && *in.Proof != joinProof {
		return badProperty("multiFactorAuthConfiguration", "A join always asks for a fresh sign-in with two factors: multiFactorAuthConfiguration is "+joinProof+".")
	}
	if in.Password != nil && in.Password.On != nil && *in.Password.On {
		return badProperty("localAdminPassword/isEnabled", "Signet keeps no passwords of local administrators.")
	}
	if r := in.Registration; r != nil {
		if err := fixed("azureADRegistration/isAdminConfigurable", r.Configurable, true); err != nil {
			return err
		}
	}
	if in.Join == nil {
		return nil
	}
	if err := fixed("azureADJoin/isAdminConfigurable", in.Join.Configurable, true); err != nil {
		return err
	}
	a := in.Join.Admins
	if a == nil {
		return nil
	}
	if err := fixed("azureADJoin/localAdmins/enableGlobalAdmins", a.Global, false); err != nil {
		return err
	}
	const at = "azureADJoin/localAdmins/registeringUsers"
	m, err := a.Users.membership(at)
	if err == nil && m != nil && m.kind != everyoneJoins {
		err = badProperty(at, "Who joins a machine is its administrator; that cannot be changed.")
	}
	return err
}

// who reads whom the body lets join: nil when it does not say. Joining and
// registering are one right here.
func (in *joinBody) who() (*membership, error) {
	var join, register *membership
	var err error
	if in.Join != nil {
		if join, err = in.Join.Allowed.membership(joinPlace); err != nil {
			return nil, err
		}
	}
	if in.Registration != nil {
		if register, err = in.Registration.Allowed.membership(registerPlace); err != nil {
			return nil, err
		}
	}
	switch {
	case join == nil:
		return register, nil
	case register != nil && !join.equal(*register):
		return nil, contradiction(joinPlace, registerPlace, "who may join may register, and nobody else")
	}
	return join, nil
}

// patchJoinPolicy changes p as a body says. While devices are off nobody is
// shown to be able to join, whoever is kept for when they are on: to send that
// back keeps them, and to let somebody join switches devices on.
func patchJoinPolicy(raw []byte, p *policy.Policy, whole bool) error {
	var in joinBody
	if err := readShape(raw, &in); err != nil {
		return err
	}
	if whole {
		if err := in.whole(); err != nil {
			return err
		}
	}
	if err := in.fixed(); err != nil {
		return err
	}
	d := &p.Devices
	m, err := in.who()
	if err != nil {
		return err
	}
	on := d.On || m != nil && m.kind != nobodyJoins
	if err := turn(statePlace, in.State, &on); err != nil {
		return err
	}
	if !on && m != nil && m.kind != nobodyJoins {
		return contradiction(statePlace, joinPlace, "nobody can join while devices are off; send "+nobodyJoins)
	}
	if on && m != nil && !m.equal(membershipOf(d.Include)) {
		d.Include = m.targets()
	}
	d.On = on
	if in.Quota != nil {
		d.Quota = *in.Quota
	}
	if in.Attestation != nil {
		if d.Attestation, err = valueOf("@signet.attestation", *in.Attestation, joinAttestations); err != nil {
			return err
		}
	}
	return targets(excludedPlace, in.Exclude, &d.Exclude)
}
