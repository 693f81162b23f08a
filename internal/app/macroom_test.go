package app_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/method/platform/platformtest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/pssowire"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// joinsMac registers a Mac of somebody's, without a door.
func (s *site) joinsMac(t *testing.T, u idp.User) machine {
	t.Helper()
	signing, encryption := curveKey(t), curveKey(t)
	c := device.Candidate{
		Tenant: u.Tenant, Name: "MacBook", OS: "macOS", Join: device.Joined, Owner: u.ID, Assurance: device.Unattested, Quota: 9,
		Key: &signing.PublicKey, Transport: &encryption.PublicKey,
	}
	d, _, err := s.Devices.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	err = s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := s.Devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		_, err := s.Macs.Add(ctx, tx, mac.Registration{
			Tenant: d.Tenant, Device: d.ID, Source: mac.ByPerson, Serial: "C02ABC123", UDID: "00008112-1", Proven: true,
			Signing:    mac.NewKey{Public: &signing.PublicKey},
			Encryption: mac.NewKey{Public: &encryption.PublicKey},
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return machine{d, signing}
}

// enrolsMac registers a user key on a Mac; attest makes its attestation, for a hash.
func (s *site) enrolsMac(t *testing.T, u idp.User, d machine, k *platformtest.Key, attest func(hash []byte) [][]byte) (method.Credential, error) {
	t.Helper()
	value := must(s.Box.Seal(t.Context(), u.Tenant, nonce.ServerNonce, time.Minute, nil))
	e := platform.Expected{Audience: s.BaseURL() + "/user", Nonce: value, Device: pssowire.KeyOf(&d.key.PublicKey)}
	o := k.Offer(e, time.Now())
	if attest != nil {
		id := k.ID()
		sum := sha256.Sum256(append(append([]byte(value), 0), id[:]...))
		o.Attestation = attest(sum[:])
	}
	return s.Corridor.RegisterOnce(t.Context(), signin.RegisterOnceRequest{
		OnceRequest: signin.OnceRequest{
			Tenant: u.Tenant, Method: platform.ID, Nonce: e.Keep(), Payload: o.Payload(), User: u, Device: d.ID,
			Nonces: []nonce.Sealed{must(s.Box.Open(t.Context(), u.Tenant, nonce.ServerNonce, value))},
		},
		ProofTime: time.Now(), Within: time.Minute,
	})
}

func (s *site) provesByMac(t *testing.T, u idp.User, d machine, k *platformtest.Key) (idp.Proof, error) {
	t.Helper()
	value := must(s.Box.Seal(t.Context(), u.Tenant, nonce.ServerNonce, time.Minute, nil))
	said := platformtest.Login(u.Name, "psso", value, time.Now())
	p, _, err := s.Corridor.Once(t.Context(), signin.OnceRequest{
		Tenant: u.Tenant, Method: platform.ID, Nonce: said.Keep(), Payload: k.Assertion(said), Device: d.ID,
		Nonces: []nonce.Sealed{must(s.Box.Open(t.Context(), u.Tenant, nonce.ServerNonce, value))},
	})
	return p, err
}

// switchOn lets a tenant use the keys of Macs, under these settings besides.
func (s *site) switchOn(t *testing.T, settings map[string]string) func(op string, in map[string]any) error {
	t.Helper()
	a := must(app.Administer(t.Context(), app.Config{Data: s.data}))
	t.Cleanup(func() { a.Close() })
	do := func(op string, in map[string]any) error {
		_, err := a.Do(t.Context(), op, in, nil)
		return err
	}
	for _, name := range []string{"method.platform", "method.hello", "devices.on"} {
		if err := do("policy.set", map[string]any{"name": name, "value": "true"}); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range settings {
		if err := do("policy.set", map[string]any{"name": name, "value": value}); err != nil {
			t.Fatal(err)
		}
	}
	return do
}

// A key on a Mac is good as long as the Mac is there and switched on, no key is
// registered twice, on whichever side, and it goes with its person (security.md
// DEV03, DEV07).
func TestSec_DEV07_KeysOfMacs(t *testing.T) {
	s := newSite(t, nil)
	do := s.switchOn(t, nil)
	u := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), s.made.Users[1].UserName))
	d := s.joinsMac(t, u)
	k := platformtest.New()
	c, err := s.enrolsMac(t, u, d, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.joins(t, u, k.Private()); reasonOf(err) != "key_registered" {
		t.Errorf("a user's key as a device's: %v", err)
	}
	if _, err := s.enrols(t, u, must(s.joins(t, u, curveKey(t))), must(x509.MarshalPKIXPublicKey(k.Public()))); reasonOf(err) != "key_registered" {
		t.Errorf("a Mac's key as a Hello key: %v", err)
	}
	h := hellotest.EC()
	other := must(s.joins(t, u, curveKey(t)))
	if _, err := s.enrols(t, u, other, h.Public()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ op, want string }{{"", ""}, {"device.disable", "device_disabled"}, {"device.enable", ""}, {"device.remove", "device_missing"}} {
		if step.op != "" {
			if err := do(step.op, map[string]any{"device": string(d.ID)}); err != nil {
				t.Fatalf("%s: %v", step.op, err)
			}
		}
		if _, err := s.provesByMac(t, u, d, k); reasonOf(err) != step.want {
			t.Errorf("after %q: %v, want %q", step.op, err, step.want)
		}
	}
	all := must(s.Platform.List(t.Context(), u.Tenant, u.ID))
	if len(all) != 1 || all[0].ID != c.ID || !all[0].Orphaned {
		t.Errorf("held %+v, want one orphan", all)
	}
	if err := s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return s.Directory.DeleteUser(ctx, tx, u.Tenant, u.ID) }); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := s.DB.QueryRow(t.Context(), `select count(*) from platform_key where tenant_id = $1`, u.Tenant).Scan(&n); err != nil || n != 0 {
		t.Errorf("%d keys of somebody who is gone, %v", n, err)
	}
}

// A Mac that is registered anew has no keys of people any more, unless that would
// leave no administrator a way in (security.md POL07).
func TestSec_POL07_MacOfTheLastAdministrator(t *testing.T) {
	s := newSite(t, nil)
	do := s.switchOn(t, nil)
	var admin idp.User
	for _, u := range s.made.Users {
		person := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), u.UserName))
		if roles := must(s.Directory.Roles(t.Context(), person.Tenant, person.ID)); len(roles) > 0 && admin.ID == "" {
			admin = person
		}
	}
	d, k := s.joinsMac(t, admin), platformtest.New()
	if _, err := s.enrolsMac(t, admin, d, k, nil); err != nil {
		t.Fatal(err)
	}
	signing, encryption := curveKey(t), curveKey(t)
	replace := func() error {
		return s.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := s.Macs.Replace(ctx, tx, mac.Registration{
				Tenant: d.Tenant, Device: d.ID, Source: mac.ByPerson, Serial: "C02ABC123", UDID: "00008112-1", Proven: true,
				Signing:    mac.NewKey{Public: &signing.PublicKey},
				Encryption: mac.NewKey{Public: &encryption.PublicKey},
			})
			return err
		})
	}
	if err := replace(); reasonOf(err) != "locks_out_administrators" {
		t.Errorf("registered anew: %v", err)
	}
	for _, op := range []string{"device.disable", "device.remove"} {
		if err := do(op, map[string]any{"device": string(d.ID)}); !errors.Is(err, idp.Denied) {
			t.Errorf("%s: %v, want it refused", op, err)
		}
	}
	if _, err := s.provesByMac(t, admin, d, k); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	second := s.joinsOther(t, admin)
	if _, err := s.enrols(t, admin, second, hellotest.EC().Public()); err != nil {
		t.Fatal(err)
	}
	if err := replace(); err != nil {
		t.Fatalf("with another way in: %v", err)
	}
	if _, err := s.provesByMac(t, admin, d, k); reasonOf(err) != "device_missing" {
		t.Errorf("a key of the Mac as it was: %v", err)
	}
}

func (s *site) joinsOther(t *testing.T, u idp.User) machine {
	t.Helper()
	return must(s.joins(t, u, curveKey(t)))
}

// attestor stands for Apple.
type attestor struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAttestor(t *testing.T) attestor {
	t.Helper()
	a := attestor{key: curveKey(t)}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test Attestation Root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, c, c, &a.key.PublicKey, a.key))))
	return a
}

// chain is the attestation of a key in the Mac of that serial number.
func (a attestor) chain(key *ecdsa.PublicKey, hash []byte, serial, udid string) [][]byte {
	apple := func(last ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8}, last...)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "A Mac"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtraExtensions: []pkix.Extension{{Id: apple(11, 1), Value: hash}, {Id: apple(9, 1), Value: []byte(serial)}, {Id: apple(9, 2), Value: []byte(udid)}},
	}
	return [][]byte{must(x509.CreateCertificate(rand.Reader, c, a.cert, key, a.key))}
}

// The attestation of a user key makes it hardware-bound, if it is of this key, on
// this request and in this Mac; whether one must be there the tenant says
// (apple-platform-sso.md §9.4).
func TestSec_PSO01_AttestedUserKeys(t *testing.T) {
	root, stranger := newAttestor(t), newAttestor(t)
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *app.Config) { c.Macs.Roots = file })
	do := s.switchOn(t, nil)
	u := must(s.Directory.UserByName(t.Context(), s.DB, idp.TenantID(s.made.TenantID), s.made.Users[1].UserName))
	d := s.joinsMac(t, u)
	rule := func(word policy.Attestation) {
		t.Helper()
		if err := do("policy.set", map[string]any{"name": "devices.attestation", "value": string(word)}); err != nil {
			t.Fatal(err)
		}
	}
	const serial, udid = "C02ABC123", "00008112-1"
	for name, c := range map[string]struct {
		attest func(k *platformtest.Key) func([]byte) [][]byte
		good   bool
	}{
		"none": {func(*platformtest.Key) func([]byte) [][]byte { return nil }, false},
		"good": {func(k *platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return root.chain(k.Public(), h, serial, udid) }
		}, true},
		"in other letters": {func(k *platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return root.chain(k.Public(), h, "c02abc123", udid) }
		}, true},
		"without a name of the hardware": {func(k *platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return root.chain(k.Public(), h, "", "") }
		}, true},
		"of another Mac": {func(k *platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return root.chain(k.Public(), h, "C02XYZ789", udid) }
		}, false},
		"of another key": {func(*platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return root.chain(platformtest.New().Public(), h, serial, udid) }
		}, false},
		"for another request": {func(k *platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return root.chain(k.Public(), make([]byte, 32), serial, udid) }
		}, false},
		"of another authority": {func(k *platformtest.Key) func([]byte) [][]byte {
			return func(h []byte) [][]byte { return stranger.chain(k.Public(), h, serial, udid) }
		}, false},
		"nothing that can be read": {func(*platformtest.Key) func([]byte) [][]byte {
			return func([]byte) [][]byte { return [][]byte{{1, 2, 3}} }
		}, false},
	} {
		k := platformtest.New()
		rule(policy.AttestationPreferred)
		if _, err := s.enrolsMac(t, u, d, k, c.attest(k)); err != nil {
			t.Errorf("%s, where one is liked: %v", name, err)
			continue
		}
		p, err := s.provesByMac(t, u, d, k)
		if err != nil || p.Has(idp.HardwareBound) != c.good || slices.Contains(p.AMR, "hwk") != c.good {
			t.Errorf("%s, where one is liked: %v, %v", name, p.AMR, err)
		}
		k = platformtest.New()
		rule(policy.AttestationRequired)
		if _, err := s.enrolsMac(t, u, d, k, c.attest(k)); (err == nil) != c.good || err != nil && reasonOf(err) != "attestation_required" {
			t.Errorf("%s, where one must be: %v", name, err)
		}
		k = platformtest.New()
		rule(policy.AttestationNone)
		if got, err := s.enrolsMac(t, u, d, k, c.attest(k)); err != nil || got.Facts.Attested {
			t.Errorf("%s, where none is looked at: %+v, %v", name, got, err)
		}
	}
}
