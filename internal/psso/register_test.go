package psso_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
)

// A person registers a Mac: it is theirs, on, and known by its keys.
func TestRegisterByPerson(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		h := newHardware()
		m := w.join(w.ada, h)
		if m.Owner != w.ada.ID || !m.Enabled || m.OS != mac.OS || m.Join != device.Joined || m.Assurance != device.Unattested || m.Name != "Ada's MacBook Air" {
			t.Errorf("device: %+v", m.Device)
		}
		if m.body["pending"] != false || m.body["key_id"] != pssowire.KeyOf(&h.signing.PublicKey).String() ||
			m.body["encryption_key_id"] != pssowire.KeyOf(&h.encryption.PublicKey).String() || m.body["assurance"] != "unattested" {
			t.Errorf("answer: %v", m.body)
		}
		found, _, err := w.macs.ByKid(t.Context(), w.tenant.ID, mac.Signing, mac.KeyID(pssowire.KeyOf(&h.signing.PublicKey)))
		if err != nil || found.Device != m.ID || found.Serial != "C02ABC123" || found.Proven || found.Source != mac.ByPerson {
			t.Errorf("mac: %+v, %v", found, err)
		}
		all := w.changes("device.join")
		if len(all) != 1 || all[0].Outcome != audit.Success || all[0].User != w.ada.ID || all[0].Detail["os"] != mac.OS || all[0].Detail["by"] != "person" {
			t.Errorf("audit: %+v", all)
		}
	})
}

// A registration token brings a Mac that waits for its first person.
func TestRegisterByToken(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		value, tok := w.ticket()
		m := w.bring(newHardware(), value)
		if m.Enabled || m.Owner != "" || m.body["pending"] != true || m.Pending.Sub(w.clock.now()) < 23*time.Hour {
			t.Errorf("device: %+v", m.Device)
		}
		if until, _ := m.body["pending_until"].(float64); int64(until) != m.Pending.Unix() {
			t.Errorf("answer: %v", m.body)
		}
		if used := w.changes("mac.token.use"); len(used) != 1 || used[0].Detail["token"] != string(tok.ID) || strings.Contains(used[0].Detail["token"], value) {
			t.Errorf("audit: %+v", used)
		}
		w.enrolled(m.machine, w.ada)
		now := w.load(m.ID)
		if !now.Enabled || now.Owner != w.ada.ID || !now.Pending.IsZero() {
			t.Errorf("after its first person: %+v", now)
		}
		if on := w.changes("device.activate"); len(on) != 1 || on[0].User != w.ada.ID {
			t.Errorf("audit: %+v", on)
		}
	})
}

// A pending device that nobody takes is one that is not known any more.
func TestPendingRunsOut(t *testing.T) {
	w := liteOffice(t)
	value, _ := w.ticket()
	m := w.bring(newHardware(), value)
	w.advance(24*time.Hour + time.Second)
	tok := w.bearer(w.ada)
	k := newKey()
	w.sendUser(m.machine, w.userClaims(m.machine, k, tok), tok).refused(t, "late", 400, "invalid_client", "device_unknown")
	if w.keysOf(w.ada) != 0 {
		t.Error("a key was registered")
	}
}

// The same two keys once more are the same Mac, whatever the token is worth by
// then: the answer may have been lost.
func TestRegisterAgain(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		value, _ := w.ticket()
		h := newHardware()
		first := w.bring(h, value)
		second := w.bring(h, value) // used up
		if second.ID != first.ID || second.body["repeated"] != true || w.held() != 1 {
			t.Errorf("again: %v, %d devices", second.body, w.held())
		}
		third := w.bring(h, "gone") // none at all
		if third.ID != first.ID {
			t.Errorf("without a token: %v", third.body)
		}
		// The encryption key alone, or the signing key alone, is no Mac.
		other := newHardware()
		mixed := &hardware{signing: h.signing, encryption: other.encryption, serial: h.serial}
		w.sendJoin(mixed, w.joinClaims(mixed, w.bearer(w.ada), false), "").refused(t, "another encryption key", 400, "invalid_request", "key_registered")
		mixed = &hardware{signing: other.signing, encryption: h.encryption, serial: h.serial}
		tok := w.bearer(w.ada)
		w.sendJoin(mixed, w.joinClaims(mixed, tok, false), tok).refused(t, "another signing key", 400, "invalid_request", "key_registered")
		if w.held() != 1 {
			t.Errorf("%d devices", w.held())
		}
	})
}

// A repetition with an attestation makes the Mac one that may be used.
func TestAttestLater(t *testing.T) {
	w := liteOffice(t)
	w.attestation(policy.AttestationRequired)
	h := newHardware()
	m := w.join(w.ada, h)
	if m.Enabled || m.body["pending"] != true || m.Pending.Sub(w.clock.now()) > 10*time.Minute {
		t.Fatalf("%+v", m.Device)
	}
	again := w.join(w.ada, h)
	if again.Enabled {
		t.Error("a repetition without an attestation did it")
	}
	shown := w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c) })
	if !shown.Enabled || shown.Assurance != device.Attested || shown.body["pending"] != false || shown.body["assurance"] != "attested" {
		t.Errorf("%+v %v", shown.Device, shown.body)
	}
	got, err := w.macs.Get(t.Context(), w.db, w.tenant.ID, m.ID)
	if err != nil || !got.Proven || got.UDID != h.udid || !got.Keys[0].Attested || !got.Keys[1].Attested {
		t.Errorf("%+v, %v", got, err)
	}
	// By then other keys of the same hardware take its place.
	next := newHardware()
	if after := w.join(w.ada, next, func(c *pssowire.Device) { w.attest(next, c) }); after.ID != m.ID || after.body["replaced"] != string(m.ID) {
		t.Errorf("%v", after.body)
	}
}

// Many repetitions at once that show the keys: all are answered.
func TestAttestTogether(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		value, _ := w.ticket()
		h := newHardware()
		m := w.bring(h, value)
		got := w.together(4, func(int) answer {
			c := w.joinClaims(h, value, true)
			w.attest(h, &c)
			return w.sendJoin(h, c, "")
		})
		if now := w.load(m.ID); got["OK "] != 4 || !now.Enabled || now.Assurance != device.Attested {
			t.Errorf("%v, %+v", got, now)
		}
	})
}

// A disabled Mac does not come back by saying its keys again.
func TestDisabledStays(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	m := w.join(w.ada, h)
	w.switchOn(m.machine, false)
	tok := w.bearer(w.ada)
	c := w.joinClaims(h, tok, false)
	w.attest(h, &c)
	w.sendJoin(h, c, tok).refused(t, "disabled", 400, "invalid_client", "device_disabled")
	if w.load(m.ID).Enabled {
		t.Error("it is on")
	}
}

// What an attestation shows: identity of the hardware, and that both keys are in
// its Secure Enclave.
func TestAttested(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	value, _ := w.ticket()
	m := w.bring(h, value, func(c *pssowire.Device) { w.attest(h, c) })
	if !m.Enabled || m.Assurance != device.Attested || !m.Pending.IsZero() {
		t.Errorf("%+v", m.Device)
	}
	got, err := w.macs.Get(t.Context(), w.db, w.tenant.ID, m.ID)
	if err != nil || !got.Proven || got.Serial != h.serial || got.UDID != h.udid || !got.Keys[0].Attested || !got.Keys[1].Attested {
		t.Errorf("%+v, %v", got, err)
	}
}

// With attestation none nobody looks at it; preferred goes on without a good one.
func TestAttestationPolicies(t *testing.T) {
	stale := func(c *certified) { c.freshness = make([]byte, 32) }
	for _, row := range []struct {
		rule      policy.Attestation
		change    []func(*certified)
		send      bool
		assurance device.Assurance
		enabled   bool
	}{
		{policy.AttestationNone, nil, true, device.Unattested, true},
		{policy.AttestationPreferred, nil, false, device.Unattested, true},
		{policy.AttestationPreferred, []func(*certified){stale}, true, device.Unattested, true},
		{policy.AttestationPreferred, nil, true, device.Attested, true},
		{policy.AttestationRequired, nil, false, device.Unattested, false},
		{policy.AttestationRequired, []func(*certified){stale}, true, device.Unattested, false},
		{policy.AttestationRequired, nil, true, device.Attested, true},
	} {
		t.Run(string(row.rule), func(t *testing.T) {
			w := liteOffice(t)
			w.attestation(row.rule)
			h := newHardware()
			m := w.join(w.ada, h, func(c *pssowire.Device) {
				if row.send {
					w.attest(h, c, row.change...)
				}
			})
			if m.Assurance != row.assurance || m.Enabled != row.enabled {
				t.Errorf("%s, enabled %t", m.Assurance, m.Enabled)
			}
			why := w.changes("device.join")[0].Detail["attestation"]
			if (why != "") != (row.change != nil) {
				t.Errorf("the record says %q", why)
			}
		})
	}
}

// The same hardware with other keys takes the place of what it was, by the same
// kind of proof or a better one, and only when both were shown.
func TestReplace(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		shown := func(h *hardware) func(*pssowire.Device) { return func(c *pssowire.Device) { w.attest(h, c) } }
		value, _ := w.ticket()
		h := newHardware()
		first := w.bring(h, value, shown(h))
		// By a person: better.
		h2 := newHardware()
		second := w.join(w.ada, h2, shown(h2))
		if second.body["replaced"] != string(first.ID) {
			t.Fatalf("%v", second.body)
		}
		k := w.enrolled(second.machine, w.ada)
		// By the same person, once more.
		h3 := newHardware()
		third := w.join(w.ada, h3, shown(h3))
		if third.body["replaced"] != string(second.ID) || third.ID != second.ID || w.held() != 1 || third.Owner != w.ada.ID {
			t.Errorf("%v, %d devices", third.body, w.held())
		}
		if all := w.changes("device.join"); all[0].Detail["replaced"] != string(second.ID) {
			t.Errorf("audit: %+v", all[0])
		}
		if _, _, err := w.macs.ByKid(t.Context(), w.tenant.ID, mac.Signing, mac.KeyID(pssowire.KeyOf(&h2.signing.PublicKey))); idp.AsError(err).Kind != idp.NotFound {
			t.Errorf("the old keys: %v", err)
		}
		_ = k
		// By another person: another device, and the old one is gone.
		h4 := newHardware()
		fourth := w.join(w.bob, h4, shown(h4))
		if fourth.ID == third.ID || fourth.Owner != w.bob.ID || fourth.body["replaced"] != string(third.ID) || w.held() != 1 {
			t.Errorf("%v %+v, %d devices", fourth.body, fourth.Device, w.held())
		}
		// By a token: what a person registered, it does not take away.
		h5 := newHardware()
		value, tok := w.ticket()
		c := w.joinClaims(h5, value, true)
		w.attest(h5, &c)
		w.sendJoin(h5, c, "").refused(t, "weaker", 403, "access_denied", "weaker_proof")
		if now, err := w.macs.Tokens.Get(t.Context(), w.db, w.tenant.ID, tok.ID); err != nil || now.Used != 0 {
			t.Errorf("the token is used: %+v %v", now, err)
		}
	})
}

// Without an attestation, or of other hardware, it is another device.
func TestNotReplaced(t *testing.T) {
	w := liteOffice(t)
	h := newHardware()
	w.join(w.ada, h, func(c *pssowire.Device) { w.attest(h, c) })
	for what, attest := range map[string]func(*hardware, *pssowire.Device){
		"only said":    func(*hardware, *pssowire.Device) {},
		"another UDID": func(h *hardware, c *pssowire.Device) { h.udid = "00008112-FFFF"; w.attest(h, c) },
		"no UDID":      func(h *hardware, c *pssowire.Device) { h.udid = ""; w.attest(h, c) },
		"not ours": func(h *hardware, c *pssowire.Device) {
			other := &office{world: w.world, maker: newMaker(t)}
			other.attest(h, c)
		},
		"another nonce": func(h *hardware, c *pssowire.Device) {
			w.attest(h, c, func(c *certified) { c.freshness = make([]byte, 32) })
		},
	} {
		h := newHardware()
		if m := w.join(w.ada, h, func(c *pssowire.Device) { attest(h, c) }); m.body["replaced"] != nil {
			t.Errorf("%s: %v", what, m.body)
		}
	}
	if w.held() != 6 {
		t.Errorf("%d devices", w.held())
	}
}

// Who a token is for owns the Mac, and nobody else activates it.
func TestTokenForPerson(t *testing.T) {
	offices(t, func(t *testing.T, w *office) {
		value, _ := w.ticket(func(q *mac.TokenRequest) { q.For = w.ada.ID })
		m := w.bring(newHardware(), value)
		if m.Owner != w.ada.ID || m.Enabled {
			t.Fatalf("%+v", m.Device)
		}
		k, tok := newKey(), w.bearer(w.bob)
		w.sendUser(m.machine, w.userClaims(m.machine, k, tok), tok).refused(t, "another person", 403, "access_denied", "device_owner")
		if w.load(m.ID).Enabled || w.keysOf(w.bob) != 0 {
			t.Error("it went through")
		}
		w.enrolled(m.machine, w.ada)
		if !w.load(m.ID).Enabled {
			t.Error("not active")
		}
		w.enrolled(m.machine, w.bob) // now that it is on, anybody of the organisation
	})
}

// The configuration says all that an extension needs, and is the same in
// answers.
func TestConfiguration(t *testing.T) {
	w := liteOffice(t)
	get := func() map[string]any {
		r, _ := http.NewRequest("GET", base+w.at("/psso/configuration"), nil)
		a := w.do(r)
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		return a.json(t)
	}
	c := get()
	at := base + w.at("")
	for name, want := range map[string]any{
		"client_id": pssowire.ClientID, "issuer": at + "/v2.0", "audience": at + "/psso", "token_endpoint": at + "/psso/token",
		"nonce_endpoint": at + "/psso/nonce", "key_endpoint": at + "/psso/key", "device_endpoint": at + "/psso/device", "user_endpoint": at + "/psso/user",
		"jwks_uri": at + "/discovery/v2.0/keys", "redirect_uri": "signet-psso://signed-in", "nonce_response_keypath": "Nonce",
		"server_nonce_claim": "request_nonce", "additional_scopes": "urn:apple:platformsso", "unique_identifier_claim": "oid", "method": "UserSecureEnclaveKey",
		"login_frequency": 64800.0, "account_display_name": "Nordhafen", "attestation": "preferred", "refresh_endpoint": nil,
		"registration_scope": "urn:ms-drs:enterpriseregistration.windows.net/.default", "invalid_credential_predicate": "error = 'invalid_grant' AND suberror != 'nonce'",
	} {
		if c[name] != want {
			t.Errorf("%s: %v, want %v", name, c[name], want)
		}
	}
	w.policy(func(p *policy.Policy) {
		p.Macs.Method, p.Macs.AccountName, p.Macs.LoginFrequency = policy.MacCard, "Work", time.Hour
	})
	if c := get(); c["refresh_endpoint"] != at+"/psso/token" || c["method"] != "SmartCard" || c["account_display_name"] != "Work" || c["login_frequency"] != 3600.0 {
		t.Errorf("%v", c)
	}
	m := w.join(w.ada, newHardware())
	if got := m.body["configuration"].(map[string]any); got["method"] != "SmartCard" || got["issuer"] != at+"/v2.0" {
		t.Errorf("in an answer: %v", got)
	}
	w.policy(func(p *policy.Policy) { p.Devices.On = false })
	r, _ := http.NewRequest("GET", base+w.at("/psso/configuration"), nil)
	w.do(r).refused(t, "devices off", 400, "invalid_client", "devices_off")
}

// One source may not ask without end.
func TestRegistrationLimit(t *testing.T) {
	w := limited(t, 3)
	for n := range 4 {
		r, _ := http.NewRequest("GET", base+w.at("/psso/configuration"), nil)
		switch a := w.do(r); {
		case n < 3 && a.status != 200:
			t.Errorf("%d: %d %s", n, a.status, a.body)
		case n == 3:
			a.refused(t, "one too many", 429, "slow_down", "")
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
}
