package device

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/signetid/signet/internal/idp"
)

// The device certificate's profile (device-protocol.md §5.2).
const (
	certificateYears = 10
	// Region is what we say of where a tenant is, in certificates and in the
	// OpenID configuration: clients only show it. [I]
	Region = "EU"
)

var (
	oidExtKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidDevice      = asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 2}
	oidUser        = asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 3}
	oidTenant      = asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 5}
	oidJoinType    = asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 7}
	oidRegion      = asn1.ObjectIdentifier{1, 2, 840, 113556, 1, 5, 284, 8}
)

// clientAuth is the value of an extended key usage that is client
// authentication and nothing else (RFC 5280, §4.2.1.12). crypto/x509 would not
// make it critical.
var clientAuth = func() []byte {
	der, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 2}})
	if err != nil {
		panic(err) // a constant
	}
	return der
}()

// certificateTemplate is all that a device certificate says; of the request
// only the public key gets into one.
func certificateTemplate(d Device) (*x509.Certificate, error) {
	join := "0"
	if d.Join == Joined {
		join = "1"
	}
	extensions := []pkix.Extension{{Id: oidExtKeyUsage, Critical: true, Value: clientAuth}}
	for _, id := range []struct {
		oid  asn1.ObjectIdentifier
		text string
	}{{oidDevice, string(d.ID)}, {oidUser, cmp.Or(string(d.Owner), nobody)}, {oidTenant, string(d.Tenant)}} {
		guid, err := guidBytes(id.text)
		if err != nil {
			return nil, fmt.Errorf("certificate of device %s: %w", d.ID, err)
		}
		extensions = append(extensions, pkix.Extension{Id: id.oid, Value: octets(guid)})
	}
	extensions = append(extensions,
		pkix.Extension{Id: oidRegion, Value: octets([]byte(Region))},
		pkix.Extension{Id: oidJoinType, Value: octets([]byte(join))},
	)
	return &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: string(d.ID)},
		NotBefore:    d.Created.Add(-backdate).Truncate(time.Second),
		NotAfter:     d.Created.AddDate(certificateYears, 0, 0).Truncate(time.Second),

		BasicConstraintsValid: true,
		ExtraExtensions:       extensions,
		SignatureAlgorithm:    x509.SHA256WithRSA,
	}, nil
}

// nobody is what the certificate of a device says that is nobody's yet.
const nobody = "00000000-0000-0000-0000-000000000000"

// octets is an OCTET STRING whose length takes two bytes, as in the published
// sample: one client looks for exactly these. The values are short.
func octets(value []byte) []byte {
	return append([]byte{asn1.TagOctetString, 0x81, byte(len(value))}, value...)
}

// guidBytes is a GUID in Microsoft's order: the first three groups are little
// endian.
func guidBytes(text string) ([]byte, error) {
	u, err := uuid.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("id %.40q is no GUID: %w", text, err)
	}
	return swapped(u), nil
}

func swapped(u uuid.UUID) []byte {
	return []byte{u[3], u[2], u[1], u[0], u[5], u[4], u[7], u[6], u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]}
}

// named is what a certificate of ours says.
type named struct {
	tenant idp.TenantID
	device idp.DeviceID
}

// readProfile reads of a certificate which device of which tenant it says it
// is, and checks that it has the one shape that we give certificates. What it
// says is not verified.
func readProfile(cert *x509.Certificate) (named, error) {
	var n named
	if cert.Version != 3 || !cert.BasicConstraintsValid || cert.IsCA {
		return n, errors.New("it is no end-entity certificate of version 3")
	}
	if len(cert.DNSNames)+len(cert.IPAddresses)+len(cert.EmailAddresses)+len(cert.URIs) > 0 {
		return n, errors.New("it has alternative names")
	}
	usage := false
	for _, e := range cert.Extensions {
		switch {
		case e.Id.Equal(oidExtKeyUsage):
			usage = e.Critical && bytes.Equal(e.Value, clientAuth)
		case e.Id.Equal(oidDevice):
			n.device = idp.DeviceID(guidText(e.Value))
		case e.Id.Equal(oidTenant):
			n.tenant = idp.TenantID(guidText(e.Value))
		}
	}
	switch {
	case !usage:
		return n, errors.New("it is not for client authentication alone")
	case n.device == "" || n.tenant == "":
		return n, errors.New("it names no device or no tenant")
	case cert.Subject.CommonName != string(n.device):
		return n, errors.New("its subject is another than its device")
	}
	return n, nil
}

// guidText reads an extension that octets made of a GUID; "" when it is none.
func guidText(value []byte) string {
	raw, ok := bytes.CutPrefix(value, []byte{asn1.TagOctetString, 0x81, 16})
	if !ok || len(raw) != 16 {
		return ""
	}
	return uuid.UUID(swapped(uuid.UUID(raw))).String()
}

// maxCertificate is longer than any that we make.
const maxCertificate = 8 << 10

// Identify finds the device whose certificate this is (DER, the leaf alone): it
// must be of the authority of its tenant, within its time, and its key that of
// the device's row. A disabled device is found too: the caller asks Enabled.
// Whatever is wrong is Unproven with the number 50155: "device_certificate" (not
// ours, or broken), "device_unknown" (not registered any more). The tenant
// comes out of the row.
//
// The checks are ours, one by one: the tenant's one authority signed it, it has
// our profile, its time is now, its key is registered. No chain is built, and
// nothing in the certificate chooses what it is verified against but the tenant
// that it names, which is then held to be the row's.
func (r *Registry) Identify(ctx context.Context, leaf []byte) (Device, error) {
	if len(leaf) > maxCertificate {
		return Device{}, foreign("certificate of %d bytes", len(leaf))
	}
	c, err := r.certified.Get(ctx, string(leaf))
	if err != nil {
		return Device{}, err
	}
	if now := r.cfg.Now(); now.Before(c.from) || now.After(c.until) {
		return Device{}, foreign("it is good from %s to %s", c.from, c.until)
	}
	return r.holder(ctx, c)
}

// certified is a certificate that the authority of its tenant has made. That it
// did stays so; whether it is good now is asked each time.
type certified struct {
	named
	digest      string // of its key
	from, until time.Time
}

// examine verifies a certificate: the work that Identify need not do twice for
// one that it knows.
func (r *Registry) examine(ctx context.Context, leaf string) (certified, error) {
	cert, err := x509.ParseCertificate([]byte(leaf))
	if err != nil {
		return certified{}, foreign("%w", err)
	}
	says, err := readProfile(cert)
	if err != nil {
		return certified{}, foreign("%w", err)
	}
	ca, err := r.authority(ctx, says.tenant)
	if errors.Is(err, idp.NotFound) {
		return certified{}, foreign("tenant %s has no device authority", says.tenant)
	}
	if err != nil {
		return certified{}, err
	}
	if err := certifies(ca, cert); err != nil {
		return certified{}, foreign("%w", err)
	}
	digest, err := Digest(cert.PublicKey)
	if err != nil {
		return certified{}, foreign("%w", err)
	}
	return certified{says, string(digest), cert.NotBefore, cert.NotAfter}, nil
}

// certifies says why a certificate is not one that ca made.
func certifies(ca, cert *x509.Certificate) error {
	switch {
	case !bytes.Equal(cert.RawIssuer, ca.RawSubject):
		return errors.New("it names another issuer")
	case cert.SignatureAlgorithm != x509.SHA256WithRSA:
		return fmt.Errorf("it is signed by %s", cert.SignatureAlgorithm)
	}
	return cert.CheckSignatureFrom(ca)
}

// holder finds the device by the key of a verified certificate.
func (r *Registry) holder(ctx context.Context, c certified) (Device, error) {
	for range 2 {
		at, err := r.places.Get(ctx, c.digest)
		if errors.Is(err, idp.NotFound) {
			break
		}
		if err != nil {
			return Device{}, err
		}
		if at.tenant != c.tenant || at.id != c.device {
			r.places.Drop(c.digest) // registered anew, maybe
			continue
		}
		d, err := r.devices.Get(ctx, at)
		if errors.Is(err, idp.NotFound) {
			r.places.Drop(c.digest)
			continue
		}
		if err != nil {
			return Device{}, err
		}
		if d.digest != c.digest {
			r.places.Drop(c.digest) // it has another key by now (Rekey)
			continue
		}
		return d.Device, nil
	}
	return Device{}, idp.Unprovenf("device_unknown", "device %s of %s is not registered", c.device, c.tenant).Coded(codeDevice).Say(sayDevice)
}

// codeDevice is the AADSTS number of a device that does not authenticate
// (device-protocol.md §3.2), sayDevice what is shown.
const (
	codeDevice = 50155
	sayDevice  = "Device authentication failed for this user."
)

func foreign(format string, args ...any) error {
	return idp.Unprovenf("device_certificate", format, args...).Coded(codeDevice).Say(sayDevice)
}
