package admin_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/metadata/metadatatest"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/sqldb/sqldbtest"
)

func TestMetadata(t *testing.T) {
	sqldbtest.Each(t, []fs.FS{audit.Migrations, directory.Migrations, metadata.Migrations}, func(t *testing.T, db *sqldb.DB) {
		clock := func() time.Time { return now }
		service := metadatatest.New(now)
		list := func(no int64) string {
			path := filepath.Join(t.TempDir(), fmt.Sprint(no))
			blob := service.List(no, now, metadatatest.Entry("11111111-1111-4111-8111-111111111111", "Governed key", nil))
			if err := os.WriteFile(path, blob, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		o := &office{t: t, db: db, log: audit.New(clock), dir: directory.New(directory.Config{DB: db, Now: clock})}
		registry := func(file string) *metadata.Registry {
			return metadata.New(metadata.Config{DB: db, Now: clock, File: file, Roots: []*x509.Certificate{service.Root.Cert}, Signer: metadatatest.Signer})
		}
		o.Service = admin.New(admin.Config{DB: db, Directory: o.dir, Audit: o.log, Now: clock, Metadata: registry("")})
		a := o.do("tenant.create", fields{"name": "A", "domain": "a.example"})
		b := o.do("tenant.create", fields{"name": "B", "domain": "b.example"})
		if s := o.do("metadata.status", fields{}); s["condition"] != "off" || s["number"] != 0.0 {
			t.Errorf("status %v", s)
		}
		o.refused("metadata.refresh", fields{}, idp.Invalid)
		o.refused("metadata.load", fields{"file": "/nowhere"}, idp.Invalid)
		o.refused("metadata.search", fields{"limit": 1000}, idp.Invalid)
		before := len(o.events(a["id"]))
		if s := o.do("metadata.load", fields{"file": list(3)}); s["condition"] != "current" || s["number"] != 3.0 || s["models"] != 1.0 {
			t.Errorf("loaded %v", s)
		}
		for _, tenant := range []fields{a, b} {
			if e := o.events(tenant["id"]); !strings.HasPrefix(e[len(e)-1], "metadata.load") {
				t.Errorf("events %v", e)
			}
		}
		// What changes nothing leaves nothing.
		o.do("metadata.load", fields{"file": list(3)})
		o.refused("metadata.load", fields{"file": list(2)}, idp.Conflict)
		o.do("metadata.status", fields{})
		if got := o.list("metadata.search", fields{"text": "governed"}, "aaguid"); len(got) != 1 {
			t.Errorf("found %v", got)
		}
		if got := o.list("metadata.search", fields{"text": "bitwarden"}, "source"); fmt.Sprint(got) != "[bundled]" {
			t.Errorf("found %v", got)
		}
		if e := o.events(a["id"]); len(e) != before+1 {
			t.Errorf("events %v", e[before:])
		}
		// Another process, which reads a file.
		o.Service = admin.New(admin.Config{DB: db, Directory: o.dir, Audit: o.log, Now: clock, Metadata: registry(list(4))})
		if s := o.do("metadata.status", fields{}); s["number"] != 3.0 {
			t.Errorf("status %v", s)
		}
		if s := o.do("metadata.refresh", fields{}); s["number"] != 4.0 || s["result"] != metadata.Updated {
			t.Errorf("refreshed %v", s)
		}
		// Without a record nothing is changed (security.md LOG03).
		if _, err := db.Exec(t.Context(), `alter table audit_event rename to audit_away`); err != nil {
			t.Fatal(err)
		}
		_, err := o.try("metadata.load", fields{"file": list(5)})
		if _, undo := db.Exec(context.Background(), `alter table audit_away rename to audit_event`); undo != nil {
			t.Fatal(undo)
		}
		if s := o.do("metadata.status", fields{}); err == nil || s["number"] != 4.0 {
			t.Errorf("without a record: %v, %v", err, s)
		}
		o.Service = admin.New(admin.Config{DB: db, Directory: o.dir, Audit: o.log, Now: clock})
		if _, err := o.try("metadata.status", fields{}); !errors.Is(err, idp.Unavailable) {
			t.Errorf("not wired: %v", err)
		}
	})
}
