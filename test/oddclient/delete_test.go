package oddclient

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// roots are the CAs that the data folder names for the TLS address.
func (s *site) roots() *x509.CertPool {
	s.t.Helper()
	pool := x509.NewCertPool()
	found := 0
	err := filepath.WalkDir(s.data, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".pem") && !strings.HasSuffix(path, ".crt") {
			return err
		}
		text, err := os.ReadFile(path)
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if cert, err := x509.ParseCertificate(block.Bytes); block.Type == "CERTIFICATE" && err == nil && cert.IsCA {
				pool.AddCert(cert)
				found++
			}
		}
		return err
	})
	if err != nil || found == 0 {
		s.t.Fatalf("no CA in %s: %v", s.data, err)
	}
	return pool
}

// Delete over mutual TLS (§5.3; decisions 4.8): by the device itself and nobody
// else, and what hung on it is gone.
func TestDelete(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	b, c := o.client(DialectB()), o.client(DialectC())
	e := o.somebody("ada").enrol(t, b)
	bob := o.somebody("bob").enrol(t, b)
	p := e.prt(t, b)
	roots := s.roots()
	mine, theirs := e.device.tlsCertificate(), bob.device.tlsCertificate()
	fake := selfSign(t, e.device)
	forged := tls.Certificate{Certificate: [][]byte{fake.Raw}, PrivateKey: e.device.Key, Leaf: fake}
	for _, r := range []struct {
		name string
		id   string
		cert *tls.Certificate
		want []int
	}{
		{"no certificate", e.device.ID, nil, []int{401}},
		{"a certificate by itself", e.device.ID, &forged, []int{401}},
		{"another device's certificate", e.device.ID, &theirs, []int{400, 401, 403}},
		{"an unknown device", newGUID(), &mine, []int{400, 401, 403}},
		{"not an id", "x", &mine, []int{400, 401, 403}},
	} {
		a, err := c.Delete(t.Context(), s.tls, r.id, roots, r.cert)
		drsRefused(t, r.name, a, err, r.want...)
	}
	if got, a, err := b.Use(t.Context(), p, brokerID, graphURL+"/.default openid"); err != nil || got == nil {
		t.Fatalf("the device after those: %v, %v", orBody(a), err)
	}
	// On the address without TLS there is no such thing.
	if a, err := c.Delete(t.Context(), s.base, e.device.ID, roots, nil); err != nil || a.Status/100 != 4 {
		t.Errorf("without TLS: %d, %v", a.Status, err)
	}
	a, err := b.Delete(t.Context(), s.tls, strings.ToUpper(e.device.ID), roots, &mine)
	if err != nil || a.Status != 200 {
		t.Fatalf("the device itself: %d %.300s, %v", a.Status, a.Body, err)
	}
	if got, err := a.JSON(); err != nil || at(got, "AttestationResult") == nil {
		t.Errorf("the answer is %.200q, %v", a.Body, err)
	}
	a, err = c.Delete(t.Context(), s.tls, e.device.ID, roots, &mine)
	drsRefused(t, "once more", a, err, 401)
	_, a, err = b.Use(t.Context(), p, brokerID, graphURL+"/.default openid")
	want{"invalid_grant", anything, []int{50155, 50173}}.check(t, "its PRT", a, err)
	request, err := b.helloRequest(t.Context(), e.device, e.hello)
	if err != nil {
		t.Fatal(err)
	}
	a, err = b.askPRT(t.Context(), request)
	want{"invalid_grant", "device_authentication_failed", []int{50155}}.check(t, "its Hello key", a, err)
	if a, err := c.Delete(t.Context(), s.tls, bob.device.ID, roots, &theirs); err != nil || a.Status != 200 {
		t.Errorf("in dialect c: %d %.300s, %v", a.Status, a.Body, err)
	}
}

// Joins and keys work at the TLS address too, without a certificate (decisions 4.8).
func TestJoinOverTLS(t *testing.T) {
	s := newSite(t)
	o := s.organise("corp.example")
	ada := o.somebody("ada")
	c := o.client(DialectC()).Trusting(&tls.Config{RootCAs: s.roots(), MinVersion: tls.VersionTLS12})
	c.Base = s.tls
	d, a, err := c.Join(t.Context(), ada.tokens(t).Access, c.joining(t, false))
	if err != nil || d == nil {
		t.Errorf("%d %.300s, %v", a.Status, a.Body, err)
	}
}
