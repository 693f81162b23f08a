package mac_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
)

func (w *world) tryProvision(h mac.Holder) (p mac.Provisioned, fresh bool, err error) {
	if p, err = w.Unlock.Prepare(context.Background(), h); err != nil {
		return p, false, err
	}
	prepared := p
	err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
		p, fresh, err = w.Unlock.Provision(ctx, tx, prepared)
		return err
	})
	return p, fresh, err
}

func (w *world) provision(h mac.Holder) mac.Provisioned {
	w.t.Helper()
	p, _, err := w.tryProvision(h)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func holderOf(m mac.Mac, u idp.UserID) mac.Holder {
	return mac.Holder{Tenant: m.Tenant, Device: m.Device, User: u, Purpose: mac.UserUnlock}
}

// The key that unlocks a Mac agrees with the Mac's own on a secret, by what the
// certificate says; asked for again it is the same.
func TestUnlock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := holderOf(w.mac(), ada)
		first, fresh, err := w.tryProvision(h)
		if err != nil || !fresh {
			t.Fatalf("fresh %v, %v", fresh, err)
		}
		again, fresh, err := w.tryProvision(h)
		if err != nil || fresh || !bytes.Equal(first.Certificate, again.Certificate) {
			t.Errorf("asked again: fresh %v, %v", fresh, err)
		}
		cert, err := x509.ParseCertificate(first.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		pub, err := cert.PublicKey.(*ecdsa.PublicKey).ECDH()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range []mac.Provisioned{first, again} { // both contexts keep working
			theirs, err := ecdh.P256().GenerateKey(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			want, err := theirs.ECDH(pub)
			if err != nil {
				t.Fatal(err)
			}
			got, err := w.again().Unlock.Exchange(t.Context(), h, p.Context, theirs.PublicKey().Bytes())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("agreed on %x, not %x: %v", got, want, err)
			}
		}
	})
}

// The certificate has the shape that macOS takes (apple-platform-sso.md §8.2).
func TestUnlockCertificate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.provision(holderOf(w.mac(), ada))
		cert, err := x509.ParseCertificate(p.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		pub := cert.PublicKey.(*ecdsa.PublicKey)
		point, err := pub.Bytes()
		if err != nil || pub.Curve != elliptic.P256() {
			t.Fatalf("%v, %v", pub.Curve, err)
		}
		if name := sha1.Sum(point); !bytes.Equal(cert.SubjectKeyId, name[:]) {
			t.Errorf("subject key identifier %x, not %x", cert.SubjectKeyId, name)
		}
		if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
			t.Errorf("it is not signed by itself: %v", err)
		}
		if cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != x509.KeyUsageKeyAgreement || len(cert.ExtKeyUsage) > 0 || cert.SerialNumber.Sign() <= 0 {
			t.Errorf("CA %v, usage %v, serial %v", cert.IsCA, cert.KeyUsage, cert.SerialNumber)
		}
		critical := map[string]bool{}
		for _, e := range cert.Extensions {
			critical[e.Id.String()] = e.Critical
		}
		if want := map[string]bool{"2.5.29.19": true, "2.5.29.15": true, "2.5.29.14": false}; len(critical) != 3 || critical["2.5.29.19"] != want["2.5.29.19"] || !critical["2.5.29.15"] || critical["2.5.29.14"] {
			t.Errorf("extensions %v", critical)
		}
		if strings.Contains(string(p.Certificate), string(ada)) || cert.NotBefore.After(w.now) || !cert.NotAfter.After(w.now.AddDate(9, 0, 0)) {
			t.Errorf("from %s to %s", cert.NotBefore, cert.NotAfter)
		}
	})
}

// TestSec_PSO05_Exchange: a key agrees for its holder and nobody else, by its own
// context, with a point of the curve.
func TestSec_PSO05_Exchange(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m, second := w.mac(), w.mac()
		h := holderOf(m, ada)
		p, bobs, elsewhere := w.provision(h), w.provision(holderOf(m, bob)), w.provision(holderOf(second, ada))
		theirs, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point := theirs.PublicKey().Bytes()
		off, p384 := slices.Clone(point), []byte(nil)
		off[64] ^= 1
		if k, err := ecdh.P384().GenerateKey(rand.Reader); err == nil {
			p384 = k.PublicKey().Bytes()
		}
		with := func(change func(*mac.Holder)) mac.Holder { h := h; change(&h); return h }
		raw, err := base64.RawURLEncoding.DecodeString(p.Context)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)-1] ^= 1
		for name, tt := range map[string]struct {
			h       mac.Holder
			context string
			point   []byte
			want    string
		}{
			"good":                        {h, p.Context, point, ""},
			"another person":              {with(func(h *mac.Holder) { h.User = bob }), p.Context, point, "invalid key_context"},
			"another Mac":                 {with(func(h *mac.Holder) { h.Device = second.Device }), p.Context, point, "invalid key_context"},
			"another tenant":              {with(func(h *mac.Holder) { h.Tenant = other }), p.Context, point, "invalid key_context"},
			"another purpose":             {with(func(h *mac.Holder) { h.Purpose = "x" }), p.Context, point, "invalid key_context"},
			"the context of another":      {h, bobs.Context, point, "invalid key_context"},
			"the context of another Mac":  {h, elsewhere.Context, point, "invalid key_context"},
			"no context":                  {h, "", point, "invalid key_context"},
			"a bent context":              {h, base64.RawURLEncoding.EncodeToString(raw), point, "invalid key_context"},
			"a context with a line break": {h, p.Context + "\n", point, "invalid key_context"},
			"a long context":              {h, strings.Repeat("A", 4096), point, "invalid key_context"},
			"a context that is no base64": {h, "!", point, "invalid key_context"},
			"no point":                    {h, p.Context, nil, "invalid other_publickey"},
			"a compressed point":          {h, p.Context, append([]byte{2}, point[1:33]...), "invalid other_publickey"},
			"the point at infinity":       {h, p.Context, []byte{0}, "invalid other_publickey"},
			"a point off the curve":       {h, p.Context, off, "invalid other_publickey"},
			"a point of another curve":    {h, p.Context, p384, "invalid other_publickey"},
		} {
			z, err := w.Unlock.Exchange(t.Context(), tt.h, tt.context, tt.point)
			if reason(err) != tt.want || (err == nil) != (len(z) == 32) {
				t.Errorf("%s: %x, %v", name, z, err)
			}
		}
		if _, err := w.Unlock.Prepare(t.Context(), with(func(h *mac.Holder) { h.Purpose = "disk" })); reason(err) != "invalid key_purpose" {
			t.Errorf("another purpose: %v", err)
		}
	})
}

// TestSec_PSO05_Erased: a key that is erased is gone with its context; what takes
// its place is another one, and so is what was prepared and not written in time.
func TestSec_PSO05_Erased(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		theirs, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for name, erase := range map[string]func(context.Context, *sqldb.Tx) error{
			"by the key":    func(ctx context.Context, tx *sqldb.Tx) error { return w.Unlock.Erase(ctx, tx, tenant, m.Device, ada) },
			"by the person": func(ctx context.Context, tx *sqldb.Tx) error { return w.RemoveUser(ctx, tx, tenant, ada) },
			"by the Mac":    func(ctx context.Context, tx *sqldb.Tx) error { return w.OnDeviceRemoved(ctx, tx, tenant, m.Device) },
		} {
			h := holderOf(m, ada)
			p := w.provision(h)
			bobs := w.provision(holderOf(m, bob))
			late, err := w.Unlock.Prepare(t.Context(), h) // of the one that stands
			if err != nil {
				t.Fatal(err)
			}
			w.must(erase)
			if _, err := w.Unlock.Exchange(t.Context(), h, p.Context, theirs.PublicKey().Bytes()); reason(err) != "invalid key_context" {
				t.Errorf("%s: erased: %v", name, err)
			}
			if _, err := w.Unlock.Exchange(t.Context(), holderOf(m, bob), bobs.Context, theirs.PublicKey().Bytes()); (err == nil) != (name != "by the Mac") {
				t.Errorf("%s: the other person's: %v", name, err)
			}
			if name == "by the Mac" {
				continue
			}
			err = w.write(func(ctx context.Context, tx *sqldb.Tx) error {
				_, _, err := w.Unlock.Provision(ctx, tx, late)
				return err
			})
			if reason(err) != "invalid key_context" {
				t.Errorf("%s: one that was prepared came back: %v", name, err)
			}
			next := w.provision(h)
			if bytes.Equal(next.Certificate, p.Certificate) {
				t.Errorf("%s: the same key again", name)
			}
			if _, err := w.Unlock.Exchange(t.Context(), h, p.Context, theirs.PublicKey().Bytes()); reason(err) != "invalid key_context" {
				t.Errorf("%s: the old context with the new key: %v", name, err)
			}
			w.must(func(ctx context.Context, tx *sqldb.Tx) error { return w.Unlock.Erase(ctx, tx, tenant, m.Device, ada) })
		}
	})
}

// TestSec_KEY01_UnlockKeysAreSealed: no row holds a private key, and one that is
// moved to another holder does not open.
func TestSec_KEY01_UnlockKeysAreSealed(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		m := w.mac()
		p := w.provision(holderOf(m, ada))
		bobs := w.provision(holderOf(m, bob))
		var sealed []byte
		if err := w.db.QueryRow(t.Context(), `select sealed from mac_unlock where user_id = $1`, ada).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		pub := func() *ecdsa.PublicKey {
			c, err := x509.ParseCertificate(p.Certificate)
			if err != nil {
				t.Fatal(err)
			}
			return c.PublicKey.(*ecdsa.PublicKey)
		}()
		for i := 0; i+32 <= len(sealed); i++ {
			if k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), sealed[i:i+32]); err == nil && k.PublicKey.Equal(pub) {
				t.Fatal("the private key is there in clear")
			}
		}
		if _, err := w.db.Exec(t.Context(), `update mac_unlock set sealed = $1 where user_id = $2`, sealed, bob); err != nil {
			t.Fatal(err)
		}
		theirs, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if z, err := w.Unlock.Exchange(t.Context(), holderOf(m, bob), bobs.Context, theirs.PublicKey().Bytes()); err == nil {
			t.Errorf("a moved row agreed on %x", z)
		}
	})
}

// Many first requests at once get one key.
func TestUnlockRace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		h := holderOf(w.mac(), ada)
		if _, err := w.Unlock.Prepare(t.Context(), h); err != nil { // the tenant's key is there
			t.Fatal(err)
		}
		var mu sync.Mutex
		certificates, made := map[string]bool{}, 0
		var all sync.WaitGroup
		for range 32 {
			all.Go(func() {
				p, fresh, err := w.tryProvision(h)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				}
				if certificates[string(p.Certificate)] = true; fresh {
					made++
				}
			})
		}
		all.Wait()
		if len(certificates) != 1 || made != 1 {
			t.Errorf("%d keys, %d made", len(certificates), made)
		}
	})
}
