package pkix

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
)

// The extensions that path validation processes (RFC 5280 §4.2).
var (
	oidSubjectKeyID      = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage          = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName    = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints  = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints   = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidDistribution      = asn1.ObjectIdentifier{2, 5, 29, 31}
	oidPolicies          = asn1.ObjectIdentifier{2, 5, 29, 32}
	oidPolicyMappings    = asn1.ObjectIdentifier{2, 5, 29, 33}
	oidAuthorityKeyID    = asn1.ObjectIdentifier{2, 5, 29, 35}
	oidPolicyConstraints = asn1.ObjectIdentifier{2, 5, 29, 36}
	oidExtendedKeyUsage  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidInhibitAnyPolicy  = asn1.ObjectIdentifier{2, 5, 29, 54}
)

var processed = []asn1.ObjectIdentifier{
	oidKeyUsage, oidSubjectAltName, oidBasicConstraints, oidNameConstraints, oidDistribution, oidPolicies,
	oidPolicyMappings, oidPolicyConstraints, oidExtendedKeyUsage, oidInhibitAnyPolicy, oidSubjectKeyID, oidAuthorityKeyID,
}

// extension gives a certificate's extension, nil when it has none such.
// crypto/x509 has refused certificates that have one twice.
func extension(cert *x509.Certificate, oid asn1.ObjectIdentifier) *pkix.Extension {
	for i := range cert.Extensions {
		if slices.Equal(cert.Extensions[i].Id, oid) {
			return &cert.Extensions[i]
		}
	}
	return nil
}
