package prt_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"testing"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

var benchCtx = []byte("0123456789abcdef01234567")

// BenchmarkMACRaw is the floor of BenchmarkDerive: one HMAC over the same length.
func BenchmarkMACRaw(b *testing.B) {
	key, text := make([]byte, 32), make([]byte, 67)
	b.ReportAllocs()
	for b.Loop() {
		h := hmac.New(sha256.New, key)
		h.Write(text)
		h.Sum(nil)
	}
}

func BenchmarkDerive(b *testing.B) {
	key, text := make([]byte, 32), make([]byte, 900) // a payload with a PRT in it
	for name, version := range map[string]int{"v1": 1, "v2": 2} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				prt.Derive(key, version, benchCtx, text)
			}
		})
	}
}

// BenchmarkProve is HS256 and KDF together, whose ceiling is 7 µs
// (spec/performance.md).
func BenchmarkProve(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	i := w.issue(b, asked(ada, desk, w.now))
	o := w.find(b, i.Value)
	m := message(b, i.SessionKey, v2, 2, benchCtx, request(i))
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Prove(m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse reads the request that a PRT is used with.
func BenchmarkParse(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	i := w.issue(b, asked(ada, desk, w.now))
	compact := compact(i.SessionKey, v2, 2, benchCtx, request(i))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.ParseLoose(compact, "HS256"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	p := asked(ada, desk, w.now)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.svc.Prepare(context.Background(), p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFind opens a value and reads its row.
func BenchmarkFind(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	i := w.issue(b, asked(ada, desk, w.now))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.svc.Find(context.Background(), tenant, i.Value); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRenew(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	o := w.find(b, w.issue(b, asked(ada, desk, w.now)).Value)
	b.ReportAllocs()
	for b.Loop() {
		err := w.db.Write(context.Background(), func(ctx context.Context, tx *sqldb.Tx) (err error) {
			p, _, err := w.svc.Renew(ctx, tx, o)
			o.PRT, o.Presented = p, p.Generation
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOAEPRaw is the floor of BenchmarkSessionKey: one RSA-2048 encryption.
func BenchmarkOAEPRaw(b *testing.B) {
	key := benchRSA(b)
	for b.Loop() {
		if _, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, &key.PublicKey, make([]byte, 32), nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSessionKey(b *testing.B) {
	key := benchRSA(b)
	session := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := jose.WrapSessionKey(&key.PublicKey, session); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAnswer seals an answer of the size of one with an access token.
func BenchmarkAnswer(b *testing.B) {
	w := newWorld(sqldbtest.Open(b, sources))
	o := w.find(b, w.issue(b, asked(ada, desk, w.now)).Value)
	text := make([]byte, 3000)
	for name, seal := range map[string]func(jose.KeyFor, []byte) ([]byte, error){"gcm": jose.SealDirect, "cbc": jose.SealCBC} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := seal(o.AnswerKey, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// request is the payload of a PRT's use (device-protocol.md §9.1).
func request(i prt.Issued) string {
	return `{"refresh_token":"` + i.Value + `","request_nonce":"AwABEgEAAAADAOz_BQD0_7Qn2hX0bUq1Yc3nF5a1yqjv8jX0kz5W1c2R3n4t5Y6u7I8o9P0a","client_id":"29d9ed98-a469-4536-ade2-f981bc1d605e",` +
		`"scope":"openid profile offline_access","resource":"https://graph.example","grant_type":"refresh_token","iss":"aad:brokerplugin","aud":"login.microsoftonline.com","iat":1800000000,"exp":1800000300,"win_ver":null,"group_sids":[]}`
}

func benchRSA(b *testing.B) *rsa.PrivateKey {
	b.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	return key
}
