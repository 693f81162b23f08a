package oddclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// newRSA and newEC make software keys, the only ones here.
func newRSA() (*rsa.PrivateKey, error)  { return rsa.GenerateKey(rand.Reader, 2048) }
func newEC() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// rsaBlob is a public key as an RSA1 blob (device-protocol.md §5.4).
func rsaBlob(k *rsa.PublicKey) []byte {
	e, n := big.NewInt(int64(k.E)).Bytes(), k.N.Bytes()
	out := []byte("RSA1")
	for _, v := range []int{k.N.BitLen(), len(e), len(n), 0, 0} {
		out = binary.LittleEndian.AppendUint32(out, uint32(v))
	}
	return append(append(out, e...), n...)
}

// helloKid names a Hello key: standard base64 of SHA-256 of its blob (§7.2).
func helloKid(k *rsa.PublicKey) string {
	sum := sha256.Sum256(rsaBlob(k))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// rsaJWK is the transport key as one client sends it: JSON text with standard
// base64 inside, in standard base64 again (§5.1 b).
func rsaJWK(k *rsa.PublicKey) string {
	text := fmt.Sprintf(`{"kty":"RSA","e":%q,"n":%q,"alg":"RS256","kid":%q}`,
		base64.StdEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes()), base64.StdEncoding.EncodeToString(k.N.Bytes()), newGUID())
	return base64.StdEncoding.EncodeToString([]byte(text))
}

// ecJWK is a storage key for api-version 3.0: standard base64 coordinates that
// lack leading zeros (§5.1 c).
func ecJWK(k *ecdsa.PublicKey) (string, error) {
	point, err := k.Bytes()
	if err != nil {
		return "", err
	}
	std := func(b []byte) string { return base64.StdEncoding.EncodeToString(new(big.Int).SetBytes(b).Bytes()) }
	out, err := json.Marshal(map[string]string{"kty": "EC", "crv": "P-256", "x": std(point[1:33]), "y": std(point[33:]), "kid": newGUID()})
	return string(out), err
}

// newGUID is a random GUID in lower case.
func newGUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&15|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// csrName is the subject that every request for a device certificate has (§5.1).
const csrName = "7E980AD9-B86D-4306-9425-9AC066FB014A"

// csr shapes a PKCS#10 request.
type csr struct {
	name string // common name; csrName when empty
	// utf8 writes the name as a UTF8String and adds an extension request
	// that asks for nothing (§5.1).
	utf8 bool
	// breakSignature turns a bit of the proof of possession.
	breakSignature bool
}

// make writes the request by hand: the library's own writer has neither of the
// two habits.
func (c csr) make(key crypto.Signer) ([]byte, error) {
	if c.name == "" {
		c.name = csrName
	}
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	tag := asn1.TagPrintableString
	var attributes []byte
	if c.utf8 {
		tag = asn1.TagUTF8String
		// Attribute { extensionRequest, SET { SEQUENCE {} } }
		oid, err := asn1.Marshal(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14})
		if err != nil {
			return nil, err
		}
		attributes = der(0x30, oid, der(0x31, der(0x30)))
	}
	oid, err := asn1.Marshal(asn1.ObjectIdentifier{2, 5, 4, 3})
	if err != nil {
		return nil, err
	}
	subject := der(0x30, der(0x31, der(0x30, oid, der(byte(tag), []byte(c.name)))))
	info := der(0x30, der(2, []byte{0}), subject, spki, der(0xa0, attributes))
	sum := sha256.Sum256(info)
	sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if c.breakSignature {
		sig[len(sig)-1] ^= 1
	}
	algorithm, err := signatureAlgorithm(key)
	if err != nil {
		return nil, err
	}
	return der(0x30, info, algorithm, der(3, []byte{0}, sig)), nil
}

func signatureAlgorithm(key crypto.Signer) ([]byte, error) {
	id, null := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, []byte{5, 0}
	if _, ec := key.(*ecdsa.PrivateKey); ec {
		id, null = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, nil
	}
	oid, err := asn1.Marshal(id)
	if err != nil {
		return nil, err
	}
	return der(0x30, oid, null), nil
}

// der writes one element of the given tag around its parts.
func der(tag byte, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	switch n := len(body); {
	case n < 0x80:
		return append([]byte{tag, byte(n)}, body...)
	case n < 0x100:
		return append([]byte{tag, 0x81, byte(n)}, body...)
	default:
		return append([]byte{tag, 0x82, byte(n >> 8), byte(n)}, body...)
	}
}

// thumbprint is SHA-1 of a certificate in upper-case hex (§5.1).
func thumbprint(cert []byte) string {
	sum := sha1.Sum(cert)
	return strings.ToUpper(hex.EncodeToString(sum[:]))
}

// guidLittle is a GUID in Microsoft's byte order (§5.2).
func guidLittle(guid string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(guid, "-", ""))
	if err != nil || len(b) != 16 {
		return nil, fmt.Errorf("%q is no GUID", guid)
	}
	return []byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}, nil
}

// cloudSID is the SID of an object id (§5.1).
func cloudSID(guid string) (string, error) {
	b, err := guidLittle(guid)
	if err != nil {
		return "", err
	}
	out := "S-1-12-1"
	for i := 0; i < 16; i += 4 {
		out += fmt.Sprint("-", binary.LittleEndian.Uint32(b[i:]))
	}
	return out, nil
}
