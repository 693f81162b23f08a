package token_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/token"
)

// A grant keeps of a proof all but what names the credential: as a row has it,
// and as a code has it.
func TestBasisKeepsWhatPolicyJudges(t *testing.T) {
	proof := idp.Proof{
		Tenant: "t", User: "u", Method: "passkey", Mode: idp.ModeFIDO2, Credential: "c", Device: "d",
		Properties: []idp.Property{idp.PhishingResistant, idp.HardwareBound}, AMR: []string{"fido"},
		Facts: idp.Facts{AAGUID: "ee882879-721c-4913-9775-3dfcce97072a", Attested: true, Synced: true, Device: "d", Issuer: "CN=x", Name: "my key"},
		Time:  time.UnixMilli(1_700_000_000_123),
	}
	want := proof
	want.Facts.Name = ""
	for name, c := range map[string]struct {
		encode func(any) ([]byte, error)
		decode func([]byte, any) error
	}{"row": {json.Marshal, json.Unmarshal}, "code": {nonce.Encode, nonce.Decode}} {
		body, err := c.encode(token.BasisOf([]idp.Proof{proof, {Method: "phone", Time: proof.Time}}))
		if err != nil {
			t.Fatal(err)
		}
		var kept []token.Basis
		if err := c.decode(body, &kept); err != nil {
			t.Fatal(err)
		}
		got := token.Subject{Tenant: "t", User: idp.User{ID: "u"}, Basis: kept}.Proofs()
		if diff := cmp.Diff([]idp.Proof{want, {Tenant: "t", User: "u", Method: "phone", Time: proof.Time}}, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		t.Logf("%s: %d bytes", name, len(body))
	}
}
