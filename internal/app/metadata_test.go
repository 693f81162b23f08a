package app_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/signetid/signet/internal/app"
	"github.com/signetid/signet/internal/metadata"
)

// TestMetadataNeverStopsTheServer: neither a damaged list in the database nor
// a source that is not there keeps people out (security.md REL11).
func TestMetadataNeverStopsTheServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	start := func(log *logBuffer, file string) *app.Server {
		t.Helper()
		cfg := app.Default()
		cfg.Data, cfg.Listen = data, "127.0.0.1:0"
		cfg.Metadata.File = file
		cfg.Log = slog.New(slog.NewJSONHandler(log, nil))
		s, err := app.Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	log := &logBuffer{}
	s := start(log, "")
	if got := s.Metadata.Condition(); got != metadata.Off {
		t.Errorf("without a source: %s", got)
	}
	if _, err := s.DB.Exec(t.Context(), `
		insert into metadata_blob (id, number, next_update, fetched, source, body) values ('fido', 9, 0, 0, 'somebody', $1)`, []byte("damaged")); err != nil {
		t.Fatal(err)
	}
	if err := s.Abandon(); err != nil {
		t.Fatal(err)
	}
	s = start(log, filepath.Join(data, "missing.jwt"))
	defer s.Abandon()
	if got := s.Metadata.Condition(); got != metadata.None {
		t.Errorf("with a damaged list: %s", got)
	}
	if !strings.Contains(log.String(), "the stored metadata is not used") {
		t.Errorf("log: %s", log)
	}
	if name := s.Metadata.Name("d548826e-79b4-db40-a3d8-11116f7e8349"); name != "Bitwarden" {
		t.Errorf("bundled name %q", name)
	}
}
