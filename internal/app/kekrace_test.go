package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/backup"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// TestSec_KEY02_CommandsAtOnce lets all commands and the minute of a server
// meet, many times over: whatever happens, its files open everything.
func TestSec_KEY02_CommandsAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		i := newInstallation(t, database)
		h, err := i.runs(nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		var wg sync.WaitGroup
		again := func(do func() error) {
			wg.Go(func() {
				for range 12 {
					if err := do(); err != nil && !errors.Is(err, idp.Conflict) {
						t.Error(err)
					}
				}
			})
		}
		again(func() error { _, _, err := h.kek.Add(ctx, ""); return err })
		for range 2 {
			again(func() error { _, _, err := h.kek.Rewrap(ctx, false, nil, nil); return err })
			again(func() error { _, _, err := h.kek.Finish(ctx); return err })
		}
		again(func() error { return h.kek.Announce(ctx) })
		again(func() error { _, err := h.kek.Status(ctx); return err })
		again(func() error { return h.Keys.RotateNow(ctx, "another", "ES256") })
		wg.Wait()
		if sealed, _ := i.keys(h); !bytes.Equal(sealed, i.sealed) {
			t.Error("other keys than before")
		}
		h.Close()
		if !i.opens("") {
			t.Error("the files that are left do not open everything")
		}
		if olds, err := filepath.Glob(filepath.Join(i.cfg.Data, kekName) + ".old-*"); err != nil || len(olds) == 0 {
			t.Errorf("no key was replaced: %v", err)
		}
	})
}

// TestSec_KEY02_BackupFromBefore needs the old key, under whichever name it is
// kept, and the new one is refused with nothing left behind.
func TestSec_KEY02_BackupFromBefore(t *testing.T) {
	ctx, i := t.Context(), newInstallation(t, "")
	h, err := i.runs(nil)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	keys := backup.Keys{Passphrase: "correct horse"}
	if _, err := dump(ctx, h.DB, &file, keys, backup.Header{Version: "test", Created: time.Unix(1, 0).UTC()}); err != nil {
		t.Fatal(err)
	}
	_, _, err = h.kek.Add(ctx, "")
	_, _, err2 := h.kek.Rewrap(ctx, false, nil, nil)
	_, old, err3 := h.kek.Finish(ctx)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	h.Close()
	path := filepath.Join(t.TempDir(), "backup")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	to := *i
	to.cfg.Data, to.cfg.KEKFile = filepath.Join(t.TempDir(), "data"), filepath.Join(i.cfg.Data, kekName)
	if _, err := Restore(ctx, to.cfg, path, keys); !errors.Is(err, errWrongKEK) {
		t.Errorf("with the new key: %v", err)
	}
	to.cfg.KEKFile = old
	if _, err := Restore(ctx, to.cfg, path, keys); err != nil {
		t.Fatal(err)
	}
	if !to.opens(old) || to.opens(filepath.Join(i.cfg.Data, kekName)) {
		t.Error("not the old key opens it")
	}
}

// TestSec_KEY02_SwappedKeys: a rewrap does not make a key that was put into
// another row, another tenant's or another purpose's, into a good one.
func TestSec_KEY02_SwappedKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, database string) {
		i, h, _, _ := prepared(t, database)
		ctx := t.Context()
		for _, swap := range []string{
			`update sealing_key set sealed = (select sealed from sealing_key where purpose = 'x') where tenant_id = $1 and purpose = 'flow'`,
			`update sealing_key set sealed = (select sealed from sealing_key where tenant_id = 'other') where tenant_id = $1 and purpose = 'flow'`,
			`update signing_key set sealed = (select sealed from sealing_key where tenant_id = 'other') where tenant_id = $1`,
		} {
			for tenant, purpose := range map[idp.TenantID]string{i.tenant: "x", "other": "flow"} {
				if _, err := h.Keys.Sealing(ctx, tenant, purpose); err != nil {
					t.Fatal(err)
				}
			}
			undo := errors.New("undo")
			var sealing, signing []byte
			err := h.DB.QueryRow(ctx, `select sealed from sealing_key where tenant_id = $1 and purpose = 'flow'`, i.tenant).Scan(&sealing)
			err2 := h.DB.QueryRow(ctx, `select sealed from signing_key where tenant_id = $1`, i.tenant).Scan(&signing)
			if n, err3 := h.DB.Exec(ctx, swap, i.tenant); n != 1 || errors.Join(err, err2, err3) != nil {
				t.Fatal(n, err, err2, err3)
			}
			note := func(context.Context, *sqldb.Tx, []idp.TenantID) error { return undo }
			if _, _, err := h.kek.Rewrap(ctx, false, note, nil); err == nil || errors.Is(err, undo) {
				t.Errorf("%s: %v", swap, err)
			}
			if s, err := h.kek.Status(ctx); err != nil || s.Next != "" {
				t.Errorf("it has begun: %+v, %v", s, err)
			}
			_, err = h.DB.Exec(ctx, `update sealing_key set sealed = $1 where tenant_id = $2 and purpose = 'flow'`, sealing, i.tenant)
			_, err2 = h.DB.Exec(ctx, `update signing_key set sealed = $1 where tenant_id = $2`, signing, i.tenant)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
		}
	})
}
