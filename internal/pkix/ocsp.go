package pkix

import (
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	encoding "encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

// MaxOCSP is how long an answer of a responder may be, in bytes.
const MaxOCSP = 64 << 10

// skewOCSP is how far a responder's clock may be ahead of ours.
const skewOCSP = 5 * time.Minute

// Object identifiers of RFC 6960 §4.2.1, §4.2.2.2.1 and §4.4.1.
var (
	oidNonce   = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidNoCheck = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
)

// OCSP says what is asked of a responder's answer.
type OCSP struct {
	Now time.Time
	// Nonce is what was sent; nil: nothing was. An answer with another one is
	// refused, one without any only where NeedNonce says so: responders that
	// sign ahead have none, and then the times decide (RFC 6960 §4.4.1, RFC 8954).
	Nonce     []byte
	NeedNonce bool
	// MaxAge is how old an answer may be that does not tell when the next
	// comes. Zero: such answers are refused.
	MaxAge time.Duration
	SHA1   bool // as Options.SHA1
	// Check asks whether a delegate is revoked that does not say that nobody
	// need ask (ocsp-nocheck, RFC 6960 §4.2.2.2.1). Nil: such delegates are
	// refused.
	Check func(delegate, issuer *x509.Certificate) error
}

// RequestOCSP writes a request (RFC 6960 §4.1) about one certificate, by SHA-1
// identifiers, which every responder knows; they protect nothing. nonce is 1
// to 32 bytes, or nil.
func RequestOCSP(cert, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	der, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil || nonce == nil {
		return der, err
	}
	in := cryptobyte.String(der)
	var request, tbs cryptobyte.String
	if !in.ReadASN1(&request, asn1.SEQUENCE) || !request.ReadASN1(&tbs, asn1.SEQUENCE) || !request.Empty() {
		return nil, errors.New("OCSP request is not of the expected shape")
	}
	value, err := encoding.Marshal(nonce)
	if err != nil {
		return nil, err
	}
	extensions, err := encoding.Marshal([]pkix.Extension{{Id: oidNonce, Value: value}})
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(tbs)
			b.AddASN1(asn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddBytes(extensions) })
		})
	})
	return b.Bytes()
}

// CheckOCSP says whether an answer proves that cert, issued by issuer, is not
// revoked now. The responder is issuer itself, or a delegate to whom issuer
// issued a certificate for signing answers (RFC 6960 §4.2.2.2). Errors are a
// *Fault about cert: Revoked, with a *RevokedError, or RevocationUnknown.
func CheckOCSP(der []byte, cert, issuer *x509.Certificate, o OCSP) (Status, error) {
	unknown := func(format string, args ...any) (Status, error) {
		return Status{}, &Fault{Reason: RevocationUnknown, Cert: cert, Err: fmt.Errorf("responder: "+format, args...)}
	}
	if len(der) > MaxOCSP {
		return unknown("more than %d bytes", MaxOCSP)
	}
	res, err := ocsp.ParseResponseForCert(der, cert, nil)
	if err != nil {
		return unknown("%w", err)
	}
	if err := o.signedBy(res, issuer); err != nil {
		return unknown("%w", err)
	}
	more, err := readOCSP(res.TBSResponseData)
	if err != nil {
		return unknown("%w", err)
	}
	if err := more.about(cert, issuer); err != nil {
		return unknown("%w", err)
	}
	if err := o.fresh(res, more.nonce); err != nil {
		return unknown("%w", err)
	}
	switch res.Status {
	case ocsp.Good:
		return Status{ThisUpdate: res.ThisUpdate.UTC(), NextUpdate: res.NextUpdate.UTC()}, nil
	case ocsp.Revoked:
		return Status{}, &Fault{Reason: Revoked, Cert: cert, Err: &RevokedError{When: res.RevokedAt.UTC(), Code: res.RevocationReason}}
	}
	return unknown("does not know the certificate")
}

// signedBy says whether an answer is signed by issuer or a delegate of it.
// ocsp has checked the signature by the certificate inside, if there is one.
func (o OCSP) signedBy(res *ocsp.Response, issuer *x509.Certificate) error {
	if weakSignature(res.SignatureAlgorithm, o.SHA1) {
		return fmt.Errorf("signed by %s", res.SignatureAlgorithm)
	}
	signer := issuer
	if res.Certificate == nil || bytes.Equal(res.Certificate.RawSubjectPublicKeyInfo, issuer.RawSubjectPublicKeyInfo) {
		if err := res.CheckSignatureFrom(issuer); err != nil {
			return fmt.Errorf("not signed by the issuer: %w", err)
		}
	} else {
		signer = res.Certificate
		if err := o.delegate(signer, issuer); err != nil {
			return fmt.Errorf("who signed: %w", err)
		}
	}
	if res.ResponderKeyHash != nil {
		if id := sha1.Sum(publicKey(signer)); !bytes.Equal(id[:], res.ResponderKeyHash) {
			return errors.New("it says that another key signed")
		}
	} else if !SameName(res.RawResponderName, signer.RawSubject) {
		return errors.New("it says that somebody else signed")
	}
	return nil
}

// delegate says whether a certificate is one that issuer gave for signing
// answers: by that very key, for nothing else, and of this time.
func (o OCSP) delegate(c, issuer *x509.Certificate) error {
	switch {
	case !SameName(c.RawIssuer, issuer.RawSubject):
		return errors.New("the certificate is of another issuer")
	case weakSignature(c.SignatureAlgorithm, o.SHA1):
		return fmt.Errorf("the certificate is signed by %s", c.SignatureAlgorithm)
	case !slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		return errors.New("the certificate is not for signing answers")
	case extension(c, oidKeyUsage) != nil && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("the certificate is not for signatures")
	case o.Now.Before(c.NotBefore) || o.Now.After(c.NotAfter):
		return errors.New("the certificate is not of this time")
	case len(c.UnhandledCriticalExtensions) != 0:
		return fmt.Errorf("the certificate has the unknown critical extension %s", c.UnhandledCriticalExtensions[0])
	}
	if err := issuer.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature); err != nil {
		return fmt.Errorf("the issuer did not issue the certificate: %w", err)
	}
	if extension(c, oidNoCheck) != nil {
		return nil
	}
	if o.Check == nil {
		return errors.New("nobody says whether the certificate is revoked")
	}
	return o.Check(c, issuer)
}

// fresh judges the times of an answer, and its nonce.
func (o OCSP) fresh(res *ocsp.Response, nonce []byte) error {
	switch {
	case nonce != nil && !bytes.Equal(nonce, o.Nonce):
		return errors.New("the nonce is another")
	case nonce == nil && o.Nonce != nil && o.NeedNonce:
		return errors.New("there is no nonce")
	case res.ThisUpdate.After(o.Now.Add(skewOCSP)):
		return fmt.Errorf("of %s, which is yet to come", res.ThisUpdate.UTC().Format(time.RFC3339))
	case !res.NextUpdate.IsZero() && !o.Now.Before(res.NextUpdate):
		return fmt.Errorf("over since %s", res.NextUpdate.UTC().Format(time.RFC3339))
	case res.NextUpdate.IsZero() && o.Now.Sub(res.ThisUpdate) > o.MaxAge, res.NextUpdate.IsZero() && o.MaxAge == 0:
		return fmt.Errorf("of %s, and it does not say when the next comes", res.ThisUpdate.UTC().Format(time.RFC3339))
	}
	return nil
}

// publicKey is the key of a certificate, without the algorithm.
func publicKey(c *x509.Certificate) []byte {
	var spki struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       encoding.BitString
	}
	if _, err := encoding.Unmarshal(c.RawSubjectPublicKeyInfo, &spki); err != nil {
		return nil // crypto/x509 has read it already
	}
	return spki.Key.RightAlign()
}

// answered is what ocsp does not tell of an answer.
type answered struct {
	ids   []certID
	nonce []byte // nil: none
}

// certID names a certificate: RFC 6960 §4.1.1.
type certID struct {
	hash              encoding.ObjectIdentifier
	name, key, serial []byte
}

// readOCSP reads identifiers and extensions of ResponseData (RFC 6960 §4.2.1).
func readOCSP(tbs []byte) (answered, error) {
	var a answered
	in := cryptobyte.String(tbs)
	var data, all cryptobyte.String
	ok := in.ReadASN1(&data, asn1.SEQUENCE) && in.Empty() &&
		data.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) && // version
		data.ReadAnyASN1(new(cryptobyte.String), new(asn1.Tag)) && // responder
		data.SkipASN1(asn1.GeneralizedTime) && data.ReadASN1(&all, asn1.SEQUENCE)
	for ok && !all.Empty() {
		var single, id, algorithm, name, key, serial cryptobyte.String
		var hash encoding.ObjectIdentifier
		if ok = all.ReadASN1(&single, asn1.SEQUENCE) && single.ReadASN1(&id, asn1.SEQUENCE) &&
			id.ReadASN1(&algorithm, asn1.SEQUENCE) && algorithm.ReadASN1ObjectIdentifier(&hash) &&
			id.ReadASN1(&name, asn1.OCTET_STRING) && id.ReadASN1(&key, asn1.OCTET_STRING) && id.ReadASN1(&serial, asn1.INTEGER) && id.Empty(); ok {
			a.ids = append(a.ids, certID{hash, name, key, serial})
		}
	}
	var extensions cryptobyte.String
	var present bool
	if !ok || !data.ReadOptionalASN1(&extensions, &present, asn1.Tag(1).ContextSpecific().Constructed()) || !data.Empty() {
		return a, errors.New("what it answers cannot be read")
	}
	if !present {
		return a, nil
	}
	var list []pkix.Extension
	if rest, err := encoding.Unmarshal(extensions, &list); err != nil || len(rest) != 0 {
		return a, errors.New("its extensions cannot be read")
	}
	for _, e := range list {
		switch {
		case e.Id.Equal(oidNonce):
			rest, err := encoding.Unmarshal(e.Value, &a.nonce)
			if err != nil || len(rest) != 0 || len(a.nonce) == 0 {
				return a, errors.New("its nonce cannot be read")
			}
		case e.Critical:
			return a, fmt.Errorf("unknown critical extension %s", e.Id)
		}
	}
	return a, nil
}

// about says whether the answer is about cert, issued by issuer, and tells only
// once of it: ocsp takes the first with its serial number, whosever that is.
func (a answered) about(cert, issuer *x509.Certificate) error {
	serial := serialBytes(cert.SerialNumber)
	var ours []certID
	for _, id := range a.ids {
		if bytes.Equal(id.serial, serial) {
			ours = append(ours, id)
		}
	}
	if len(ours) != 1 {
		return fmt.Errorf("%d answers about one serial number", len(ours))
	}
	var hash crypto.Hash
	for h, oid := range hashesOCSP {
		if oid.Equal(ours[0].hash) {
			hash = h
		}
	}
	if hash == 0 {
		return fmt.Errorf("identifiers by %s", ours[0].hash)
	}
	digest := func(b []byte) []byte {
		h := hash.New()
		h.Write(b)
		return h.Sum(nil)
	}
	switch {
	case !bytes.Equal(ours[0].name, digest(issuer.RawSubject)) && !bytes.Equal(ours[0].name, digest(cert.RawIssuer)):
		return errors.New("about a certificate of another issuer")
	case !bytes.Equal(ours[0].key, digest(publicKey(issuer))):
		return errors.New("about a certificate by another key")
	}
	return nil
}

// hashesOCSP are those by which certificates are named.
var hashesOCSP = map[crypto.Hash]encoding.ObjectIdentifier{
	crypto.SHA1:   {1, 3, 14, 3, 2, 26},
	crypto.SHA256: {2, 16, 840, 1, 101, 3, 4, 2, 1},
	crypto.SHA384: {2, 16, 840, 1, 101, 3, 4, 2, 2},
	crypto.SHA512: {2, 16, 840, 1, 101, 3, 4, 2, 3},
}
