package assertion_test

import (
	"crypto/x509"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/assertion"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// sample is one of Apple's assertions, and what the message around it claims.
type sample struct {
	KeyID     string `json:"kid"`
	Recovered string `json:"recovered"`
	Nonce     string `json:"nonce"`
	Issued    int64  `json:"issued"`
	Assertion string `json:"assertion"`
}

// published are testdata/apple-assertions.json.
type published struct {
	Audience     string `json:"audience"`
	Name         string `json:"name"`
	Scope        string `json:"scope"`
	RequestNonce string `json:"requestNonce"`
	Key          sample `json:"key"`
	Card         sample `json:"card"`
}

func apples(t testing.TB) published {
	t.Helper()
	raw, err := os.ReadFile("testdata/apple-assertions.json")
	if err != nil {
		t.Fatal(err)
	}
	var p published
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return p
}

// around is what is expected of a sample, as a room gets it.
func (p published) around(t testing.TB, s sample) assertion.Expected {
	t.Helper()
	e, fault := assertion.FromKeep(assertion.Expected{
		RequestNonce: p.RequestNonce, Audiences: []string{p.Audience}, Name: p.Name, Nonce: s.Nonce, Scope: p.Scope,
	}.Keep())
	if fault != nil || !e.Mac() {
		t.Fatalf("%+v, %v", e, fault)
	}
	return e
}

var cardAlgs = []string{"ES256", "RS256", "RS384", "RS512"}

// TestAppleKey: Apple's sample of a Secure Enclave key holds, at its time, and for
// nothing else than what is around it.
func TestAppleKey(t *testing.T) {
	p := apples(t)
	if form, fault := assertion.OfMac([]byte(p.Key.Assertion)); fault != nil || form != assertion.MacKey {
		t.Fatalf("form %d, %v", form, fault)
	}
	a, fault := assertion.Read(assertion.MacKey, []byte(p.Key.Assertion), "ES256")
	if fault != nil {
		t.Fatal(fault)
	}
	pub, err := pssowire.ParsePoint(p.Key.Recovered)
	if err != nil {
		t.Fatal(err)
	}
	if id := pssowire.KeyOf(pub); id.String() != p.Key.KeyID || !slices.Equal(a.Key, id[:]) {
		t.Errorf("kid %x, key %s", a.Key, id)
	}
	if err := a.Verify(pub); err != nil {
		t.Error(err)
	}
	judged(t, a, p.around(t, p.Key), p.Key)
}

// TestAppleCard: the same of a smart card, whose certificate comes as one string.
func TestAppleCard(t *testing.T) {
	p := apples(t)
	if form, fault := assertion.OfMac([]byte(p.Card.Assertion)); fault != nil || form != assertion.MacCard {
		t.Fatalf("form %d, %v", form, fault)
	}
	a, fault := assertion.Read(assertion.MacCard, []byte(p.Card.Assertion), cardAlgs...)
	if fault != nil {
		t.Fatal(fault)
	}
	leaf, err := x509.ParseCertificate(a.Message.Chain[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(leaf.PublicKey); err != nil { // kid, too
		t.Error(err)
	}
	if id, err := pssowire.ParseKeyID(p.Card.KeyID); err != nil || !slices.Equal(a.Key, id[:]) {
		t.Errorf("kid %x, want %s", a.Key, p.Card.KeyID)
	}
	other := a
	other.Key = slices.Clone(a.Key)
	other.Key[0] ^= 1
	if err := other.Verify(leaf.PublicKey); idp.AsError(err).Reason != "kid_differs" {
		t.Errorf("with another kid: %v", err)
	}
	judged(t, a, p.around(t, p.Card), p.Card)
}

// judged holds a good sample against what is right, and then against each thing
// that is not, alone.
func judged(t *testing.T, a assertion.Assertion, e assertion.Expected, s sample) {
	t.Helper()
	now := time.Unix(s.Issued, 0)
	if fault := a.Judge(e, now); fault != nil {
		t.Fatal(fault)
	}
	for _, c := range []struct {
		want   string
		change func(*assertion.Expected)
	}{
		{"nonce_differs", func(e *assertion.Expected) { e.RequestNonce += "x" }},
		{"audience_differs", func(e *assertion.Expected) { e.Audiences = []string{"another"} }},
		{"audience_differs", func(e *assertion.Expected) { e.Audiences = nil }},
		{"audience_differs", func(e *assertion.Expected) { e.Audiences = []string{strings.ToLower(e.Audiences[0])} }},
		{"issuer_differs", func(e *assertion.Expected) { e.Name = "bar" }},
		{"issuer_differs", func(e *assertion.Expected) { e.Name = "" }},
		{"login_nonce_differs", func(e *assertion.Expected) { e.Nonce = "another" }},
		{"login_nonce_differs", func(e *assertion.Expected) { e.Nonce = "" }},
		{"scope_differs", func(e *assertion.Expected) { e.Scope = "openid" }},
	} {
		wrong := e
		c.change(&wrong)
		if fault := a.Judge(wrong, now); fault == nil || fault.Reason != c.want || fault.Kind != idp.Unproven {
			t.Errorf("%v, want %s", fault, c.want)
		}
	}
	if fault := a.Judge(assertion.Expected{RequestNonce: e.RequestNonce, Audiences: e.Audiences}, now); fault == nil || fault.Reason != "assertion_form" {
		t.Errorf("where a desktop's is expected: %v", fault)
	}
	for shift, want := range map[time.Duration]string{
		// A clock a minute ahead, and one behind (§18).
		-time.Minute: "", time.Minute: "", -2 * time.Minute: "", -121 * time.Second: "issued_ahead",
		359 * time.Second: "", 360 * time.Second: "assertion_late",
	} {
		if fault := a.Judge(e, now.Add(shift)); (fault == nil) != (want == "") || (fault != nil && fault.Reason != want) {
			t.Errorf("%s after: %v, want %q", shift, fault, want)
		}
	}
}

// TestWindow: what the times of a Mac's message may be.
func TestWindow(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	n := func(after time.Duration) *jose.Number { return pssowire.At(now.Add(after).Unix()) }
	huge := jose.Number(1<<63 - 1)
	for _, c := range []struct {
		from, until *jose.Number
		want        string
	}{
		{n(0), n(5 * time.Minute), ""},
		{n(0), n(10 * time.Minute), ""},
		{n(0), n(601 * time.Second), "assertion_long"},
		{n(0), n(-1 * time.Second), "assertion_long"},
		{n(0), &huge, "assertion_long"},
		{&huge, &huge, "issued_ahead"},
		{nil, n(0), "times_missing"},
		{n(0), nil, "times_missing"},
		{n(121 * time.Second), n(5 * time.Minute), "issued_ahead"},
		{n(-6 * time.Minute), n(-time.Minute), "assertion_late"},
		{pssowire.At(-1), pssowire.At(-1), "assertion_late"},
	} {
		if fault := assertion.Window(c.from, c.until, now); (fault == nil) != (c.want == "") || (fault != nil && fault.Reason != c.want) {
			t.Errorf("%v: want %q", fault, c.want)
		}
	}
}
