package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/signin"
)

// A whole day of a device: PRT by Hello, tokens, renewal.
func TestHelloPRT(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, k := w.join(0), helloKey(0)
		w.enrol(m, w.ada, k)
		a := w.send(m.sign(byHello(w.nonce(), k.Assertion(w.ada.Name, w.nonce(), w.clock.now()))), "tgt", "True")
		h := m.receive(t, a)
		out := a.json(t)
		for name, kind := range map[string]string{
			"token_type": "string", "expires_in": "string", "ext_expires_in": "string", "expires_on": "string", "refresh_token": "string",
			"refresh_token_expires_in": "float64", "id_token": "string", "client_info": "string", "device_tenant_id": "string",
			"tgt_ad": "string", "tgt_cloud": "string", "session_key_jwe": "string",
		} {
			if got := fmt.Sprintf("%T", out[name]); got != kind {
				t.Errorf("%s is a %s, want a %s", name, got, kind)
			}
		}
		if rests := out["refresh_token_expires_in"].(float64); rests < 1209590 || out["expires_in"] != fmt.Sprintf("%.0f", rests) || out["device_tenant_id"] != string(w.tenant.ID) {
			t.Errorf("answer %v", out)
		}
		id := claimsOf(t, out["id_token"])
		if id["name"] != "ada" || id["oid"] != string(w.ada.ID) || id["tid"] != string(w.tenant.ID) || id["preferred_username"] != w.ada.Name || id["deviceid"] != string(m.ID) {
			t.Errorf("id token %v", id)
		}
		if n := w.spent(); n != 2 {
			t.Errorf("%d nonces burnt, want both", n)
		}
		// One record has the gesture, the device and what came of both.
		prts, err := w.prts.OfDevice(t.Context(), w.tenant.ID, m.ID)
		if err != nil || len(prts) != 1 {
			t.Fatalf("%v, %v", prts, err)
		}
		done, err := w.audit.List(t.Context(), w.db, w.tenant.ID, audit.Filter{Limit: 1})
		if err != nil || done[0].Activity != "signin.done" || done[0].Session != prts[0].ID || done[0].Detail[signin.DetailDevice] != string(m.ID) {
			t.Errorf("recorded %+v, %v", done, err)
		}

		got := h.open(t, w.use(h, nil))
		access := claimsOf(t, got["access_token"])
		if access["aud"] != "https://graph.microsoft.com" || access["deviceid"] != string(m.ID) || access["upn"] != w.ada.Name ||
			fmt.Sprint(access["amr"]) != "[rsa mfa]" || got["foci"] != "1" || got["expires_in"] != "3600" || got["resource"] != "https://graph.microsoft.com" {
			t.Errorf("answer %v of %v", got, access)
		}
		v2 := w.post("/common/oauth2/v2.0/token", form(h.sign(using(h.value, w.nonceAt(t, "common"), object{"resource": nil, "scope": "https://graph.microsoft.com/.default"}))))
		if got := h.open(t, v2); got["expires_in"] != float64(3600) || got["refresh_token"] == nil {
			t.Errorf("v2: %v", got)
		}

		renewed := h.open(t, w.renew(h))
		if renewed["session_key_jwe"] != nil || renewed["id_token"] == nil || renewed["refresh_token"] == h.value || renewed["refresh_token"] == nil {
			t.Errorf("renewal %v", renewed)
		}
		next := held{renewed["refresh_token"].(string), h.key, m}
		next.open(t, w.use(next, nil))
		// The answer to the renewal was lost: the old one gets the current one
		// again, and nothing moves on.
		again := h.open(t, w.renew(h))
		last := held{again["refresh_token"].(string), h.key, m}
		last.open(t, w.use(last, nil))
		next.open(t, w.use(next, nil))
		if got := w.events("prt."); !slices.Equal(got, []string{"prt.renew success", "prt.renew success"}) {
			t.Errorf("events %v", got)
		}
	})
}

func TestRefreshPRT(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.join(0)
		refresh := w.signIn(w.ada, client.Broker)
		h := m.receive(t, w.send(m.sign(byRefresh(w.nonce(), refresh))))
		got := h.open(t, w.use(h, nil))
		if access := claimsOf(t, got["access_token"]); fmt.Sprint(access["amr"]) != "[fido mfa]" {
			t.Errorf("access token %v", access)
		}
		// The same token again, as published clients do (fact 21).
		m.receive(t, w.send(m.sign(byRefresh(w.nonce(), refresh))))
	})
}
