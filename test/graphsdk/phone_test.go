package graphsdk

import (
	"strings"
	"testing"

	graph "github.com/microsoftgraph/msgraph-sdk-go"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
)

// phoneRules reads the configuration of phones.
func phoneRules(t *testing.T, c *graph.GraphServiceClient) models.MicrosoftAuthenticatorAuthenticationMethodConfigurationable {
	t.Helper()
	got, err := c.Policies().AuthenticationMethodsPolicy().AuthenticationMethodConfigurations().ByAuthenticationMethodConfigurationId("microsoftAuthenticator").Get(t.Context(), nil)
	if err != nil {
		t.Fatalf("phones: %v", said(err))
	}
	f, ok := got.(models.MicrosoftAuthenticatorAuthenticationMethodConfigurationable)
	if !ok {
		t.Fatalf("the configuration is a %T", got)
	}
	return f
}

// What an administrator does with phones, through Graph's own client.
func TestPhones(t *testing.T) {
	d, c := office(t, "UserAuthenticationMethod.ReadWrite.All", "Policy.ReadWrite.AuthenticationMethod")
	ctx := t.Context()
	configurations := c.Policies().AuthenticationMethodsPolicy().AuthenticationMethodConfigurations()

	first := phoneRules(t, c)
	shows := first.GetFeatureSettings().GetDisplayLocationInformationRequiredState()
	if *first.GetIsSoftwareOathEnabled() || *shows.GetState() != models.ENABLED_ADVANCEDCONFIGSTATE || *shows.GetIncludeTarget().GetId() != "all_users" {
		t.Errorf("phones of a demo: %+v", first)
	}
	// The library sends what was set, and what is not sent stays.
	place, settings := models.NewAuthenticationMethodFeatureConfiguration(), models.NewMicrosoftAuthenticatorFeatureSettings()
	place.SetState(ptr(models.DISABLED_ADVANCEDCONFIGSTATE))
	settings.SetDisplayLocationInformationRequiredState(place)
	target := models.NewMicrosoftAuthenticatorAuthenticationMethodTarget()
	target.SetId(ptr("all_users"))
	target.SetTargetType(ptr(models.GROUP_AUTHENTICATIONMETHODTARGETTYPE))
	target.SetAuthenticationMode(ptr(models.ANY_MICROSOFTAUTHENTICATORAUTHENTICATIONMODE))
	change := models.NewMicrosoftAuthenticatorAuthenticationMethodConfiguration()
	change.SetState(ptr(models.ENABLED_AUTHENTICATIONMETHODSTATE))
	change.SetFeatureSettings(settings)
	change.SetIncludeTargets([]models.MicrosoftAuthenticatorAuthenticationMethodTargetable{target})
	if _, err := configurations.ByAuthenticationMethodConfigurationId("MicrosoftAuthenticator").Patch(ctx, change, nil); err != nil {
		t.Fatalf("change: %v", said(err))
	}
	now := phoneRules(t, c)
	shown := now.GetFeatureSettings()
	got := []string{now.GetState().String(), shown.GetDisplayLocationInformationRequiredState().GetState().String(), shown.GetDisplayAppInformationRequiredState().GetState().String(),
		now.GetIncludeTargets()[0].GetAuthenticationMode().String()}
	if want := "enabled disabled enabled deviceBasedPush"; strings.Join(got, " ") != want {
		t.Errorf("changed to %q, want %s", got, want)
	}
	target.SetAuthenticationMode(ptr(models.PUSH_MICROSOFTAUTHENTICATORAUTHENTICATIONMODE))
	_, err := configurations.ByAuthenticationMethodConfigurationId("MicrosoftAuthenticator").Patch(ctx, change, nil)
	if told(t, err) != "Request_BadRequest" || !strings.Contains(said(err), "no passwords here") {
		t.Errorf("push after a password: %s", said(err))
	}

	ben := d.Users[1]
	id, old := d.Handset(t, ben, "Ben's phone"), d.Handset(t, ben, "Old phone")
	methods := c.Users().ByUserId(ben.ID).Authentication().MicrosoftAuthenticatorMethods()
	all, err := methods.Get(ctx, nil)
	if err != nil || len(all.GetValue()) != 2 || *all.GetValue()[0].GetId() != id || *all.GetValue()[0].GetDisplayName() != "Ben's phone" ||
		*all.GetValue()[0].GetPhoneAppVersion() != "Signet 1.0" || all.GetValue()[0].GetDevice() != nil {
		t.Fatalf("phones: %v", err)
	}
	every, err := c.Users().ByUserId(ben.ID).Authentication().Methods().Get(ctx, nil)
	if err != nil {
		t.Fatalf("methods: %v", said(err))
	}
	phones := 0
	for _, m := range every.GetValue() {
		if _, ok := m.(models.MicrosoftAuthenticatorAuthenticationMethodable); ok {
			phones++
		}
	}
	if phones != 2 {
		t.Errorf("%d of the methods are phones", phones)
	}
	if err := methods.ByMicrosoftAuthenticatorAuthenticationMethodId(old).Delete(ctx, nil); err != nil {
		t.Fatalf("delete a phone: %v", said(err))
	}
	_, err = methods.ByMicrosoftAuthenticatorAuthenticationMethodId(old).Get(ctx, nil)
	if got := told(t, err); got != "Request_ResourceNotFound" {
		t.Errorf("a deleted phone: %s", got)
	}
	if one, err := methods.ByMicrosoftAuthenticatorAuthenticationMethodId(id).Get(ctx, nil); err != nil || *one.GetDisplayName() != "Ben's phone" {
		t.Errorf("the other: %v", err)
	}
}
