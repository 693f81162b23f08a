package passkey

import (
	"strings"
	"testing"
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

func TestTransports(t *testing.T) {
	in := []string{"usb", "", "smart-card", "<script>", "USB", strings.Repeat("a", 33), "a", "b", "c", "d", "e", "f", "g"}
	if got := strings.Join(cleanTransports(in), " "); got != "usb smart-card a b c d e f" {
		t.Errorf("got %q", got)
	}
}
