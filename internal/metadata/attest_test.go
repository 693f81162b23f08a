package metadata

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/metadata/metadatatest"
)

func guidBytes(t testing.TB, id string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// attestation is a chain of the maker for a model.
func (w *world) attestation(t testing.TB, model string, extra ...pkix.Extension) [][]byte {
	return [][]byte{w.maker.Attestation(guidBytes(t, model), start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0), extra...).Cert.Raw}
}

func wantTrust(t *testing.T, got Trust, reason string) {
	t.Helper()
	if got.Reason != reason || got.Attested != (reason == "") {
		t.Errorf("trust %+v, want %q", got, reason)
	}
}

// TestEveryFormat: each format with a chain is attested by a root of its model
// and by nothing else.
func TestEveryFormat(t *testing.T) {
	w := newWorld()
	r := w.with(t, w.entry(modelA, "Model A"), metadatatest.Entry(modelB, "Model B", []*x509.Certificate{metadatatest.NewCA("Other maker", start).Cert}))
	for _, format := range []string{"packed", "tpm", "android-key", "apple"} {
		t.Run(format, func(t *testing.T) {
			good := Evidence{AAGUID: modelA, Format: format, Chain: w.attestation(t, modelA)}
			wantTrust(t, r.Judge(good, start), "")
			if n := r.Judge(good, start).Number; n != 1 {
				t.Errorf("judged by list %d", n)
			}
			// The same maker's roots do not vouch for another maker's model.
			wantTrust(t, r.Judge(Evidence{AAGUID: modelB, Format: format, Chain: w.attestation(t, modelB)}, start), ReasonChain)
			self := good
			self.Self = true
			wantTrust(t, r.Judge(self, start), ReasonSelf)
			bare := good
			bare.Chain = nil
			wantTrust(t, r.Judge(bare, start), ReasonSelf)
			wantTrust(t, r.Judge(good, start.AddDate(2, 0, 0)), ReasonChain)
			wantTrust(t, r.Judge(good, start.AddDate(-2, 0, 0)), ReasonChain)
			stranger := good
			stranger.Chain = [][]byte{metadatatest.NewCA("Stranger", start).Attestation(guidBytes(t, modelA), start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0)).Cert.Raw}
			wantTrust(t, r.Judge(stranger, start), ReasonChain)
			wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: format, Chain: [][]byte{{1, 2, 3}}}, start), ReasonChain)
			long := good
			long.Chain = slices.Repeat(long.Chain, 9)
			wantTrust(t, r.Judge(long, start), ReasonChain)
		})
	}
}

func TestIntermediates(t *testing.T) {
	w := newWorld()
	mid := w.maker.Below("Batch authority", start)
	leaf := mid.Attestation(guidBytes(t, modelA), start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0)).Cert
	chain := [][]byte{leaf.Raw, mid.Cert.Raw}
	r := w.with(t, w.entry(modelA, "Model A"))
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain}, start), "")
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain[:1]}, start), ReasonChain)
	// One that is not understood does no harm where it is not needed.
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: append(chain, []byte("odd"))}, start), "")
	// The list may name the authority, or the certificate itself.
	for _, anchor := range []*x509.Certificate{mid.Cert, leaf} {
		r := w.with(t, metadatatest.Entry(modelA, "Model A", []*x509.Certificate{anchor}))
		wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain[:1]}, start), "")
	}
}

// TestClaims: an AAGUID alone is worth nothing.
func TestClaims(t *testing.T) {
	w := newWorld()
	r := w.with(t, w.entry(modelA, "Model A"), w.entry(PlatformCredential, "Mac"), metadatatest.Entry(modelB, "Without roots", nil))
	chain := func(m string) [][]byte { return w.attestation(t, m) }
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "none"}, start), ReasonNone)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "none", Chain: chain(modelA)}, start), ReasonNone)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "android-safetynet", Chain: chain(modelA)}, start), ReasonFormat)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "compound", Chain: chain(modelA)}, start), ReasonFormat)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "PACKED", Chain: chain(modelA)}, start), ReasonFormat)
	wantTrust(t, r.Judge(Evidence{AAGUID: PlatformCredential, Format: "packed", Chain: chain(PlatformCredential)}, start), ReasonPlatform)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelB, Format: "packed", Chain: chain(modelB)}, start), ReasonNoRoots)
	unknown := "33333333-3333-4333-8333-333333333333"
	wantTrust(t, r.Judge(Evidence{AAGUID: unknown, Format: "packed", Chain: chain(unknown)}, start), ReasonModelUnknown)
	wantTrust(t, r.Judge(Evidence{AAGUID: Zero, Format: "packed", Chain: chain(Zero)}, start), ReasonModelUnknown)
	bitwarden := "d548826e-79b4-db40-a3d8-11116f7e8349"
	wantTrust(t, r.Judge(Evidence{AAGUID: bitwarden, Format: "packed", Chain: chain(bitwarden)}, start), ReasonModelUnknown)
	// A certificate for model A does not make another model of the same maker.
	r = w.with(t, w.entry(modelA, "Model A"), w.entry(modelB, "Model B"))
	wantTrust(t, r.Judge(Evidence{AAGUID: modelB, Format: "packed", Chain: chain(modelA)}, start), ReasonAAGUID)
	broken := w.maker.Attestation(nil, start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0), pkix.Extension{Id: oidModel, Value: []byte{4, 1, 7}})
	wantTrust(t, r.Judge(Evidence{AAGUID: modelB, Format: "packed", Chain: [][]byte{broken.Cert.Raw}}, start), ReasonAAGUID)
	silent := w.maker.Attestation(nil, start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0))
	wantTrust(t, r.Judge(Evidence{AAGUID: modelB, Format: "packed", Chain: [][]byte{silent.Cert.Raw}}, start), "")
	// Without a list there is nothing to judge by.
	wantTrust(t, w.registry().Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain(modelA)}, start), ReasonNoMetadata)
}

// TestStatusVoidsProof: a model whose attestation means nothing is not
// attested; one with another weakness is, and policy reads its status.
func TestStatusVoidsProof(t *testing.T) {
	w := newWorld()
	chain := w.attestation(t, modelA)
	for status, reason := range map[string]string{
		"REVOKED": ReasonRevoked, "ATTESTATION_KEY_COMPROMISE": ReasonCompromised,
		"USER_VERIFICATION_BYPASS": "", "USER_KEY_REMOTE_COMPROMISE": "", "USER_KEY_PHYSICAL_COMPROMISE": "", "RETIRED": "", "NEW_WORD": "",
	} {
		r := w.with(t, w.entry(modelA, "Model A", metadatatest.Report{Status: status, Effective: "2026-01-01"}))
		wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain}, start.AddDate(0, -11, -25)), reason)
		r = w.with(t, w.entry(modelA, "Model A", metadatatest.Report{Status: status, Effective: "2027-01-01"}))
		wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain}, start), "")
	}
	// One stolen certificate: the rest of the model is sound.
	stolen := base64.StdEncoding.EncodeToString(chain[0])
	r := w.with(t, w.entry(modelA, "Model A", metadatatest.Report{Status: "ATTESTATION_KEY_COMPROMISE", Certificate: stolen}))
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain}, start), ReasonCompromised)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: w.attestation(t, modelA)}, start), "")
}

// TestU2F: U2F keys have no AAGUID and are known by their certificates.
func TestU2F(t *testing.T) {
	w := newWorld()
	cert := w.maker.Attestation(nil, start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0)).Cert
	entry := metadatatest.Entry("", "U2F key", []*x509.Certificate{w.maker.Cert})
	delete(entry, "aaguid")
	entry["attestationCertificateKeyIdentifiers"] = []string{strings.ToUpper(keyID(cert)), "short"}
	r := w.with(t, entry, w.entry(modelA, "Model A"))
	e := Evidence{AAGUID: Zero, Format: "fido-u2f", Chain: [][]byte{cert.Raw}}
	wantTrust(t, r.Judge(e, start), "")
	e.Chain = [][]byte{w.maker.Attestation(nil, start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0)).Cert.Raw}
	wantTrust(t, r.Judge(e, start), ReasonModelUnknown)
	// A certificate that names a model is no contradiction here.
	named := w.maker.Attestation(guidBytes(t, modelA), start.AddDate(-1, 0, 0), start.AddDate(1, 0, 0)).Cert
	entry["attestationCertificateKeyIdentifiers"] = []string{keyID(named)}
	wantTrust(t, w.with(t, entry).Judge(Evidence{AAGUID: Zero, Format: "fido-u2f", Chain: [][]byte{named.Raw}}, start), "")
	// By AAGUID a U2F statement reaches no model.
	e = Evidence{AAGUID: modelA, Format: "fido-u2f", Chain: w.attestation(t, modelA)}
	wantTrust(t, r.Judge(e, start), ReasonModelUnknown)
	for _, m := range r.Search("", 1000) {
		if m.AAGUID == "" {
			t.Error("a model without an AAGUID is offered")
		}
	}
}

func TestKeyID(t *testing.T) {
	// crypto/x509 makes the subject key id of a CA by the same method.
	c := pinned("globalsign-r3")
	if got, want := keyID(c), hex.EncodeToString(c.SubjectKeyId); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestApple: anonymous attestation ends in Apple's root, with or without a
// list, and in a root of the model when the list has one.
func TestApple(t *testing.T) {
	w := newWorld()
	const device = "f24a8e70-d0d3-f82c-2937-32523cc4de5a"
	chain := w.attestation(t, device)
	wantTrust(t, w.registry().Judge(Evidence{AAGUID: device, Format: "apple", Chain: chain}, start), ReasonChain)
	root := [][]byte{appleRoot().Raw}
	wantTrust(t, w.registry().Judge(Evidence{AAGUID: device, Format: "apple", Chain: root}, start), "")
	wantTrust(t, w.registry().Judge(Evidence{AAGUID: device, Format: "packed", Chain: root}, start), ReasonNoMetadata)
	r := w.with(t, w.entry(device, "Apple"))
	wantTrust(t, r.Judge(Evidence{AAGUID: device, Format: "apple", Chain: chain}, start), "")
	wantTrust(t, r.Judge(Evidence{AAGUID: device, Format: "apple", Chain: root}, start), "")
	// Apple's root vouches for the format apple alone, and for that model's
	// anchors only in this one call.
	wantTrust(t, r.Judge(Evidence{AAGUID: device, Format: "packed", Chain: root}, start), ReasonChain)
}

// TestTPMName: the critical names of an AIK certificate, which crypto/x509 does
// not understand, are no obstacle in a TPM statement, and are one elsewhere.
func TestTPMName(t *testing.T) {
	w := newWorld()
	r := w.with(t, w.entry(modelA, "Model A"))
	dir, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: []byte{0x30, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	san := pkix.Extension{Id: oidSubjectAltName, Critical: true, Value: dir}
	chain := w.attestation(t, modelA, san)
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "tpm", Chain: chain}, start), "")
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "packed", Chain: chain}, start), ReasonChain)
	other := pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}
	wantTrust(t, r.Judge(Evidence{AAGUID: modelA, Format: "tpm", Chain: w.attestation(t, modelA, san, other)}, start), ReasonChain)
}

func BenchmarkJudge(b *testing.B) {
	w := newWorld()
	r := w.with(b, w.entry(modelA, "Model A"))
	e := Evidence{AAGUID: modelA, Format: "packed", Chain: w.attestation(b, modelA)}
	for b.Loop() {
		if !r.Judge(e, start).Attested {
			b.Fatal("not attested")
		}
	}
}
