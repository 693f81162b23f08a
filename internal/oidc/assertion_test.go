package oidc_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/sqldb"
)

// TOK12: an assertion is believed by its algorithm only when that is one that
// discovery names, even if the registration had a key for another: the
// registry would refuse such keys, so the row is written past it.
func TestSec_TOK12_AssertionAlgorithms(t *testing.T) {
	d := newDoor(t)
	good := newSigner(t, jose.ES256, "good")
	signers := map[string]signer{"ES256": good}
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{good.jwk}}
	for _, alg := range []jose.SignatureAlgorithm{jose.ES384, jose.EdDSA} {
		s := newSigner(t, alg, "key of "+string(alg))
		signers[string(alg)] = s
		set.Keys = append(set.Keys, s.jwk)
	}
	a := d.newApp(func(c *client.Client) { c.Auth, c.JWKS = "private_key_jwt", good.set() })
	stored, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	d.write(func(ctx context.Context, tx *sqldb.Tx) error {
		n, err := tx.Exec(ctx, `update client set jwks = $3 where tenant_id = $1 and id = $2`, d.tenant.ID, a.ID, string(stored))
		if n != 1 {
			t.Errorf("%d rows", n)
		}
		return err
	})
	serial := 0
	claims := func() map[string]any {
		serial++
		return map[string]any{"iss": a.ID, "sub": a.ID, "aud": d.issuer(), "jti": fmt.Sprint(serial), "exp": d.clock().Unix() + 60}
	}
	call := func(assertion string) (int, map[string]any) {
		t.Helper()
		return a.token(d, url.Values{"grant_type": {"client_credentials"}, "client_assertion": {assertion},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}})
	}
	for alg, s := range signers {
		status, out := call(s.sign(t, claims(), nil))
		if alg == "ES256" {
			if status != http.StatusOK {
				t.Errorf("%s: %d %v", alg, status, out)
			}
			continue
		}
		wantError(t, status, out, http.StatusUnauthorized, "invalid_client", 700027)
	}
	// What is public is no secret: none of its forms makes a MAC that counts.
	der, err := x509.MarshalPKIXPublicKey(good.jwk.Key)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := good.jwk.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, secret := range map[string][]byte{
		"the public key": der, "its PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "its JWK": jwk,
		"the key set": stored, "the client id": []byte(a.ID), "nothing": nil,
	} {
		body, err := json.Marshal(claims())
		if err != nil {
			t.Fatal(err)
		}
		status, out := call(forger{t: t}.hs256(secret, `{"alg":"HS256","kid":"good"}`, string(body)))
		if status != http.StatusUnauthorized || str(out, "error") != "invalid_client" {
			t.Errorf("HS256 by %s: %d %v", name, status, out)
		}
	}
}
