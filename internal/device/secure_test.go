package device_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// A key is registered once: whoever, wherever and as whatever (DEV03).
func TestSec_DEV03_KeyOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		first := candidate(t, rsaKey(t).Public())
		w.mustAdd(first)
		for name, change := range map[string]func(*device.Candidate){
			"device key again":              func(c *device.Candidate) { c.Key = first.Key },
			"device key of another tenant":  func(c *device.Candidate) { c.Key, c.Tenant = first.Key, other },
			"device key as transport key":   func(c *device.Candidate) { c.Transport = first.Key },
			"transport key again":           func(c *device.Candidate) { c.Transport = first.Transport },
			"transport key as device key":   func(c *device.Candidate) { c.Key, c.Owner = first.Transport, bob },
			"transport key, another tenant": func(c *device.Candidate) { c.Transport, c.Tenant = first.Transport, other },
			"shared, of a device key":       func(c *device.Candidate) { c.Key, c.Transport, c.Shared = first.Key, first.Key, true },
		} {
			c := candidate(t, rsaKey(t).Public())
			change(&c)
			if _, _, err := w.add(c); reason(err) != "conflict key_registered" {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Nothing of what failed stays, and the quota is not used up by it.
		if n, err := w.Count(t.Context(), tenant, device.Page{}.Where); err != nil || n != 1 {
			t.Errorf("%d devices, %v", n, err)
		}
		c := candidate(t, rsaKey(t).Public())
		c.Quota = 2
		if _, _, err := w.add(c); err != nil {
			t.Errorf("one of two places: %v", err)
		}
	})
}

// The keys of devices and those that rooms keep on them exclude each other, also
// when both are registered at once, and after the device is gone.
func TestSec_DEV03_KeyElsewhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := candidate(t, rsaKey(t).Public())
		d, _ := w.mustAdd(c)
		claim := func(key crypto.PublicKey) error {
			return w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Claim(ctx, tx, tenant, d.ID, key, "hello") })
		}
		for _, key := range []crypto.PublicKey{c.Key, c.Transport} {
			if err := claim(key); reason(err) != "conflict key_registered" {
				t.Errorf("key of a device as user key: %v", err)
			}
		}
		user := ecKey(t).Public()
		if err := claim(user); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			c := candidate(t, ecKey(t).Public())
			made, _, err := w.Prepare(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			var one, two error
			wg.Go(func() {
				one = w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Add(ctx, tx, made, c) })
			})
			wg.Go(func() { two = claim(c.Key) })
			wg.Wait()
			if (one == nil) == (two == nil) {
				t.Fatalf("as device key: %v; as user key: %v", one, two)
			}
		}
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, d.ID) }); err != nil {
			t.Fatal(err)
		}
		if _, _, err := w.add(candidate(t, user)); reason(err) != "conflict key_registered" {
			t.Errorf("user key as device key: %v", err)
		}
		release := func(in idp.TenantID, role string) {
			if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Release(ctx, tx, in, user, role) }); err != nil {
				t.Fatal(err)
			}
		}
		release(other, "hello")
		release(tenant, "else")
		if _, _, err := w.add(candidate(t, user)); reason(err) != "conflict key_registered" {
			t.Errorf("after another tenant, or another role, gave it up: %v", err)
		}
		release(tenant, "hello")
		w.mustAdd(candidate(t, user))
	})
}

func TestSec_DEV03_DistinctKeys(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := candidate(t, rsaKey(t).Public())
		c.Transport = c.Key
		if _, _, err := w.Prepare(t.Context(), c); reason(err) != "invalid shared_device_key" {
			t.Errorf("one key for both: %v", err)
		}
		c.Shared = true
		if _, _, err := w.add(c); err != nil {
			t.Errorf("where that is allowed: %v", err)
		}
	})
}

// Two joins of one key at once, and one of its transport key: one wins.
func TestSec_DEV03_KeyRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key := rsaKey(t).Public()
		var all []device.Candidate
		for n := range 20 {
			c := candidate(t, key)
			if n%2 == 1 {
				c.Tenant = other
			}
			if n%3 == 2 {
				c.Key, c.Transport = c.Transport, key
			}
			all = append(all, c)
		}
		if won, lost := races(t, w, all); won != 1 || lost["conflict key_registered"] != 19 {
			t.Errorf("%d won, lost %v", won, lost)
		}
	})
}

// A hundred joins of somebody who may have one more device: one wins (T49).
func TestSec_T49_Quota(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := candidate(t, ecKey(t).Public())
		c.Quota = 2
		w.mustAdd(c)
		var all []device.Candidate
		for range 100 {
			c := candidate(t, ecKey(t).Public())
			c.Quota = 2
			all = append(all, c)
		}
		if won, lost := races(t, w, all); won != 1 || lost["denied device_quota"] != 99 {
			t.Errorf("%d won, lost %v", won, lost)
		}
		if mine, err := w.Owned(t.Context(), tenant, ada); err != nil || len(mine) != 2 {
			t.Errorf("%d devices, %v", len(mine), err)
		}
		// Another person, and the same id in another tenant, are not concerned.
		b := candidate(t, ecKey(t).Public())
		b.Owner, b.Quota = bob, 1
		w.mustAdd(b)
		o := candidate(t, ecKey(t).Public())
		o.Tenant, o.Quota = other, 1
		w.mustAdd(o)
		// A quota that was lowered takes nobody's device, and no other comes.
		if _, _, err := w.add(candidateWith(t, 1)); reason(err) != "denied device_quota" {
			t.Errorf("below what is there: %v", err)
		}
		if _, _, err := w.add(candidateWith(t, 0)); reason(err) != "denied device_quota" {
			t.Errorf("no quota: %v", err)
		}
		// Who gives one back may have another.
		mine, _ := w.Owned(t.Context(), tenant, ada)
		if err := w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, tenant, mine[0].ID) }); err != nil {
			t.Fatal(err)
		}
		w.mustAdd(candidateWith(t, 2))
	})
}

func candidateWith(t *testing.T, quota int) device.Candidate {
	c := candidate(t, ecKey(t).Public())
	c.Quota = quota
	return c
}

// Keys that are too weak, or of a kind that nobody reads.
func TestSec_DEV02_Keys(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := rsaKey(t)
	each(t, func(t *testing.T, w *world) {
		for name, key := range map[string]crypto.PublicKey{
			"RSA-1024":      &small.PublicKey,
			"P-384":         &p384.PublicKey,
			"exponent 3":    &rsa.PublicKey{N: good.N, E: 3},
			"even exponent": &rsa.PublicKey{N: good.N, E: 65538},
			"even modulus":  &rsa.PublicKey{N: new(big.Int).Lsh(good.N, 1), E: 65537},
			//lint:ignore SA1019 a point off the curve is what no other function makes
			"off the curve":  &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)},
			"no key":         nil,
			"private key":    good,
			"something else": "key",
		} {
			c := candidate(t, key)
			if _, _, err := w.Prepare(t.Context(), c); reason(err) != "invalid device_key" {
				t.Errorf("%s as device key: %v", name, err)
			}
			if key == nil {
				continue
			}
			c = candidate(t, good.Public())
			c.Transport = key
			if _, _, err := w.Prepare(t.Context(), c); reason(err) != "invalid transport_key" {
				t.Errorf("%s as transport key: %v", name, err)
			}
		}
	})
}

// The authority can certify no TLS server, no other authority and no name
// (DEV02), by what is written into it: whoever takes its certificate for a root
// is refused what somebody with its private key could make.
func TestSec_DEV02_AuthorityConstraints(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		_, der := w.mustAdd(candidate(t, ecKey(t).Public()))
		ca, key := w.authority(t)
		if !ca.IsCA || !ca.MaxPathLenZero || ca.MaxPathLen != 0 || ca.KeyUsage != x509.KeyUsageCertSign {
			t.Errorf("CA %v, path %d, usage %b", ca.IsCA, ca.MaxPathLen, ca.KeyUsage)
		}
		if len(ca.ExtKeyUsage) != 1 || ca.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth || len(ca.UnknownExtKeyUsage) > 0 {
			t.Errorf("EKU %v", ca.ExtKeyUsage)
		}
		if !ca.PermittedDNSDomainsCritical || len(ca.ExcludedDNSDomains) != 1 || len(ca.ExcludedIPRanges) != 2 ||
			len(ca.ExcludedEmailAddresses) != 1 || len(ca.ExcludedURIDomains) != 1 {
			t.Error("name constraints are missing")
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		verify := func(template x509.Certificate, usage x509.ExtKeyUsage) error {
			template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(2), w.now.Add(-time.Hour), w.now.Add(time.Hour)
			leaf, err := x509.CreateCertificate(rand.Reader, &template, ca, ecKey(t).Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parse(t, leaf).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: w.now, KeyUsages: []x509.ExtKeyUsage{usage}})
			return err
		}
		client := x509.ExtKeyUsageClientAuth
		if err := verify(x509.Certificate{Subject: pkix.Name{CommonName: "x"}, ExtKeyUsage: []x509.ExtKeyUsage{client}}, client); err != nil {
			t.Errorf("a client without names: %v", err)
		}
		mail, _ := url.Parse("https://a.example/x")
		for name, c := range map[string]x509.Certificate{
			"DNS name": {DNSNames: []string{"id.example"}}, "address": {IPAddresses: []net.IP{{192, 0, 2, 1}}},
			"IPv6": {IPAddresses: []net.IP{net.ParseIP("2001:db8::1")}}, "mail": {EmailAddresses: []string{"a@b.example"}}, "URI": {URIs: []*url.URL{mail}},
		} {
			c.ExtKeyUsage = []x509.ExtKeyUsage{client}
			if err := verify(c, client); err == nil || !strings.Contains(err.Error(), "constraint") && !strings.Contains(err.Error(), "excluded") {
				t.Errorf("%s: %v", name, err)
			}
		}
		server := x509.ExtKeyUsageServerAuth
		if err := verify(x509.Certificate{Subject: pkix.Name{CommonName: "id.example"}, ExtKeyUsage: []x509.ExtKeyUsage{server}}, server); err == nil {
			t.Error("a TLS server verifies")
		}
		if _, err := parse(t, der).Verify(x509.VerifyOptions{Roots: roots, CurrentTime: w.now, KeyUsages: []x509.ExtKeyUsage{server}}); err == nil {
			t.Error("a device passes for a server")
		}
	})
}

// Certificates that are not ours, or not this device's: each refused for one
// reason (x5c injection, device-protocol.md §15).
func TestSec_DEV02_ForeignCertificates(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key := rsaKey(t)
		d, der := w.mustAdd(candidate(t, key.Public()))
		ca, caKey := w.authority(t)
		good := parse(t, der)
		remake := func(parent *x509.Certificate, signer crypto.Signer, change func(*x509.Certificate)) []byte {
			c := x509.Certificate{
				SerialNumber: good.SerialNumber, Subject: good.Subject, NotBefore: good.NotBefore, NotAfter: good.NotAfter,
				BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA256WithRSA,
			}
			for _, e := range good.Extensions {
				if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 19}) {
					c.ExtraExtensions = append(c.ExtraExtensions, e)
				}
			}
			if change != nil {
				change(&c)
			}
			p := *parent
			p.SubjectKeyId, p.PublicKey = nil, signer.Public()
			out, err := x509.CreateCertificate(rand.Reader, &c, &p, key.Public(), signer)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got, err := w.Identify(t.Context(), remake(ca, caKey, nil)); err != nil || got.ID != d.ID {
			t.Fatalf("the same certificate made again: %v", err) // else what follows says nothing
		}
		without := func(oid string) func(*x509.Certificate) {
			return func(c *x509.Certificate) {
				var left []pkix.Extension
				for _, e := range c.ExtraExtensions {
					if e.Id.String() != oid {
						left = append(left, e)
					}
				}
				c.ExtraExtensions = left
			}
		}
		stranger := rsaKey(t)
		for name, leaf := range map[string][]byte{
			"self-signed":             remake(&x509.Certificate{Subject: good.Subject, PublicKey: key.Public()}, key, nil),
			"same name, key not ours": remake(ca, stranger, nil),
			"another issuer's name":   remake(named(ca, "Signet"), caKey, nil),
			"flipped byte":            flipped(der),
			"cut":                     der[:len(der)-1],
			"longer":                  append(append([]byte{}, der...), 0),
			"empty":                   nil,
			"huge":                    make([]byte, 1<<20),
			"PEM":                     []byte("-----BEGIN CERTIFICATE-----\n"),
			"the authority":           ca.Raw,
			"over":                    remake(ca, caKey, func(c *x509.Certificate) { c.NotAfter = w.now.Add(-time.Second) }),
			"not yet":                 remake(ca, caKey, func(c *x509.Certificate) { c.NotBefore = w.now.Add(time.Second) }),
			"a CA":                    remake(ca, caKey, func(c *x509.Certificate) { c.IsCA = true }),
			"a DNS name":              remake(ca, caKey, func(c *x509.Certificate) { c.DNSNames = []string{"id.example"} }),
			"another subject":         remake(ca, caKey, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "x"} }),
			"no device":               remake(ca, caKey, without("1.2.840.113556.1.5.284.2")),
			"no tenant":               remake(ca, caKey, without("1.2.840.113556.1.5.284.5")),
			"no usage":                remake(ca, caKey, without("2.5.29.37")),
			"for servers": remake(ca, caKey, func(c *x509.Certificate) {
				without("2.5.29.37")(c)
				c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
			}),
			"SHA-512": remake(ca, caKey, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.SHA512WithRSA }),
		} {
			if _, err := w.Identify(t.Context(), leaf); reason(err) != "unproven device_certificate" || idp.AsError(err).Code != 50155 {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Ours, and good, but of no device that is registered.
		if der, err := x509.CreateCertificate(rand.Reader, template(good), bare(ca), stranger.Public(), caKey); err != nil {
			t.Fatal(err)
		} else if _, err := w.Identify(t.Context(), der); reason(err) != "unproven device_unknown" {
			t.Errorf("another key: %v", err)
		}
	})
}

// named is the authority under another name.
func named(ca *x509.Certificate, name string) *x509.Certificate {
	c := *ca
	c.RawSubject, c.Subject = nil, pkix.Name{CommonName: name}
	return &c
}

func template(good *x509.Certificate) *x509.Certificate {
	c := &x509.Certificate{
		SerialNumber: good.SerialNumber, Subject: good.Subject, NotBefore: good.NotBefore, NotAfter: good.NotAfter,
		BasicConstraintsValid: true, SignatureAlgorithm: x509.SHA256WithRSA,
	}
	for _, e := range good.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 19}) {
			c.ExtraExtensions = append(c.ExtraExtensions, e)
		}
	}
	return c
}

func bare(ca *x509.Certificate) *x509.Certificate {
	c := *ca
	c.SubjectKeyId = nil
	return &c
}

func flipped(der []byte) []byte {
	out := append([]byte{}, der...)
	out[len(out)-1] ^= 1
	return out
}

// One tenant's authority says nothing in another (T46).
func TestSec_T46_AuthorityOfAnotherTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		key := rsaKey(t)
		d, der := w.mustAdd(candidate(t, key.Public()))
		foreign := candidate(t, ecKey(t).Public())
		foreign.Tenant = other
		w.mustAdd(foreign)
		theirs, theirKey := w.authorityOf(t, other)
		// Their authority certifies a device of ours, by its own name and by ours.
		mine, _ := w.authority(t)
		for name, parent := range map[string]*x509.Certificate{"their name": theirs, "our name": mine} {
			leaf, err := x509.CreateCertificate(rand.Reader, template(parse(t, der)), bareAs(parent, theirs), key.Public(), theirKey)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Identify(t.Context(), leaf); reason(err) != "unproven device_certificate" {
				t.Errorf("%s: %v", name, err)
			}
		}
		// Their authority says that our key is a device of theirs.
		c := template(parse(t, der))
		tenantGUID, err := device.GUIDBytes(string(other))
		if err != nil {
			t.Fatal(err)
		}
		for i, e := range c.ExtraExtensions {
			if e.Id.String() == "1.2.840.113556.1.5.284.5" {
				c.ExtraExtensions[i].Value = append([]byte{4, 0x81, 16}, tenantGUID...)
			}
		}
		leaf, err := x509.CreateCertificate(rand.Reader, c, bare(theirs), key.Public(), theirKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Identify(t.Context(), leaf); reason(err) != "unproven device_unknown" {
			t.Errorf("our device said to be theirs: %v", err)
		}
		for _, err := range []error{
			second(w.Get(t.Context(), other, d.ID)),
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.SetEnabled(ctx, tx, other, d.ID, false) }),
			w.write(func(ctx context.Context, tx *sqldb.Tx) error { return w.Remove(ctx, tx, other, d.ID) }),
		} {
			if reason(err) != "not found device_unknown" {
				t.Errorf("from another tenant: %v", err)
			}
		}
	})
}

// bareAs is a parent with the name of one and the key of another.
func bareAs(name, key *x509.Certificate) *x509.Certificate {
	c := bare(name)
	c.PublicKey = key.PublicKey
	return c
}

// What is kept of an authority opens only for its tenant (T60).
func TestSec_T60_AuthorityIsSealed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mustAdd(candidate(t, ecKey(t).Public()))
		c := candidate(t, ecKey(t).Public())
		c.Tenant = other
		w.mustAdd(c)
		var sealed []byte
		if err := w.db.QueryRow(t.Context(), `select sealed from device_authority where tenant_id = $1`, tenant).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		if _, err := x509.ParsePKCS8PrivateKey(sealed); err == nil {
			t.Error("the private key is in the clear")
		}
		if _, err := w.db.Exec(t.Context(), `update device_authority set sealed = $1 where tenant_id = $2`, sealed, other); err != nil {
			t.Fatal(err)
		}
		c.Key, c.Transport = ecKey(t).Public(), ecKey(t).Public()
		if _, _, err := w.again().Prepare(t.Context(), c); err == nil {
			t.Error("a key that was moved to another tenant opens")
		}
	})
}
