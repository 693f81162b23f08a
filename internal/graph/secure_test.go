package graph_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
)

// TestSec_ADM04_HelpDeskSignsOutAdministrators: what the help desk may not do to
// administrators in the console it may not do over the API (ADM04).
func TestSec_ADM04_HelpDeskSignsOutAdministrators(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for who, bearer := range map[string]string{"help desk": w.cli("helpdesk"), "person of the help desk": w.bearer(w.bob)} {
			t.Log(who)
			w.ask(bearer, "POST", "/v1.0/users/"+string(w.ada.ID)+"/revokeSignInSessions", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		}
		w.ask(w.cli("helpdesk"), "POST", "/v1.0/users/"+string(w.eve.ID)+"/revokeSignInSessions", nil).want(t, http.StatusOK, "")
		w.ask(w.cli("administrator"), "POST", "/v1.0/users/"+string(w.ada.ID)+"/revokeSignInSessions", nil).want(t, http.StatusOK, "")
	})
}

// What the broker of a device asks after a sign-in (device-protocol.md §9.9):
// oneself, one's groups, and that the device is one's own.
func TestBrokerReadsItsPerson(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			g, err := w.dir.CreateGroup(ctx, tx, directory.Group{Tenant: w.tenant.ID, Name: "Harbour"})
			if err != nil {
				return err
			}
			_, err = w.dir.AddMember(ctx, tx, w.tenant.ID, g.ID, w.eve.ID)
			return err
		})
		ws := w.join(w.eve, "ws-17")
		for name, bearer := range map[string]string{
			"URL":  w.byDevice(w.eve),
			"GUID": w.byDevice(w.eve, func(s *token.Subject) { s.Audience = "00000003-0000-0000-c000-000000000000" }),
		} {
			for _, path := range []string{"/v1.0/me", "/beta/me", "/v1.0/users/" + string(w.eve.ID), "/v1.0/users/" + w.eve.Name, "/v1.0/users/" + strings.ToUpper(w.eve.Name)} {
				got := w.ask(bearer, "GET", path, nil).want(t, http.StatusOK, "")
				if got.body["id"] != string(w.eve.ID) || got.body["userPrincipalName"] != w.eve.Name || got.body["displayName"] != "Eve" {
					t.Errorf("%s: %s: %s", name, path, got.Body)
				}
			}
			for _, path := range []string{"/v1.0/me/memberOf?$top=999", "/v1.0/users/" + string(w.eve.ID) + "/memberOf", "/v1.0/users/" + w.eve.Name + "/memberOf"} {
				if got := w.ask(bearer, "GET", path, nil).want(t, http.StatusOK, "").column(t, "displayName"); len(got) != 1 || got[0] != "Harbour" {
					t.Errorf("%s: %s: %v", name, path, got)
				}
			}
			w.ask(bearer, "POST", "/v1.0/devices/"+string(ws.ID)+"/registeredOwners/$ref",
				map[string]any{"@odata.id": client.DirectoryAPI + "/v1.0/directoryObjects/" + string(w.eve.ID)}).want(t, http.StatusNoContent, "")
		}
	})
}

// Whatever role somebody has does not count in a token of a built-in application
// (decisions 4.3; ADM03): it opens what is their own, and no more. The same
// person through an application of the organisation has their rights.
func TestSec_ADM03_NoRolesOnDevices(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		theirs := w.join(w.eve, "ws-17")
		group := ""
		w.write(func(ctx context.Context, tx *sqldb.Tx) error {
			g, err := w.dir.CreateGroup(ctx, tx, directory.Group{Tenant: w.tenant.ID, Name: "Harbour"})
			group = string(g.ID)
			return err
		})
		// Whatever the token says it may do.
		much := func(s *token.Subject) { s.Scopes = append(s.Scopes, w.app.Scopes...) }
		ada, admin := w.byDevice(w.ada, much), w.bearer(w.ada)
		w.ask(ada, "GET", "/v1.0/me", nil).want(t, http.StatusOK, "")
		for _, one := range []struct{ verb, path string }{
			{"GET", "/v1.0/users"}, {"GET", "/v1.0/users/" + string(w.eve.ID)}, {"GET", "/v1.0/users/" + w.eve.Name}, {"GET", "/v1.0/users/" + w.eve.Name + "/memberOf"},
			{"GET", "/v1.0/groups"}, {"GET", "/v1.0/groups/" + group}, {"GET", "/v1.0/devices"}, {"GET", "/v1.0/devices/" + string(theirs.ID)},
			{"GET", "/v1.0/me/authentication/methods"}, {"GET", "/v1.0/users/" + string(w.eve.ID) + "/authentication/methods"},
			{"GET", "/v1.0/policies/deviceRegistrationPolicy"},
		} {
			w.ask(admin, one.verb, one.path, nil).want(t, http.StatusOK, "")
			w.ask(ada, one.verb, one.path, nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		}
		ref := map[string]any{"@odata.id": "/directoryObjects/" + string(w.eve.ID)}
		for _, one := range []struct {
			verb, path string
			body       any
		}{
			{"PATCH", "/v1.0/users/" + string(w.ada.ID), map[string]any{"displayName": "Root"}}, {"DELETE", "/v1.0/users/" + string(w.eve.ID), nil},
			{"POST", "/v1.0/users/" + string(w.ada.ID) + "/revokeSignInSessions", nil}, {"DELETE", "/v1.0/devices/" + string(theirs.ID), nil},
			{"POST", "/v1.0/devices/" + string(theirs.ID) + "/registeredOwners/$ref", ref}, {"POST", "/v1.0/groups", map[string]any{"displayName": "x"}},
		} {
			w.ask(ada, one.verb, one.path, one.body).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		}
		// Nor in a token for this API's own name, which none of these has.
		own := w.byDevice(w.ada, much, func(s *token.Subject) { s.Audience = base })
		w.ask(own, "GET", "/v1.0/users", nil).want(t, http.StatusUnauthorized, "InvalidAuthenticationToken")
	})
}

// Who else may not come with a token for that resource (ADM03): an application
// of the organisation, one of nobody, and all once devices are off.
func TestSec_ADM03_DirectoryTokensOfOthers(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		refused := func(name, bearer string) {
			t.Log(name)
			w.ask(bearer, "GET", "/v1.0/me", nil).want(t, http.StatusUnauthorized, "InvalidAuthenticationToken")
		}
		refused("application of the organisation", w.bearer(w.eve, func(s *token.Subject) { s.Audience = client.DirectoryAPI }))
		for _, audience := range []string{"https://graph.windows.net", "https://graph.microsoft.com.evil.example", client.DeviceRegistration} {
			refused(audience, w.byDevice(w.eve, func(s *token.Subject) { s.Audience = audience }))
		}
		broker, err := w.clients.Get(t.Context(), w.tenant.ID, client.Broker)
		if err != nil {
			t.Fatal(err)
		}
		nobodys, _, err := w.tokens.ClientAccess(t.Context(), broker, client.DirectoryAPI, nil)
		if err != nil {
			t.Fatal(err)
		}
		refused("nobody", nobodys)
		good := w.byDevice(w.eve)
		w.ask(good, "GET", "/v1.0/me", nil).want(t, http.StatusOK, "")
		w.devicesOff = true
		refused("devices off", good)
	})
}
