package graphsdk

import (
	"slices"
	"testing"

	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoftgraph/msgraph-sdk-go/devices"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/users"
)

// What an administrator does with machines and the keys on them, through
// Graph's own client.
func TestDevices(t *testing.T) {
	d, c := office(t, "Device.ReadWrite.All", "User.Read.All", "UserAuthenticationMethod.ReadWrite.All", "Policy.Read.All", "AuditLog.Read.All")
	ctx := t.Context()
	ben := d.Users[1]
	ws, laptop := d.Join(t, ben, "ws-17"), d.Join(t, ben, "Laptop")

	all, err := c.Devices().Get(ctx, nil)
	if err != nil || len(all.GetValue()) != 2 || all.GetValue()[0].GetIsCompliant() != nil || *all.GetValue()[0].GetTrustType() != "AzureAd" || len(all.GetValue()[0].GetAlternativeSecurityIds()) != 1 {
		t.Fatalf("devices: %v", err)
	}
	eventual := abstractions.NewRequestHeaders()
	eventual.Add("ConsistencyLevel", "eventual")
	for name, q := range map[string]devices.DevicesRequestBuilderGetQueryParameters{
		"filter": {Filter: ptr("displayName eq 'WS-17'"), Count: ptr(true), Expand: []string{"registeredOwners"}, Top: ptr[int32](5)},
		"search": {Search: ptr(`"displayName:ws"`), Count: ptr(true), Expand: []string{"registeredOwners"}},
	} {
		found, err := c.Devices().Get(ctx, &devices.DevicesRequestBuilderGetRequestConfiguration{Headers: eventual, QueryParameters: &q})
		if err != nil || len(found.GetValue()) != 1 || *found.GetValue()[0].GetId() != ws.ID || *found.GetOdataCount() != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		if owners := found.GetValue()[0].GetRegisteredOwners(); len(owners) != 1 || *owners[0].GetId() != ben.ID {
			t.Errorf("%s: owners %v", name, owners)
		}
	}
	one := c.Devices().ByDeviceId(ws.ID)
	same, err := c.DevicesWithDeviceId(&ws.ID).Get(ctx, nil)
	if err != nil || *same.GetDisplayName() != "ws-17" || !*same.GetAccountEnabled() {
		t.Fatalf("by deviceId: %v", err)
	}
	ref := models.NewReferenceCreate()
	ref.SetOdataId(ptr("https://graph.microsoft.com/v1.0/directoryObjects/" + ben.ID))
	if err := one.RegisteredOwners().Ref().Post(ctx, ref, nil); err != nil {
		t.Errorf("the owner, once more: %v", said(err))
	}
	ref.SetOdataId(ptr("https://graph.microsoft.com/v1.0/directoryObjects/" + d.Users[0].ID))
	if got := told(t, one.RegisteredOwners().Ref().Post(ctx, ref, nil)); got != "Request_BadRequest" {
		t.Errorf("another owner: %s", got)
	}
	theirs, err := c.Users().ByUserId(ben.ID).RegisteredDevices().Get(ctx, nil)
	if err != nil || len(theirs.GetValue()) != 2 {
		t.Fatalf("registered devices: %v", err)
	}
	if m, ok := theirs.GetValue()[1].(models.Deviceable); !ok || *m.GetDisplayName() != "ws-17" {
		t.Errorf("a registered device is a %T", theirs.GetValue()[1])
	}
	for _, on := range []bool{false, true} {
		change := models.NewDevice()
		change.SetAccountEnabled(&on)
		if _, err := one.Patch(ctx, change, nil); err != nil {
			t.Fatalf("switch to %v: %v", on, said(err))
		}
		if now, err := one.Get(ctx, nil); err != nil || *now.GetAccountEnabled() != on {
			t.Fatalf("switched to %v: %v", on, err)
		}
	}

	methods := c.Users().ByUserId(ben.ID).Authentication().WindowsHelloForBusinessMethods()
	expand := &users.ItemAuthenticationWindowsHelloForBusinessMethodsRequestBuilderGetRequestConfiguration{
		QueryParameters: &users.ItemAuthenticationWindowsHelloForBusinessMethodsRequestBuilderGetQueryParameters{Expand: []string{"device"}}}
	keys, err := methods.Get(ctx, expand)
	if err != nil || len(keys.GetValue()) != 2 || !slices.ContainsFunc(keys.GetValue(), func(k models.WindowsHelloForBusinessAuthenticationMethodable) bool {
		return *k.GetId() == ws.Key && *k.GetDevice().GetDisplayName() == "ws-17" && k.GetKeyStrength().String() == "normal"
	}) {
		t.Fatalf("Hello methods: %v", err)
	}
	if err := methods.ByWindowsHelloForBusinessAuthenticationMethodId(ws.Key).Delete(ctx, nil); err != nil {
		t.Fatalf("delete a Hello method: %v", said(err))
	}
	_, err = methods.ByWindowsHelloForBusinessAuthenticationMethodId(ws.Key).Get(ctx, nil)
	if got := told(t, err); got != "Request_ResourceNotFound" {
		t.Errorf("a deleted Hello method: %s", got)
	}

	if err := c.Devices().ByDeviceId(laptop.ID).Delete(ctx, nil); err != nil {
		t.Fatalf("delete a device: %v", said(err))
	}
	_, err = c.Devices().ByDeviceId(laptop.ID).Get(ctx, nil)
	if got := told(t, err); got != "Request_ResourceNotFound" {
		t.Errorf("a deleted device: %s", got)
	}
	keys, err = methods.Get(ctx, expand)
	if err != nil || len(keys.GetValue()) != 1 || *keys.GetValue()[0].GetId() != laptop.Key || keys.GetValue()[0].GetDevice() != nil {
		t.Fatalf("the key of a deleted device: %v", err)
	}
	rules, err := c.Policies().DeviceRegistrationPolicy().Get(ctx, nil)
	if err != nil || *rules.GetUserDeviceQuota() != 50 || rules.GetMultiFactorAuthConfiguration().String() != "required" || rules.GetAzureADJoin().GetAllowedToJoin() == nil {
		t.Errorf("who may join: %v", err)
	}
}
