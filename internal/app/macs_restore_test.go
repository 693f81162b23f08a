package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_T52_MacsSurviveARestore: Macs and the keys that unlock them are there
// after a restore, into the other database too; no registration token is, used
// or not (decisions 1.7).
func TestSec_T52_MacsSurviveARestore(t *testing.T) {
	from := newInstallation(t, "")
	file := filepath.Join(t.TempDir(), "backup")
	identities, recipient, err := backup.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys := backup.Keys{Recipients: []string{recipient}, Identities: identities}
	before := macBefore(t, from, file, keys)
	for name, database := range map[string]string{"sqlite": "", "postgres": sqldbtest.NewPostgres(t)} {
		if name == "postgres" && database == "" {
			continue // said in the log
		}
		cfg := from.cfg
		cfg.Data, cfg.Database, cfg.KEKFile = filepath.Join(t.TempDir(), "data"), database, filepath.Join(from.cfg.Data, kekName)
		if _, err := Restore(t.Context(), cfg, file, keys); err != nil {
			t.Fatal(err)
		}
		h, err := Open(t.Context(), cfg, "http://localhost")
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range before.mac.Keys {
			if m, got, err := h.Macs.ByKid(t.Context(), from.tenant, k.Role, k.ID); err != nil || m.Device != before.mac.Device || m.Serial != "C02A" || !got.Public.Equal(k.Public) {
				t.Errorf("%s: %s key: %v", name, k.Role, err)
			}
		}
		if z, err := h.Macs.Unlock.Exchange(t.Context(), before.holder, before.unlock.Context, before.point); err != nil || len(z) != 32 {
			t.Errorf("%s: unlock: %v", name, err)
		}
		if _, err := h.Macs.Tokens.Find(t.Context(), from.tenant, before.token, ""); idp.AsError(err).Reason != "token_unknown" {
			t.Errorf("%s: registration token: %v", name, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

type macMade struct {
	mac    mac.Mac
	holder mac.Holder
	unlock mac.Provisioned
	point  []byte
	token  string
}

func macBefore(t *testing.T, i *installation, file string, keys backup.Keys) (out macMade) {
	t.Helper()
	h, err := Open(t.Context(), i.cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	draw := func() *ecdsa.PublicKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &k.PublicKey
	}
	const ada = idp.UserID("11111111-2222-4333-8444-555555555555")
	q := mac.Registration{Tenant: i.tenant, Serial: "C02A", Source: mac.ByPerson, Signing: mac.NewKey{Public: draw()}, Encryption: mac.NewKey{Public: draw()}}
	c := device.Candidate{
		Tenant: i.tenant, Name: "mac", OS: mac.OS, Join: device.Joined, Owner: ada, Assurance: device.Unattested,
		Key: q.Signing.Public, Transport: q.Encryption.Public, Quota: 1,
	}
	d, _, err := h.Devices.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	q.Device, out.holder = d.ID, mac.Holder{Tenant: i.tenant, Device: d.ID, User: ada, Purpose: mac.UserUnlock}
	prepared, err := h.Macs.Unlock.Prepare(t.Context(), out.holder)
	if err != nil {
		t.Fatal(err)
	}
	err = h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := h.Devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		if out.mac, err = h.Macs.Add(ctx, tx, q); err != nil {
			return err
		}
		if out.unlock, _, err = h.Macs.Unlock.Provision(ctx, tx, prepared); err != nil {
			return err
		}
		_, out.token, err = h.Macs.Tokens.Issue(ctx, tx, mac.TokenRequest{Tenant: i.tenant, By: ada})
		return err
	})
	if err == nil {
		out.point, err = draw().Bytes()
	}
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := dump(t.Context(), h.DB, to, keys, backup.Header{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return out
}
