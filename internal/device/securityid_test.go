package device_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/device"
)

func TestSecurityID(t *testing.T) {
	r, e := rsaKey(t), ecKey(t)
	point, err := e.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key   crypto.PublicKey
		bytes []byte
	}{
		"RSA":   {r.Public().(*rsa.PublicKey), x509.MarshalPKCS1PublicKey(&r.PublicKey)},
		"P-256": {e.Public().(*ecdsa.PublicKey), point},
	} {
		print := strings.Repeat("0A", 20)
		sum := sha256.Sum256(tt.bytes)
		got, err := device.Device{Key: tt.key, Thumbprint: print}.SecurityID()
		if want := "X509:<SHA1-TP-PUBKEY>" + print + base64.StdEncoding.EncodeToString(sum[:]); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, want)
		}
	}
	if _, err := (device.Device{}).SecurityID(); err == nil {
		t.Error("a device without a key has a name")
	}
}
