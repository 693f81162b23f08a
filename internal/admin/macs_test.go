package admin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

// mac registers a Mac that waits for its first person.
func (o *office) mac(tenant idp.TenantID, serial string) device.Device {
	o.t.Helper()
	var keys [2]*ecdsa.PublicKey
	for i := range keys {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			o.t.Fatal(err)
		}
		keys[i] = &k.PublicKey
	}
	c := device.Candidate{
		Tenant: tenant, Name: "mac " + serial, OS: mac.OS, Join: device.Joined, Assurance: device.Unattested, Key: keys[0], Transport: keys[1],
		Pending: now.Add(mac.RotationLife),
	}
	d, _, err := o.devices.Prepare(o.t.Context(), c)
	if err == nil {
		err = o.db.Write(o.t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			if err := o.devices.Add(ctx, tx, d, c); err != nil {
				return err
			}
			_, err := o.macs.Add(ctx, tx, mac.Registration{
				Tenant: tenant, Device: d.ID, Serial: serial, Source: mac.ByToken, Token: "t1",
				Signing: mac.NewKey{Public: keys[0]}, Encryption: mac.NewKey{Public: keys[1]},
			})
			return err
		})
	}
	if err != nil {
		o.t.Fatal(err)
	}
	return d
}

func TestMacs(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		a := idp.TenantID(o.do("tenant.create", fields{"name": "A", "domain": "a.example"})["id"].(string))
		b := idp.TenantID(o.do("tenant.create", fields{"name": "B", "domain": "b.example"})["id"].(string))
		var want []string
		for _, serial := range []string{"C02A", "C02B", "C02C"} {
			want = append(want, string(o.mac(a, serial).ID))
		}
		o.mac(b, "C02D")
		o.join(a, "11111111-2222-4333-8444-555555555555", "ws-1") // no Mac
		slices.Sort(want)
		got := o.list("mac.list", fields{"tenant": "a.example", "limit": 2}, "id")
		got = append(got, o.list("mac.list", fields{"tenant": "a.example", "limit": 2, "after": got[1]}, "id")...)
		if !slices.Equal(got, want) {
			t.Errorf("listed %v, want %v", got, want)
		}
		raw, err := o.try("mac.list", fields{"tenant": "b.example"})
		if err != nil {
			t.Fatal(err)
		}
		var rows []fields
		if err := json.Unmarshal(raw, &rows); err != nil || len(rows) != 1 {
			t.Fatalf("%s, %v", raw, err)
		}
		m := rows[0]
		if m["serialNumber"] != "C02D" || m["operatingSystem"] != "macOS" || m["accountEnabled"] != false || m["registeredBy"] != "token" ||
			m["registeredOwner"] != "" || m["hardwareProven"] != false || m["attestationDue"] == nil || len(m["keys"].([]any)) != 2 {
			t.Errorf("%v", m)
		}
		if k := m["keys"].([]any)[0].(map[string]any); k["use"] != "signing" || k["state"] != "current" || len(k["kid"].(string)) != 44 {
			t.Errorf("%v", k)
		}
	})
}

func TestMacTokens(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		tenant := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})["id"]
		ada := o.do("user.create", fields{"userPrincipalName": "ada@a.example"})["id"].(string)
		before := len(o.events(tenant))
		issue := func(in fields) ([]fields, error) {
			t.Helper()
			raw, err := o.try("mac.token.issue", in)
			var rows []fields
			if err == nil {
				err = json.Unmarshal(raw, &rows)
			}
			return rows, err
		}
		one, err := issue(fields{"user": "Ada@a.example", "note": "Ada's new one", "lifetimeInMinutes": 30})
		if err != nil || len(one) != 1 {
			t.Fatalf("%v, %v", one, err)
		}
		first := one[0]
		if value := first["registrationToken"].(string); len(value) != 47 || first["userId"] != ada || first["userPrincipalName"] != "ada@a.example" || first["state"] != "good" || first["uses"] != 1.0 {
			t.Errorf("%v", first)
		}
		if tok, err := o.macs.Tokens.Find(t.Context(), idp.TenantID(tenant.(string)), first["registrationToken"].(string), ""); err != nil || string(tok.For) != ada || tok.Expires.Sub(tok.Created).Minutes() != 30 {
			t.Errorf("%+v, %v", tok, err)
		}
		many, err := issue(fields{"macs": []fields{{"serialNumber": "c02a"}, {"serialNumber": "C02B", "user": "ada@a.example"}}})
		if err != nil || len(many) != 2 || many[0]["serialNumber"] != "C02A" || many[0]["userId"] != "" || many[1]["userId"] != ada || many[0]["registrationToken"] == many[1]["registrationToken"] {
			t.Fatalf("%v, %v", many, err)
		}
		after := o.events(tenant)
		if len(after) != before+3 || strings.Contains(strings.Join(after, " "), first["registrationToken"].(string)) {
			t.Errorf("%d events: %v", len(after)-before, after[before:])
		}
		// All or none.
		for reason, in := range map[string]fields{
			"token_unbound": {},
			"bad_serial":    {"macs": []fields{{"serialNumber": "C02C"}, {"serialNumber": "C 02"}}},
			"user_unknown":  {"macs": []fields{{"serialNumber": "C02C"}, {"serialNumber": "C02D", "user": "nobody@a.example"}}},
			"bad_lives":     {"user": "ada@a.example", "lifetimeInMinutes": 7*24*60 + 1},
			"bad_uses":      {"user": "ada@a.example", "uses": 101},
			"too_many":      {"macs": make([]fields, 5001)},
		} {
			if _, err := issue(in); idp.AsError(err).Reason != reason || idp.AsError(err).Public == "" {
				t.Errorf("%s: %v", reason, err)
			} else if strings.Contains(reason, "serial") && !strings.HasPrefix(idp.AsError(err).Public, "Mac 2 (C 02): ") {
				t.Errorf("%s: says %q", reason, idp.AsError(err).Public)
			}
		}
		all := o.list("mac.token.list", fields{}, "id")
		if len(all) != 3 || len(o.events(tenant)) != before+3 {
			t.Fatalf("%d tokens, %d events", len(all), len(o.events(tenant))-before)
		}
		if tokens := o.list("mac.token.list", fields{"limit": 2}, "id"); len(o.list("mac.token.list", fields{"after": tokens[1]}, "id")) != 1 {
			t.Error("the list does not go on")
		}
		for _, value := range o.list("mac.token.list", fields{}, "registrationToken") {
			if value != "<nil>" && value != "" {
				t.Errorf("a list shows the value %q", value)
			}
		}
		back := o.do("mac.token.revoke", fields{"id": first["id"]})
		if back["state"] != "revoked" || back["registrationToken"] != nil {
			t.Errorf("%v", back)
		}
		if good := o.list("mac.token.list", fields{"good": true}, "id"); len(good) != 2 || slices.Contains(good, first["id"].(string)) {
			t.Errorf("good: %v", good)
		}
		if events := o.events(tenant); !strings.HasPrefix(events[len(events)-1], "mac.token.revoke") {
			t.Errorf("%v", events)
		}
		if _, err := o.try("mac.token.revoke", fields{"id": "x"}); !errors.Is(err, idp.NotFound) {
			t.Errorf("none such: %v", err)
		}
		if _, err := o.try("mac.token.list", fields{"after": "x"}); !errors.Is(err, idp.Conflict) {
			t.Errorf("after none such: %v", err)
		}
	})
}
