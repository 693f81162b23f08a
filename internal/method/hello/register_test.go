package hello_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/hello/hellotest"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
)

// TestKeys: which keys are taken, and by what they are named.
func TestKeys(t *testing.T) {
	k := rsaKey(0)
	if got := hex.EncodeToString(k.Public()[:26]); got != "5253413100080000030000000001000000000000"+"00000000"+"0100" || len(k.Public()) != 283 {
		t.Errorf("RSA1 blob of %d bytes begins %s", len(k.Public()), got)
	}
	kid := func(raw []byte) []byte { sum := sha256.Sum256(raw); return sum[:] }
	for name, c := range map[string]struct{ raw, kid []byte }{
		"RSA1":        {k.Public(), kid(k.Public())},
		"RSA in SPKI": {k.SPKI(), kid(k.Public())},
	} {
		public, got, err := hello.ParseKey(c.raw)
		if err != nil || !bytes.Equal(got, c.kid) || public == nil {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	curve := hellotest.EC()
	if _, got, err := hello.ParseKey(curve.SPKI()); err != nil || !bytes.Equal(got, kid(curve.SPKI())) {
		t.Errorf("P-256: %x, %v", got, err)
	}
	spki := func(key any) []byte {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	big384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edwards, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	modulus := func(bits int, low uint) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.Add(n, big.NewInt(int64(low)))
	}
	at := func(n int, b byte) []byte { raw := bytes.Clone(k.Public()); raw[n] = b; return raw }
	for name, c := range map[string]struct {
		raw    []byte
		reason string
	}{
		"nothing":          {nil, "key_malformed"},
		"words":            {[]byte("not a key"), "key_malformed"},
		"too long":         {append(k.Public(), make([]byte, 4096)...), "key_malformed"},
		"cut":              {k.Public()[:200], "key_malformed"},
		"one byte more":    {append(bytes.Clone(k.Public()), 0), "key_malformed"},
		"another magic":    {at(3, '2'), "key_malformed"},
		"primes":           {at(16, 1), "key_malformed"},
		"bits of another":  {at(5, 4), "key_malformed"},
		"exponent 0":       {at(24, 0), "key_malformed"},
		"SPKI with a tail": {append(bytes.Clone(curve.SPKI()), 0), "key_malformed"},
		"P-384":            {spki(&big384.PublicKey), "key_weak"},
		"Ed25519":          {spki(edwards), "key_weak"},
		"1024 bits":        {jose.RSA1(&rsa.PublicKey{N: modulus(1024, 1), E: 65537}), "key_weak"},
		"even modulus":     {jose.RSA1(&rsa.PublicKey{N: modulus(2048, 2), E: 65537}), "key_weak"},
		"exponent 3":       {jose.RSA1(&rsa.PublicKey{N: modulus(2048, 1), E: 3}), "key_weak"},
		"even exponent":    {jose.RSA1(&rsa.PublicKey{N: modulus(2048, 1), E: 65538}), "key_weak"},
		"1024 bits, SPKI":  {spki(&rsa.PublicKey{N: modulus(1024, 1), E: 65537}), "key_weak"},
		// Modulo each of the small primes 1, a power of 65537.
		"ROCA": {jose.RSA1(&rsa.PublicKey{N: factorable(), E: 65537}), "key_weak"},
	} {
		_, _, err := hello.ParseKey(c.raw)
		if e := idp.AsError(err); err == nil || e.Kind != idp.Invalid || e.Reason != c.reason || (c.reason == "key_weak") != (e.Code == 50032) {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
	if !jose.ROCA(&rsa.PublicKey{N: factorable(), E: 65537}) || jose.ROCA(&big384.PublicKey) {
		t.Error("ROCA is not told from others")
	}
}

// factorable is a modulus with the mark of the broken generator.
func factorable() *big.Int {
	product := big.NewInt(2)
	for _, p := range []int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157} {
		product.Mul(product, big.NewInt(p))
	}
	n := new(big.Int).Lsh(big.NewInt(1), 2047)
	n.Div(n, product).Add(n, big.NewInt(1)).Mul(n, product)
	return n.Add(n, big.NewInt(1))
}

// TestRegister: who may register what, and what becomes of what was there.
func TestRegister(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join("Laptop")
		first, second := hellotest.EC(), hellotest.EC()
		old := w.register(t, w.Ada, d, first)
		if old.Name != "Laptop" || old.Facts.Device != d || old.Method != hello.ID || !old.Usable() {
			t.Errorf("registered %+v", old)
		}
		now := w.register(t, w.Ada, d, second)
		if len(w.replaced) != 1 || w.replaced[0] != old.ID {
			t.Errorf("what stood on the old key was ended for %v", w.replaced)
		}
		if all := w.list(t, w.Ada); len(all) != 1 || all[0].ID != now.ID {
			t.Errorf("held %+v, want the new key alone", all)
		}
		if _, err := w.signIn(t, w.Ada, d, first); reason(err) != "key_unknown" {
			t.Errorf("the old key: %v", err)
		}
		if _, err := w.signIn(t, w.Ada, d, second); err != nil {
			t.Errorf("the new key: %v", err)
		}
		w.register(t, w.Bob, d, hellotest.EC()) // one a person and device
		if c := w.register(t, w.Ada, w.join("laptop"), hellotest.EC()); c.Name != "laptop 2" {
			t.Errorf("called %q", c.Name)
		}

		refuse := func(what, want string, change func(r *signin.RegisterOnceRequest)) {
			t.Helper()
			r := w.registration(w.Ada, d, hellotest.EC().Public())
			change(&r)
			if _, err := w.Corridor.RegisterOnce(t.Context(), r); reason(err) != want {
				t.Errorf("%s: %v, want %s", what, err, want)
			}
		}
		refuse("old proof", "fresh_proof_needed", func(r *signin.RegisterOnceRequest) { r.ProofTime = w.Now().Add(-10*time.Minute - time.Second) })
		refuse("no proof", "fresh_proof_needed", func(r *signin.RegisterOnceRequest) { r.ProofTime = time.Time{} })
		refuse("no device", "registration_for_nobody", func(r *signin.RegisterOnceRequest) { r.Device = "" })
		refuse("device of nobody", "device_missing", func(r *signin.RegisterOnceRequest) { r.Device = "gone" })
		refuse("device that is off", "device_disabled", func(r *signin.RegisterOnceRequest) { r.Device = w.set("off", hello.Machine{}) })
		refuse("no key", "key_malformed", func(r *signin.RegisterOnceRequest) { r.Payload = []byte("{}") })
		refuse("nobody", "fresh_proof_needed", func(r *signin.RegisterOnceRequest) { r.User = idp.User{} })
		refuse("neither nonce nor token", "nonce_missing", func(r *signin.RegisterOnceRequest) { r.ByToken = false })
		refuse("token and nonce", "internal", func(r *signin.RegisterOnceRequest) { r.Nonces = []nonce.Sealed{{}} })
		w.Switch(t, w.Tenant.ID, hello.ID, false)
		refuse("method off", "method_off", func(*signin.RegisterOnceRequest) {})
		w.Switch(t, w.Tenant.ID, hello.ID, true)
		w.Enable(t, w.Ada, false)
		refuse("disabled", "user_disabled", func(*signin.RegisterOnceRequest) {})
		if all := w.list(t, w.Ada); len(all) != 2 {
			t.Errorf("%d keys after refusals, want 2", len(all))
		}
	})
}

// TestEvents: registrations, refused ones too, are on record; what costs its
// sender nothing is kept down to a number.
func TestEvents(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		d := w.join("Laptop")
		w.register(t, w.Ada, d, hellotest.EC())
		for range 40 {
			if _, err := w.Corridor.RegisterOnce(t.Context(), w.registration(w.Ada, d, nil)); !errors.Is(err, idp.Invalid) {
				t.Fatal(err)
			}
		}
		good, bad := 0, 0
		for _, e := range w.Events(t, w.Tenant.ID) {
			switch {
			case strings.HasPrefix(e, "hello.register success"):
				good++
			case strings.HasPrefix(e, "hello.register failure key_malformed"):
				bad++
			}
		}
		if good != 1 || bad == 0 || bad > 21 {
			t.Errorf("%d successes and %d refusals on record", good, bad)
		}
	})
}

// TestLimitOfPolicy: the tenant's limit holds, and no tenant's is above 50.
func TestLimitOfPolicy(t *testing.T) {
	w := oneWorld(t)
	w.Policy(t, w.Tenant.ID, func(p *policy.Policy) { p.Hello.Limit = 2 })
	for range 2 {
		w.register(t, w.Ada, w.join("Laptop"), hellotest.EC())
	}
	d := w.join("Laptop")
	if _, err := w.Corridor.RegisterOnce(t.Context(), w.registration(w.Ada, d, hellotest.EC().Public())); reason(err) != "hello_limit" || idp.AsError(err).Public == "" {
		t.Errorf("third of two: %v", err)
	}
	// In the place of one that is there it needs no further one.
	w.register(t, w.Ada, w.list(t, w.Ada)[0].Facts.Device, hellotest.EC())
	w.Write(t, func(ctx context.Context, tx *sqldb.Tx) error {
		return w.room.Remove(ctx, tx, w.Tenant.ID, w.Ada.ID, w.list(t, w.Ada)[0].ID)
	})
	w.register(t, w.Ada, d, hellotest.EC())
}
