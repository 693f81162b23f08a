package passkey

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/signetid/signet/internal/corpustest"
	"github.com/signetid/signet/internal/idp"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

type vectorFile struct {
	RPID, Origin    string
	AttestationRoot struct {
		Cert hexBytes `json:"attestation_ca_cert"`
	}
	Vectors []struct {
		ID           string
		Registration struct {
			Challenge         hexBytes
			CredentialID      hexBytes `json:"credential_id"`
			ClientDataJSON    hexBytes
			AttestationObject hexBytes
		}
		Authentication struct {
			Challenge         hexBytes
			AuthenticatorData hexBytes
			ClientDataJSON    hexBytes
			Signature         hexBytes
		}
	}
}

func siteOf(rpID, origin string) site {
	return site{rpID: rpID, idHash: sha256.Sum256([]byte(rpID)), origins: []string{origin}}
}

// expect says what the data itself demands: the first thing in it that we do
// not accept, or "".
func expect(t *testing.T, clientData []byte, flags byte, alg int, format string) string {
	t.Helper()
	var c struct {
		CrossOrigin bool
		TopOrigin   *string
	}
	if err := json.Unmarshal(clientData, &c); err != nil {
		t.Fatal(err)
	}
	switch {
	case c.CrossOrigin:
		return "cross_origin"
	case c.TopOrigin != nil:
		return "top_origin"
	case flags&byte(protocol.FlagUserVerified) == 0:
		return "user_not_verified"
	case alg != 0 && !slices.Contains(offered, alg):
		return "algorithm_not_offered"
	}
	// Chains that end in a made-up Apple, Google or TPM maker.
	if slices.Contains([]string{"apple", "android-key", "tpm"}, format) {
		return "attestation_invalid"
	}
	return ""
}

func reasonOf(e *idp.Error) string {
	if e == nil {
		return ""
	}
	return e.Reason
}

// TestW3CVectors runs the vectors of WebAuthn Level 3, §16, through both
// judges: those whose flags, origin, algorithm and format we take are accepted,
// each of the others is refused for what its own data says (A2).
func TestW3CVectors(t *testing.T) {
	dir := corpustest.Folder(t, "webauthn-l3")
	if dir == "" {
		return
	}
	raw, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(f.AttestationRoot.Cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	s, open := siteOf(f.RPID, f.Origin), rules{limit: 20}
	var accepted, signed int
	for _, v := range f.Vectors {
		t.Run(v.ID, func(t *testing.T) {
			reg, in := v.Registration, v.Authentication
			object, data, fault := parseObject(reg.AttestationObject)
			if fault != nil {
				t.Fatal(fault)
			}
			alg, err := keyAlg(data.keyWire)
			if err != nil {
				t.Fatal(err)
			}
			// The registration.
			k := keep{Purpose: purposeRegister, Challenge: reg.Challenge, User: ada.ID, Handle: []byte("handle")}
			ans := answer{id: reg.CredentialID, clientData: reg.ClientDataJSON, attestationObject: reg.AttestationObject}
			_, fault = judgeNew(s, k, ans, modelsOf(roots), time.Now())
			want := expect(t, reg.ClientDataJSON, byte(data.flags), alg, object.Format)
			if got := reasonOf(fault); got != want {
				t.Errorf("registration: got %q (%v), want %q", got, fault, want)
			}
			// The sign-in, with the key as registered.
			row := row{id: ans.credentialID(), user: ada.ID, handle: []byte("handle"), key: data.keyWire, alg: alg, be: data.backupEligible()}
			ans = answer{id: reg.CredentialID, clientData: in.ClientDataJSON, authData: in.AuthenticatorData, signature: in.Signature, userHandle: row.handle}
			k = keep{Purpose: purposeSignIn, Challenge: in.Challenge}
			_, fault = judge(s, k, row, open, ans)
			want = expect(t, in.ClientDataJSON, in.AuthenticatorData[offsetFlags], 0, "")
			if want == "" && !slices.Contains(offered, alg) {
				want = "key_unusable"
			}
			if got := reasonOf(fault); got != want {
				t.Errorf("sign-in: got %q (%v), want %q", got, fault, want)
			}
			if fault == nil {
				accepted++
			}
			// The signature stands alone, also where a flag is against it.
			if slices.Contains(offered, alg) {
				if fault := judgeSignature(row.key, alg, ans); fault != nil {
					t.Errorf("signature: %v", fault)
				}
				signed++
				ans.signature = flip(ans.signature)
				if judgeSignature(row.key, alg, ans) == nil {
					t.Error("a flipped bit verifies")
				}
			}
			// So does the attestation statement.
			st, fault := judgeStatement(object, reg.ClientDataJSON, modelsOf(roots), time.Now())
			made := slices.Contains([]string{"apple", "android-key", "tpm"}, object.Format)
			if (fault != nil) != made {
				t.Errorf("statement %s: %v", object.Format, fault)
			}
			chain := object.AttStatement["x5c"] != nil
			if fault == nil && st.anchored != chain {
				t.Errorf("statement %s: anchored %t, has a chain %t", object.Format, st.anchored, chain)
			}
			// Without the root, the same chain proves nothing.
			if st, _ := judgeStatement(object, reg.ClientDataJSON, bare(), time.Now()); st.anchored {
				t.Error("anchored by nothing")
			}
		})
	}
	if accepted == 0 || signed < 10 {
		t.Errorf("%d accepted, %d signatures: the corpus was not run", accepted, signed)
	}
}

// deviceCases are recordings of authenticators, and what their own data demands
// of us: flags 0x41 are touched but not verified, 0x45 verified as well.
var deviceCases = []struct {
	name, options, response string
	repair                  func(map[string]any, *protocol.AttestationObject)
	reason                  string // of the registration
	statement               string // of its attestation statement alone: "", or why not
	anchored                bool   // by a root that is built in
}{
	{name: "none", options: "attestationOptionsNone", response: "attestationResultsNone", reason: "user_not_verified"},
	{name: "none 2", options: "attestationNoneOptions", response: "attestationNoneResponse", reason: "user_not_verified"},
	{name: "U2F", options: "attestationOptionsU2F", response: "attestationResultsU2F", reason: "user_not_verified"},
	{name: "U2F 2", options: "options1", response: "json1", reason: "user_not_verified"},
	{name: "TPM SHA-256", options: "attestationTPMSHA256Options", response: "attestationTPMSHA256Response", reason: "user_not_verified"},
	{name: "TPM SHA-1", options: "attestationTPMSHA1Options", response: "attestationTPMSHA1Response", reason: "user_not_verified"},
	// Its issuer is "FAKE Android Keystore Software Attestation".
	{name: "Android key, fake root", options: "attestationAndroidKeyOptions", response: "attestationAndroidKeyResponse",
		reason: "user_not_verified", statement: "attestation_invalid"},
	{name: "packed ES512", options: "attestationOptionsPacked512", response: "attestationResultsPacked512", reason: "user_not_verified"},
	{name: "packed", options: "attestationOptionsPacked", response: "attestationResultsPacked"},
	{name: "packed, ATKey", options: "attestationOptionsATKey", response: "attestationResultsATKey"},
	{name: "packed, TrustKey T110", options: "attestationOptionsTrustKeyT110", response: "attestationResultTrustKeyT110"},
	// The recording has the id of another one outside.
	{name: "Apple, as recorded", options: "attestationAppleOptions", response: "attestationAppleResponse",
		reason: "credential_id_mismatch", anchored: true},
	{name: "Apple, with its own id", options: "attestationAppleOptions", response: "attestationAppleResponse", anchored: true,
		repair: func(p map[string]any, o *protocol.AttestationObject) {
			id := string(encodeID(o.AuthData.AttData.CredentialID))
			p["id"], p["rawId"] = id, id
		}},
	// The recording lacks the type, and goes with other options.
	{name: "packed 2, as recorded", options: "options2", response: "json2", reason: "payload_malformed"},
	{name: "packed 2, with a type", options: "options2", response: "json2", reason: "wrong_challenge",
		repair: func(p map[string]any, _ *protocol.AttestationObject) { p["type"] = "public-key" }},
}

// TestRealDevices runs recordings of authenticators in use. Their certificates
// have expired since, so each runs at the time of its own certificate.
func TestRealDevices(t *testing.T) {
	dir := corpustest.Folder(t, "fido2-real-devices")
	if dir == "" {
		return
	}
	for _, c := range deviceCases {
		t.Run(c.name, func(t *testing.T) {
			var o struct {
				RP        struct{ ID string }
				Challenge string
			}
			var p map[string]any
			corpustest.Read(t, filepath.Join(dir, c.options+".json"), &o)
			corpustest.Read(t, filepath.Join(dir, c.response+".json"), &p)
			challenge := lenient(t, o.Challenge)
			object, _, fault := parseObject(lenient(t, response(p)["attestationObject"].(string)))
			if fault != nil {
				t.Fatal(fault)
			}
			if c.repair != nil {
				c.repair(p, object)
			}
			payload, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			var client struct{ Origin string }
			clientData := lenient(t, response(p)["clientDataJSON"].(string))
			if err := json.Unmarshal(clientData, &client); err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				atTimeOf(t, object)
				got := "payload_malformed"
				if ans, err := parseAttestation(payload); err == nil {
					k := keep{Purpose: purposeRegister, Challenge: challenge, User: ada.ID, Handle: []byte("handle")}
					f, fault := judgeNew(siteOf(o.RP.ID, client.Origin), k, ans, bare(), time.Now())
					if got = reasonOf(fault); got == "" && f.attested != c.anchored {
						t.Errorf("attested %t", f.attested)
					}
				}
				if got != c.reason {
					t.Errorf("registration at %s: got %q, want %q", time.Now(), got, c.reason)
				}
				st, fault := judgeStatement(object, clientData, bare(), time.Now())
				if got := reasonOf(fault); got != c.statement || st.anchored != c.anchored {
					t.Errorf("statement %s: got %q (%v), anchored %t; want %q, %t", object.Format, got, fault, st.anchored, c.statement, c.anchored)
				}
			})
		})
	}
}

// TestRealAssertion is the recorded sign-in that goes with the registration
// "none 2". Its signature is in hex, of all things.
func TestRealAssertion(t *testing.T) {
	dir := corpustest.Folder(t, "fido2-real-devices")
	if dir == "" {
		return
	}
	var made, used map[string]any
	var o struct{ RPID, Challenge string }
	corpustest.Read(t, filepath.Join(dir, "attestationNoneResponse.json"), &made)
	corpustest.Read(t, filepath.Join(dir, "assertionNoneResponse.json"), &used)
	corpustest.Read(t, filepath.Join(dir, "assertionNoneOptions.json"), &o)
	_, data, fault := parseObject(lenient(t, response(made)["attestationObject"].(string)))
	if fault != nil {
		t.Fatal(fault)
	}
	sig, err := hex.DecodeString(response(used)["signature"].(string))
	if err != nil {
		t.Fatal(err)
	}
	ans := answer{
		id: data.id, clientData: lenient(t, response(used)["clientDataJSON"].(string)),
		authData: lenient(t, response(used)["authenticatorData"].(string)), signature: sig,
	}
	if fault := judgeSignature(data.keyWire, algES256, ans); fault != nil {
		t.Errorf("signature: %v", fault)
	}
	// As a sign-in it is refused: nobody was verified.
	row := row{id: ans.credentialID(), user: ada.ID, key: data.keyWire, alg: algES256}
	k := keep{Purpose: purposeSignIn, Challenge: lenient(t, o.Challenge), User: ada.ID}
	_, fault = judge(siteOf(o.RPID, "https://localhost:44329"), k, row, rules{}, ans)
	if reasonOf(fault) != "user_not_verified" {
		t.Errorf("sign-in: %v", fault)
	}
}

// lenient reads either alphabet of base64, padded or not, as recordings have it.
func lenient(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(s), "="))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// atTimeOf moves the bubble's clock to timeOf.
func atTimeOf(t *testing.T, o *protocol.AttestationObject) {
	t.Helper()
	time.Sleep(time.Until(timeOf(o)))
}

// timeOf is when all certificates in the statement were valid.
func timeOf(o *protocol.AttestationObject) time.Time {
	chain, _ := o.AttStatement["x5c"].([]any)
	var from time.Time
	for _, c := range chain {
		cert, err := x509.ParseCertificate(c.([]byte))
		if err == nil && cert.NotBefore.After(from) {
			from = cert.NotBefore
		}
	}
	if from.IsZero() {
		from = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return from.Add(time.Hour)
}
