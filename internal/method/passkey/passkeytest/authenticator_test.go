package passkeytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

const (
	creation = `{"publicKey":{"challenge":"AAAAAAAAAAAAAAAAAAAAAA","rp":{"id":"localhost"},"user":{"id":"dXNlcg","name":"ada"},"pubKeyCredParams":[{"type":"public-key","alg":-7}],"attestation":"direct"}}`
	request  = `{"challenge":"AAAAAAAAAAAAAAAAAAAAAA","rpId":"localhost"}`
)

func TestErrors(t *testing.T) {
	a := New("localhost", "http://localhost:8080")
	want := func(err error, name string) {
		t.Helper()
		if err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	_, err := a.Get([]byte(request))
	want(err, "NotAllowedError")
	if _, err := a.Create([]byte(creation)); err != nil {
		t.Fatal(err)
	}
	again := strings.Replace(creation, `"attestation"`, `"excludeCredentials":[{"id":"`+a.Held()[0].ID+`"}],"attestation"`, 1)
	_, err = a.Create([]byte(again))
	want(err, "InvalidStateError")
	_, err = a.Create([]byte(strings.ReplaceAll(creation, "localhost", "elsewhere.example")))
	want(err, "SecurityError")
	_, err = a.Get([]byte(strings.ReplaceAll(request, "localhost", "elsewhere.example")))
	want(err, "SecurityError")
	_, err = a.Create([]byte(strings.ReplaceAll(creation, "-7", "-65535")))
	want(err, "NotSupportedError")
	_, err = a.Get([]byte(`{"challenge":"AA","rpId":"localhost","allowCredentials":[{"id":"AAAA"}]}`))
	want(err, "NotAllowedError")
}

func TestShape(t *testing.T) {
	a := New("localhost", "http://localhost:8080")
	a.Count, a.Step, a.Name = 4, 2, "Blue"
	made, err := a.Create([]byte(creation))
	if err != nil {
		t.Fatal(err)
	}
	used, err := a.Get([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		ID, RawID, Type, Name string
		Response              struct{ ClientDataJSON, AuthenticatorData, Signature, UserHandle, AttestationObject string }
	}
	if err := json.Unmarshal(made, &p); err != nil {
		t.Fatal(err)
	}
	if p.ID != p.RawID || p.Type != "public-key" || p.Name != "Blue" || p.Response.AttestationObject == "" || p.Response.Signature != "" {
		t.Errorf("made %s", made)
	}
	p.Name = ""
	if err := json.Unmarshal(used, &p); err != nil {
		t.Fatal(err)
	}
	data, err := base64.RawURLEncoding.DecodeString(p.Response.AuthenticatorData)
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("localhost"))
	if !bytes.Equal(data, append(hash[:], FlagUP|FlagUV, 0, 0, 0, 6)) || p.Response.UserHandle != "dXNlcg" || p.Name != "" {
		t.Errorf("used %s", used)
	}
	if c := a.Clone(); len(c.Held()) != 1 || c.Held()[0].ID != a.Held()[0].ID {
		t.Error("a clone without the keys")
	}
}

// TestAttestationByOptions: as browsers do, a statement goes out only when it
// was asked for and there is a maker.
func TestAttestationByOptions(t *testing.T) {
	ca, err := NewCA(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		ca     *CA
		asks   string
		packed bool
	}{{nil, "direct", false}, {ca, "none", false}, {ca, "direct", true}} {
		a := New("localhost", "http://localhost:8080")
		a.CA = row.ca
		made, err := a.Create([]byte(strings.Replace(creation, `"direct"`, `"`+row.asks+`"`, 1)))
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Response struct{ AttestationObject string }
		}
		if err := json.Unmarshal(made, &p); err != nil {
			t.Fatal(err)
		}
		object, err := base64.RawURLEncoding.DecodeString(p.Response.AttestationObject)
		if err != nil || bytes.Contains(object, []byte("packed")) != row.packed {
			t.Errorf("%+v: %x", row, object)
		}
	}
}

// TestCBOR has examples of RFC 8949, Appendix A.
func TestCBOR(t *testing.T) {
	for want, v := range map[string]any{
		"00": 0, "17": 23, "1818": 24, "190100": 256, "1a00010000": 65536, "20": -1, "3863": -100, "390100": -257,
		"6449455446": "IETF", "4401020304": []byte{1, 2, 3, 4}, "f5": true, "f4": false, "a0": []pair(nil),
		"a201020304": []pair{{1, 2}, {3, 4}}, "814101": [][]byte{{1}},
	} {
		if got := hex.EncodeToString(cbor(v)); got != want {
			t.Errorf("%v: got %s, want %s", v, got, want)
		}
	}
}
