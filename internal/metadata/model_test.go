package metadata

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/metadata/metadatatest"
)

// icon is a PNG data URI of some kilobytes.
func icon(i int) string {
	m := image.NewNRGBA(image.Rect(0, 0, 56, 40))
	copy(m.Pix, noise(len(m.Pix)))
	m.Pix[0] = byte(i)
	var b bytes.Buffer
	png.Encode(&b, m)
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestIcon(t *testing.T) {
	small := image.NewNRGBA(image.Rect(0, 0, 2, 2))
	var j, g, huge bytes.Buffer
	jpeg.Encode(&j, small, nil)
	gif.Encode(&g, small, nil)
	png.Encode(&huge, image.NewGray(image.Rect(0, 0, maxIconSide+1, 1)))
	b64 := base64.StdEncoding.EncodeToString
	good := icon(1)
	if got := checkedIcon(good); got != good {
		t.Error("a PNG is refused")
	}
	if got := checkedIcon("data:image/png;base64," + b64(j.Bytes())); got != "data:image/jpeg;base64,"+b64(j.Bytes()) {
		t.Error("a JPEG is not called one")
	}
	for name, uri := range map[string]string{
		"empty":      "",
		"address":    "https://example.com/icon.png",
		"svg":        "data:image/svg+xml;base64," + b64([]byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`)),
		"html":       "data:text/html;base64," + b64([]byte("<script>")),
		"called png": "data:image/png;base64," + b64([]byte("<svg/>")),
		"gif":        "data:image/png;base64," + b64(g.Bytes()),
		"too wide":   "data:image/png;base64," + b64(huge.Bytes()),
		"too large":  "data:image/png;base64," + strings.Repeat("A", maxIcon),
		"no base64":  "data:image/png,abc",
		"bad base64": "data:image/png;base64,*",
		"cut off":    good[:60],
	} {
		if got := checkedIcon(uri); got != "" {
			t.Errorf("%s: accepted as %.60s", name, got)
		}
	}
}

func TestStatus(t *testing.T) {
	type reports = []metadatatest.Report
	certified := metadatatest.Report{Status: "FIDO_CERTIFIED_L1", Effective: "2020-01-01"}
	for _, c := range []struct {
		name          string
		reports       reports
		verdict       Verdict
		word, level   string
		at            time.Time
		certification string
	}{
		{name: "certified", reports: reports{certified}, verdict: Fine, certification: "L1"},
		{name: "older scheme", reports: reports{{Status: "FIDO_CERTIFIED"}}, verdict: Fine, certification: "FIDO"},
		{name: "not certified", reports: reports{{Status: "NOT_FIDO_CERTIFIED"}}, verdict: Fine},
		{name: "newest certification", reports: reports{{Status: "FIDO_CERTIFIED_L2plus", Effective: "2022-01-01"}, certified}, verdict: Fine, certification: "L2+"},
		{name: "certification to come", reports: reports{certified, {Status: "FIDO_CERTIFIED_L3", Effective: "2030-01-01"}}, verdict: Fine, certification: "L1"},
		{name: "revoked", reports: reports{certified, {Status: "REVOKED", Effective: "2023-01-01"}}, verdict: Refuse, word: "REVOKED"},
		{name: "certified after it was revoked", reports: reports{{Status: "REVOKED"}, certified}, verdict: Refuse, word: "REVOKED"},
		{name: "bypass", reports: reports{certified, {Status: "USER_VERIFICATION_BYPASS"}}, verdict: Refuse, word: "USER_VERIFICATION_BYPASS", certification: "L1"},
		{name: "attestation key", reports: reports{{Status: "ATTESTATION_KEY_COMPROMISE"}}, verdict: Refuse, word: "ATTESTATION_KEY_COMPROMISE"},
		{name: "attestation key of a batch", reports: reports{{Status: "ATTESTATION_KEY_COMPROMISE", Certificate: "AAAA"}}, verdict: Warn, word: "ATTESTATION_KEY_COMPROMISE"},
		{name: "remote", reports: reports{{Status: "USER_KEY_REMOTE_COMPROMISE"}}, verdict: Refuse, word: "USER_KEY_REMOTE_COMPROMISE"},
		{name: "physical", reports: reports{{Status: "USER_KEY_PHYSICAL_COMPROMISE"}}, verdict: Warn, word: "USER_KEY_PHYSICAL_COMPROMISE"},
		{name: "retired", reports: reports{{Status: "RETIRED"}}, verdict: Warn, word: "RETIRED"},
		{name: "worst of two", reports: reports{{Status: "USER_KEY_PHYSICAL_COMPROMISE"}, {Status: "REVOKED"}, {Status: "RETIRED"}}, verdict: Refuse, word: "REVOKED"},
		{name: "unknown word", reports: reports{certified, {Status: "EATEN_BY_DOG"}}, verdict: Warn, word: "EATEN_BY_DOG", certification: "L1"},
		{name: "unknown level", reports: reports{{Status: "FIDO_CERTIFIED_L9"}}, verdict: Fine},
		{name: "not yet", reports: reports{{Status: "REVOKED", Effective: "2026-12-01"}}, verdict: Fine},
		{name: "from that day", reports: reports{{Status: "REVOKED", Effective: "2026-12-01"}}, at: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), verdict: Refuse, word: "REVOKED"},
		{name: "over", reports: reports{{Status: "REVOKED", Sunset: "2026-01-01"}}, verdict: Fine},
		{name: "odd date counts", reports: reports{{Status: "REVOKED", Effective: "yesterday"}}, verdict: Refuse, word: "REVOKED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			r := w.with(t, w.entry(modelA, "Model A", c.reports...))
			if !c.at.IsZero() {
				w.now = c.at
			}
			m, _ := r.Model(modelA)
			if m.Status.Verdict != c.verdict || m.Status.Word != c.word || m.Certification != c.certification {
				t.Errorf("status %+v, certified %q", m.Status, m.Certification)
			}
		})
	}
}

func TestLevel(t *testing.T) {
	last := -1
	for _, l := range []string{"", "FIDO", "L1", "L1+", "L2", "L2+", "L3", "L3+"} {
		if Level(l) != last+1 {
			t.Errorf("%q is level %d", l, Level(l))
		}
		last++
	}
	if Level("L9") != -1 {
		t.Error("L9 has a level")
	}
}

func TestBundledNames(t *testing.T) {
	r := newWorld().registry()
	for id, b := range bundled {
		if c, ok := canonical(id); !ok || c != id || b.name == "" || b.vendor == "" {
			t.Errorf("%s: %+v", id, b)
		}
		m, ok := r.Model(strings.ToUpper(id))
		if !ok || m.Name != b.name || m.Source != Bundled || m.Status.Verdict != Fine {
			t.Errorf("%s: %+v", id, m)
		}
		if r.Name(id) != BundledName(id) {
			t.Errorf("%s is %q", id, r.Name(id))
		}
	}
	if _, ok := r.Model(Zero); ok {
		t.Error("the zero AAGUID is a model")
	}
	if _, ok := r.Model("bitwarden"); ok {
		t.Error("a name is an AAGUID")
	}
}

// TestMDSNamesWin: the list's name replaces the bundled one.
func TestMDSNamesWin(t *testing.T) {
	w := newWorld()
	const id = "2fc0579f-8113-47ea-b116-bb5a8db9202a"
	r := w.with(t, w.entry(id, "YubiKey 5 Series with NFC"))
	if m, _ := r.Model(id); m.Name != "YubiKey 5 Series with NFC" || m.Vendor != "Yubico" || m.Source != FromMDS {
		t.Errorf("%+v", m)
	}
	if got := r.Search("2fc0579f", 5); len(got) != 1 {
		t.Errorf("%d models", len(got))
	}
}

func TestSearch(t *testing.T) {
	w := newWorld()
	r := w.with(t, w.entry(modelA, "Zebra Key NFC"), w.entry(modelB, "Alpha Zebra"))
	for text, want := range map[string]string{
		"zebra":            "Zebra Key NFC, Alpha Zebra", // begins with it, then contains it
		"  NFC zebra ":     "Zebra Key NFC",
		"11111111":         "Zebra Key NFC",
		modelB:             "Alpha Zebra",
		"zebra 2222":       "Alpha Zebra",
		"bitwarden":        "Bitwarden",
		"microsoft hello":  "Windows Hello, Windows Hello, Windows Hello",
		"nothing like it ": "",
	} {
		var got []string
		for _, m := range r.Search(text, 10) {
			got = append(got, m.Name)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if n := len(r.Search("", 3)); n != 3 {
		t.Errorf("limit 3 gives %d", n)
	}
	if n := len(r.Search("", -1)); n != 0 {
		t.Errorf("limit -1 gives %d", n)
	}
	if n := len(r.Search("", 1000)); n != len(bundled)+2 {
		t.Errorf("%d of %d", n, len(bundled)+2)
	}
}

func TestNearest(t *testing.T) {
	r := newWorld().registry()
	const bitwarden = "d548826e-79b4-db40-a3d8-11116f7e8349"
	for typed, want := range map[string]string{
		bitwarden:                                 "Bitwarden",
		"d548826e-79b4-db40-a3d8-11116f7e8348":    "Bitwarden",
		"D548826E-79B4-DB40-A3D8-11116F7E834":     "Bitwarden",
		"d548826e79b4db40a3d811116f7e8349":        "Bitwarden",
		" {d548826e-79b4-db40-a3d8-11116f7e8349}": "Bitwarden",
		"d584826e-79b4-bd40-a3d8-11116f7e8349":    "Bitwarden",
		"00000000-0000-0000-0000-000000000000":    "",
		"something else altogether, longer":       "",
		"":                                        "",
	} {
		m, ok := r.Nearest(typed)
		if ok != (want != "") || m.Name != want {
			t.Errorf("%q: %q", typed, m.Name)
		}
	}
}

// TestVerdict: what policy asks at each sign-in is what Model says, and costs
// no memory.
func TestVerdict(t *testing.T) {
	w := newWorld()
	r := w.with(t,
		metadatatest.Entry(modelA, "Revoked key", nil, metadatatest.Report{Status: "FIDO_CERTIFIED_L2"}, metadatatest.Report{Status: "REVOKED", Effective: "2020-01-01"}),
		metadatatest.Entry(modelB, "Good key", nil),
	)
	for id, want := range map[string]Verdict{modelA: Refuse, modelB: Fine, PlatformCredential: Fine, "33333333-3333-4333-8333-333333333333": "", Zero: "", "": "", "nonsense": ""} {
		if got := r.Verdict(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
		if m, ok := r.Model(id); ok && m.Status.Verdict != want {
			t.Errorf("%q: Model says %q", id, m.Status.Verdict)
		}
	}
	if n := testing.AllocsPerRun(100, func() { r.Verdict(modelA) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	names := r.Names()
	if names[modelA] != "Revoked key" || names[PlatformCredential] == "" || len(names) != len(r.Search("", 1000)) {
		t.Errorf("%d names, %q", len(names), names[modelA])
	}
}
