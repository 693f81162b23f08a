package passkey

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// seeds are one registration and one sign-in of each algorithm, with the
// challenges and rows that they go with.
type seed struct {
	register, signIn []byte
	made, asked      keep
	row              row
}

func seedsOf(t testing.TB) []seed {
	t.Helper()
	w := sqliteWorld(t)
	var out []seed
	for _, alg := range []int{algES256, algEdDSA} {
		for _, attestation := range []string{"none", "packed-self"} {
			d := device()
			d.Alg, d.Attestation = alg, attestation
			a := w.beginRegister(t, ada)
			var s seed
			var err error
			if s.register, err = d.Create(a.Show); err != nil {
				t.Fatal(err)
			}
			s.made, _ = parseKeep(a.Keep, purposeRegister)
			reg, err := w.finish(a, s.register)
			if err != nil {
				t.Fatal(err)
			}
			if err := w.settle(reg.Settle); err != nil {
				t.Fatal(err)
			}
			if s.row, err = find(t.Context(), w.db, tenant, reg.Credential.ID); err != nil {
				t.Fatal(err)
			}
			in := w.begin(t, method.Request{})
			if s.signIn, err = d.Get(in.Show); err != nil {
				t.Fatal(err)
			}
			s.asked, _ = parseKeep(in.Keep, purposeSignIn)
			out = append(out, s)
		}
	}
	return out
}

// FuzzRegistration: whatever comes, an Unproven or a passkey that names the
// person and handle of the ceremony and that can be verified with.
func FuzzRegistration(f *testing.F) {
	all := seedsOf(f)
	for _, s := range all {
		f.Add(s.register)
	}
	f.Add([]byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"}}`))
	s := siteOf(rpID, origin)
	f.Fuzz(func(t *testing.T, payload []byte) {
		ans, err := parseAttestation(payload)
		if err != nil {
			return
		}
		for _, seed := range all {
			got, fault := judgeNew(s, seed.made, ans, bare(), time.Now())
			if fault != nil {
				if fault.Kind != idp.Unproven {
					t.Fatalf("%s %q", fault.Kind, fault.Reason)
				}
				continue
			}
			if got.user != seed.made.User || string(got.handle) != string(seed.made.Handle) || got.attested || len(got.id) == 0 {
				t.Fatalf("accepted %+v", got)
			}
			if _, err := parseKey(got.key); err != nil {
				t.Fatalf("accepted a key that does not parse: %v", err)
			}
		}
	})
}

// FuzzAssertion: what is accepted has the signed bytes of a seed; everything
// else is Unproven.
func FuzzAssertion(f *testing.F) {
	all := seedsOf(f)
	for _, s := range all {
		f.Add(s.signIn)
	}
	f.Add([]byte(`{"id":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA","userHandle":null}}`))
	s := siteOf(rpID, origin)
	f.Fuzz(func(t *testing.T, payload []byte) {
		ans, err := parseAssertion(payload)
		if err != nil {
			return
		}
		for _, seed := range all {
			_, fault := judge(s, seed.asked, seed.row, rules{}, ans)
			if fault != nil {
				if fault.Kind != idp.Unproven {
					t.Fatalf("%s %q", fault.Kind, fault.Reason)
				}
				continue
			}
			real, err := parseAssertion(seed.signIn)
			if err != nil || string(real.authData) != string(ans.authData) || string(real.clientData) != string(ans.clientData) {
				t.Fatalf("accepted something that was not signed: %s", payload)
			}
		}
	})
}

// FuzzClientData: the strict reader never accepts what the lenient one of the
// standard library does not, and agrees with it on what it reads.
func FuzzClientData(f *testing.F) {
	f.Add([]byte(`{"type":"webauthn.get","challenge":"AA","origin":"https://a.example","crossOrigin":false}`))
	f.Add([]byte("\xef\xbb\xbf{\"type\":\"x\",\"topOrigin\":null}"))
	f.Add([]byte(`{"type":"a","type":"b"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, fault := parseClientData(raw)
		if fault != nil {
			return
		}
		var m map[string]any
		trimmed := raw
		if len(raw) > 3 && string(raw[:3]) == "\xef\xbb\xbf" {
			trimmed = raw[3:]
		}
		if err := json.Unmarshal(trimmed, &m); err != nil {
			t.Fatalf("accepted %q: %v", raw, err)
		}
		if s, ok := m["type"].(string); ok && s != c.Type {
			t.Fatalf("type %q, want %q", c.Type, s)
		}
		if s, ok := m["origin"].(string); ok && s != c.Origin {
			t.Fatalf("origin %q, want %q", c.Origin, s)
		}
	})
}

// FuzzAuthData: the parser gives back what it was given, or refuses.
func FuzzAuthData(f *testing.F) {
	for _, s := range seedsOf(f) {
		ans, err := parseAttestation(s.register)
		if err != nil {
			f.Fatal(err)
		}
		_, data, _ := parseObject(ans.attestationObject)
		f.Add(data.raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, fault := parseAuthData(raw)
		if fault != nil {
			return
		}
		if string(a.raw) != string(raw) || len(raw) < 37 || len(a.id) > maxCredentialID {
			t.Fatalf("parsed %x", raw)
		}
		if len(a.id) > 0 && len(a.aaguid) != 16 {
			t.Fatalf("aaguid %x", a.aaguid)
		}
	})
}
