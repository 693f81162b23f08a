package passkey

import (
	"strings"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// TestPayload: the JSON around an answer has one reading.
func TestPayload(t *testing.T) {
	const good = `{"id":"AQID","rawId":"AQID","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":"aA","attestationObject":"oA","transports":["usb","nfc"]},"clientExtensionResults":{}}`
	for _, row := range []struct {
		name     string
		old, new string
		sign     bool // a sign-in still takes it
		register bool // a registration still takes it
	}{
		{"as it should be", "", "", true, true},
		{"no rawId", `"rawId":"AQID",`, ``, true, true},
		{"another rawId", `"rawId":"AQID"`, `"rawId":"AQIE"`, false, false},
		{"no id", `"id":"AQID",`, ``, false, false},
		{"padded id", `"id":"AQID"`, `"id":"AQI="`, false, false},
		{"line break in the id", `"id":"AQID"`, `"id":"AQ\nID"`, false, false},
		{"stray bits in base64", `"e30"`, `"e31"`, false, false},
		{"an id of 1024 bytes", `"id":"AQID","rawId":"AQID"`, `"id":"` + strings.Repeat("AAAA", 341) + `AA"`, false, false},
		{"an id of 1023 bytes", `"id":"AQID","rawId":"AQID"`, `"id":"` + strings.Repeat("AAAA", 341) + `"`, true, true},
		{"no client data", `"clientDataJSON":"e30",`, ``, false, false},
		{"no authenticator data", `"authenticatorData":"AA",`, ``, false, true},
		{"no signature", `"signature":"AA",`, ``, false, true},
		{"a user handle that is none", `"userHandle":"aA"`, `"userHandle":"!"`, false, true},
		{"no user handle", `"userHandle":"aA"`, `"userHandle":null`, true, true},
		{"no attestation object", `"attestationObject":"oA",`, ``, true, false},
		{"no response", `"response":`, `"reply":`, false, false},
		{"two objects", `"clientExtensionResults":{}}`, `"clientExtensionResults":{}}{}`, false, false},
	} {
		raw := []byte(strings.Replace(good, row.old, row.new, 1))
		if _, err := parseAssertion(raw); (err == nil) != row.sign {
			t.Errorf("%s: as a sign-in: %v", row.name, err)
		}
		if _, err := parseAttestation(raw); (err == nil) != row.register {
			t.Errorf("%s: as a registration: %v", row.name, err)
		}
	}
}

// TestSec_TOK08_PayloadHasOneReading: members twice, or in another case, in the
// payload of a real sign-in and a real registration.
func TestSec_TOK08_PayloadHasOneReading(t *testing.T) {
	bends := map[string][2]string{
		"id twice":                   {`{`, `{"id":"AAAA",`},
		"response in capitals":       {`"response"`, `"RESPONSE"`},
		"response twice":             {`"response"`, `"Response":null,"response"`},
		"client data twice":          {`"clientDataJSON"`, `"clientDataJSON":"e30","clientDataJSON"`},
		"client data in lower case":  {`"clientDataJSON"`, `"clientdatajson"`},
		"type by an escape, twice":   {`"type"`, `"typ\u0065":"public-key","type"`},
		"a member nobody reads":      {`"response"`, `"x":{"y":1,"y":2},"response"`},
		"an output twice":            {`"clientExtensionResults":{`, `"clientExtensionResults":{"x":1,"x":2`},
		"an object behind":           {`"response"`, `"response"`},
		"signature or object twice":  {`"signature"`, `"signature":"AAAA","signature"`},
		"attestation object in caps": {`"attestationObject"`, `"AttestationObject"`},
	}
	bend := func(name string, payload []byte) ([]byte, bool) {
		b := bends[name]
		bent := strings.Replace(string(payload), b[0], b[1], 1)
		if name == "an object behind" {
			bent += "{}"
		}
		return []byte(bent), bent != string(payload)
	}
	w, d := sqliteWorld(t), device()
	w.register(t, ada, d)
	for name := range bends {
		in := w.begin(t, method.Request{})
		payload, err := d.Get(in.Show)
		if err != nil {
			t.Fatal(err)
		}
		bent, signs := bend(name, payload)
		if signs {
			_, err := w.verify(in, bent)
			wantReason(t, err, idp.Unproven, "payload_malformed")
		}
		to := w.beginRegister(t, bo)
		if payload, err = device().Create(to.Show); err != nil {
			t.Fatal(err)
		}
		bent, registers := bend(name, payload)
		if registers {
			_, err := w.finish(to, bent)
			wantReason(t, err, idp.Unproven, "payload_malformed")
		}
		if !signs && !registers {
			t.Errorf("%s: nothing was bent", name)
		}
	}
}

// TestSec_TOK08_ClientDataHasOneReading is the same inside of what is signed.
func TestSec_TOK08_ClientDataHasOneReading(t *testing.T) {
	for name, raw := range map[string]string{
		"twice": `{"type":"webauthn.get","type":"webauthn.get"}`, "another case": `{"TYPE":"webauthn.get"}`,
		"both": `{"origin":"https://a.example","Origin":"https://b.example"}`, "inside": `{"tokenBinding":{"id":1,"id":2}}`,
		"by an escape": `{"type":"a","t\u0079pe":"b"}`, "behind": `{"type":"a"} {}`, "a list": `["type"]`, "null": `null`, "nothing": ``,
	} {
		if c, fault := parseClientData([]byte(raw)); fault == nil || fault.Reason != "client_data_malformed" {
			t.Errorf("%s: read as %+v, %v", name, c, fault)
		}
	}
	c, fault := parseClientData([]byte(`{"type":"webauthn.get","other_keys_can_be_added_here":"see https://goo.gl/yabPex","origin":"https://a.example"}`))
	if fault != nil || c.Type != "webauthn.get" || c.Origin != "https://a.example" {
		t.Errorf("members of browsers: %+v, %v", c, fault)
	}
}

// TestSec_TOK08_PropertiesHaveOneReading: what the key says of itself.
func TestSec_TOK08_PropertiesHaveOneReading(t *testing.T) {
	for _, raw := range []string{`{"rk":true,"rk":false}`, `{"RK":false}`, `{"rk":true,"Rk":false}`} {
		if rk, fault := judgeProps([]byte(raw)); fault == nil || fault.Reason != "extension_malformed" {
			t.Errorf("%s: %q, %v", raw, rk, fault)
		}
	}
}

func TestTransports(t *testing.T) {
	in := []string{"usb", "", "smart-card", "<script>", "USB", strings.Repeat("a", 33), "a", "b", "c", "d", "e", "f", "g"}
	if got := strings.Join(cleanTransports(in), " "); got != "usb smart-card a b c d e f" {
		t.Errorf("got %q", got)
	}
}
