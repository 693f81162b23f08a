package trust

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/pkix"
)

// MaxUpload bounds what Parse looks at, in bytes.
const MaxUpload = 1 << 20

// The content type of signed data (RFC 5652 §5.1).
var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

// Parse reads the certificates of an upload: PEM with any number of them, PEM
// or DER of a PKCS#7 that holds certificates only, or DER of certificates one
// after the other. It bounds the upload to MaxUpload and MaxAuthorities
// certificates. Nothing is believed of them yet: Add looks at what they are. A
// certificate that is there twice is given once. Errors are Invalid.
func Parse(upload []byte) ([]*x509.Certificate, error) {
	if len(upload) > MaxUpload {
		return nil, unread("upload_too_large", fmt.Errorf("%d bytes", len(upload)), "The file is larger than 1 MiB.")
	}
	trimmed := bytes.TrimSpace(upload)
	if len(trimmed) == 0 {
		return nil, unread("upload_empty", errors.New("no bytes"), "The file is empty.")
	}
	var out []*x509.Certificate
	var err error
	if bytes.Contains(upload, []byte("-----BEGIN ")) {
		out, err = fromPEM(trimmed)
	} else {
		out, err = fromDER(upload)
	}
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, unread("upload_empty", errors.New("no certificates"), "There is no certificate in the file.")
	}
	if out = once(out); len(out) > MaxAuthorities {
		return nil, unread("upload_too_many", fmt.Errorf("%d certificates", len(out)), fmt.Sprintf("The file has %d certificates, and a tenant may have %d.", len(out), MaxAuthorities))
	}
	return out, nil
}

// fromPEM reads every block, and refuses those that are no certificates: a
// private key in an upload is a mistake that must be told.
func fromPEM(text []byte) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	rest, n := text, 0
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		n++
		var some []*x509.Certificate
		var err error
		switch {
		case block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE":
			some, err = x509.ParseCertificates(block.Bytes)
		case block.Type == "PKCS7" || block.Type == "CMS":
			some, err = fromPKCS7(block.Bytes)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil, unread("upload_private_key", errors.New("a private key"),
				"There is a private key in the file. It was not kept. Send the certificates alone, and treat the key as known to others.")
		default:
			return nil, unread("upload_other", fmt.Errorf("block %d is %q", n, block.Type), fmt.Sprintf("Block %d of the file is %s and no certificate.", n, quote(block.Type)))
		}
		if err != nil {
			return nil, unread("upload_malformed", fmt.Errorf("block %d: %w", n, err), fmt.Sprintf("Block %d of the file is no certificate that can be read.", n))
		}
		out = append(out, some...)
	}
	if bytes.Contains(rest, []byte("-----BEGIN ")) {
		return nil, unread("upload_malformed", fmt.Errorf("what comes after block %d", n), fmt.Sprintf("What comes after block %d of the file is damaged.", n))
	}
	return out, nil
}

func fromDER(der []byte) ([]*x509.Certificate, error) {
	out, err := x509.ParseCertificates(der)
	if err == nil {
		return out, nil
	}
	if some, err7 := fromPKCS7(der); err7 == nil {
		return some, nil
	}
	if isPKCS12(der) {
		return nil, unread("upload_pkcs12", err, "This is a PKCS#12 file (.p12, .pfx), which is made to hold a private key. It was not kept. Send the certificates alone: PEM, DER or PKCS#7 (.p7b).")
	}
	return nil, unread("upload_malformed", err, "This is no certificate that can be read: PEM, DER and PKCS#7 (.p7b) are.")
}

// isPKCS12 knows a PFX by its beginning: a version of 3, and a sequence (RFC 7292
// §4). One that is not DER is not known.
func isPKCS12(der []byte) bool {
	var pfx struct {
		Version int
		Safe    asn1.RawValue
		Mac     asn1.RawValue `asn1:"optional"`
	}
	_, err := asn1.Unmarshal(der, &pfx)
	return err == nil && pfx.Version == 3 && pfx.Safe.Tag == asn1.TagSequence
}

// fromPKCS7 reads the certificates of a SignedData that signs nothing, as RFC
// 5652 §5.1 calls it: "degenerate". It is strict DER. Whatever signatures there
// may be are not looked at: the certificates speak for themselves.
func fromPKCS7(der []byte) ([]*x509.Certificate, error) {
	var info struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"`
	}
	rest, err := asn1.Unmarshal(der, &info)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 || !info.Type.Equal(oidSignedData) {
		return nil, fmt.Errorf("content type %s, %d bytes behind it", info.Type, len(rest))
	}
	var data struct {
		Version      int
		Digests      asn1.RawValue `asn1:"set"`
		Content      asn1.RawValue
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Lists        asn1.RawValue `asn1:"optional,tag:1"`
		Signers      asn1.RawValue `asn1:"set"`
	}
	if rest, err = asn1.Unmarshal(info.Content.Bytes, &data); err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, errors.New("bytes behind the signed data")
	}
	return x509.ParseCertificates(data.Certificates.Bytes)
}

// once drops what is there twice, and keeps the order.
func once(all []*x509.Certificate) []*x509.Certificate {
	seen := make(map[string]bool, len(all))
	return slices.DeleteFunc(all, func(c *x509.Certificate) bool {
		twice := seen[string(c.Raw)]
		seen[string(c.Raw)] = true
		return twice
	})
}

// Offers makes offers of an upload for a tenant: roots are those that signed
// themselves, and the address of a list is taken from the certificates that an
// authority has issued, itself included: that is where RFC 5280 §4.2.1.13 has
// issuers write it. have are the authorities that the tenant has. Nothing is
// decided by it: who adds them sees it, and may say otherwise.
func Offers(certs []*x509.Certificate, have []Authority) []Offer {
	all := slices.Clone(certs)
	for _, a := range have {
		all = append(all, a.Cert)
	}
	out := make([]Offer, 0, len(certs))
	for _, c := range certs {
		out = append(out, Offer{Cert: c, Name: label(c), Root: SelfSigned(c), CRL: listOf(c, all)})
	}
	return out
}

// listOf is the first address for lists in certificates that name c as their
// issuer.
func listOf(c *x509.Certificate, all []*x509.Certificate) string {
	for _, below := range all {
		other := len(below.AuthorityKeyId) > 0 && len(c.SubjectKeyId) > 0 && !bytes.Equal(below.AuthorityKeyId, c.SubjectKeyId)
		if other || !bytes.Equal(below.RawIssuer, c.RawSubject) {
			continue
		}
		for _, at := range below.CRLDistributionPoints {
			if fetchable(at) {
				return at
			}
		}
	}
	return ""
}

// SelfSigned says whether a certificate is signed by its own key, under its own
// name. Where that signature is of a kind that is not looked at any more, the
// key identifiers say it: nobody relies on it anyway.
func SelfSigned(c *x509.Certificate) bool {
	// What could not serve is not looked at: a huge key takes its time.
	if !bytes.Equal(c.RawIssuer, c.RawSubject) || pkix.Fit(c, true) != nil {
		return false
	}
	err := c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature)
	var old x509.InsecureAlgorithmError
	if errors.As(err, &old) || errors.Is(err, x509.ErrUnsupportedAlgorithm) {
		return len(c.AuthorityKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId)
	}
	return err == nil
}

// suitable refuses what cannot be an authority here, by name: no path through
// it would hold, now or later.
func suitable(c *x509.Certificate, root bool, now time.Time) error {
	if now.After(c.NotAfter) {
		return unfit("authority_expired", c, "The certificate of "+quote(label(c))+" expired on "+c.NotAfter.UTC().Format("2 January 2006")+".")
	}
	return fit(c, root)
}

// fit is suitable but for the time.
func fit(c *x509.Certificate, root bool) error {
	err := pkix.Fit(c, root)
	if err == nil {
		return nil
	}
	var f *pkix.Fault
	if !errors.As(err, &f) {
		return err
	}
	name, why := quote(label(c)), "."
	if f.Err != nil {
		why = ": " + audit.Clean(f.Err.Error(), 200) + "."
	}
	switch f.Reason {
	case pkix.NotCA:
		return unfit("not_a_ca", c, "The certificate of "+name+" is not that of a certificate authority"+why)
	case pkix.WeakAlgorithm:
		return unfit("weak_algorithm", c, "The certificate of "+name+" has a key or a signature that is not accepted"+why)
	case pkix.TooBig:
		return unfit("certificate_too_big", c, "The certificate of "+name+" is too big"+why)
	}
	return unfit("certificate_unfit", c, "The certificate of "+name+" cannot be used, since every path through it would be refused"+why)
}

func unread(reason string, err error, says string) error {
	return idp.Invalidf(reason, "upload: %w", err).On("certificate").Say(says)
}

func unfit(reason string, c *x509.Certificate, says string) error {
	return idp.Invalidf(reason, "certificate %s", Thumbprint(c)).On("certificate").Say(says)
}
