package graphsdk

import (
	"context"
	"errors"
	"strings"
	"testing"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	graph "github.com/microsoftgraph/msgraph-sdk-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
	"github.com/microsoftgraph/msgraph-sdk-go/policies"
	"github.com/microsoftgraph/msgraph-sdk-go/rolemanagement"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
)

// yubikey is a model of keys that Signet knows without any metadata.
const yubikey = "cb69481e-8ff7-4039-93ec-0a2729a154a8"

const passkeys = "fido2" // the id of the configuration, in the letters that clients use

// passkeyRules reads the configuration of passkeys with its entity tag.
func passkeyRules(t *testing.T, c *graph.GraphServiceClient) (models.Fido2AuthenticationMethodConfigurationable, string) {
	t.Helper()
	got, err := c.Policies().AuthenticationMethodsPolicy().AuthenticationMethodConfigurations().ByAuthenticationMethodConfigurationId(passkeys).Get(t.Context(), nil)
	if err != nil {
		t.Fatalf("passkeys: %v", said(err))
	}
	f, ok := got.(models.Fido2AuthenticationMethodConfigurationable)
	tag, _ := got.GetAdditionalData()["@odata.etag"].(*string)
	if !ok || tag == nil {
		t.Fatalf("the configuration is a %T with %v", got, got.GetAdditionalData())
	}
	return f, *tag
}

func said(err error) string {
	var e *odataerrors.ODataError
	if errors.As(err, &e) && e.GetErrorEscaped() != nil && e.GetErrorEscaped().GetMessage() != nil {
		return *e.GetErrorEscaped().GetMessage()
	}
	return err.Error()
}

func change(ctx context.Context, c *graph.GraphServiceClient, f models.AuthenticationMethodConfigurationable, ifMatch string) error {
	cfg := &policies.AuthenticationMethodsPolicyAuthenticationMethodConfigurationsAuthenticationMethodConfigurationItemRequestBuilderPatchRequestConfiguration{Headers: abstractions.NewRequestHeaders()}
	if ifMatch != "" {
		cfg.Headers.Add("If-Match", ifMatch)
	}
	_, err := c.Policies().AuthenticationMethodsPolicy().AuthenticationMethodConfigurations().ByAuthenticationMethodConfigurationId(passkeys).Patch(ctx, f, cfg)
	return err
}

// An administrator reads and changes who may use which keys; what two change
// at once is not lost.
func TestPasskeyRules(t *testing.T) {
	_, c := office(t, "Policy.ReadWrite.AuthenticationMethod")
	ctx := t.Context()

	whole, err := c.Policies().AuthenticationMethodsPolicy().Get(ctx, nil)
	if err != nil || len(whole.GetAuthenticationMethodConfigurations()) < 2 {
		t.Fatalf("policy: %v", err)
	}
	first, tag := passkeyRules(t, c)
	if *first.GetState() != models.ENABLED_AUTHENTICATIONMETHODSTATE || *first.GetIsAttestationEnforced() || *first.GetKeyRestrictions().GetIsEnforced() ||
		len(first.GetIncludeTargets()) != 1 || *first.GetIncludeTargets()[0].GetId() != "all_users" {
		t.Fatalf("a new tenant's passkeys: %+v", first)
	}

	rules := models.NewFido2KeyRestrictions()
	rules.SetIsEnforced(ptr(true))
	rules.SetEnforcementType(ptr(models.BLOCK_FIDO2RESTRICTIONENFORCEMENTTYPE))
	rules.SetAaGuids([]string{strings.ToUpper(yubikey)})
	mine := models.NewFido2AuthenticationMethodConfiguration()
	mine.SetKeyRestrictions(rules)
	if err := change(ctx, c, mine, tag); err != nil {
		t.Fatalf("block a model: %v", said(err))
	}
	second, newer := passkeyRules(t, c)
	if got := second.GetKeyRestrictions(); !*got.GetIsEnforced() || *got.GetEnforcementType() != models.BLOCK_FIDO2RESTRICTIONENFORCEMENTTYPE || len(got.GetAaGuids()) != 1 || got.GetAaGuids()[0] != yubikey {
		t.Errorf("rules on keys: %+v", got)
	}

	// Somebody else still has the configuration as it was.
	theirs := models.NewFido2AuthenticationMethodConfiguration()
	theirs.SetIsAttestationEnforced(ptr(true))
	if got := told(t, change(ctx, c, theirs, tag)); got != "PreconditionFailed" {
		t.Errorf("a change to an older version: %s", got)
	}
	first.SetIsSelfServiceRegistrationAllowed(ptr(false))
	if got := told(t, change(ctx, c, first, "")); got != "PreconditionFailed" {
		t.Errorf("an older version sent back: %s", got)
	}
	if now, is := passkeyRules(t, c); is != newer || *now.GetIsAttestationEnforced() {
		t.Errorf("a refused change was made: version %s, attestation %t", is, *now.GetIsAttestationEnforced())
	}
	// They read it again, and both changes hold.
	if err := change(ctx, c, theirs, newer); err != nil {
		t.Fatalf("the change again: %v", said(err))
	}
	now, latest := passkeyRules(t, c)
	if !*now.GetIsAttestationEnforced() || len(now.GetKeyRestrictions().GetAaGuids()) != 1 {
		t.Errorf("both changes: attestation %t, models %v", *now.GetIsAttestationEnforced(), now.GetKeyRestrictions().GetAaGuids())
	}
	// What was read can be sent back.
	if err := change(ctx, c, now, latest); err != nil {
		t.Errorf("sent back: %v", said(err))
	}

	rules.SetAaGuids([]string{yubikey[:35] + "9"})
	if err := change(ctx, c, mine, ""); told(t, err) != "Request_BadRequest" || !strings.Contains(said(err), "aaGuids[0]") || !strings.Contains(said(err), yubikey) {
		t.Errorf("a mistyped model: %s", said(err))
	}

	campaign := models.NewAuthenticationMethodsRegistrationCampaign()
	campaign.SetSnoozeDurationInDays(ptr[int32](3))
	campaign.SetState(ptr(models.ENABLED_ADVANCEDCONFIGSTATE))
	enforcement := models.NewRegistrationEnforcement()
	enforcement.SetAuthenticationMethodsRegistrationCampaign(campaign)
	body := models.NewAuthenticationMethodsPolicy()
	body.SetRegistrationEnforcement(enforcement)
	if _, err := c.Policies().AuthenticationMethodsPolicy().Patch(ctx, body, nil); err != nil {
		t.Fatalf("campaign: %v", said(err))
	}
	whole, err = c.Policies().AuthenticationMethodsPolicy().Get(ctx, nil)
	if err != nil || *whole.GetRegistrationEnforcement().GetAuthenticationMethodsRegistrationCampaign().GetSnoozeDurationInDays() != 3 {
		t.Errorf("campaign: %v", err)
	}
}

func TestStrengths(t *testing.T) {
	_, c := office(t, "Policy.ReadWrite.AuthenticationMethod")
	ctx := t.Context()
	all, err := c.Policies().AuthenticationStrengthPolicies().Get(ctx, nil)
	if err != nil {
		t.Fatalf("strengths: %v", said(err))
	}
	builtIn := map[string]int{}
	for _, s := range all.GetValue() {
		if *s.GetPolicyType() == models.BUILTIN_AUTHENTICATIONSTRENGTHPOLICYTYPE {
			builtIn[*s.GetId()] = len(s.GetAllowedCombinations())
		}
	}
	for id, n := range map[string]int{"00000000-0000-0000-0000-000000000002": 17, "00000000-0000-0000-0000-000000000003": 4, "00000000-0000-0000-0000-000000000004": 3} {
		if builtIn[id] != n {
			t.Errorf("strength %s has %d combinations", id, builtIn[id])
		}
	}

	narrow := models.NewFido2CombinationConfiguration()
	narrow.SetAppliesToCombinations([]models.AuthenticationMethodModes{models.FIDO2_AUTHENTICATIONMETHODMODES})
	narrow.SetAllowedAAGUIDs([]string{yubikey})
	own := models.NewAuthenticationStrengthPolicy()
	own.SetDisplayName(ptr("Keys of the workshop"))
	own.SetDescription(ptr("Only what the workshop hands out"))
	own.SetAllowedCombinations([]models.AuthenticationMethodModes{models.FIDO2_AUTHENTICATIONMETHODMODES, models.X509CERTIFICATEMULTIFACTOR_AUTHENTICATIONMETHODMODES})
	own.SetCombinationConfigurations([]models.AuthenticationCombinationConfigurationable{narrow})
	made, err := c.Policies().AuthenticationStrengthPolicies().Post(ctx, own, nil)
	if err != nil {
		t.Fatalf("make a strength: %v", said(err))
	}
	id := *made.GetId()
	if got := made.GetCombinationConfigurations(); len(got) != 1 {
		t.Errorf("configurations %v", got)
	} else if f, ok := got[0].(models.Fido2CombinationConfigurationable); !ok || f.GetAllowedAAGUIDs()[0] != yubikey {
		t.Errorf("the configuration is a %T", got[0])
	}
	if *made.GetRequirementsSatisfied() != models.MFA_AUTHENTICATIONSTRENGTHREQUIREMENTS {
		t.Error("keys do not satisfy multifactor authentication")
	}

	next := policies.NewAuthenticationStrengthPoliciesItemUpdateAllowedCombinationsPostRequestBody()
	next.SetAllowedCombinations([]models.AuthenticationMethodModes{models.FIDO2_AUTHENTICATIONMETHODMODES})
	result, err := c.Policies().AuthenticationStrengthPolicies().ByAuthenticationStrengthPolicyId(id).UpdateAllowedCombinations().Post(ctx, next, nil)
	if err != nil || len(result.GetPreviousCombinations()) != 2 || len(result.GetCurrentCombinations()) != 1 {
		t.Fatalf("update combinations: %v", err)
	}
	other := c.Identity().ConditionalAccess().AuthenticationStrength().Policies().ByAuthenticationStrengthPolicyId(id)
	renamed := models.NewAuthenticationStrengthPolicy()
	renamed.SetDisplayName(ptr("Workshop keys"))
	if _, err := other.Patch(ctx, renamed, nil); err != nil {
		t.Fatalf("rename: %v", said(err))
	}
	got, err := other.Get(ctx, nil)
	if err != nil || *got.GetDisplayName() != "Workshop keys" || len(got.GetAllowedCombinations()) != 1 {
		t.Fatalf("at its other address: %v", err)
	}
	if usage, err := c.Policies().AuthenticationStrengthPolicies().ByAuthenticationStrengthPolicyId(id).Usage().Get(ctx, nil); err != nil || len(usage.GetMfa()) != 0 {
		t.Errorf("usage: %v", err)
	}
	if _, err := c.Policies().AuthenticationStrengthPolicies().ByAuthenticationStrengthPolicyId("00000000-0000-0000-0000-000000000004").Patch(ctx, renamed, nil); told(t, err) != "Authorization_RequestDenied" {
		t.Errorf("a built-in strength: %s", said(err))
	}
	if err := other.Delete(ctx, nil); err != nil {
		t.Fatalf("remove: %v", said(err))
	}
	_, err = other.Get(ctx, nil)
	if got := told(t, err); got != "Request_ResourceNotFound" {
		t.Errorf("a removed strength: %s", got)
	}
}

// Roles, searches and summaries, as Graph's client asks for them.
func TestRolesAndReports(t *testing.T) {
	_, c := office(t, "User.ReadWrite.All", "GroupMember.Read.All", "RoleManagement.ReadWrite.Directory", "AuditLog.Read.All")
	ctx := t.Context()
	person := models.NewUser()
	person.SetDisplayName(ptr("Zoë Brandt"))
	person.SetUserPrincipalName(ptr("zoe@nordhafen.example"))
	person.SetAccountEnabled(ptr(true))
	made, err := c.Users().Post(ctx, person, nil)
	if err != nil {
		t.Fatalf("make a person: %v", said(err))
	}
	headers := abstractions.NewRequestHeaders()
	headers.Add("ConsistencyLevel", "eventual")
	found, err := c.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{Headers: headers, QueryParameters: &users.UsersRequestBuilderGetQueryParameters{
		Search: ptr(`"displayName:bra"`), Count: ptr(true), Expand: []string{"memberOf"}}})
	if err != nil || len(found.GetValue()) != 1 || *found.GetValue()[0].GetId() != *made.GetId() {
		t.Fatalf("search: %v", err)
	}

	const helpDesk = "c4e39bd9-1100-46d3-8c65-fb160da0071f"
	give := models.NewUnifiedRoleAssignment()
	give.SetPrincipalId(made.GetId())
	give.SetRoleDefinitionId(ptr(helpDesk))
	give.SetDirectoryScopeId(ptr("/"))
	assigned, err := c.RoleManagement().Directory().RoleAssignments().Post(ctx, give, nil)
	if err != nil {
		t.Fatalf("give a role: %v", said(err))
	}
	list, err := c.RoleManagement().Directory().RoleAssignments().Get(ctx, &rolemanagement.DirectoryRoleAssignmentsRequestBuilderGetRequestConfiguration{
		QueryParameters: &rolemanagement.DirectoryRoleAssignmentsRequestBuilderGetQueryParameters{Filter: ptr("principalId eq '" + *made.GetId() + "'"), Expand: []string{"principal"}}})
	if err != nil || len(list.GetValue()) != 1 {
		t.Fatalf("assignments: %v", err)
	}
	if u, ok := list.GetValue()[0].GetPrincipal().(models.Userable); !ok || *u.GetDisplayName() != "Zoë Brandt" {
		t.Errorf("the principal is a %T", list.GetValue()[0].GetPrincipal())
	}
	if members, err := c.DirectoryRoles().ByDirectoryRoleId(helpDesk).Members().Get(ctx, nil); err != nil || len(members.GetValue()) == 0 {
		t.Errorf("members of the role: %v", err)
	}
	if err := c.RoleManagement().Directory().RoleAssignments().ByUnifiedRoleAssignmentId(*assigned.GetId()).Delete(ctx, nil); err != nil {
		t.Errorf("take the role: %v", said(err))
	}

	methods, err := c.Reports().AuthenticationMethods().UsersRegisteredByMethod().Get(ctx, nil)
	if err != nil || *methods.GetTotalUserCount() != 5 {
		t.Errorf("by method: %v", err)
	}
	features, err := c.Reports().AuthenticationMethods().UsersRegisteredByFeatureWithIncludedUserTypesWithIncludedUserRoles(ptr("all"), ptr("all")).Get(ctx, nil)
	if err != nil || len(features.GetUserRegistrationFeatureCounts()) != 5 || *features.GetTotalUserCount() != 5 {
		t.Errorf("by feature: %v", err)
	}
}
