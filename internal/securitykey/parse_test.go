package securitykey

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

func printed(t testing.TB, change func(lines []string) []string) []byte {
	data, err := cbor.Marshal(bytes.Repeat([]byte{7}, 60))
	if err != nil {
		t.Fatal(err)
	}
	std := base64.StdEncoding.EncodeToString
	lines := []string{std(make([]byte, sha256.Size)), "id.example", "packed", std(data), std([]byte("id")), std([]byte("signature"))}
	if change != nil {
		lines = change(lines)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func TestParseMade(t *testing.T) {
	m, err := parseMade(printed(t, nil))
	if err != nil || string(m.id) != "id" || string(m.sig) != "signature" || len(m.authData) != 60 || m.x5c != nil || m.format != "packed" {
		t.Fatalf("read %+v, %v", m, err)
	}
	for _, tt := range []struct {
		name, want string
		change     func([]string) []string
	}{
		{"five lines", "5 lines", func(l []string) []string { return l[:5] }},
		{"eight lines", "8 lines", func(l []string) []string { return append(l, "AA==", "AA==") }},
		{"a short hash", "client data hash of 1 bytes", func(l []string) []string { l[0] = "AA=="; return l }},
		{"no base64", "signature is not base64", func(l []string) []string { l[5] = "***"; return l }},
		{"an empty id", "credential id is not base64", func(l []string) []string { l[4] = ""; return l }},
		{"authenticator data without its CBOR", "authenticator data", func(l []string) []string {
			l[3] = base64.StdEncoding.EncodeToString([]byte("raw"))
			return l
		}},
		{"a certificate that is none", "certificate is not base64", func(l []string) []string { return append(l, "=") }},
	} {
		if _, err := parseMade(printed(t, tt.change)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	m.format = "tpm"
	if _, err := m.object(); err == nil || !strings.Contains(err.Error(), `"tpm"`) {
		t.Errorf("a format that no security key has: %v", err)
	}
}

func FuzzParseMade(f *testing.F) {
	f.Add(printed(f, nil))
	f.Add(printed(f, func(l []string) []string { return append(l, "MAA=") }))
	f.Fuzz(func(t *testing.T, out []byte) {
		m, err := parseMade(out)
		if err != nil {
			return
		}
		object, err := m.object()
		if err != nil {
			return
		}
		var back struct {
			Format   string `cbor:"fmt"`
			AuthData []byte `cbor:"authData"`
		}
		if err := cbor.Unmarshal(object, &back); err != nil || back.Format != m.format || !bytes.Equal(back.AuthData, m.authData) {
			t.Fatalf("%+v, %v", back, err)
		}
	})
}

func FuzzParseDevices(f *testing.F) {
	f.Add([]byte("/dev/hidraw5: vendor=0x1050, product=0x0407 (Yubico YubiKey OTP+FIDO+CCID)\npcsc://slot0: vendor=0x0000, product=0x0000 ()\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, d := range parseDevices(out) {
			// A path is an argument of the tools, and no option of theirs.
			if d.Path == "" || d.Path[0] == '-' || strings.ContainsAny(d.Path+d.Name, "\n") {
				t.Fatalf("%+v", d)
			}
		}
	})
}

func TestLastLine(t *testing.T) {
	for said, want := range map[string]string{
		"Enter PIN for /dev/hidraw5: fido2-cred: fido_dev_make_cred: FIDO_ERR_PIN_INVALID\n": "fido_dev_make_cred: FIDO_ERR_PIN_INVALID",
		"one\nfido2-cred: two\x1b[2J\n": "two?[2J",
		"":                              "",
		strings.Repeat("x", 400):        strings.Repeat("x", 300),
	} {
		if got := lastLine([]byte(said), credTool); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

// answered is what fido2-assert -G prints.
func answered(t testing.TB, change func(lines []string) []string) []byte {
	lines := strings.Split(strings.TrimSpace(string(printed(t, nil))), "\n")
	lines = []string{lines[0], lines[1], lines[3], lines[5]}
	if change != nil {
		lines = change(lines)
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func TestParseSigned(t *testing.T) {
	s, err := parseSigned(answered(t, nil))
	if err != nil || len(s.authData) != 60 || string(s.sig) != "signature" {
		t.Fatalf("read %+v, %v", s, err)
	}
	for _, tt := range []struct {
		name, want string
		change     func([]string) []string
	}{
		{"three lines", "3 lines", func(l []string) []string { return l[:3] }},
		{"two assertions", "8 lines", func(l []string) []string { return append(l, l...) }},
		{"a short hash", "client data hash of 1 bytes", func(l []string) []string { l[0] = "AA=="; return l }},
		{"no base64", "signature is not base64", func(l []string) []string { l[3] = "***"; return l }},
		{"authenticator data without its CBOR", "authenticator data", func(l []string) []string {
			l[2] = base64.StdEncoding.EncodeToString([]byte("raw"))
			return l
		}},
	} {
		if _, err := parseSigned(answered(t, tt.change)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzParseSigned(f *testing.F) {
	f.Add(answered(f, nil))
	f.Fuzz(func(t *testing.T, out []byte) {
		if s, err := parseSigned(out); err == nil && len(s.sig) == 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestParsePasskeys(t *testing.T) {
	all := parsePasskeys([]byte("a warning\n00: aWQ= Ada of the Harbour dXNlcg== es256 uvopt\n01: aWQy (null) dXNlcg== es256 uvreq\n" +
		"02: aWQz  dXNlcg== es256 uvopt\n03: *** Ada dXNlcg== es256 uvopt\n04: aWQ= Ada  es256 uvopt\n05: aWQ=\n"))
	if len(all) != 3 || string(all[0].ID) != "id" || string(all[0].User) != "user" || all[0].Name != "Ada of the Harbour" || all[1].Name != "" || all[2].Name != "" {
		t.Errorf("%+v", all)
	}
}

func FuzzParsePasskeys(f *testing.F) {
	f.Add([]byte("00: aWQ= Ada of the Harbour dXNlcg== es256 uvopt\n"))
	f.Fuzz(func(t *testing.T, out []byte) {
		for _, p := range parsePasskeys(out) {
			if len(p.ID) == 0 || len(p.User) == 0 || strings.Contains(p.Name, "\n") {
				t.Fatalf("%+v", p)
			}
		}
	})
}
