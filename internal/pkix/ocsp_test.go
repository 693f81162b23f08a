package pkix_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	stdpkix "crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/signetid/signet/internal/corpustest"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/pkix/pkixtest"
)

// answers is a world of one responder.
type answers struct {
	t    *testing.T
	ca   *pkixtest.Authority
	leaf *x509.Certificate
	ask  pkix.OCSP
}

func newAnswers(t *testing.T) *answers {
	ca := pkixtest.Root(t, "Root", noon).Sub("Issuing", noon)
	return &answers{t: t, ca: ca, leaf: ca.Leaf(pkixtest.ECKey(t).Public(), "Ann", "", noon), ask: pkix.OCSP{Now: noon}}
}

func (w *answers) good() ocsp.Response {
	return ocsp.Response{Status: ocsp.Good, SerialNumber: w.leaf.SerialNumber, ThisUpdate: noon.Add(-time.Minute), NextUpdate: noon.Add(time.Hour)}
}

// answer signs r by the authority, or by a delegate of it.
func (w *answers) answer(r ocsp.Response, by *x509.Certificate, key crypto.Signer) []byte {
	w.t.Helper()
	der, err := ocsp.CreateResponse(w.ca.Cert, by, r, key)
	if err != nil {
		w.t.Fatal(err)
	}
	return der
}

func (w *answers) byCA(change func(*ocsp.Response)) []byte {
	r := w.good()
	change(&r)
	return w.answer(r, w.ca.Cert, w.ca.Key)
}

// want holds a judgement against "", "revoked" or a part of why it is unknown.
func (w *answers) want(name string, der []byte, what string) {
	w.t.Helper()
	s, err := pkix.CheckOCSP(der, w.leaf, w.ca.Cert, w.ask)
	var f *pkix.Fault
	var r *pkix.RevokedError
	switch {
	case what == "":
		if err != nil || s.ThisUpdate.IsZero() {
			w.t.Errorf("%s: %+v, %v", name, s, err)
		}
	case !errors.As(err, &f) || f.Cert != w.leaf:
		w.t.Errorf("%s: %v, want %q", name, err, what)
	case what == "revoked":
		if f.Reason != pkix.Revoked || !errors.As(err, &r) || r.Code != 1 || !r.When.Equal(noon.Add(-time.Hour)) {
			w.t.Errorf("%s: %v, want it revoked", name, err)
		}
	case f.Reason != pkix.RevocationUnknown || !strings.Contains(f.Error(), what):
		w.t.Errorf("%s: %v, want %q", name, err, what)
	}
}

// TestSec_CBA06_Answers: what the authority itself answers.
func TestSec_CBA06_Answers(t *testing.T) {
	w := newAnswers(t)
	other := pkixtest.Root(t, "Other", noon)
	w.want("good", w.byCA(func(*ocsp.Response) {}), "")
	w.want("good, by SHA-256 identifiers", w.byCA(func(r *ocsp.Response) { r.IssuerHash = crypto.SHA256 }), "")
	w.want("the authority's certificate inside", w.byCA(func(r *ocsp.Response) { r.Certificate = w.ca.Cert }), "")
	w.want("revoked", w.byCA(func(r *ocsp.Response) {
		r.Status, r.RevokedAt, r.RevocationReason = ocsp.Revoked, noon.Add(-time.Hour), 1
	}), "revoked")
	w.want("unknown", w.byCA(func(r *ocsp.Response) { r.Status = ocsp.Unknown }), "does not know")
	w.want("another serial number", w.byCA(func(r *ocsp.Response) { r.SerialNumber = big.NewInt(12345) }), "no response matching")
	w.want("yet to come", w.byCA(func(r *ocsp.Response) { r.ThisUpdate = noon.Add(6 * time.Minute) }), "yet to come")
	w.want("a clock a little ahead", w.byCA(func(r *ocsp.Response) { r.ThisUpdate = noon.Add(4 * time.Minute) }), "")
	w.want("over", w.byCA(func(r *ocsp.Response) { r.NextUpdate = noon }), "over since")
	endless := w.byCA(func(r *ocsp.Response) { r.NextUpdate = time.Time{} })
	w.want("no end", endless, "does not say when the next comes")
	w.ask.MaxAge = 2 * time.Minute
	w.want("no end, but new", endless, "")
	w.ask.MaxAge = 30 * time.Second
	w.want("no end, and old", endless, "does not say when the next comes")

	r := w.good()
	w.want("another key", w.answer(r, w.ca.Cert, other.Key), "not signed by the issuer")
	w.want("by another's name", w.answer(r, other.Cert, w.ca.Key), "somebody else")
	foreign, err := ocsp.CreateResponse(other.Cert, w.ca.Cert, r, w.ca.Key)
	if err != nil {
		t.Fatal(err)
	}
	w.want("about another's certificate", foreign, "of another issuer")
	same := *other.Cert
	same.RawSubject = w.ca.Cert.RawSubject
	if foreign, err = ocsp.CreateResponse(&same, w.ca.Cert, r, w.ca.Key); err != nil {
		t.Fatal(err)
	}
	w.want("about another key's certificate", foreign, "by another key")
	der := w.byCA(func(*ocsp.Response) {})
	if at := bytes.Index(der, []byte("20261126")); at < 0 {
		t.Error("no time in it")
	} else {
		der[at+3] ^= 1
		w.want("changed", der, "not signed by the issuer")
	}
	w.want("too long", make([]byte, pkix.MaxOCSP+1), "more than")
	w.want("more behind", append(w.byCA(func(*ocsp.Response) {}), 0), "trailing data")
	for name, der := range map[string][]byte{"malformed request": ocsp.MalformedRequestErrorResponse, "internal error": ocsp.InternalErrorErrorResponse,
		"try later": ocsp.TryLaterErrorResponse, "signature required": ocsp.SigRequredErrorResponse, "unauthorized": ocsp.UnauthorizedErrorResponse} {
		w.want(name, der, "error from server")
	}
}

// TestSec_CBA06_Delegates: who else may answer, each refused for that alone.
func TestSec_CBA06_Delegates(t *testing.T) {
	w := newAnswers(t)
	key := pkixtest.ECKey(t)
	noCheck := func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, stdpkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}})
	}
	signing := func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning} }
	delegate := func(by *pkixtest.Authority, changes ...pkixtest.Change) []byte {
		c := by.Leaf(key.Public(), "Responder", "", noon, append([]pkixtest.Change{signing, noCheck}, changes...)...)
		r := w.good()
		r.Certificate = c
		return w.answer(r, c, key)
	}
	// The other has the very name of the authority, and another key.
	other := pkixtest.Root(t, "Root", noon).Sub("Issuing", noon)
	w.want("a delegate", delegate(w.ca), "")
	w.want("of another authority", delegate(pkixtest.Root(t, "Other", noon)), "of another issuer")
	w.want("of another of that name", delegate(other), "did not issue")
	w.want("of the authority above", delegate(pkixtest.Root(t, "Root", noon)), "of another issuer")
	w.want("not for answers", delegate(w.ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), "not for signing answers")
	w.want("for anything", delegate(w.ca, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), "not for signing answers")
	w.want("not for signatures", delegate(w.ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }), "not for signatures")
	w.want("of no usage", delegate(w.ca, func(c *x509.Certificate) { c.KeyUsage = 0 }), "")
	w.want("expired", delegate(w.ca, func(c *x509.Certificate) { c.NotAfter = noon.Add(-time.Second) }), "not of this time")
	w.want("yet to be valid", delegate(w.ca, func(c *x509.Certificate) { c.NotBefore = noon.Add(time.Second) }), "not of this time")
	w.want("with what nobody knows", delegate(w.ca, with(unknownExtension(true))), "unknown critical")
	w.want("the certificate itself", func() []byte {
		r := w.good()
		self := w.ca.Leaf(key.Public(), "Ann", "", noon, noCheck)
		w.leaf, r.SerialNumber, r.Certificate = self, self.SerialNumber, self
		return w.answer(r, self, key)
	}(), "not for signing answers")

	w = newAnswers(t)
	checked := func() []byte {
		c := w.ca.Leaf(key.Public(), "Responder", "", noon, signing)
		r := w.good()
		r.Certificate = c
		return w.answer(r, c, key)
	}()
	w.want("nobody says whether it is revoked", checked, "whether the certificate is revoked")
	w.ask.Check = func(c, issuer *x509.Certificate) error {
		if c.Subject.CommonName != "Responder" || issuer != w.ca.Cert {
			t.Errorf("asked of %s", c.Subject)
		}
		return nil
	}
	w.want("somebody does", checked, "")
	w.ask.Check = func(*x509.Certificate, *x509.Certificate) error { return errors.New("it is") }
	w.want("it is revoked", checked, "it is")

	// A signature by SHA-1 of an RSA key, which Go would still check.
	rsa := pkixtest.RSAKey(t)
	c := w.ca.Leaf(rsa.Public(), "Responder", "", noon, signing, noCheck)
	r := w.good()
	r.Certificate, r.SignatureAlgorithm = c, x509.SHA1WithRSA
	weak := w.answer(r, c, rsa)
	w.want("SHA-1", weak, "SHA1-RSA")
	w.ask.SHA1 = true
	w.want("SHA-1 where it is let pass", weak, "")
}

// resign puts extensions into the answer, or doubles what it says, and signs
// it anew.
func (w *answers) resign(der []byte, twice bool, extensions ...stdpkix.Extension) []byte {
	w.t.Helper()
	r, err := ocsp.ParseResponse(der, w.ca.Cert)
	if err != nil {
		w.t.Fatal(err)
	}
	var data struct {
		Responder asn1.RawValue
		Produced  time.Time `asn1:"generalized"`
		Responses []asn1.RawValue
		More      []stdpkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	if _, err := asn1.Unmarshal(r.TBSResponseData, &data); err != nil {
		w.t.Fatal(err)
	}
	data.More = extensions
	if twice {
		data.Responses = append(data.Responses, data.Responses[0])
	}
	tbs := pkixtest.DER(w.t, data)
	h := crypto.SHA256.New()
	h.Write(tbs)
	sig, err := ecdsa.SignASN1(rand.Reader, w.ca.Key.(*ecdsa.PrivateKey), h.Sum(nil))
	if err != nil {
		w.t.Fatal(err)
	}
	type bytesOf struct {
		Type asn1.ObjectIdentifier
		DER  []byte
	}
	basic := pkixtest.DER(w.t, struct {
		TBS       asn1.RawValue
		Algorithm stdpkix.AlgorithmIdentifier
		Signature asn1.BitString
	}{asn1.RawValue{FullBytes: tbs}, stdpkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}}, asn1.BitString{Bytes: sig, BitLength: 8 * len(sig)}})
	return pkixtest.DER(w.t, struct {
		Status asn1.Enumerated
		Bytes  bytesOf `asn1:"explicit,tag:0"`
	}{0, bytesOf{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}, basic}})
}

func nonceOf(t *testing.T, nonce []byte) stdpkix.Extension {
	return stdpkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}, Value: pkixtest.DER(t, nonce)}
}

// TestSec_CBA06_Nonce: what was sent comes back, and the request has it.
func TestSec_CBA06_Nonce(t *testing.T) {
	w := newAnswers(t)
	plain := w.byCA(func(*ocsp.Response) {})
	nonce := []byte("0123456789abcdef")
	w.ask.Nonce = nonce
	w.want("the same", w.resign(plain, false, nonceOf(t, nonce)), "")
	w.want("another", w.resign(plain, false, nonceOf(t, []byte("0123456789abcdeg"))), "nonce is another")
	w.want("empty", w.resign(plain, false, nonceOf(t, []byte{})), "nonce cannot be read")
	w.want("of another form", w.resign(plain, false, stdpkix.Extension{Id: nonceOf(t, nonce).Id, Value: nonce}), "nonce cannot be read")
	w.want("none", plain, "")
	w.ask.NeedNonce = true
	w.want("none where one is needed", plain, "no nonce")
	w.want("the same where one is needed", w.resign(plain, false, nonceOf(t, nonce)), "")
	w.ask.Nonce = nil
	w.want("one that nobody sent", w.resign(plain, false, nonceOf(t, nonce)), "nonce is another")
	w.want("said twice", w.resign(plain, true), "2 answers")
	w.want("unknown extension", w.resign(plain, false, unknownExtension(false)), "")
	w.want("unknown critical extension", w.resign(plain, false, unknownExtension(true)), "unknown critical")

	der, err := pkix.RequestOCSP(w.leaf, w.ca.Cert, nonce)
	if err != nil {
		t.Fatal(err)
	}
	req, err := ocsp.ParseRequest(der)
	if err != nil || req.SerialNumber.Cmp(w.leaf.SerialNumber) != 0 || req.HashAlgorithm != crypto.SHA1 {
		t.Errorf("%+v, %v", req, err)
	}
	if !bytes.Contains(der, nonceOf(t, nonce).Value) {
		t.Error("the request has no nonce")
	}
	if der, err = pkix.RequestOCSP(w.leaf, w.ca.Cert, nil); err != nil || bytes.Contains(der, []byte{0x2b, 6, 1, 5, 5, 7, 48, 1, 2}) {
		t.Errorf("%x, %v", der, err)
	}
}

// TestOCSPVectors: answers that others made, good and strange, each with its
// verdict for a certificate of that number by an authority that did not sign it.
func TestOCSPVectors(t *testing.T) {
	dir := corpustest.Folder(t, "x509-odd")
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "ocsp", "*.der"))
	if err != nil || len(files) != len(ocspVerdicts) {
		t.Fatalf("%d files for %d verdicts, %v", len(files), len(ocspVerdicts), err)
	}
	ca := pkixtest.Root(t, "Root", noon)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			der, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			leaf := ca.Leaf(pkixtest.ECKey(t).Public(), "Ann", "", noon, func(c *x509.Certificate) {
				if r, err := ocsp.ParseResponse(der, nil); err == nil {
					c.SerialNumber = r.SerialNumber
				}
			})
			_, err = pkix.CheckOCSP(der, leaf, ca.Cert, pkix.OCSP{Now: noon, SHA1: true})
			var f *pkix.Fault
			if want, ok := ocspVerdicts[name]; !ok || !errors.As(err, &f) || f.Reason != pkix.RevocationUnknown || !strings.Contains(f.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		})
	}
}

// A request is no answer; some answers are not read by ocsp at all, so that the
// certificate has another number.
var ocspVerdicts = map[string]string{
	"ocsp-army.deps.mil-resp.der":           "no response matching",
	"ocsp-army.inapplicable-req.der":        "structure error",
	"ocsp-army.revoked-req.der":             "structure error",
	"ocsp-army.valid-req.der":               "structure error",
	"req-duplicate-ext.der":                 "structure error",
	"req-ext-nonce.der":                     "structure error",
	"req-ext-unknown-oid.der":               "structure error",
	"req-invalid-hash-alg.der":              "structure error",
	"req-multi-sha1.der":                    "structure error",
	"req-sha1.der":                          "structure error",
	"resp-delegate-unknown-cert.der":        "of another issuer",
	"resp-invalid-signature-oid.der":        "signed by 1",
	"resp-responder-key-hash.der":           "not signed by the issuer",
	"resp-response-type-unknown-oid.der":    "bad OCSP response type",
	"resp-revoked-no-next-update.der":       "not signed by the issuer",
	"resp-revoked-reason.der":               "of another issuer",
	"resp-revoked.der":                      "not signed by the issuer",
	"resp-sct-extension.der":                "of another issuer",
	"resp-sha256.der":                       "not signed by the issuer",
	"resp-single-extension-reason.der":      "not signed by the issuer",
	"resp-successful-no-response-bytes.der": "bad OCSP response type",
	"resp-unauthorized.der":                 "unauthorized",
	"resp-unknown-extension.der":            "no response matching",
	"resp-unknown-hash-alg.der":             "no response matching",
	"resp-unknown-response-status.der":      "unknown OCSP status",
}
