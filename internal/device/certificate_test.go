package device_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
)

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// little is a GUID in the order of device-protocol.md §5.2, by hand.
func little(t *testing.T, guid string) string {
	t.Helper()
	p := strings.Split(guid, "-")
	swap := func(s string) string {
		var out string
		for i := len(s); i > 0; i -= 2 {
			out += s[i-2 : i]
		}
		return out
	}
	return swap(p[0]) + swap(p[1]) + swap(p[2]) + p[3] + p[4]
}

// TestProfile holds the certificate to device-protocol.md §5.2, byte for byte
// where it gives bytes.
func TestProfile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, join := range []device.JoinType{device.Joined, device.Registered} {
			c := candidate(t, rsaKey(t).Public())
			c.Join = join
			d, der := w.mustAdd(c)
			cert := parse(t, der)

			if len(cert.Subject.Names) != 1 || cert.Subject.CommonName != string(d.ID) || string(d.ID) != strings.ToLower(string(d.ID)) {
				t.Errorf("subject %v", cert.Subject.Names)
			}
			if cert.Issuer.CommonName != "MS-Organization-Access" {
				t.Errorf("issuer %v", cert.Issuer)
			}
			if !device.Same(cert.PublicKey, c.Key) || cert.SignatureAlgorithm != x509.SHA256WithRSA {
				t.Errorf("key or algorithm %s", cert.SignatureAlgorithm)
			}
			if !cert.NotBefore.Before(w.now) || w.now.Sub(cert.NotBefore) > time.Hour || !cert.NotAfter.Equal(w.now.AddDate(10, 0, 0)) {
				t.Errorf("from %s to %s", cert.NotBefore, cert.NotAfter)
			}
			kind := "1"
			if join == device.Registered {
				kind = "0"
			}
			want := []string{
				"2.5.29.37 true 300a06082b06010505070302",
				"2.5.29.19 true 3000",
				"1.2.840.113556.1.5.284.2 false 048110" + little(t, string(d.ID)),
				"1.2.840.113556.1.5.284.3 false 048110" + little(t, string(ada)),
				"1.2.840.113556.1.5.284.5 false 048110" + little(t, string(tenant)),
				"1.2.840.113556.1.5.284.8 false 048102" + hex.EncodeToString([]byte("EU")),
				"1.2.840.113556.1.5.284.7 false 048101" + hex.EncodeToString([]byte(kind)),
			}
			var got []string
			for _, e := range cert.Extensions {
				got = append(got, fmt.Sprintf("%s %v %x", e.Id, e.Critical, e.Value))
			}
			if len(got) != len(want) {
				t.Errorf("extensions:\n%s", strings.Join(got, "\n"))
			}
			for _, e := range want {
				if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+e+"\n") {
					t.Errorf("no extension %s among\n%s", e, strings.Join(got, "\n"))
				}
			}
			sum := sha1.Sum(der)
			if d.Thumbprint != strings.ToUpper(hex.EncodeToString(sum[:])) || len(d.Thumbprint) != 40 {
				t.Errorf("thumbprint %s", d.Thumbprint)
			}
		}
	})
}

// The sample of device-protocol.md §5.1: a GUID's bytes in Microsoft's order.
func TestGUIDOrder(t *testing.T) {
	if got := little(t, "00112233-4455-6677-8899-aabbccddeeff"); got != "33221100554477668899aabbccddeeff" {
		t.Errorf("%s", got)
	}
	got, err := device.GUIDBytes("00112233-4455-6677-8899-aabbccddeeff")
	if err != nil || !bytes.Equal(got, mustHex("33221100554477668899aabbccddeeff")) {
		t.Errorf("%x, %v", got, err)
	}
	if back := device.GUIDText(append([]byte{4, 0x81, 16}, got...)); back != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Errorf("back: %s", back)
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// FuzzIdentify gives the reader of certificates anything at all.
func FuzzIdentify(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		if _, err := device.ReadProfile(cert); err == nil && cert.IsCA {
			t.Error("a CA passes for a device")
		}
	})
}
