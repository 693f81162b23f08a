package oidc_test

import (
	"net/url"
	"testing"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
)

// The strength that an administrator set for an application is the least that
// will do, whatever the address says (T11).
func TestSec_T11_ACRTampering(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.ACR = "phrh" })
	for name, v := range map[string]url.Values{
		"nothing":   a.ask(),
		"weaker":    a.ask("acr_values", "phr"),
		"claims":    a.ask("claims", `{"id_token":{"acr":{"value":"phr"}}}`),
		"essential": a.ask("claims", `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`),
		"by id":     a.ask("acr_values", policy.IDMFA),
		"unknown":   a.ask("acr_values", "gold"),
	} {
		b := d.browser()
		if got := b.prove(b.authorize(v).shown(t).Handle, d.ada); got.Header.Get("X-Page") == "" {
			t.Errorf("%s: a key that is not hardware-bound opens an application that demands one: %.90s", name, got.Header.Get("Location"))
		}
		// It opens with what is demanded, and the token says what was asked for.
		b = d.browser()
		heard := b.prove(b.authorize(v).shown(t).Handle, d.ada, idp.HardwareBound).back(t, callback)
		_, out := a.token(d, a.redeem(heard.Get("code")))
		want := "phrh"
		if name == "weaker" || name == "claims" || name == "essential" {
			want = "phr" // which is true as well (OpenID Connect Core 1.0, Section 5.5.1.1)
		}
		if acr := payload(t, str(out, "id_token"))["acr"]; acr != want {
			t.Errorf("%s: acr %v, want %s", name, acr, want)
		}
	}
}

// More than the least may be asked for.
func TestSec_T11_MoreThanTheFloor(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.ACR = "phr" })
	b := d.browser()
	if got := b.prove(b.authorize(a.ask("acr_values", "phrh")).shown(t).Handle, d.ada); got.Header.Get("X-Page") == "" {
		t.Errorf("asked for phrh, phr opens it: %.90s", got.Header.Get("Location"))
	}
	b = d.browser()
	if heard := b.prove(b.authorize(a.ask()).shown(t).Handle, d.ada).back(t, callback); !heard.Has("code") {
		t.Errorf("phr does not open what asks for phr: %v", heard)
	}
}

// A strength that no longer exists opens nothing.
func TestSec_T11_FloorThatIsGone(t *testing.T) {
	d := newDoor(t)
	a := d.newApp(func(c *client.Client) { c.ACR = "gold" })
	other := d.newApp(func(c *client.Client) { c.Name = "Other" })
	b := d.browser()
	b.signIn(other.ask(), d.ada)
	for _, asked := range []string{"", "phr"} {
		if heard := b.authorize(a.ask("prompt", "none", "acr_values", asked)).back(t, callback); heard.Has("code") {
			t.Errorf("acr_values=%q opens it", asked)
		}
	}
}
