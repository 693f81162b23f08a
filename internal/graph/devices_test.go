package graph_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/graph"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
	"github.com/signetid/signet/internal/token"
)

const devices = "/v1.0/devices"

func (w *world) seen(d device.Device, at time.Time) {
	w.t.Helper()
	now := w.now
	w.now = at
	if err := w.devices.Seen(w.t.Context(), d); err != nil {
		w.t.Fatal(err)
	}
	w.now = now
}

func TestDevices(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		if got := w.ask(ada, "GET", devices, nil).want(t, http.StatusOK, ""); len(got.column(t, "id")) != 0 {
			t.Errorf("devices of nobody: %s", got.Body)
		}
		ws := w.join(w.eve, "ws-17")
		w.join(w.eve, "ws-18", func(c *device.Candidate) { c.Join, c.OS, c.OSVersion = device.Registered, "", "" })
		w.join(w.bob, "Laptop", func(c *device.Candidate) { c.Pending = w.now.Add(time.Hour) })
		w.seen(ws, w.now.Add(-100*24*time.Hour))

		got := w.ask(ada, "GET", devices+"/"+string(ws.ID)+"?$expand=registeredOwners($select=displayName)", nil).want(t, http.StatusOK, "")
		key, _ := base64.StdEncoding.DecodeString(got.at(t, "alternativeSecurityIds", 0, "key").(string))
		var units []uint16
		for i := 0; i+1 < len(key); i += 2 {
			units = append(units, uint16(key[i])|uint16(key[i+1])<<8)
		}
		if name := string(utf16.Decode(units)); !strings.HasPrefix(name, "X509:<SHA1-TP-PUBKEY>"+ws.Thumbprint) || len(name) != 21+40+44 {
			t.Errorf("alternative security id %q", name)
		}
		delete(got.at(t, "alternativeSecurityIds", 0).(map[string]any), "key")
		want := map[string]any{
			"@odata.context": base + "/v1.0/$metadata#devices/$entity", "id": string(ws.ID), "deviceId": string(ws.ID), "displayName": "ws-17",
			"accountEnabled": true, "trustType": "AzureAd", "operatingSystem": "Linux", "operatingSystemVersion": "Debian 13",
			"registrationDateTime": ws.Created.Format("2006-01-02T15:04:05.999Z"), "approximateLastSignInDateTime": w.now.Add(-100 * 24 * time.Hour).Format("2006-01-02T15:04:05.999Z"),
			"alternativeSecurityIds": []any{map[string]any{"type": 2.0, "identityProvider": nil}},
			"isCompliant":            nil, "isManaged": nil, "enrollmentType": nil, "profileType": "RegisteredDevice",
			"@signet.assurance": "unattested", "@signet.softwareKeys": false, "@signet.attestationDue": nil,
			"@signet.certificateExpires": ws.Certified.Format("2006-01-02T15:04:05.999Z"),
			"registeredOwners":           []any{map[string]any{"@odata.type": "#microsoft.graph.user", "id": string(w.eve.ID), "displayName": "Eve"}},
		}
		if diff := cmp.Diff(want, got.body); diff != "" {
			t.Errorf("device (-want +got):\n%s", diff)
		}
		for _, at := range []string{"(deviceId='" + string(ws.ID) + "')", "('" + strings.ToUpper(string(ws.ID)) + "')"} {
			if got := w.ask(ada, "GET", devices+at+"?$select=displayName", nil).want(t, http.StatusOK, ""); got.body["displayName"] != "ws-17" || got.body["trustType"] != nil {
				t.Errorf("%s: %s", at, got.Body)
			}
		}
		all := []string{"ws-17", "ws-18", "Laptop"}
		for query, want := range map[string][]string{
			"$orderby=registrationDateTime": all, "$filter=displayName eq 'LAPTOP'": {"Laptop"}, "$filter=startswith(displayName,'WS')": {"ws-17", "ws-18"},
			"$filter=accountEnabled eq false": {"Laptop"}, "$filter=trustType eq 'Workplace'": {"ws-18"}, "$filter=deviceId eq '" + string(ws.ID) + "'": {"ws-17"},
			"$filter=operatingSystem eq 'Linux' and registeredOwner eq '" + string(w.eve.ID) + "'": {"ws-17"}, "$filter=assurance eq 'attested'": nil,
			// One that was never used is not one that is stale.
			"$filter=approximateLastSignInDateTime le 2026-10-01T00:00:00Z": {"ws-17"}, "$filter=registrationDateTime ge 2026-01-01T00:00:00Z": all,
			"$search=\"displayName:ws\"": {"ws-17", "ws-18"},
		} {
			name, value, _ := strings.Cut(query, "=")
			got := w.ask(ada, "GET", devices+"?"+name+"="+url.QueryEscape(value)+"&$count=true", nil, "ConsistencyLevel", "eventual").want(t, http.StatusOK, "")
			if diff := cmp.Diff(want, got.column(t, "displayName")); diff != "" || got.body["@odata.count"] != float64(len(want)) {
				t.Errorf("%s (-want +got):\n%s %v", query, diff, got.body["@odata.count"])
			}
		}
		if n := w.ask(ada, "GET", devices+"/$count?$filter="+url.QueryEscape("trustType eq 'AzureAd'"), nil).want(t, http.StatusOK, "").Body.String(); n != "2" {
			t.Errorf("counted %s", n)
		}
		var names []string
		for next := devices + "?$top=1&$select=displayName"; next != ""; {
			page := w.ask(ada, "GET", next, nil).want(t, http.StatusOK, "")
			names = append(names, page.column(t, "displayName")...)
			link, _ := page.body["@odata.nextLink"].(string)
			next = strings.TrimPrefix(link, base)
		}
		if !cmp.Equal(names, all) {
			t.Errorf("page by page %v", names)
		}
	})
}

// What a query cannot mean is refused by name, and never passed over.
func TestSec_ADM05_DeviceQueries(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	for query, says := range map[string]string{
		"$filter=isCompliant eq true": "isCompliant", "$filter=trustType eq 'ServerAd'": "ServerAd", "$filter=accountEnabled eq 'yes'": "accountEnabled",
		"$filter=displayName eq 'a' or 1 eq 1": "", "$orderby=displayName": "registrationDateTime", "$expand=memberOf": "memberOf", "$top=1000": "999",
		"$skiptoken=%%%": "malformed", "$skiptoken=eHg": "", "$skip=1": "$skip", "$filter=owner eq 'x'": "owner",
	} {
		name, value, _ := strings.Cut(query, "=")
		if value != "%%%" {
			value = url.QueryEscape(value)
		}
		w.ask(ada, "GET", devices+"?"+name+"="+value, nil).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
	}
	w.ask(ada, "GET", "/v1.0/users/"+string(w.eve.ID)+"/ownedDevices?$skiptoken=LTE", nil).want(t, http.StatusBadRequest, "Request_BadRequest") // -1
	w.ask(ada, "GET", devices+"/ws-17", nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
}

func (w *world) lastChange(t *testing.T, activity string) audit.Event {
	t.Helper()
	all, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Of: audit.Changes, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Activity == activity {
			return e
		}
	}
	t.Fatalf("no %s in the log", activity)
	return audit.Event{}
}

// Switching off and removing say what ends with it, and the keys on a removed
// device are orphans.
func TestDeviceChanges(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada := w.bearer(w.ada)
		ws := w.join(w.eve, "ws-17")
		key := w.enrol(w.eve, ws)
		w.enrol(w.bob, ws)
		w.tokensOn = map[idp.DeviceID]int{ws.ID: 3}
		at := devices + "/" + string(ws.ID)
		w.ask(ada, "PATCH", methodsPolicy+"/authenticationMethodConfigurations/windowsHelloForBusiness",
			map[string]any{"state": "enabled", "includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group"}}}).want(t, http.StatusNoContent, "")
		stands := w.ask(ada, "GET", at+"/signet.standing", nil).want(t, http.StatusOK, "")
		if stands.body["helloKeys"] != 2.0 || stands.body["primaryRefreshTokens"] != 3.0 || len(stands.at(t, "onlyWayInOf").([]any)) != 2 {
			t.Errorf("standing %s", stands.Body)
		}

		const ended = "hello-keys=2, platform-keys=0, primary-refresh-tokens=3, only-way-in-of=2"
		off := w.ask(ada, "PATCH", at, map[string]any{"@odata.type": "#microsoft.graph.device", "accountEnabled": false}).want(t, http.StatusNoContent, "")
		if off.Header().Get(graph.EndedHeader) != ended {
			t.Errorf("switched off: %q", off.Header().Get(graph.EndedHeader))
		}
		if e := w.lastChange(t, "device.disable"); e.User != w.eve.ID || e.Actor != string(w.ada.ID) || e.Detail["device"] != string(ws.ID) || e.Detail["helloKeys"] != "2" || e.Detail["primaryRefreshTokens"] != "3" {
			t.Errorf("event %+v", e)
		}
		if got := w.ask(ada, "GET", at, nil).want(t, http.StatusOK, ""); got.body["accountEnabled"] != false {
			t.Errorf("still on: %s", got.Body)
		}
		on := w.ask(ada, "PATCH", at, map[string]any{"accountEnabled": true, "displayName": "ws-17 (workshop)"}).want(t, http.StatusNoContent, "")
		if on.Header().Get(graph.EndedHeader) != "" {
			t.Errorf("switched on: %q", on.Header().Get(graph.EndedHeader))
		}
		if got := w.ask(ada, "GET", at, nil); got.body["accountEnabled"] != true || got.body["displayName"] != "ws-17 (workshop)" {
			t.Errorf("not on: %s", got.Body)
		}
		w.ask(ada, "PATCH", at, map[string]any{"displayName": "ws-19"}).want(t, http.StatusNoContent, "")
		if e := w.lastChange(t, "device.rename"); e.Detail["displayName"] != "ws-17 (workshop) -> ws-19" {
			t.Errorf("event %+v", e)
		}
		batch := w.ask(ada, "POST", "/v1.0/$batch", map[string]any{"requests": []any{map[string]any{"id": "1", "method": "DELETE", "url": "/devices/" + string(ws.ID)}}}).want(t, http.StatusOK, "")
		if batch.at(t, "responses", 0, "status") != 204.0 || batch.at(t, "responses", 0, "headers", graph.EndedHeader) != ended {
			t.Errorf("removed: %s", batch.Body)
		}
		if e := w.lastChange(t, "device.remove"); e.User != w.eve.ID || e.Detail["helloKeys"] != "2" {
			t.Errorf("event %+v", e)
		}
		for _, verb := range []string{"GET", "DELETE"} {
			w.ask(ada, verb, at, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		}
		got := w.ask(ada, "GET", "/v1.0/users/"+string(w.eve.ID)+"/authentication/windowsHelloForBusinessMethods/"+string(key.ID)+"?$expand=device", nil).want(t, http.StatusOK, "")
		if device, there := got.body["device"]; !there || device != nil || got.body["isOrphaned"] != true {
			t.Errorf("orphan %s", got.Body)
		}
		log := w.ask(ada, "GET", "/v1.0/auditLogs/directoryAudits?$filter="+url.QueryEscape("activityDisplayName eq 'device.remove'"), nil).want(t, http.StatusOK, "")
		if log.at(t, "value", 0, "category") != "Device" || log.at(t, "value", 0, "operationType") != "Delete" {
			t.Errorf("log %s", log.Body)
		}
	})
}

func TestDeviceBodies(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ada := w.bearer(w.ada)
	ws := w.join(w.eve, "ws-17")
	pending := w.join(w.eve, "ws-18", func(c *device.Candidate) { c.Pending = w.now.Add(time.Hour) })
	at := devices + "/" + string(ws.ID)
	for says, body := range map[string]map[string]any{
		"'isCompliant' does not exist or cannot be written": {"isCompliant": true}, "'trustType'": {"trustType": "AzureAd"}, "'@signet.assurance'": {"@signet.assurance": "attested"},
		"'accountEnabled' cannot be a string": {"accountEnabled": "no"}, "#microsoft.graph.device": {"@odata.type": "#microsoft.graph.user", "accountEnabled": false},
		"A device has a name": {"displayName": " "}, "accountEnabled and displayName": {},
	} {
		w.ask(ada, "PATCH", at, body).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, says)
	}
	// One change of a body that is refused is not made either.
	w.ask(ada, "PATCH", at, map[string]any{"accountEnabled": false, "displayName": " "}).want(t, http.StatusBadRequest, "Request_BadRequest")
	if got := w.ask(ada, "GET", at, nil); got.body["accountEnabled"] != true {
		t.Error("half of a change was made")
	}
	if a := w.ask(ada, "PATCH", devices+"/"+string(pending.ID), map[string]any{"accountEnabled": true}); a.Code != http.StatusConflict {
		t.Errorf("a device that is not attested: %d %s", a.Code, a.Body)
	}
}

func TestDevicesOfPeople(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ada, eve := w.bearer(w.ada), w.bearer(w.eve)
		own, shared := w.join(w.eve, "ws-17"), w.join(w.bob, "ws-18")
		w.join(w.bob, "ws-19")
		w.enrol(w.eve, own)
		w.enrol(w.eve, shared)
		of := "/v1.0/users/" + string(w.eve.ID)
		for path, want := range map[string][]string{
			"/ownedDevices": {"ws-17"}, "/registeredDevices": {"ws-17", "ws-18"}, "/registeredDevices?$top=1": {"ws-17"}, "/registeredDevices?$top=5&$skiptoken=MQ": {"ws-18"}, "/registeredDevices?$skiptoken=OQ": nil,
		} {
			for _, a := range []answer{w.ask(ada, "GET", of+path, nil), w.ask(eve, "GET", of+path, nil), w.ask(eve, "GET", "/v1.0/me"+path, nil)} {
				if got := a.want(t, http.StatusOK, "").column(t, "displayName"); !cmp.Equal(got, want) {
					t.Errorf("%s: %v, want %v", path, got, want)
				}
			}
		}
		page := w.ask(eve, "GET", "/v1.0/me/registeredDevices?$top=1", nil)
		if next := w.ask(eve, "GET", strings.TrimPrefix(page.body["@odata.nextLink"].(string), base), nil); !cmp.Equal(next.column(t, "displayName"), []string{"ws-18"}) || next.body["@odata.nextLink"] != nil || next.at(t, "value", 0, "@odata.type") != "#microsoft.graph.device" {
			t.Errorf("next page %s", next.Body)
		}
		// A device that is gone is nobody's, whoever had a key on it.
		w.leave(shared)
		if got := w.ask(eve, "GET", "/v1.0/me/registeredDevices", nil).column(t, "displayName"); !cmp.Equal(got, []string{"ws-17"}) {
			t.Errorf("a device that is gone: %v", got)
		}
		w.ask(w.bearer(w.eve), "GET", "/v1.0/users/"+string(w.bob.ID)+"/ownedDevices", nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")

		laptop := w.join(w.bob, "laptop")
		w.enrol(w.eve, laptop)
		w.enrol(w.bob, laptop)
		at := devices + "/" + string(laptop.ID)
		if got := w.ask(ada, "GET", at+"/registeredOwners", nil).column(t, "displayName"); !cmp.Equal(got, []string{"Bob"}) {
			t.Errorf("owners %v", got)
		}
		if got := w.ask(ada, "GET", at+"/registeredUsers", nil).column(t, "displayName"); !cmp.Equal(got, []string{"Bob", "Eve"}) {
			t.Errorf("users %v", got)
		}
		groups := w.ask(eve, "GET", "/v1.0/me/memberOf?$top=999", nil).want(t, http.StatusOK, "")
		if len(groups.column(t, "id")) != 0 {
			t.Errorf("groups %s", groups.Body)
		}
	})
}

// Machines say after their join whose they are: that is known, and cannot be
// said differently, by anybody.
func TestOwnerReference(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ws := w.join(w.eve, "ws-17")
	at := devices + "/" + string(ws.ID) + "/registeredOwners/$ref"
	ref := func(id idp.UserID) map[string]any {
		return map[string]any{"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/" + strings.ToUpper(string(id))}
	}
	own := w.bearer(w.eve, func(s *token.Subject) {
		s.Scopes, s.AuthTime, s.ACR = []string{base + "/User.Read"}, w.now.Add(-time.Hour), ""
	})
	for range 2 {
		w.ask(own, "POST", at, ref(w.eve.ID)).want(t, http.StatusNoContent, "")
	}
	w.ask(w.bearer(w.ada), "POST", at, ref(w.eve.ID)).want(t, http.StatusNoContent, "")
	for name, bearer := range map[string]string{"owner": own, "administrator": w.bearer(w.ada), "application": w.own(w.app)} {
		t.Log(name)
		w.ask(bearer, "POST", at, ref(w.bob.ID)).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "who joined it")
	}
	w.ask(own, "POST", at, map[string]any{"@odata.id": "eve"}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "@odata.id")
	w.ask(own, "POST", at, map[string]any{"@odata.id": ref(w.eve.ID)["@odata.id"], "role": "x"}).want(t, http.StatusBadRequest, "Request_BadRequest").says(t, "'role'")
	if d, err := w.devices.Load(t.Context(), w.db, w.tenant.ID, ws.ID); err != nil || d.Owner != w.eve.ID {
		t.Errorf("owner %s, %v", d.Owner, err)
	}
}

// Somebody without a role learns nothing of devices that are not theirs, not
// even whether there is one (ADM02, ADM03).
func TestSec_ADM03_DeviceOfOthers(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	theirs := w.join(w.bob, "ws-18")
	w.enrol(w.eve, theirs) // a key on it does not make it hers
	eve := w.bearer(w.eve)
	ref := map[string]any{"@odata.id": "/directoryObjects/" + string(w.eve.ID)}
	var bodies []string
	for _, id := range []string{string(theirs.ID), "00000000-0000-4000-8000-000000000000"} {
		a := w.ask(eve, "POST", devices+"/"+id+"/registeredOwners/$ref", ref).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		e := a.body["error"].(map[string]any)
		delete(e, "innerError")
		bodies = append(bodies, cmp.Diff(nil, e))
		for _, verb := range []string{"GET", "PATCH", "DELETE"} {
			w.ask(eve, verb, devices+"/"+id, map[string]any{"accountEnabled": false}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		}
	}
	if bodies[0] != bodies[1] {
		t.Errorf("a device that is there and one that is not differ: %v", bodies)
	}
	w.ask(w.bearer(w.bob, func(s *token.Subject) { s.Scopes = []string{base + "/Group.Read.All"} }), "POST", devices+"/"+string(theirs.ID)+"/registeredOwners/$ref",
		map[string]any{"@odata.id": "/directoryObjects/" + string(w.bob.ID)}).want(t, http.StatusForbidden, "Authorization_RequestDenied")

	// Who may see devices and not people sees ids.
	some := w.own(w.newApp("Device.Read.All"))
	for _, got := range []answer{w.ask(some, "GET", devices+"/"+string(theirs.ID)+"/registeredOwners", nil), w.ask(some, "GET", devices+"/"+string(theirs.ID)+"/registeredUsers", nil)} {
		want := map[string]any{"@odata.type": "#microsoft.graph.user", "id": string(w.bob.ID)}
		if diff := cmp.Diff(want, got.want(t, http.StatusOK, "").at(t, "value", 0)); diff != "" {
			t.Errorf("person (-want +got):\n%s", diff)
		}
	}
	expanded := w.ask(some, "GET", devices+"?$expand=registeredOwners", nil).want(t, http.StatusOK, "")
	if expanded.at(t, "value", 0, "registeredOwners", 0, "userPrincipalName") != nil {
		t.Errorf("a name by $expand: %s", expanded.Body)
	}
}

// The help desk looks after machines, and not after those on which somebody
// who stands above it depends (ADM04).
func TestSec_ADM04_DevicesOfAdministrators(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		boss, plain, mixed := w.join(w.ada, "boss"), w.join(w.eve, "plain"), w.join(w.eve, "mixed")
		w.enrol(w.ada, mixed)
		signed := w.join(w.eve, "signed")
		w.signedOn = map[idp.DeviceID][]idp.UserID{signed.ID: {w.eve.ID, w.ada.ID}}
		off := map[string]any{"accountEnabled": false}
		for name, bearer := range map[string]string{"help desk": w.cli("helpdesk"), "person of the help desk": w.bearer(w.bob)} {
			t.Log(name)
			for _, d := range []device.Device{boss, mixed, signed, w.join(w.bob, "own")} {
				w.ask(bearer, "PATCH", devices+"/"+string(d.ID), off).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "has a role")
				w.ask(bearer, "PATCH", devices+"/"+string(d.ID), map[string]any{"displayName": "x"}).want(t, http.StatusForbidden, "Authorization_RequestDenied")
				w.ask(bearer, "DELETE", devices+"/"+string(d.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
			}
			w.ask(bearer, "PATCH", devices+"/"+string(plain.ID), off).want(t, http.StatusNoContent, "")
		}
		for _, d := range []device.Device{boss, mixed} {
			if now, err := w.devices.Load(t.Context(), w.db, w.tenant.ID, d.ID); err != nil || !now.Enabled || now.Name != d.Name {
				t.Errorf("%s was changed: %v", d.Name, err)
			}
			w.ask(w.bearer(w.ada), "PATCH", devices+"/"+string(d.ID), off).want(t, http.StatusNoContent, "")
		}
		w.ask(w.cli("reader"), "PATCH", devices+"/"+string(plain.ID), off).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		w.ask(w.own(w.newApp("Device.Read.All")), "DELETE", devices+"/"+string(plain.ID), nil).want(t, http.StatusForbidden, "Authorization_RequestDenied")
	})
}

// TestSec_ADM04_OnlyOff: the help desk stops a machine, and no more. Who calls it
// may have the very machine that an administrator stopped; that one comes back,
// or is called something else, by an administrator alone, as in the console.
func TestSec_ADM04_OnlyOff(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join(w.eve, "ws-17")
		at := devices + "/" + string(d.ID)
		refused := func(bearer string, body map[string]any) {
			t.Helper()
			w.ask(bearer, "PATCH", at, body).want(t, http.StatusForbidden, "Authorization_RequestDenied")
		}
		on, off := map[string]any{"accountEnabled": true}, map[string]any{"accountEnabled": false}
		for _, desk := range []string{w.cli("helpdesk"), w.bearer(w.bob)} {
			w.ask(w.bearer(w.ada), "PATCH", at, off).want(t, http.StatusNoContent, "")
			refused(desk, on)
			refused(desk, map[string]any{"displayName": "ws-18"})
			refused(desk, map[string]any{"accountEnabled": false, "displayName": "ws-18"})
			if now, err := w.devices.Load(t.Context(), w.db, w.tenant.ID, d.ID); err != nil || now.Enabled || now.Name != "ws-17" {
				t.Errorf("%+v, %v", now, err)
			}
			w.ask(w.bearer(w.ada), "PATCH", at, on).want(t, http.StatusNoContent, "")
			w.ask(desk, "PATCH", at, off).want(t, http.StatusNoContent, "")
		}
	})
}

// No administrator is locked out by what happens to a machine (POL07).
func TestSec_POL07_LastDevice(t *testing.T) {
	w := newWorld(t, sqldbtest.Open(t, sources))
	ws := w.join(w.ada, "boss")
	w.ask(w.bearer(w.ada), "PATCH", methodsPolicy+"/authenticationMethodConfigurations/windowsHelloForBusiness",
		map[string]any{"state": "enabled", "includeTargets": []any{map[string]any{"id": "all_users", "targetType": "group"}}}).want(t, http.StatusNoContent, "")
	w.enrol(w.ada, ws)
	at := devices + "/" + string(ws.ID)
	ada := w.bearer(w.ada)
	w.ask(ada, "PATCH", at, map[string]any{"accountEnabled": false}).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "No administrator")
	w.ask(ada, "DELETE", at, nil).want(t, http.StatusForbidden, "Authorization_RequestDenied").says(t, "No administrator")
	w.keys.held = []method.Credential{{ID: "k", Tenant: w.tenant.ID, User: w.ada.ID, Method: "passkey"}}
	w.ask(ada, "DELETE", at, nil).want(t, http.StatusNoContent, "")
}

// Nothing of another tenant's devices is found, or changed, or told apart from
// what there is not (security.md T46).
func TestSec_T46_DevicesOfAnotherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		mine := w.tenant
		mineWS := w.join(w.eve, "ws-17")
		w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			w.tenant, err = w.dir.CreateTenant(ctx, tx, idp.Tenant{Name: "Other", Domain: "other.example"})
			return err
		})
		var sly idp.User
		w.write(func(ctx context.Context, tx *sqldb.Tx) (err error) {
			sly, err = w.dir.CreateUser(ctx, tx, idp.User{Tenant: w.tenant.ID, Name: "eve@other.example", DisplayName: "Eve", Enabled: true, Type: idp.Member})
			return err
		})
		ws := w.join(sly, "ws-17")
		key := w.enrol(sly, ws)
		foreign := w.cli("administrator")
		w.tenant = mine
		ada := w.bearer(w.ada)
		none := "00000000-0000-4000-8000-000000000000"
		for _, at := range []string{
			"GET /devices/%", "GET /devices(deviceId='%')", "PATCH /devices/%", "DELETE /devices/%", "GET /devices/%/signet.standing",
			"GET /devices/%/registeredOwners", "GET /devices/%/registeredUsers", "POST /devices/%/registeredOwners/$ref",
		} {
			verb, path, _ := strings.Cut(at, " ")
			var body map[string]any
			switch verb {
			case "PATCH":
				body = map[string]any{"accountEnabled": false}
			case "POST":
				body = map[string]any{"@odata.id": "/directoryObjects/" + string(sly.ID)}
			}
			there := w.ask(ada, verb, "/v1.0"+strings.Replace(path, "%", string(ws.ID), 1), body).want(t, http.StatusNotFound, "Request_ResourceNotFound")
			not := w.ask(ada, verb, "/v1.0"+strings.Replace(path, "%", none, 1), body).want(t, http.StatusNotFound, "Request_ResourceNotFound")
			says := func(a answer) any {
				return strings.NewReplacer(string(ws.ID), "", none, "").Replace(a.at(t, "error", "message").(string))
			}
			if says(there) != says(not) {
				t.Errorf("%s: %v and %v", at, says(there), says(not))
			}
		}
		of := "/v1.0/users/" + string(sly.ID)
		for _, path := range []string{"/ownedDevices", "/registeredDevices", "/authentication/windowsHelloForBusinessMethods", "/authentication/windowsHelloForBusinessMethods/" + string(key.ID)} {
			w.ask(ada, "GET", of+path, nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		}
		w.ask(ada, "DELETE", of+"/authentication/windowsHelloForBusinessMethods/"+string(key.ID), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "GET", "/v1.0/users/"+string(w.eve.ID)+"/authentication/windowsHelloForBusinessMethods/"+string(key.ID), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		if got := w.ask(ada, "GET", devices+"?$count=true", nil).want(t, http.StatusOK, ""); !cmp.Equal(got.column(t, "id"), []string{string(mineWS.ID)}) || got.body["@odata.count"] != 1.0 {
			t.Errorf("list %s", got.Body)
		}
		if got := w.ask(ada, "GET", "/v1.0/signet/keys", nil).want(t, http.StatusOK, ""); len(got.column(t, "id")) != 0 {
			t.Errorf("keys %s", got.Body)
		}
		w.ask(ada, "GET", "/v1.0/signet/keys?user="+string(sly.ID), nil).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		w.ask(ada, "POST", "/v1.0/signet/keys/clean", map[string]any{"user": "eve@other.example", "orphaned": true, "apply": true}).want(t, http.StatusNotFound, "Request_ResourceNotFound")
		if d, err := w.devices.Load(t.Context(), w.db, sly.Tenant, ws.ID); err != nil || !d.Enabled {
			t.Errorf("changed from outside: %v", err)
		}
		if got := w.ask(foreign, "GET", devices, nil).want(t, http.StatusOK, ""); !cmp.Equal(got.column(t, "id"), []string{string(ws.ID)}) {
			t.Errorf("list of the other tenant %s", got.Body)
		}
	})
}
