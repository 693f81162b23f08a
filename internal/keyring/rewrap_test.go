package keyring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_KEY02 replaces the key-encryption key under the keys of 300 tenants.
func TestSec_KEY02_Rewrap(t *testing.T) {
	sqldbtest.Each(t, sources, func(t *testing.T, db *sqldb.DB) {
		was, is := secret.RandomKey(), secret.RandomKey()
		now := newClock().Now
		first := keyring.New(keyring.Config{DB: db, KEK: was, Now: now})
		if err := first.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		const tenants = 300
		name := func(n int) idp.TenantID { return idp.TenantID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", n)) }
		before := map[idp.TenantID][]byte{}
		for n := range tenants {
			k, err := first.Sealing(t.Context(), name(n), "flow")
			if err != nil {
				t.Fatal(err)
			}
			before[name(n)] = k.Raw()
		}
		kid := signer(t, first, "ES256")

		// Step one: a node with the new key aside reads and writes with the old.
		aside := keyring.New(keyring.Config{DB: db, KEK: was, AlsoOpens: []*secret.Key{is}, Now: now})
		// Step two: nodes with the new key, the old one aside.
		node := keyring.New(keyring.Config{DB: db, KEK: is, AlsoOpens: []*secret.Key{was}, Now: now})
		if err := errors.Join(aside.Check(t.Context()), node.Check(t.Context())); err != nil {
			t.Fatal(err)
		}
		if _, err := node.Sealing(t.Context(), "new-tenant", "flow"); err != nil {
			t.Fatal(err)
		}
		if _, err := aside.Sealing(t.Context(), "new-tenant", "flow"); err != nil {
			t.Errorf("a node with the new key aside cannot read what is sealed under it: %v", err)
		}
		alone := func() *keyring.Ring { return keyring.New(keyring.Config{DB: db, KEK: is, Now: now}) }
		if err := alone().Check(t.Context()); err == nil {
			t.Fatal("starts without the old key before anything was rewrapped")
		}

		// Undone half-way, everything is as it was.
		stop := errors.New("stop")
		if n, err := node.Rewrap(t.Context(), func(context.Context, *sqldb.Tx, []idp.TenantID) error { return stop }); !errors.Is(err, stop) || n != 0 {
			t.Fatalf("stopped: %d, %v", n, err)
		}
		if err := alone().Check(t.Context()); err == nil {
			t.Fatal("starts without the old key though the rewrap was undone")
		}
		if k, err := keyring.New(keyring.Config{DB: db, KEK: was, Now: now}).Sealing(t.Context(), name(0), "flow"); err != nil || !bytes.Equal(k.Raw(), before[name(0)]) {
			t.Fatalf("the old key opens no more: %v", err)
		}

		told := 0
		count := func(_ context.Context, _ *sqldb.Tx, whose []idp.TenantID) error { told = len(whose); return nil }
		if n, err := node.Rewrap(t.Context(), count); err != nil || n != tenants+1 || told != tenants+1 {
			t.Fatalf("rewrapped %d of %d tenants, %v; want %d of each", n, told, err, tenants+1)
		}
		if n, err := node.Rewrap(t.Context(), nil); err != nil || n != 0 {
			t.Errorf("a second time: %d, %v", n, err)
		}

		last := alone()
		if err := last.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id, want := range before {
			k, err := last.Sealing(t.Context(), id, "flow")
			if err != nil || !bytes.Equal(k.Raw(), want) {
				t.Fatalf("tenant %s: another key, %v", id, err)
			}
		}
		if signer(t, last, "ES256") != kid {
			t.Error("another signing key")
		}
		if err := keyring.New(keyring.Config{DB: db, KEK: was, Now: now}).Check(t.Context()); err == nil {
			t.Error("the old key is still accepted")
		}
	})
}

func TestRewrapStopsAtWhatDoesNotOpen(t *testing.T) {
	db := sqldbtest.Open(t, sources)
	was, is := secret.RandomKey(), secret.RandomKey()
	now := newClock().Now
	r := keyring.New(keyring.Config{DB: db, KEK: was, Now: now})
	if err := r.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sealing(t.Context(), tenant, "flow"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `update sealing_key set purpose = 'other' where tenant_id = $1`, tenant); err != nil {
		t.Fatal(err)
	}
	if n, err := keyring.New(keyring.Config{DB: db, KEK: is, AlsoOpens: []*secret.Key{was}, Now: now}).Rewrap(t.Context(), nil); err == nil {
		t.Errorf("a swapped key was sealed anew, as one of %d", n)
	}
	if err := keyring.New(keyring.Config{DB: db, KEK: is, Now: now}).Check(t.Context()); err == nil {
		t.Error("a start without the old key succeeds though something needs it")
	}
}

// TestSec_KEY01_NoKeyInTheDatabase looks for the keys themselves in what is stored.
func TestSec_KEY01_NoKeyInTheDatabase(t *testing.T) {
	db, kek := sqldbtest.Open(t, sources), secret.RandomKey()
	r := keyring.New(keyring.Config{DB: db, KEK: kek, Now: newClock().Now})
	k, err := r.Sealing(t.Context(), tenant, "flow")
	if err != nil {
		t.Fatal(err)
	}
	var sealed []byte
	if err := db.QueryRow(t.Context(), `select sealed from sealing_key where tenant_id = $1`, tenant).Scan(&sealed); err != nil {
		t.Fatal(err)
	}
	if len(sealed) == 0 || bytes.Contains(sealed, k.Raw()) || bytes.Contains(sealed, kek.Raw()) {
		t.Errorf("stored: %x", sealed)
	}
}

// notices is a bus in one process.
type notices struct{ fns []func(string) }

func (n *notices) Publish(_ context.Context, _ *sqldb.Tx, _, key string) error {
	for _, fn := range n.fns {
		fn(key)
	}
	return nil
}

func (n *notices) Subscribe(_ string, fn func(string)) { n.fns = append(n.fns, fn) }
