package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// withDevices is a registry in which tenants have the given rules.
func withDevices(db *sqldb.DB, rules map[idp.TenantID]client.Devices) *client.Registry {
	return client.New(client.Config{
		DB: db, Now: func() time.Time { return now },
		Devices: func(_ context.Context, t idp.TenantID) (client.Devices, error) { return rules[t], nil },
	})
}

func TestBuiltIn(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		r := withDevices(db, map[idp.TenantID]client.Devices{"on": {On: true}})
		mustCreate(t, r, db, web("on", "Wiki"))
		all, err := r.BuiltIn(t.Context(), "on")
		if err != nil || len(all) != 10 {
			t.Fatalf("%d built in, %v", len(all), err)
		}
		for _, want := range all {
			c, err := r.Get(t.Context(), "on", want.ID)
			if err != nil || c.Tenant != "on" || !c.BuiltIn || !c.FirstParty || !c.Enabled || c.Secretive() || c.WithoutPKCE {
				t.Errorf("%s: %+v, %v", want.ID, c, err)
			}
			if upper, err := r.Get(t.Context(), "on", idp.ClientID(strings.ToUpper(string(want.ID)))); err != nil || upper.ID != want.ID {
				t.Errorf("%s in capitals: %s, %v", want.ID, upper.ID, err)
			}
			if _, err := r.Get(t.Context(), "off", want.ID); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s in a tenant without devices: %v", want.ID, err)
			}
			if _, err := r.Load(t.Context(), db, "on", want.ID); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s is stored: %v", want.ID, err)
			}
			if _, err := r.Locate(t.Context(), want.ID); !errors.Is(err, idp.NotFound) {
				t.Errorf("%s located: %v", want.ID, err)
			}
			if slices.ContainsFunc(c.RedirectURIs, func(u string) bool { return strings.HasPrefix(u, "https:") }) {
				t.Errorf("%s has an address that all share: %v", want.ID, c.RedirectURIs)
			}
			if c.Allows(client.GrantCode) != (len(c.RedirectURIs) > 0) || c.Allows(client.GrantCredentials) {
				t.Errorf("%s has grants %v and addresses %v", want.ID, c.Grants, c.RedirectURIs)
			}
		}
		if listed, _, err := r.List(t.Context(), "on", "", 0); err != nil || len(listed) != 1 {
			t.Errorf("listed %d, %v", len(listed), err)
		}
		if none, err := r.BuiltIn(t.Context(), "off"); err != nil || len(none) != 0 {
			t.Errorf("%d built in without devices, %v", len(none), err)
		}
	})
}

// Without being told of devices, a registry has nothing built in.
func TestBuiltInUnwired(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	r := client.New(client.Config{DB: db, Now: func() time.Time { return now }})
	if _, err := r.Get(t.Context(), "t1", client.Broker); !errors.Is(err, idp.NotFound) {
		t.Errorf("broker: %v", err)
	}
	if all, err := r.BuiltIn(t.Context(), "t1"); err != nil || all != nil {
		t.Errorf("%v, %v", all, err)
	}
}

// Each switch of compatibility is off, and opens what it says and no more.
func TestBuiltInCompat(t *testing.T) {
	const shared = "https://login.microsoftonline.com/common/oauth2/nativeclient"
	db := sqldbtest.Open(t, sources)
	r := withDevices(db, map[idp.TenantID]client.Devices{
		"none": {On: true}, "redirect": {On: true, NativeClientRedirect: true}, "pkce": {On: true, BrokerWithoutPKCE: true},
		"both": {On: true, NativeClientRedirect: true, BrokerWithoutPKCE: true},
	})
	for tenant, want := range map[idp.TenantID]struct{ redirect, pkce bool }{
		"none": {}, "redirect": {redirect: true}, "pkce": {pkce: true}, "both": {true, true},
	} {
		for id, may := range map[idp.ClientID]struct{ redirect, pkce bool }{
			client.Broker: {true, true}, client.LinuxBroker: {true, true}, client.Registration: {redirect: true}, client.Shell: {redirect: true},
			client.BrokerInPRT: {}, client.Agent: {}, client.MacSSO: {},
		} {
			c, err := r.Get(t.Context(), tenant, id)
			if err != nil {
				t.Fatal(err)
			}
			if got := client.MatchRedirect(c, shared); got != (want.redirect && may.redirect) {
				t.Errorf("%s, %s: shared address %v", tenant, id, got)
			}
			if c.WithoutPKCE != (want.pkce && may.pkce) {
				t.Errorf("%s, %s: without PKCE %v", tenant, id, c.WithoutPKCE)
			}
		}
	}
}

func TestBuiltInRedirects(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	r := withDevices(db, map[idp.TenantID]client.Devices{"t1": {On: true}})
	for _, row := range []struct {
		id   idp.ClientID
		uri  string
		want bool
	}{
		{client.Broker, "msauth://Microsoft.AAD.BrokerPlugin", true},
		{client.Broker, "ms-aadj-redir://auth/drs", true},
		{client.Broker, "ms-appx-web://Microsoft.AAD.BrokerPlugin/29d9ed98-a469-4536-ade2-f981bc1d605e", true},
		{client.Broker, "ms-appx-web://Microsoft.AAD.BrokerPlugin/DRS", true},
		{client.Broker, "ms-appx-web://microsoft.aad.brokerplugin/DRS", false},
		{client.Broker, "msauth://Microsoft.AAD.BrokerPlugin/evil", false},
		{client.Broker, "http://127.0.0.1/", false},
		{client.LinuxBroker, "companyportal://com.microsoft.CompanyPortal", true},
		{client.LinuxBroker, "himmelblau://Himmelblau.EntraId.BrokerPlugin", true},
		{client.LinuxBroker, "msauth://Microsoft.AAD.BrokerPlugin", false},
		{client.Agent, "http://127.0.0.1:51234/", true},
		{client.Agent, "http://[::1]:51234/", true},
		{client.Agent, "http://127.0.0.1:51234/other", false},
		{client.Agent, "http://evil.example:51234/", false},
		{client.MacSSO, "signet-psso://signed-in", true},
		{client.MacSSO, "http://127.0.0.1:51234/", true},
		{client.MacSSO, "signet-psso://signed-in/", false},
		{client.MacSSO, "signet-psso://elsewhere", false},
		{client.MacSSO, "https://signed-in", false},
		{client.MacSSO, "http://evil.example:51234/", false},
		{client.Agent, "signet-psso://signed-in", false},
	} {
		c, err := r.Get(t.Context(), "t1", row.id)
		if err != nil {
			t.Fatal(err)
		}
		if got := client.MatchRedirect(c, row.uri); got != row.want {
			t.Errorf("%s at %s: %v", row.id, row.uri, got)
		}
	}
}

func TestCanonical(t *testing.T) {
	const drs = "urn:ms-drs:enterpriseregistration.windows.net"
	for in, want := range map[string]string{
		drs: drs, "01cb2876-7ebd-4aa4-9cc9-d28bd4d359a9": drs, "01CB2876-7EBD-4AA4-9CC9-D28BD4D359A9": drs, drs + "/": drs,
		"00000003-0000-0000-c000-000000000000": "https://graph.microsoft.com", "https://graph.microsoft.com/": "https://graph.microsoft.com",
		"00000002-0000-0000-c000-000000000000": "https://graph.windows.net",
		"https://api.example/":                 "https://api.example/", "": "",
	} {
		if got := client.Canonical(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

// TestSec_OAU19_ReservedIdsAndNames: nobody can register an application that
// takes the place of one that is built in, or looks like it, by either way in.
func TestSec_OAU19_ReservedIdsAndNames(t *testing.T) {
	each(t, func(t *testing.T, r *client.Registry, db *sqldb.DB) {
		refused := func(what string, err error, field string) {
			t.Helper()
			if e := idp.AsError(err); !errors.Is(err, idp.Invalid) || e.Field != field {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, id := range []idp.ClientID{client.Broker, client.Agent, "29D9ED98-A469-4536-ADE2-F981BC1D605E"} {
			c := web("t1", "Wiki")
			c.ID = id
			_, _, err := create(t, r, db, c)
			refused(string(id), err, "id")
		}
		made, _ := mustCreate(t, r, db, web("t1", "Wiki"))
		for _, name := range []string{
			"Device sign-in", "device SIGN-IN", "Device  Sign In", "Dеvicе sign-in", "Device slgn-in", "Devíce sign-in", "Device sign\u2010in",
			"Linux desktop sign-in", "Signet", "S1gnet", "Sign\u200bet", "Ѕignet", "Signet desktop agent", "Ｄevice registration",
		} {
			_, _, err := create(t, r, db, web("t1", name))
			refused(name, err, "name")
			c := made
			c.Name = name
			err = db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { _, err := r.Update(ctx, tx, c); return err })
			refused("renamed to "+name, err, "name")
		}
		for _, name := range []string{"Device sign-ins of the port", "Signets", "Registration", "Cygnet", "Linux"} {
			if _, _, err := create(t, r, db, web("t1", name)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Nobody becomes built in by saying so.
		c := web("t1", "Sly")
		c.BuiltIn, c.WithoutPKCE = true, true
		sly, _ := mustCreate(t, r, db, c)
		got, err := r.Get(t.Context(), "t1", sly.ID)
		if err != nil || sly.BuiltIn || sly.WithoutPKCE || got.BuiltIn || got.WithoutPKCE {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
