package drs_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/drs"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/token"
)

func TestDiscover(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		id := string(w.Tenant.ID)
		for _, path := range []string{"/" + id + "/Discover", "/NordHafen.example//discover/", "/" + strings.ToUpper(id) + "/DISCOVER"} {
			r := w.send("GET", path+"?api-version=1.9&managed=True", "not a token", nil, nil)
			if r.status != http.StatusOK {
				t.Fatalf("%s: %d %s", path, r.status, r.raw)
			}
			var d struct {
				DeviceJoinService      struct{ JoinEndpoint, JoinResourceId, ServiceVersion string }                 //nolint:revive // names of the wire
				KeyProvisioningService struct{ KeyProvisionEndpoint, KeyProvisionResourceId, ServiceVersion string } //nolint:revive // names of the wire
				NonceService           struct{ Endpoint string }
				AttestationService     struct{ AttestationEndpoint string }
				DeviceLeaveService     struct{ LeaveEndpoint string }
				AuthenticationService  struct {
					OAuth2 struct{ AuthCodeEndpoint, TokenEndpoint string }
				}
				TenantInfo struct{ DisplayName, TenantId, TenantName string } //nolint:revive // names of the wire
			}
			if err := json.Unmarshal(r.raw, &d); err != nil {
				t.Fatal(err)
			}
			for _, nobodys := range []string{".svc", "wsfed", "webauthn", "manage/", "precreate"} {
				if bytes.Contains(r.raw, []byte(nobodys)) {
					t.Errorf("%s: names %s, which nobody serves: %s", path, nobodys, r.raw)
				}
			}
			const urn = "urn:ms-drs:enterpriseregistration.windows.net"
			for got, want := range map[string]string{
				d.DeviceJoinService.JoinEndpoint:             base + "/EnrollmentServer/device/",
				d.DeviceJoinService.JoinResourceId:           urn,
				d.DeviceJoinService.ServiceVersion:           "2.0",
				d.KeyProvisioningService.ServiceVersion:      "1.0",
				d.NonceService.Endpoint:                      base + "/EnrollmentServer/nonce/" + id + "/",
				d.AttestationService.AttestationEndpoint:     base + "/EnrollmentServer/attestation",
				d.DeviceLeaveService.LeaveEndpoint:           "https://tls.nordhafen.example/EnrollmentServer/device/",
				d.AuthenticationService.OAuth2.TokenEndpoint: base + "/" + id + "/oauth2/token",
				d.TenantInfo.TenantId:                        id,
				d.TenantInfo.TenantName:                      "nordhafen.example",
				d.TenantInfo.DisplayName:                     "Nordhafen",
			} {
				if got != want {
					t.Errorf("%q, want %q", got, want)
				}
			}
		}
		for _, ref := range []string{"nobody.example", "common", "00000000-0000-4000-8000-000000000000"} {
			w.refused(ref, w.send("GET", "/"+ref+"/Discover?api-version=1.9", "", nil, nil), 400, "tenant_unknown")
		}
		w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Devices.On = false })
		w.refused("devices off", w.send("GET", "/"+id+"/Discover", "", nil, nil), 400, "tenant_unknown")
	})
}

func TestNonce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.send("GET", "/enrollmentserver/nonce/"+string(w.Tenant.ID)+"?api-version=1.0", "", nil, nil)
		status, _ := r.body["ReponseStatus"].(map[string]any)
		if r.status != 200 || status["message"] == "" || status["traceId"] == "" || status["time"] != "03-05-2026 09:14:00Z" {
			t.Errorf("%d %s", r.status, r.raw)
		}
		if _, err := w.Box.Open(t.Context(), w.Tenant.ID, nonce.RegistrationNonce, r.text("Value")); err != nil {
			t.Error(err)
		}
		if _, err := w.Box.Open(t.Context(), w.Tenant.ID, nonce.ServerNonce, r.text("Value")); err == nil {
			t.Error("good where the token endpoint's are asked for")
		}
		if _, err := w.Box.Open(t.Context(), w.Other.ID, nonce.RegistrationNonce, r.text("Value")); err == nil {
			t.Error("good in another tenant")
		}
		w.Advance(5 * time.Minute)
		if _, err := w.Box.Open(t.Context(), w.Tenant.ID, nonce.RegistrationNonce, r.text("Value")); err == nil {
			t.Error("good after 5 minutes")
		}
		if n := w.Count(t, "spent", w.Tenant.ID); n != 0 {
			t.Errorf("%d rows written for a nonce", n)
		}
	})
}

// TestJoin sends what each published client sends, and reads what it reads.
func TestJoin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		rsaPair := rsaKeys()
		ec := ecKey(t)
		for name, c := range map[string]struct {
			path string
			body string
			want device.Device
		}{
			"blob, upper case": {
				"/EnrollmentServer/device/?api-version=2.0",
				`{"CertificateRequest":{"Type":"pkcs10","Data":"` + request(t, rsaPair[0], nil) + `"},"TransportKey":"` + blob(&rsaPair[1].PublicKey) +
					`","TargetDomain":"x","DeviceType":"Linux","OSVersion":"Debian 12","DeviceDisplayName":"ws-17","JoinType":0,"Attributes":{"ReuseDevice":"true","ReturnClientSid":"true","SharedDevice":"false"}}`,
				device.Device{Name: "ws-17", OS: "Linux", OSVersion: "Debian 12", Join: device.Joined},
			},
			"JWK, lower case, odd path": {
				"/enrollmentserver//Device?api-version=1.0",
				`{"certificateRequest":{"type":"pkcs10","data":"` + request(t, rsaPair[2], nil) + `"},"transportkey":"` + rsaJWK(&rsaPair[3].PublicKey) +
					`","deviceType":"MacOS","osVersion":"14","devicedisplayname":"mac","joinType":"4","attributes":{"softwarekeys":"True"}}`,
				device.Device{Name: "mac", OS: "MacOS", OSVersion: "14", Join: device.Registered, Software: true},
			},
			"P-256": {
				"/EnrollmentServer/device/?api-version=3.0",
				`{"CertificateRequest":{"Type":"pkcs10","Data":"` + request(t, ec, nil) + `","KeyType":"ECC"},"DeviceKeys":[{"Usage":"STK","Type":"ECC","Encoding":"JWK","Data":` +
					quoted(jwk(ecKey(t).Public())) + `}],"DeviceType":"nonsense","JoinType":8}`,
				device.Device{OS: "nonsense", Join: device.Joined},
			},
		} {
			r := w.send("POST", c.path, w.token(w.Ada, nil), []byte(c.body), func(r *http.Request) {
				r.Header.Set("client-request-id", "0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e")
				r.Header.Set("return-client-request-id", "true")
			})
			j := w.accepted(r, w.Ada, nil)
			if j.Name != c.want.Name && c.want.Name != "" || j.OS != c.want.OS || j.OSVersion != c.want.OSVersion || j.Join != c.want.Join || j.Software != c.want.Software {
				t.Errorf("%s: %+v", name, j.Device)
			}
			if j.Owner != w.Ada.ID || !j.Enabled || j.Assurance != device.Unproven || j.Transport == nil {
				t.Errorf("%s: owner %s, enabled %v, %s", name, j.Owner, j.Enabled, j.Assurance)
			}
			if thumb := r.body["Certificate"].(map[string]any)["Thumbprint"]; thumb != j.Thumbprint || len(j.Thumbprint) != 40 {
				t.Errorf("%s: thumbprint %s", name, thumb)
			}
			if upn := r.body["User"].(map[string]any)["Upn"]; upn != w.Ada.Name {
				t.Errorf("%s: upn %s", name, upn)
			}
			if changes, ok := r.body["MembershipChanges"].([]any); !ok || (len(changes) == 1) != (j.Join == device.Joined) {
				t.Errorf("%s: membership %v", name, r.body["MembershipChanges"])
			}
			if r.header.Get("client-request-id") != "0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e" || r.header.Get("x-ms-request-id") == "" ||
				r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json; charset=utf-8" {
				t.Errorf("%s: headers %v", name, r.header)
			}
			if who, err := w.devices.Identify(t.Context(), j.der); err != nil || who.ID != j.ID {
				t.Errorf("%s: identified %s, %v", name, who.ID, err)
			}
		}
		if all := w.events(w.Tenant.ID); len(all) != 3 || all[0].Activity != "device.join" || all[0].Outcome != "success" ||
			all[0].User != w.Ada.ID || all[0].Detail["device"] == "" || all[0].Detail["assurance"] != "unproven" {
			t.Errorf("audit: %+v", all)
		}
	})
}

func quoted(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestCloudSID is the sample of device-protocol.md §5.1, and one by hand.
func TestCloudSID(t *testing.T) {
	for id, want := range map[string]string{
		"6f1c0e52-0d4e-4f13-9d0a-5a5a6f0e6d11": "S-1-12-1-1864109650-1326648654-1515850397-292359791",
		"00112233-4455-6677-8899-aabbccddeeff": "S-1-12-1-1122867-1719092309-3148519816-4293844428",
	} {
		if got, ok := drs.CloudSID(id); !ok || got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
	if _, ok := drs.CloudSID("ada"); ok {
		t.Error("a SID of no GUID")
	}
}

// TestHello registers a user key as published clients do.
func TestHello(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		j := w.join(w.Ada)
		bearer := w.token(w.Ada, func(s *token.Subject) { s.Device = j.ID })
		r := w.send("POST", "/EnrollmentServer/key/?api-version=1.0", bearer, map[string]string{"KNGC": blob(&rsaKeys()[0].PublicKey)}, func(r *http.Request) {
			r.Header.Set("Accept", "application/json")
		})
		if r.status != 200 || r.text("upn") != w.Ada.Name || len(r.text("kid")) != 36 || r.header.Get("request-id") == "" {
			t.Fatalf("%d %s", r.status, r.raw)
		}
		kept, err := w.Corridor.Credentials(t.Context(), w.Tenant.ID, w.Ada.ID)
		if err != nil || len(kept) != 1 || string(kept[0].ID) != r.text("kid") || kept[0].Facts.Device != j.ID {
			t.Errorf("kept %+v, %v", kept, err)
		}
		// The same key does not join as a device (DEV03).
		body := w.joinBody(rsaKeys()[0], ecKey(t))
		w.refused("user key as device key", w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 400, "key_registered")
	})
}

func TestLeave(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		j := w.join(w.Ada)
		r := w.send("DELETE", "/EnrollmentServer/device/"+strings.ToUpper(string(j.ID))+"?api-version=1.0", "", nil, connected(j.cert))
		if r.status != 200 || r.body["AttestationResult"].(map[string]any)["KeyId"] != string(j.ID) {
			t.Fatalf("%d %s", r.status, r.raw)
		}
		if w.held(w.Tenant.ID) != 0 || len(w.gone) == 0 || w.gone[0] != j.ID {
			t.Errorf("%d devices, hooks %v", w.held(w.Tenant.ID), w.gone)
		}
		w.refused("again", w.send("DELETE", "/EnrollmentServer/device/"+string(j.ID), "", nil, connected(j.cert)), 401, "device_unknown")
		if e := w.events(w.Tenant.ID)[0]; e.Activity != "device.remove" || e.Actor != "device:"+string(j.ID) || e.User != w.Ada.ID {
			t.Errorf("audit: %+v", e)
		}
	})
}

func TestHybridIsRefused(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		r := w.send("PUT", "/EnrollmentServer/device/0b1f6a0e-7a5c-4f1c-8d55-2f3a4b5c6d7e?api-version=2.0", "", map[string]any{"JoinType": 6}, nil)
		w.refused("PUT", r, 403, "hybrid_join")
		if !strings.Contains(r.text("Message"), "hybrid") || r.text("ErrorType") != "AuthorizationError" || r.text("TraceId") == "" || r.text("Time") != "03-05-2026 09:14:00Z" {
			t.Errorf("%s", r.raw)
		}
		body := w.joinBody(ecKey(t), ecKey(t))
		body["JoinType"] = 6
		w.refused("join type 6", w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), 403, "hybrid_join")
	})
}

// A re-join makes a new device, whatever ReuseDevice says.
func TestJoinAgain(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		a, b := w.join(w.Ada), w.join(w.Ada)
		if a.ID == b.ID || w.held(w.Tenant.ID) != 2 {
			t.Errorf("%s and %s", a.ID, b.ID)
		}
	})
}

// Without a transport key the device joins, and is good for no PRT.
func TestJoinWithoutTransportKey(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		body := w.joinBody(ecKey(t), ecKey(t))
		delete(body, "DeviceKeys")
		j := w.accepted(w.send("POST", joinPath, w.token(w.Ada, nil), body, nil), w.Ada, nil)
		if j.Transport != nil {
			t.Error("a transport key out of nowhere")
		}
	})
}

func TestLimits(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		s := drs.New(drs.Config{
			BaseURL: base, DB: w.DB, Directory: w.Directory, Devices: w.devices, Policies: w.Policies, Tokens: w.tokens,
			Corridor: w.Corridor, Box: w.Box, Audit: w.Audit, Now: w.Now, Limits: drs.Limits{Nonces: 2, Asks: 4},
		})
		mux := http.NewServeMux()
		s.Mount(mux)
		w.handler = mux
		ask := func() int {
			return w.send("GET", "/EnrollmentServer/nonce/"+string(w.Tenant.ID)+"/", "", nil, nil).status
		}
		got := []int{ask(), ask(), ask()}
		if got[0] != 200 || got[1] != 200 || got[2] != 429 {
			t.Errorf("nonces: %v", got)
		}
		w.send("PUT", "/EnrollmentServer/device/x", "", nil, nil)
		r := w.send("PUT", "/EnrollmentServer/device/x", "", nil, nil)
		if r.status != 429 || r.header.Get("Retry-After") == "" {
			t.Errorf("%d %s", r.status, r.raw)
		}
	})
}
