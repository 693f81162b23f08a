package metadata

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	lib "github.com/go-webauthn/webauthn/metadata"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata/metadatatest"
)

func TestVerify(t *testing.T) {
	w := newWorld()
	r := w.registry()
	good := w.list(7)
	s, err := r.read(good, start)
	if err != nil {
		t.Fatal(err)
	}
	if s.number != 7 || s.mds != 1 || s.nextUpdate != time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC) {
		t.Errorf("set %d of %d models, next %s", s.number, s.mds, s.nextUpdate)
	}
	// The published list is signed by an RSA key.
	w.service.ResignRSA(metadatatest.Signer, start.AddDate(0, -1, 0), start.AddDate(0, 1, 0), 2048)
	if _, err := r.read(w.list(8), start); err != nil {
		t.Error(err)
	}
	// A line break at the end, as downloads have it.
	if _, err := r.read(append(good, '\n'), start); err != nil {
		t.Error(err)
	}
}

// sign makes one list with a lie.
func (w *world) sign(l metadatatest.Lies) []byte {
	return w.service.Sign(metadatatest.List{No: 1, NextUpdate: "2026-12-24", Entries: []any{w.entry(modelA, "Model A")}}, l)
}

func headerLie(fn func(map[string]any)) metadatatest.Lies { return metadatatest.Lies{Header: fn} }

// TestVerifyRefuses breaks one thing at a time.
func TestVerifyRefuses(t *testing.T) {
	w := newWorld()
	b64 := base64.StdEncoding.EncodeToString
	for _, c := range []struct {
		name, reason string
		blob         func(w *world) []byte
		at           time.Time
	}{
		{name: "flipped signature", reason: "metadata_signature", blob: func(w *world) []byte {
			return w.sign(metadatatest.Lies{Signed: func(s string) string { return flip(s, 2) }})
		}},
		{name: "changed payload", reason: "metadata_signature", blob: func(w *world) []byte {
			return w.sign(metadatatest.Lies{Signed: func(s string) string {
				parts := strings.Split(s, ".")
				raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
				parts[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(raw, []byte(`"no":1`), []byte(`"no":9`), 1))
				return strings.Join(parts, ".")
			}})
		}},
		{name: "other root", reason: "metadata_chain", blob: func(*world) []byte { return newWorld().list(1) }},
		{name: "certificate expired", reason: "metadata_chain", at: start.AddDate(0, 7, 0), blob: func(w *world) []byte { return w.list(1) }},
		{name: "certificate not yet valid", reason: "metadata_chain", at: start.AddDate(0, -7, 0), blob: func(w *world) []byte { return w.list(1) }},
		{name: "authority missing", reason: "metadata_chain", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["x5c"] = h["x5c"].([]string)[:1] }))
		}},
		{name: "signed by somebody else below the root", reason: "metadata_signer", blob: func(w *world) []byte {
			other := *w.service
			other.Resign("shop.example.com", start.AddDate(0, -1, 0), start.AddDate(0, 1, 0))
			return other.List(1, start, w.entry(modelA, "A"))
		}},
		{name: "signer whose name only ends alike", reason: "metadata_signer", blob: func(w *world) []byte {
			other := *w.service
			other.Resign("not"+metadatatest.Signer, start.AddDate(0, -1, 0), start.AddDate(0, 1, 0))
			return other.List(1, start, w.entry(modelA, "A"))
		}},
		{name: "no chain", reason: "metadata_chain", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { delete(h, "x5c") }))
		}},
		{name: "long chain", reason: "metadata_chain", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) {
				for range 8 {
					h["x5c"] = append(h["x5c"].([]string), b64(w.service.Mid.Cert.Raw))
				}
			}))
		}},
		{name: "no certificate in the chain", reason: "metadata_chain", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["x5c"] = []string{"AAAA"} }))
		}},
		{name: "x5u", reason: "metadata_malformed", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["x5u"] = "https://example.com/chain" }))
		}},
		{name: "crit", reason: "metadata_malformed", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["crit"] = []string{"b64"} }))
		}},
		{name: "alg none", reason: "metadata_algorithm", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["alg"] = "none" }))
		}},
		{name: "alg HS256", reason: "metadata_algorithm", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["alg"] = "HS256" }))
		}},
		{name: "alg of another key", reason: "metadata_algorithm", blob: func(w *world) []byte {
			return w.sign(headerLie(func(h map[string]any) { h["alg"] = "RS256" }))
		}},
		{name: "truncated", reason: "metadata_malformed", blob: func(w *world) []byte { return w.list(1)[:200] }},
		{name: "truncated in the signature", reason: "metadata_malformed", blob: func(w *world) []byte { b := w.list(1); return b[:len(b)-5] }},
		{name: "short signature", reason: "metadata_signature", blob: func(w *world) []byte { b := w.list(1); return b[:len(b)-6] }},
		{name: "line break inside", reason: "metadata_malformed", blob: func(w *world) []byte {
			b := w.list(1)
			return append(append(b[:len(b)-40:len(b)-40], '\n'), b[len(b)-40:]...)
		}},
		{name: "RSA, flipped", reason: "metadata_signature", blob: func(w *world) []byte {
			other := *w.service
			other.ResignRSA(metadatatest.Signer, start.AddDate(0, -1, 0), start.AddDate(0, 1, 0), 2048)
			return []byte(flip(string(other.List(1, start, w.entry(modelA, "A"))), 2))
		}},
		{name: "RSA, short key", reason: "metadata_algorithm", blob: func(w *world) []byte {
			other := *w.service
			other.ResignRSA(metadatatest.Signer, start.AddDate(0, -1, 0), start.AddDate(0, 1, 0), 1024)
			return other.List(1, start, w.entry(modelA, "A"))
		}},
		{name: "two parts", reason: "metadata_malformed", blob: func(w *world) []byte { return []byte("e30.e30") }},
		{name: "a page instead", reason: "metadata_malformed", blob: func(*world) []byte { return []byte("<html>Sign in to the hotel's network</html>") }},
		{name: "empty", reason: "metadata_malformed", blob: func(*world) []byte { return nil }},
		{name: "oversized", reason: "metadata_too_large", blob: func(*world) []byte { return make([]byte, maxBlob+1) }},
		{name: "payload is no JSON", reason: "metadata_malformed", blob: payload(func([]byte) []byte { return []byte("hello") })},
		{name: "payload ends early", reason: "metadata_malformed", blob: payload(func(b []byte) []byte { return b[:len(b)-5] })},
		{name: "no number", reason: "metadata_malformed", blob: payload(replace(`"no":1`, `"na":1`))},
		{name: "negative number", reason: "metadata_malformed", blob: payload(replace(`"no":1`, `"no":-1`))},
		{name: "number is text", reason: "metadata_malformed", blob: payload(replace(`"no":1`, `"no":"1"`))},
		{name: "no date", reason: "metadata_malformed", blob: payload(replace(`"2026-12-24"`, `"soon"`))},
		{name: "no entries", reason: "metadata_malformed", blob: payload(replace(`"entries":[`, `"entries":[],"more":[`))},
		{name: "entries twice", reason: "metadata_malformed", blob: payload(replace(`"no":1`, `"no":1,"entries":[]`))},
		{name: "entries is an object", reason: "metadata_malformed", blob: payload(func([]byte) []byte { return []byte(`{"no":1,"nextUpdate":"2026-12-24","entries":{}}`) })},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := c.at
			if at.IsZero() {
				at = start
			}
			_, err := w.registry().read(c.blob(w), at)
			wantReason(t, err, idp.Unproven, c.reason)
		})
	}
}

func payload(fn func([]byte) []byte) func(*world) []byte {
	return func(w *world) []byte { return w.sign(metadatatest.Lies{Payload: fn}) }
}

func replace(old, new string) func([]byte) []byte {
	return func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) }
}

// flip changes one bit in the middle of part i.
func flip(s string, i int) string {
	parts := strings.Split(s, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(parts[i])
	raw[len(raw)/2] ^= 1
	parts[i] = base64.RawURLEncoding.EncodeToString(raw)
	return strings.Join(parts, ".")
}

// TestTwoRoots: with roots of one's own any name below them may sign, with the
// pinned ones nothing of a test does.
func TestTwoRoots(t *testing.T) {
	w := newWorld()
	c := w.config(nil)
	c.Signer = ""
	other := *w.service
	other.Resign("lists.corp.example", start.AddDate(0, -1, 0), start.AddDate(0, 1, 0))
	if _, err := New(c).read(other.List(1, start, w.entry(modelA, "A")), start); err != nil {
		t.Error(err)
	}
	c.Roots = nil
	_, err := New(c).read(w.list(1), start)
	wantReason(t, err, idp.Unproven, "metadata_chain")
}

func TestParseIsLenientPerEntry(t *testing.T) {
	w := newWorld()
	odd := metadatatest.Entry(modelB, "  Odd\u202e\n model  ", nil, metadatatest.Report{Status: "REVOKED"})
	st := odd["metadataStatement"].(map[string]any)
	st["keyProtection"], st["icon"], st["attestationRootCertificates"] = 7, map[string]any{}, []string{"AAAA", "%%"}
	r := w.with(t,
		map[string]any{"aaid": "1234#5678"},         // UAF
		map[string]any{"aaguid": "not a guid"},      // nothing to know it by
		map[string]any{"aaguid": Zero},              // nobody
		map[string]any{"metadataStatement": "text"}, // not understood at all
		"text", 7, nil, // not even an object
		odd, // odd members, and revoked all the same
		w.entry(strings.ToUpper(modelA), "Model A"), // letter case
	)
	s := r.now.Load()
	if s.mds != 2 || s.skipped != 7 {
		t.Errorf("%d models, %d skipped", s.mds, s.skipped)
	}
	m, ok := r.Model(modelB)
	if !ok || m.Name != "Odd model" || m.Status.Verdict != Refuse || m.Status.Word != "REVOKED" || m.Icon != "" || len(m.Roots) != 0 {
		t.Errorf("odd model %+v", m)
	}
	if m, ok := r.Model(modelA); !ok || m.Name != "Model A" || m.Certification != "L1" || len(m.Roots) != 1 || m.Source != FromMDS ||
		m.Protection[1] != "secure_element" || m.Transports[0] != "external" || m.Biometric || m.Vendor != "Test" {
		t.Errorf("model %+v", m)
	}
}

// TestDuplicates: what is bad in either entry counts.
func TestDuplicates(t *testing.T) {
	w := newWorld()
	r := w.with(t, w.entry(modelA, "First"), w.entry(modelA, "Second", metadatatest.Report{Status: "USER_KEY_REMOTE_COMPROMISE"}))
	m, _ := r.Model(modelA)
	if m.Name != "First" || m.Status.Verdict != Refuse || r.now.Load().doubled != 1 || r.now.Load().mds != 1 {
		t.Errorf("%+v, %d doubled", m, r.now.Load().doubled)
	}
}

// TestAgreesWithLibrary compares what we read with what go-webauthn reads.
func TestAgreesWithLibrary(t *testing.T) {
	w := newWorld()
	entries := []any{
		w.entry(modelA, "Model A", metadatatest.Report{Status: "FIDO_CERTIFIED_L2plus", Effective: "2022-02-02"}),
		w.entry(modelB, "Model B", metadatatest.Report{Status: "REVOKED", Effective: "2023-03-03"}),
	}
	r := w.with(t, entries...)
	for _, e := range entries {
		raw, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var wire lib.EntryJSON
		if err := json.Unmarshal(raw, &wire); err != nil {
			t.Fatal(err)
		}
		want, err := wire.Parse()
		if err != nil {
			t.Fatal(err)
		}
		m, ok := r.Model(want.AaGUID.String())
		if !ok || m.Name != want.MetadataStatement.Description || len(m.Roots) != len(want.MetadataStatement.AttestationRootCertificates) ||
			!bytes.Equal(m.Roots[0], want.MetadataStatement.AttestationRootCertificates[0].Raw) {
			t.Errorf("%+v, library %+v", m, want)
		}
		bad := lib.ValidateStatusReportsAt(want.StatusReports, nil, []lib.AuthenticatorStatus{lib.Revoked, lib.UserVerificationBypass}, start)
		if (bad != nil) != (m.Status.Verdict == Refuse) {
			t.Errorf("%s: %+v, library %v", m.Name, m.Status, bad)
		}
	}
	if m, _ := r.Model(modelA); m.Certification != "L2+" {
		t.Errorf("certified %q", m.Certification)
	}
}

// TestLibraryKnowsOurWords: every status word of the library has a verdict
// that is not the one for unknown words.
func TestLibraryKnowsOurWords(t *testing.T) {
	for _, word := range []lib.AuthenticatorStatus{
		lib.NotFidoCertified, lib.FidoCertified, lib.UserVerificationBypass, lib.AttestationKeyCompromise, lib.UserKeyRemoteCompromise,
		lib.UserKeyPhysicalCompromise, lib.UpdateAvailable, lib.Retired, lib.Revoked, lib.SelfAssertionSubmitted, lib.FidoCertifiedL1,
		lib.FidoCertifiedL1plus, lib.FidoCertifiedL2, lib.FidoCertifiedL2plus, lib.FidoCertifiedL3, lib.FidoCertifiedL3plus,
		lib.FIPS140CertifiedL1, lib.FIPS140CertifiedL2, lib.FIPS140CertifiedL3, lib.FIPS140CertifiedL4,
	} {
		_, listed := verdicts[string(word)]
		if !listed && verdictOf(report{word: string(word)}) != Fine {
			t.Errorf("%s is unknown", word)
		}
	}
}

func FuzzRead(f *testing.F) {
	w := newWorld()
	r := w.registry()
	f.Add(w.list(1))
	f.Add([]byte("e30.e30.e30"))
	f.Add(w.sign(headerLie(func(h map[string]any) { h["alg"] = "none" })))
	f.Fuzz(func(t *testing.T, blob []byte) {
		if s, err := r.read(blob, start); err == nil && s.number <= 0 {
			t.Error("a list without a number")
		}
	})
}

// FuzzParse is about what comes after the signature: a service that makes a
// mistake must not stop the server.
func FuzzParse(f *testing.F) {
	w := newWorld()
	for _, e := range []any{
		w.entry(modelA, "Model A"), metadatatest.Entry(modelB, "B", nil, metadatatest.Report{Status: "REVOKED", Certificate: "AAAA"}), nil, "x",
	} {
		raw, err := json.Marshal(metadatatest.List{No: 1, NextUpdate: "2026-12-24", Entries: []any{e}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parse(raw)
		if err != nil {
			return
		}
		r := w.registry()
		r.swap(s)
		for _, m := range r.Search("", 50) {
			if id, ok := canonical(m.AAGUID); !ok || id != m.AAGUID || strings.ContainsAny(m.Name, "\r\n\u202e") {
				t.Errorf("model %+v", m)
			}
			r.Judge(Evidence{AAGUID: m.AAGUID, Format: "packed", Chain: m.Roots}, start)
		}
	})
}

// realistic is a list of the published one's size: some 400 models with icons
// and, a part of them, hundreds of roots.
func realistic(w *world) []byte {
	roots := make([]string, 300)
	for i := range roots {
		roots[i] = base64.StdEncoding.EncodeToString(metadatatest.NewCA(fmt.Sprint("TPM root ", i), start).Cert.Raw)
	}
	var entries []any
	for i := range 400 {
		e := metadatatest.Entry(fmt.Sprintf("%08x-0000-4000-8000-000000000001", i+1), fmt.Sprint("Model ", i), nil)
		st := e["metadataStatement"].(map[string]any)
		st["icon"] = icon(i / 2)
		st["attestationRootCertificates"] = roots[i%100 : i%100+3]
		if i%40 == 0 {
			st["attestationRootCertificates"] = roots
		}
		st["authenticatorGetInfo"] = map[string]any{"versions": []string{"FIDO_2_0", "FIDO_2_1"}, "transports": []string{"usb", "nfc"}, "extensions": []string{"credProtect", "hmac-secret"}}
		entries = append(entries, e)
	}
	return w.list(1, entries...)
}

// TestRealisticSize bounds what a list costs: time by the benchmark, memory
// that stays here.
func TestRealisticSize(t *testing.T) {
	w := newWorld()
	blob := realistic(w)
	r := w.registry()
	s, err := r.read(blob, start)
	if err != nil {
		t.Fatal(err)
	}
	if len(blob) < 6<<20 || s.mds != 400 {
		t.Fatalf("%d bytes, %d models: not the size of the real one", len(blob), s.mds)
	}
	kept, seen := 0, map[string]bool{}
	for _, e := range s.entries {
		for _, part := range append([][]byte{[]byte(e.Icon), []byte(e.Name)}, e.Roots...) {
			if !seen[string(part)] {
				seen[string(part)] = true
				kept += len(part)
			}
		}
	}
	if kept > len(blob)*3/4 {
		t.Errorf("%d bytes stay of %d", kept, len(blob))
	}
	packed, err := pack(blob)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("list of %d bytes, stored %d, icons and roots in memory %d", len(blob), len(packed), kept)
	back, err := unpack(packed)
	if err != nil || !bytes.Equal(back, blob) {
		t.Errorf("unpacked otherwise: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	w := newWorld()
	blob := realistic(w)
	r := w.registry()
	b.SetBytes(int64(len(blob)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.read(blob, start); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	w := newWorld()
	r := w.registry()
	s, err := r.read(realistic(w), start)
	if err != nil {
		b.Fatal(err)
	}
	r.swap(s)
	for b.Loop() {
		if len(r.Search("model 3", 20)) != 20 {
			b.Fatal("not found")
		}
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
