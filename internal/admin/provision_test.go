package admin_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
)

// corridor is a stand-in for signin.Corridor's provisioning, whose rules are
// tested there; here it is what it is asked that counts.
type corridor struct {
	asked   signin.Provisioning
	name    string
	payload map[string]any
	refuse  error
}

func (c *corridor) BeginProvision(_ context.Context, p signin.Provisioning, lives time.Duration, named func([]byte) (string, error), _ signin.Peer) (signin.Begun, error) {
	c.asked = p
	show := []byte(`{"publicKey":{"challenge":"Y2hhbGxlbmdl","rp":{"id":"id.nordhafen.example"}},"holding":{}}`)
	name, err := named(show)
	c.name = name
	if err == nil {
		err = c.refuse
	}
	return signin.Begun{Show: show, Expires: now.Add(lives)}, err
}

func (c *corridor) FinishProvision(_ context.Context, p signin.Provisioning, name string, payload []byte, _ signin.Peer) (method.Credential, error) {
	c.asked, c.name = p, name
	if err := json.Unmarshal(payload, &c.payload); err != nil {
		return method.Credential{}, err
	}
	return method.Credential{ID: "k1", Name: "Blue", Model: "Model", Facts: idp.Facts{AAGUID: strangeModel, Attested: true}, Created: now}, c.refuse
}

func TestProvision(t *testing.T) {
	each(t, func(t *testing.T, o *office) {
		clock := func() time.Time { return now }
		room := &corridor{}
		tenant := o.do("tenant.create", fields{"name": "Nordhafen", "domain": "nordhafen.example"})
		ada := o.do("user.create", fields{"userPrincipalName": "ada@nordhafen.example"})
		made := fields{"id": "aWQ", "response": fields{
			"clientDataJSON": base64.RawURLEncoding.EncodeToString([]byte(`{"challenge":"Y2hhbGxlbmdl"}`)), "attestationObject": "b2JqZWN0",
		}}
		finish := fields{"user": "ada@nordhafen.example", "displayName": "Blue", "publicKeyCredential": made}
		o.refusedFor("key.beginProvision", fields{"user": "ada@nordhafen.example"}, idp.Unavailable, "not_wired")
		o.refusedFor("key.finishProvision", finish, idp.Unavailable, "not_wired")
		o.Service = admin.New(admin.Config{
			DB: o.db, Directory: directory.New(directory.Config{DB: o.db, Now: clock}), Audit: audit.New(clock), Now: clock,
			Provision: room, Origin: "https://id.nordhafen.example",
		})
		begun := o.do("key.beginProvision", fields{"user": ada["id"]})
		if begun["origin"] != "https://id.nordhafen.example" || begun["challengeTimeoutDateTime"] != "2026-11-23T09:10:00Z" || room.name != "Y2hhbGxlbmdl" ||
			begun["holding"] != nil || begun["publicKey"].(map[string]any)["challenge"] != "Y2hhbGxlbmdl" {
			t.Errorf("begun %v, %+v", begun, room)
		}
		want := signin.Provisioning{Tenant: idp.TenantID(tenant["id"].(string)), Target: idp.UserID(ada["id"].(string)), Actor: "cli:root", Method: "passkey"}
		if room.asked != want {
			t.Errorf("asked for %+v, want %+v", room.asked, want)
		}
		*room = corridor{}
		if got := o.do("key.finishProvision", finish); got["id"] != "k1" || got["attestationLevel"] != "attested" || got["userPrincipalName"] != "ada@nordhafen.example" {
			t.Errorf("finished %v", got)
		}
		if room.asked != want || room.name != "Y2hhbGxlbmdl" || fmt.Sprint(room.payload["name"], room.payload["id"], room.payload["type"]) != "BlueaWQpublic-key" ||
			!strings.Contains(fmt.Sprint(room.payload["response"]), "attestationObject:b2JqZWN0") {
			t.Errorf("handed in %+v", room)
		}

		o.refusedFor("key.beginProvision", fields{"user": "nobody@nordhafen.example"}, idp.NotFound, "user_unknown")
		o.refusedFor("key.beginProvision", fields{}, idp.Invalid, "no_user")
		for _, client := range []string{"", "***", base64.RawURLEncoding.EncodeToString([]byte("no JSON")), base64.RawURLEncoding.EncodeToString([]byte(`{"type":"webauthn.create"}`))} {
			bad := fields{"user": "ada@nordhafen.example", "publicKeyCredential": fields{"id": "aWQ", "response": fields{"clientDataJSON": client}}}
			o.refusedFor("key.finishProvision", bad, idp.Invalid, "client_data_malformed")
		}
		room.refuse = idp.Unprovenf("attestation_invalid", "a test").Say("That did not let you in.")
		o.refusedFor("key.finishProvision", finish, idp.Invalid, "attestation_invalid", "What the key made does not verify: attestation_invalid.")
		room.refuse = idp.Deniedf("user_disabled", "a test").Say("The person is switched off.")
		o.refusedFor("key.finishProvision", finish, idp.Denied, "user_disabled", "The person is switched off. The reason: user_disabled.")
		o.refusedFor("key.beginProvision", fields{"user": ada["id"]}, idp.Denied, "user_disabled")
		room.refuse = idp.Deniedf("model_not_allowed", "a test").Coded(policy.CodeKey).Say("Ask the help desk.")
		o.refusedFor("key.finishProvision", finish, idp.Denied, "model_not_allowed", "The policies do not allow this key for this person: model_not_allowed.")
		room.refuse = idp.Expiredf("provision_over", "a test").Say("The challenge is over.")
		o.refusedFor("key.finishProvision", finish, idp.Expired, "provision_over")
	})
}
