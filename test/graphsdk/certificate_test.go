package graphsdk

import (
	"slices"
	"strings"
	"testing"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	graph "github.com/microsoftgraph/msgraph-sdk-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
)

// certificateRules reads the configuration of certificates.
func certificateRules(t *testing.T, c *graph.GraphServiceClient) models.X509CertificateAuthenticationMethodConfigurationable {
	t.Helper()
	got, err := c.Policies().AuthenticationMethodsPolicy().AuthenticationMethodConfigurations().ByAuthenticationMethodConfigurationId("x509Certificate").Get(t.Context(), nil)
	if err != nil {
		t.Fatalf("certificates: %v", said(err))
	}
	f, ok := got.(models.X509CertificateAuthenticationMethodConfigurationable)
	if !ok {
		t.Fatalf("the configuration is a %T", got)
	}
	return f
}

// What an administrator says of certificates, through Graph's own client.
func TestCertificates(t *testing.T) {
	_, c := office(t, "Policy.ReadWrite.AuthenticationMethod")
	ctx := t.Context()
	configurations := c.Policies().AuthenticationMethodsPolicy().AuthenticationMethodConfigurations()
	const oid, key = "1.3.6.1.4.1.99999.1", "9a4248c6ac8c2931ab2a86537818e92e7b6c97b6"

	first := certificateRules(t, c)
	if b := first.GetCertificateUserBindings(); len(b) != 1 || *b[0].GetX509CertificateField() != "PrincipalName" || *b[0].GetTrustAffinityLevel() != models.LOW_X509CERTIFICATEAFFINITYLEVEL {
		t.Errorf("bindings of a demo: %+v", b)
	}
	if m := first.GetAuthenticationModeConfiguration(); *m.GetX509CertificateAuthenticationDefaultMode() != models.X509CERTIFICATESINGLEFACTOR_X509CERTIFICATEAUTHENTICATIONMODE || len(m.GetRules()) != 0 {
		t.Errorf("modes of a demo: %+v", m)
	}
	if v := first.GetCrlValidationConfiguration(); *v.GetState() != models.ENABLED_X509CERTIFICATECRLVALIDATIONCONFIGURATIONSTATE {
		t.Errorf("lists of a demo: %+v", v)
	}

	binding := func(field, property string, n int32, a models.X509CertificateAffinityLevel) models.X509CertificateUserBindingable {
		b := models.NewX509CertificateUserBinding()
		b.SetX509CertificateField(&field)
		b.SetUserProperty(&property)
		b.SetPriority(&n)
		b.SetTrustAffinityLevel(&a)
		return b
	}
	rule := models.NewX509CertificateRule()
	rule.SetX509CertificateRuleType(ptr(models.POLICYOID_X509CERTIFICATERULETYPE))
	rule.SetIdentifier(ptr(oid))
	rule.SetX509CertificateAuthenticationMode(ptr(models.X509CERTIFICATEMULTIFACTOR_X509CERTIFICATEAUTHENTICATIONMODE))
	rule.SetX509CertificateRequiredAffinityLevel(ptr(models.HIGH_X509CERTIFICATEAFFINITYLEVEL))
	modes := models.NewX509CertificateAuthenticationModeConfiguration()
	modes.SetRules([]models.X509CertificateRuleable{rule})
	lists := models.NewX509CertificateCRLValidationConfiguration()
	lists.SetState(ptr(models.ENABLED_X509CERTIFICATECRLVALIDATIONCONFIGURATIONSTATE))
	lists.SetExemptedCertificateAuthoritiesSubjectKeyIdentifiers([]string{strings.ToUpper(key)})
	everybody := models.NewAuthenticationMethodTarget()
	everybody.SetId(ptr("all_users"))
	everybody.SetTargetType(ptr(models.GROUP_AUTHENTICATIONMETHODTARGETTYPE))
	change := models.NewX509CertificateAuthenticationMethodConfiguration()
	change.SetState(ptr(models.ENABLED_AUTHENTICATIONMETHODSTATE))
	change.SetIncludeTargets([]models.AuthenticationMethodTargetable{everybody})
	change.SetCertificateUserBindings([]models.X509CertificateUserBindingable{
		binding("SubjectKeyIdentifier", "certificateUserIds", 1, models.HIGH_X509CERTIFICATEAFFINITYLEVEL),
		binding("PrincipalName", "userPrincipalName", 2, models.LOW_X509CERTIFICATEAFFINITYLEVEL),
	})
	change.SetAuthenticationModeConfiguration(modes)
	change.SetCrlValidationConfiguration(lists)
	if _, err := configurations.ByAuthenticationMethodConfigurationId("X509Certificate").Patch(ctx, change, nil); err != nil {
		t.Fatalf("change: %v", said(err))
	}
	now := certificateRules(t, c)
	rules := now.GetAuthenticationModeConfiguration().GetRules()
	if len(rules) != 1 || *rules[0].GetIdentifier() != oid || *rules[0].GetX509CertificateRuleType() != models.POLICYOID_X509CERTIFICATERULETYPE ||
		*rules[0].GetX509CertificateRequiredAffinityLevel() != models.HIGH_X509CERTIFICATEAFFINITYLEVEL {
		t.Errorf("rules: %+v", rules)
	}
	if got := now.GetCertificateUserBindings(); now.GetState().String() != "enabled" || len(got) != 2 || *got[0].GetUserProperty() != "certificateUserIds" ||
		!slices.Equal(now.GetCrlValidationConfiguration().GetExemptedCertificateAuthoritiesSubjectKeyIdentifiers(), []string{key}) {
		t.Errorf("changed to %+v", now)
	}
	// What was read can be sent back, and changes nothing.
	if _, err := configurations.ByAuthenticationMethodConfigurationId("X509Certificate").Patch(ctx, now, nil); err != nil {
		t.Errorf("sent back: %v", said(err))
	}
	off := models.NewX509CertificateAuthenticationMethodConfiguration()
	lists.SetState(ptr(models.DISABLED_X509CERTIFICATECRLVALIDATIONCONFIGURATIONSTATE))
	off.SetCrlValidationConfiguration(lists)
	_, err := configurations.ByAuthenticationMethodConfigurationId("X509Certificate").Patch(ctx, off, nil)
	if told(t, err) != "Request_BadRequest" || !strings.Contains(said(err), "always checked") {
		t.Errorf("without lists: %s", said(err))
	}
}

// Whose a certificate is, through Graph's own client.
func TestCertificateUserIds(t *testing.T) {
	d, c := office(t, "User.ReadWrite.All", "UserAuthenticationMethod.ReadWrite.All")
	ctx := t.Context()
	ada, ben := d.Users[0], d.Users[1]
	const pn, ski = "X509:<PN>ben@corp.local", "X509:<SKI>9a4248c6ac8c2931ab2a86537818e92e7b6c97b6"
	set := func(user string, values ...string) error {
		info, u := models.NewAuthorizationInfo(), models.NewUser()
		info.SetCertificateUserIds(values)
		u.SetAuthorizationInfo(info)
		_, err := c.Users().ByUserId(user).Patch(ctx, u, nil)
		return err
	}
	if err := set(ben.ID, pn, ski); err != nil {
		t.Fatalf("set: %v", said(err))
	}
	one, err := c.Users().ByUserId(ben.ID).Get(ctx, &users.UserItemRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.UserItemRequestBuilderGetQueryParameters{Select: []string{"id", "authorizationInfo"}}})
	if err != nil || !slices.Equal(one.GetAuthorizationInfo().GetCertificateUserIds(), []string{pn, ski}) {
		t.Fatalf("read: %v", said(err))
	}
	if err := set(ada.ID, ski); told(t, err) != "Request_MultipleObjectsWithSameKeyValue" {
		t.Errorf("somebody else's value: %s", said(err))
	}
	if err := set(ada.ID, "X509:<ski>ab"); told(t, err) != "Request_BadRequest" || !strings.Contains(said(err), "letter case counts") {
		t.Errorf("a value of no form: %s", said(err))
	}
	find := func(value string) []models.Userable {
		headers := abstractions.NewRequestHeaders()
		headers.Add("ConsistencyLevel", "eventual")
		filter := "authorizationInfo/certificateUserIds/any(x:x eq '" + value + "')"
		page, err := c.Users().Get(ctx, &users.UsersRequestBuilderGetRequestConfiguration{Headers: headers,
			QueryParameters: &users.UsersRequestBuilderGetQueryParameters{Filter: &filter, Count: ptr(true)}})
		if err != nil || *page.GetOdataCount() != int64(len(page.GetValue())) {
			t.Fatalf("find: %v", said(err))
		}
		return page.GetValue()
	}
	if got := find(pn); len(got) != 1 || *got[0].GetId() != ben.ID {
		t.Errorf("found %d", len(got))
	}
	if err := set(ben.ID, ski); err != nil || len(find(pn)) != 0 || len(find(ski)) != 1 {
		t.Errorf("replaced: %v", err)
	}
}
