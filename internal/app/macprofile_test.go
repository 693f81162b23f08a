package app

import (
	"bytes"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Authorities of attestations that cannot be read stop a start, with the name of
// the setting.
func TestMacRoots(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "no certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
		cfg := Default()
		cfg.Data, cfg.Macs.Roots = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "roots.pem")
		if err := os.WriteFile(cfg.Macs.Roots, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), cfg, "http://localhost")
		if err == nil || !strings.Contains(err.Error(), "mac-roots") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(cfg.Data); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the data folder: %v", name, err)
		}
	}
	cfg := Default()
	cfg.Data, cfg.Macs.Roots = filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "none.pem")
	if _, err := Open(t.Context(), cfg, "http://localhost"); err == nil || !strings.Contains(err.Error(), "mac-roots") {
		t.Errorf("a file that is not there: %v", err)
	}
	// An authority of one's own is taken, and the operator hears that it is not
	// Apple's.
	ca, err := openLocalCA(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg.Macs.Roots = filepath.Join(t.TempDir(), "own.pem")
	if err := os.WriteFile(cfg.Macs.Roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	pool, err := cfg.macRoots()
	if err != nil || pool == nil || !strings.Contains(log.String(), "does not have Apple's") {
		t.Errorf("%v, log %s", err, &log)
	}
	cfg.Macs.Roots = ""
	if pool, err := cfg.macRoots(); pool != nil || err != nil {
		t.Errorf("none: %v, %v", pool, err)
	}
}
