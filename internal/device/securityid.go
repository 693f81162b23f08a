package device

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
)

// securityPrefix begins the name by which directories know a device's
// certificate [K] (device-protocol.md §5.4).
const securityPrefix = "X509:<SHA1-TP-PUBKEY>"

// SecurityID names the certificate and the key of a device as directories do:
// behind the prefix the certificate's SHA-1 in upper-case hex, and the SHA-256
// of the public key in base64. It is a name; nothing rests on it.
func (d Device) SecurityID() (string, error) {
	der, err := x509.MarshalPKIXPublicKey(d.Key)
	if err != nil {
		return "", fmt.Errorf("key of device %s: %w", d.ID, err)
	}
	var key struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(der, &key); err != nil {
		return "", fmt.Errorf("key of device %s: %w", d.ID, err)
	}
	sum := sha256.Sum256(key.Key.Bytes)
	return securityPrefix + d.Thumbprint + base64.StdEncoding.EncodeToString(sum[:]), nil
}
