package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

// TestSec_T52_DevicesSurviveARestore: machines that were joined when a backup
// was written are the same after it is restored, into the other database too:
// their authority, their keys, and how many their owner has.
func TestSec_T52_DevicesSurviveARestore(t *testing.T) {
	from := newInstallation(t, "")
	file := filepath.Join(t.TempDir(), "backup")
	identities, recipient, err := backup.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	keys := backup.Keys{Recipients: []string{recipient}, Identities: identities}
	c, der := joinedBefore(t, from, file, keys)
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
		if d, err := h.Devices.Identify(t.Context(), der); err != nil || !device.Same(d.Key, c.Key) || d.Owner != c.Owner {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		// What the machine's person had open is not there any more.
		var n int64
		if err := h.DB.QueryRow(t.Context(), `select count(*) from prt where tenant_id = $1`, c.Tenant).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d PRTs of before, %v", name, n, err)
		}
		if err := join(t, h, c); !errors.Is(err, idp.Denied) { // one of one
			t.Errorf("%s: a second device: %v", name, err)
		}
		c2 := c
		c2.Quota = 2
		if err := join(t, h, c2); !errors.Is(err, idp.Conflict) {
			t.Errorf("%s: the same key again: %v", name, err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
}

func joinedBefore(t *testing.T, i *installation, file string, keys backup.Keys) (device.Candidate, []byte) {
	t.Helper()
	h, err := Open(t.Context(), i.cfg, "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := device.Candidate{
		Tenant: i.tenant, Name: "ws-17", OS: "Linux", Join: device.Joined, Owner: "11111111-2222-4333-8444-555555555555",
		Assurance: device.Unproven, Key: key.Public(), Quota: 1,
	}
	d, der, err := h.Devices.Prepare(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := h.PRTs.Prepare(t.Context(), prt.PRT{Tenant: i.tenant, User: c.Owner, Device: d.ID, Protocol: prt.V4})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		if err := h.Devices.Add(ctx, tx, d, c); err != nil {
			return err
		}
		return h.PRTs.Add(ctx, tx, token)
	}); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := dump(t.Context(), h.DB, out, keys, backup.Header{Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return c, der
}

func join(t *testing.T, h *House, c device.Candidate) error {
	t.Helper()
	d, _, err := h.Devices.Prepare(t.Context(), c)
	if err != nil {
		return err
	}
	return h.DB.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return h.Devices.Add(ctx, tx, d, c) })
}

// Certificates of TPM makers that cannot be read stop a start, with the name of
// the setting.
func TestTPMRoots(t *testing.T) {
	cfg := Default()
	cfg.Data, cfg.TPMRoots = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "none.pem")
	_, err := Open(t.Context(), cfg, "http://localhost")
	if err == nil || !strings.Contains(err.Error(), "tpm-roots") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(cfg.Data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data folder: %v", err)
	}
}
