package securitykey_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/signetid/signet/internal/securitykey"
	"github.com/signetid/signet/internal/securitykey/securitykeytest"
)

func TestMain(m *testing.M) {
	securitykeytest.Main()
	os.Exit(m.Run())
}

const origin = "https://id.nordhafen.example"

var b64 = base64.RawURLEncoding.EncodeToString

// creation are options as the server sends them.
func creation() securitykey.Creation {
	var o securitykey.Creation
	o.RP.ID, o.User.Name, o.User.ID, o.Challenge = "id.nordhafen.example", "ada@nordhafen.example", b64(make([]byte, 64)), b64([]byte("a challenge of 32 bytes, or more."))
	o.Params = append(o.Params, struct {
		Alg int `json:"alg"`
	}{-7})
	return o
}

func exclude(o *securitykey.Creation, ids ...[]byte) {
	for _, id := range ids {
		o.Exclude = append(o.Exclude, struct {
			ID string `json:"id"`
		}{b64(id)})
	}
}

// TestMake: what the tool printed becomes a registration that an independent
// library reads and verifies.
func TestMake(t *testing.T) {
	for _, certified := range []bool{false, true} {
		state, _ := securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "1234", Model: [16]byte{1}, Certified: certified})
		d, err := securitykey.Find(t.Context(), "")
		if err != nil || d.Path != "/dev/hidraw7" || d.Name != "Stand-in Software Key" {
			t.Fatalf("found %+v, %v", d, err)
		}
		o := creation()
		exclude(&o, []byte("another passkey"))
		var said []string
		made, err := securitykey.Make(t.Context(), securitykey.Terminal{PIN: "1234", Say: func(s string) { said = append(said, s) }}, d, origin, o)
		if err != nil {
			t.Fatal(err)
		}
		if len(said) != 1 || !strings.Contains(said[0], "Touch") {
			t.Errorf("said %q", said)
		}
		if asked := state().Asked; asked[1] != o.RP.ID || asked[2] != o.User.Name || asked[3] != base64.StdEncoding.EncodeToString(make([]byte, 64)) {
			t.Errorf("the tool was asked %q", asked)
		}
		parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(`{"type":"public-key","id":"` + made.ID + `","rawId":"` + made.ID +
			`","response":{"clientDataJSON":"` + made.Response.ClientDataJSON + `","attestationObject":"` + made.Response.AttestationObject + `"}}`))
		if err != nil {
			t.Fatal(err)
		}
		c := parsed.Response.CollectedClientData
		if c.Type != "webauthn.create" || c.Challenge != o.Challenge || c.Origin != origin {
			t.Errorf("client data %+v", c)
		}
		params := []protocol.CredentialParameter{{Type: "public-key", Algorithm: -7}}
		if _, err := parsed.Verify(o.Challenge, o.RP.ID, []string{origin}, nil, nil, protocol.TopOriginDefaultVerificationMode, false, true, true, nil, params,
			protocol.AttestationPolicy{}, protocol.SignaturePolicy{}); err != nil {
			t.Errorf("certified %v: %v", certified, err)
		}
		if _, has := parsed.Response.AttestationObject.AttStatement["x5c"]; has != certified {
			t.Errorf("certified %v: statement %v", certified, parsed.Response.AttestationObject.AttStatement)
		}
	}
}

func TestRefused(t *testing.T) {
	plugged := securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "1234"}
	two := append(slices.Clone(plugged.Devices), "/dev/hidraw9: vendor=0x20a0, product=0x42b1 (Nitrokey FIDO2)")
	held := []byte("a passkey of theirs")
	for _, tt := range []struct {
		name, want string
		change     func(k *securitykeytest.Key, o *securitykey.Creation, pin, path *string)
	}{
		{"no key", "no security key is plugged in", func(k *securitykeytest.Key, _ *securitykey.Creation, _, _ *string) { k.Devices = nil }},
		{"two keys", "2 security keys are plugged in: say which", func(k *securitykeytest.Key, _ *securitykey.Creation, _, _ *string) { k.Devices = two }},
		{"another key", "no security key is at /dev/hidraw1; there are /dev/hidraw7 (Stand-in Software Key)", func(_ *securitykeytest.Key, _ *securitykey.Creation, _, path *string) {
			*path = "/dev/hidraw1"
		}},
		{"wrong PIN", "fido2-cred says fido_dev_make_cred: FIDO_ERR_PIN_INVALID: that PIN is wrong", func(_ *securitykeytest.Key, _ *securitykey.Creation, pin, _ *string) { *pin = "4321" }},
		{"full", "FIDO_ERR_KEY_STORE_FULL: the key is full", func(k *securitykeytest.Key, _ *securitykey.Creation, _, _ *string) {
			k.Error = "FIDO_ERR_KEY_STORE_FULL"
		}},
		{"something rare", "fido2-cred failed: fido_dev_make_cred: FIDO_ERR_TX", func(k *securitykeytest.Key, _ *securitykey.Creation, _, _ *string) { k.Error = "FIDO_ERR_TX" }},
		{"holds a passkey of theirs", "holds a passkey of ada@nordhafen.example already", func(k *securitykeytest.Key, o *securitykey.Creation, _, _ *string) {
			k.Held = []string{base64.StdEncoding.EncodeToString(held)}
			exclude(o, []byte("another"), held)
		}},
		{"no ES256", "takes no ES256", func(_ *securitykeytest.Key, o *securitykey.Creation, _, _ *string) { o.Params[0].Alg = -8 }},
		{"a name of two lines", "which no key takes", func(_ *securitykeytest.Key, o *securitykey.Creation, _, _ *string) { o.User.Name = "ada\nbob" }},
		{"no user id", "a user id that is none", func(_ *securitykeytest.Key, o *securitykey.Creation, _, _ *string) { o.User.ID = "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, o, pin, path := plugged, creation(), "1234", ""
			tt.change(&k, &o, &pin, &path)
			securitykeytest.Plug(t, k)
			d, err := securitykey.Find(t.Context(), path)
			if err == nil {
				_, err = securitykey.Make(t.Context(), securitykey.Terminal{PIN: pin}, d, origin, o)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Among several keys the named one is taken.
func TestFindNamed(t *testing.T) {
	securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device, "pcsc://slot0: vendor=0x0000, product=0x0000 (PC/SC Reader (0))", "a warning"}})
	if d, err := securitykey.Find(t.Context(), "pcsc://slot0"); err != nil || d.Name != "PC/SC Reader (0)" {
		t.Errorf("found %+v, %v", d, err)
	}
}

func TestNoTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := securitykey.Find(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "sudo apt-get install fido2-tools") {
		t.Errorf("got %v", err)
	}
}

// A tool that never ends is ended with the command.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	for _, tool := range []string{"fido2-token", "fido2-cred", "fido2-assert"} {
		if err := os.WriteFile(filepath.Join(dir, tool), []byte("#!/bin/sh\n# A stand-in that waits.\nexec sleep 60\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := securitykey.Find(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// question is one as an agent asks it.
func question() securitykey.Question {
	return securitykey.Question{RPID: "id.nordhafen.example", Origin: origin, Challenge: []byte("a nonce of the server's")}
}

// TestGet: a passkey is found on the key and signs, and an independent library
// reads and verifies what came of it.
func TestGet(t *testing.T) {
	state, _ := securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "1234"})
	d, err := securitykey.Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	at := securitykey.Terminal{PIN: "1234"}
	if _, err := securitykey.List(t.Context(), at, d, "id.nordhafen.example"); !errors.Is(err, securitykey.ErrNoPasskey) {
		t.Errorf("an empty key: %v", err)
	}
	registered, err := securitykey.Make(t.Context(), at, d, origin, creation())
	if err != nil {
		t.Fatal(err)
	}
	all, err := securitykey.List(t.Context(), at, d, "id.nordhafen.example")
	if err != nil || len(all) != 1 || b64(all[0].ID) != registered.ID || len(all[0].User) != 64 || all[0].Name != "ada@nordhafen.example" {
		t.Fatalf("listed %+v, %v", all, err)
	}
	q := question()
	got, err := securitykey.Get(t.Context(), at, d, q, all[0])
	if err != nil {
		t.Fatal(err)
	}
	if asked := state().Asked; len(asked) != 3 || asked[1] != q.RPID || asked[2] != base64.StdEncoding.EncodeToString(all[0].ID) {
		t.Errorf("the tool was asked %q", asked)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(text)
	if err != nil {
		t.Fatal(err)
	}
	object, err := base64.RawURLEncoding.DecodeString(registered.Response.AttestationObject)
	if err != nil {
		t.Fatal(err)
	}
	var attested protocol.AttestationObject
	if err := cbor.Unmarshal(object, &attested); err != nil || attested.AuthData.Unmarshal(attested.RawAuthData) != nil {
		t.Fatal(err)
	}
	if c := parsed.Response.CollectedClientData; c.Type != "webauthn.get" || c.Challenge != b64(q.Challenge) || c.Origin != origin {
		t.Errorf("client data %+v", c)
	}
	if string(parsed.Response.UserHandle) != string(all[0].User) || !parsed.Response.AuthenticatorData.Flags.UserVerified() {
		t.Errorf("response %+v", parsed.Response)
	}
	client := sha256.Sum256(parsed.Raw.AssertionResponse.ClientDataJSON)
	key, err := webauthncose.ParsePublicKey(attested.AuthData.AttData.CredentialPublicKey)
	if err != nil {
		t.Fatal(err)
	}
	ok, err := webauthncose.VerifySignature(key, slices.Concat(parsed.Raw.AssertionResponse.AuthenticatorData, client[:]), parsed.Response.Signature)
	if err != nil || !ok {
		t.Errorf("the signature: %t, %v", ok, err)
	}
}

func TestGetRefused(t *testing.T) {
	state, set := securitykeytest.Plug(t, securitykeytest.Key{Devices: []string{securitykeytest.Device}, PIN: "1234"})
	d, err := securitykey.Find(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	at := securitykey.Terminal{PIN: "1234"}
	if _, err := securitykey.Make(t.Context(), at, d, origin, creation()); err != nil {
		t.Fatal(err)
	}
	all, err := securitykey.List(t.Context(), at, d, "id.nordhafen.example")
	if err != nil {
		t.Fatal(err)
	}
	good := state()
	for _, tt := range []struct {
		name, want string
		change     func(k *securitykeytest.Key, q *securitykey.Question, p *securitykey.Passkey, at *securitykey.Terminal)
	}{
		{"a wrong PIN", "that PIN is wrong", func(_ *securitykeytest.Key, _ *securitykey.Question, _ *securitykey.Passkey, at *securitykey.Terminal) {
			at.PIN = "4321"
		}},
		{"a passkey that is not there", "has no passkey for this site", func(_ *securitykeytest.Key, _ *securitykey.Question, p *securitykey.Passkey, _ *securitykey.Terminal) {
			p.ID = []byte("x")
		}},
		{"another site", "has no passkey for this site", func(_ *securitykeytest.Key, q *securitykey.Question, _ *securitykey.Passkey, _ *securitykey.Terminal) {
			q.RPID = "elsewhere.example"
		}},
		{"a site of two lines", "no name of a site", func(_ *securitykeytest.Key, q *securitykey.Question, _ *securitykey.Passkey, _ *securitykey.Terminal) {
			q.RPID = "a\nb"
		}},
		{"nobody touches it", "nobody touched the key in time", func(k *securitykeytest.Key, _ *securitykey.Question, _ *securitykey.Passkey, _ *securitykey.Terminal) {
			k.Error = "FIDO_ERR_ACTION_TIMEOUT"
		}},
		{"pulled out", "cannot be opened", func(k *securitykeytest.Key, _ *securitykey.Question, _ *securitykey.Passkey, _ *securitykey.Terminal) {
			k.Devices = nil
		}},
	} {
		k, q, p, at := good, question(), all[0], at
		tt.change(&k, &q, &p, &at)
		set(k)
		if _, err := securitykey.Get(t.Context(), at, d, q, p); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	set(good)
	if _, err := securitykey.List(t.Context(), securitykey.Terminal{PIN: "4321"}, d, "id.nordhafen.example"); err == nil || !strings.Contains(err.Error(), "that PIN is wrong") {
		t.Errorf("listed with a wrong PIN: %v", err)
	}
	if _, err := securitykey.List(t.Context(), at, d, "-r"); err == nil || !strings.Contains(err.Error(), "no name of a site") {
		t.Errorf("listed an option: %v", err)
	}
}
