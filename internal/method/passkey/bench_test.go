package passkey

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"slices"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
)

// BenchmarkVerifyAssertion measures what a sign-in costs in this room, from
// payload to verdict, next to its floor: one ECDSA P-256 verification.
func BenchmarkVerifyAssertion(b *testing.B) {
	w, d := sqliteWorld(b), device()
	c := w.register(b, ada, d)
	a := w.begin(b, method.Request{})
	payload, err := d.Get(a.Show)
	if err != nil {
		b.Fatal(err)
	}
	ans, err := parseAssertion(payload)
	if err != nil {
		b.Fatal(err)
	}
	row, err := find(b.Context(), w.db, tenant, c.ID)
	if err != nil {
		b.Fatal(err)
	}
	k, _ := parseKeep(a.Keep, purposeSignIn)
	b.Run("floor-ecdsa", func(b *testing.B) {
		key, err := parseKey(row.key)
		if err != nil {
			b.Fatal(err)
		}
		hash := sha256.Sum256(ans.clientData)
		digest := sha256.Sum256(slices.Concat(ans.authData, hash[:]))
		for b.Loop() {
			if !ecdsa.VerifyASN1(key.key.(*ecdsa.PublicKey), digest[:], ans.signature) {
				b.Fatal("does not verify")
			}
		}
	})
	b.Run("judge", func(b *testing.B) {
		for b.Loop() {
			if _, fault := judge(w.site, k, row, rules{}, ans); fault != nil {
				b.Fatal(fault)
			}
		}
	})
	b.Run("verify-with-database", func(b *testing.B) {
		for b.Loop() {
			if _, err := w.verify(asked{a.Challenge, idp.User{}}, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkChallenge(b *testing.B) {
	w := sqliteWorld(b)
	for name, r := range map[string]method.Request{"discoverable": {Tenant: tenant}, "typed-name": {Tenant: tenant, UserName: "x@y.example"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := w.Challenge(b.Context(), r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
