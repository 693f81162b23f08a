package keyring_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestDatabaseOfAnOlderVersion: its rows name no key-encryption key. It is
// checked before anything in it is changed, and then has every key that it had.
func TestDatabaseOfAnOlderVersion(t *testing.T) {
	older := fstest.MapFS{}
	for _, name := range []string{"migrations/202611230040_keyring.sql", "migrations/202611260900_hint_key.sql"} {
		text, err := fs.ReadFile(keyring.Migrations, name)
		if err != nil {
			t.Fatal(err)
		}
		older[name] = &fstest.MapFile{Data: text}
	}
	sqldbtest.Each(t, []fs.FS{older}, func(t *testing.T, db *sqldb.DB) {
		ctx, kek, raw := t.Context(), secret.RandomKey(), secret.Bytes(secret.KeySize)
		aad := fmt.Sprintf("%d:%s1:x4:flow1:1", len(tenant), tenant)
		_, err := db.Exec(ctx, `insert into sealing_key (tenant_id, purpose, id, sealed, created_at) values ($1, 'flow', 'x', $2, 0)`,
			tenant, kek.Seal(raw, []byte(aad)))
		_, err2 := db.Exec(ctx, `insert into kek_check (id, sealed) values (1, $1)`, kek.Seal([]byte("signet"), []byte("kek_check")))
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		ring := func(k *secret.Key) *keyring.Ring {
			return keyring.New(keyring.Config{DB: db, KEK: k, Now: newClock().Now})
		}
		if err := ring(secret.RandomKey()).Check(ctx); err == nil || idp.AsError(err).Reason != "wrong_kek" {
			t.Errorf("a wrong key: %v", err)
		}
		r := ring(kek)
		must(t, r.Check(ctx))
		if _, err := db.Migrate(ctx, keyring.Migrations); err != nil {
			t.Fatal(err)
		}
		must(t, r.Check(ctx))
		if damaged, err := r.Prove(ctx); err != nil || damaged != 0 {
			t.Fatal(damaged, err)
		}
		s, err := r.KEKs(ctx)
		if id := keyring.KEKID(kek); err != nil || s.Now != id || s.Keys[id] != 1 || len(s.Keys) != 1 {
			t.Errorf("named %+v, %v", s, err)
		}
		if k, err := r.Sealing(ctx, tenant, "flow"); err != nil || !bytes.Equal(k.Raw(), raw) {
			t.Errorf("another key: %v", err)
		}
	})
}
