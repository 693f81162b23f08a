package hello

import (
	"crypto/x509"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/userkey"
)

// Kept is how long a removed key can be restored, and an orphaned one waits to
// be deleted (decisions 2.12).
const Kept = userkey.Kept

// credential is a key as lists have it.
func credential(k userkey.Key, d Machine, gone bool) method.Credential {
	return method.Credential{
		ID: k.ID, Tenant: k.Tenant, User: k.User, Method: ID, Name: k.Name, Mode: idp.ModeHello,
		Facts: facts(k), Properties: properties(), Created: k.Created, LastUsed: k.LastUsed,
		Disabled: !d.Enabled, Orphaned: gone, Weak: factorable(k.SPKI),
	}
}

// factorable says that a key was made by the generator whose keys can be
// factored. None is registered; lists look anyway.
func factorable(spki []byte) bool {
	key, err := x509.ParsePKIXPublicKey(spki)
	return err == nil && jose.ROCA(key)
}
