package drs_test

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/drs"
)

// FuzzJoinBody gives the reader of joins anything at all. What it takes has keys
// that a device may have.
func FuzzJoinBody(f *testing.F) {
	key, transport := ecKey(f), ecKey(f)
	good, err := json.Marshal(map[string]any{
		"CertificateRequest": map[string]any{"Type": "pkcs10", "Data": request(f, key, nil)},
		"DeviceKeys":         []any{map[string]any{"Usage": "STK", "Type": "ECC", "Encoding": "JWK", "Data": jwk(transport.Public())}},
		"JoinType":           "4", "Attributes": map[string]any{"SoftwareKeys": "True"}, "Attestation": map[string]any{"Type": "tpm20"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"certificaterequest":{"type":"pkcs10","data":""},"TransportKey":"UlNBMQAIAAADAAAAAAEAAAAAAAAAAAAAAQAB"}`))
	f.Add([]byte(`{"JoinType":6}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, transport, err := drs.ReadJoin(raw)
		if err != nil {
			return
		}
		if err := device.CheckKey(key); err != nil {
			t.Errorf("device key: %v", err)
		}
		if transport != nil && !device.Same(transport, transport) {
			t.Error("a transport key that is not itself")
		}
	})
}

// FuzzRequest gives the reader of PKCS#10 anything at all, in the place of a
// good one's bytes.
func FuzzRequest(f *testing.F) {
	for _, der := range []string{request(f, ecKey(f), nil), request(f, rsaKeys()[0], nil)} {
		raw, err := base64.StdEncoding.DecodeString(der)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		body, err := json.Marshal(map[string]any{"CertificateRequest": map[string]any{"Type": "pkcs10", "Data": base64.StdEncoding.EncodeToString(der)}})
		if err != nil {
			t.Fatal(err)
		}
		if key, _, err := drs.ReadJoin(body); err == nil {
			if err := device.CheckKey(key); err != nil {
				t.Errorf("device key: %v", err)
			}
		}
	})
}

// FuzzAttestation gives the verifier of attestations structures that nobody
// made. Nothing verifies but the seed, which a TPM made.
func FuzzAttestation(f *testing.F) {
	sample, key := tpmSample(f)
	f.Add(sample.AK, sample.Creation, sample.Attest, sample.Signature, sample.Area, sample.Certify, sample.CertifySignature)
	f.Add([]byte{0, 1}, []byte{}, []byte{0xff, 'T', 'C', 'G'}, []byte{0, 0x14}, []byte{0, 0x23}, []byte{0xff}, []byte{0, 0x18})
	f.Fuzz(func(t *testing.T, ak, creation, attest, signature, area, certify, certifySignature []byte) {
		raw, err := json.Marshal(map[string]any{
			"Type": "tpm20", "Nonce": sample.Nonce, "AkPublic": b64(ak), "AkCreationData": b64(creation), "AkAttest": b64(attest), "AkSignature": b64(signature),
			"DeviceKey": map[string]any{"Public": b64(area), "Attest": b64(certify), "Signature": b64(certifySignature)},
		})
		if err != nil {
			t.Fatal(err)
		}
		err = drs.VerifyAttestation(raw, key, nil)
		same := string(ak) == string(sample.AK) && string(certify) == string(sample.Certify) && string(area) == string(sample.Area)
		if err == nil && !same {
			t.Error("an attestation that no TPM made verifies")
		}
		if err != nil && same && string(creation) == string(sample.Creation) && string(attest) == string(sample.Attest) &&
			string(signature) == string(sample.Signature) && string(certifySignature) == string(sample.CertifySignature) {
			t.Errorf("the TPM's own does not: %v", err)
		}
	})
}
