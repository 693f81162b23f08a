package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/signetid/signet/internal/audit"
	"github.com/signetid/signet/internal/browser"
	"github.com/signetid/signet/internal/bus"
	"github.com/signetid/signet/internal/client"
	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/directory"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/keyring"
	"github.com/signetid/signet/internal/mac"
	"github.com/signetid/signet/internal/metadata"
	"github.com/signetid/signet/internal/method/accesspass"
	"github.com/signetid/signet/internal/method/certificate"
	"github.com/signetid/signet/internal/method/hello"
	"github.com/signetid/signet/internal/method/passkey"
	"github.com/signetid/signet/internal/method/phone"
	"github.com/signetid/signet/internal/method/platform"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/oidc"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/push"
	"github.com/signetid/signet/internal/report"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/session"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/sqldb"
	"github.com/signetid/signet/internal/token"
	"github.com/signetid/signet/internal/trust"
)

// Sources are the migrations of every package that has tables.
func Sources() []fs.FS {
	return []fs.FS{
		Migrations,
		audit.Migrations, bus.Migrations, job.Migrations, push.Migrations,
		browser.Migrations, directory.Migrations, client.Migrations, device.Migrations, keyring.Migrations, metadata.Migrations, nonce.Migrations, policy.Migrations, trust.Migrations,
		session.Migrations, token.Migrations, prt.Migrations, mac.Migrations, signin.Migrations, oidc.Migrations, report.Migrations,
		accesspass.Migrations, passkey.Migrations, hello.Migrations, platform.Migrations, phone.Migrations, certificate.Migrations,
	}
}

// vault is an opened data folder: locked, its database and key at hand.
type vault struct {
	cfg   Config
	db    *sqldb.DB
	kek   *secret.Key
	next  *secret.Key // is to take the place of kek; nil: none
	found found
	lock  *os.File
	made  string // the key file that this start made, to be taken back if it fails
}

// errRunning says that another process has the data folder.
func errRunning(dir string) error {
	return fmt.Errorf("another signet uses the data folder %s: stop it first, or name another folder with --data", dir)
}

// openVault opens the data folder and its database and changes nothing in
// either, beyond making what is not there.
func openVault(ctx context.Context, cfg Config) (_ *vault, err error) {
	if err := openFolder(cfg.Data); err != nil {
		return nil, err
	}
	v := &vault{cfg: cfg}
	defer func() {
		if err != nil {
			v.close()
		}
	}()
	var busy bool
	if v.lock, busy, err = lock(cfg.Data); err != nil {
		return nil, err
	}
	if busy {
		return nil, errRunning(cfg.Data)
	}
	v.kek, err = loadKEK(cfg)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	if v.next, err = loadNext(cfg, v.kek); err != nil {
		return nil, err
	}
	if v.db, err = sqldb.Open(ctx, sqldb.Config{Path: v.sqlitePath(), URL: cfg.Database, Log: cfg.Log}); err != nil {
		return nil, err
	}
	if v.found, err = look(ctx, v.db); err != nil {
		return nil, err
	}
	if missing && v.found.used {
		return nil, errNoKEK(cfg)
	}
	if err := v.fits(); err != nil {
		return nil, err
	}
	if missing {
		if v.kek, err = makeKEK(cfg.kekPath()); err != nil {
			return nil, err
		}
		v.made = cfg.kekPath()
	}
	return v, nil
}

// fits refuses a demo's database to a server, and a server's to a demo.
func (v *vault) fits() error {
	switch {
	case !v.found.used || v.cfg.anyMark:
	case v.found.demo && !v.cfg.Demo:
		return errors.New("this database is a demo's, with passes that were printed on a terminal: start a server with an empty data folder or database")
	case !v.found.demo && v.cfg.Demo:
		return errors.New("this database belongs to a server, and a demo would print ways into it: name another folder with --data")
	}
	return nil
}

func (v *vault) sqlitePath() string { return filepath.Join(v.cfg.Data, databaseFile) }

func errNoKEK(cfg Config) error {
	return fmt.Errorf("the key-encryption key %s is missing, and this database was made with one: put your copy back, or name it with --kek-file", cfg.kekPath())
}

// prepare brings the database up to date, having made sure that it is ours:
// the right key, and not set back. Only then is anything written.
func (v *vault) prepare(ctx context.Context, ring *keyring.Ring, log *audit.Log, high *highWater) (applied int, err error) {
	if v.found.used {
		if err := ring.Check(ctx); err != nil {
			return 0, v.cfg.kekError(err)
		}
		if err := v.checkHighWater(ctx, log, high); err != nil {
			return 0, err
		}
	}
	// From here on the database may depend on the key, so the key stays.
	made := v.made
	v.made = ""
	if applied, err = v.db.Migrate(ctx, Sources()...); err != nil {
		return 0, err
	}
	if err := v.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return firstFacts(ctx, tx, v.cfg.Demo, v.cfg.Now())
	}); err != nil {
		return 0, err
	}
	err = ring.Check(ctx)
	if errors.Is(err, idp.Invalid) {
		v.made = made // another node was first, with a key of its own
	}
	if err != nil {
		return applied, v.cfg.kekError(err)
	}
	damaged, err := ring.Prove(ctx)
	if damaged > 0 {
		v.cfg.Log.Warn("keys of tenants do not open and are of no use", "keys", damaged)
	}
	return applied, v.cfg.kekError(err)
}

// ring is what opens keys with those that were found.
func (v *vault) ring(b keyring.Bus) *keyring.Ring {
	c := keyring.Config{DB: v.db, KEK: v.kek, Now: v.cfg.Now, Bus: b, Place: v.cfg.place()}
	if v.next != nil {
		c.AlsoOpens = []*secret.Key{v.next}
	}
	return keyring.New(c)
}

func (v *vault) checkHighWater(ctx context.Context, log *audit.Log, high *highWater) error {
	err := high.check(ctx, v.db, log, v.cfg.AuditKeep, v.cfg.Now())
	if back := (*rolledBack)(nil); !errors.As(err, &back) || !v.cfg.AcceptRollback {
		return err
	}
	if err := v.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		return raiseEpoch(ctx, tx, v.cfg.Now())
	}); err != nil {
		return fmt.Errorf("void what was handed out: %w", err)
	}
	v.cfg.Log.Warn("the database was set back; everybody has to sign in again")
	return high.drop()
}

var errWrongKEK = errors.New("this is another key-encryption key than the one this database was made with: put the right one in place, or name it with --kek-file")

// kekError says in a sentence which key is missing, and what to do.
func (c Config) kekError(err error) error {
	n := (*keyring.Needs)(nil)
	switch {
	case errors.As(err, &n) && n.Next:
		return fmt.Errorf("the key-encryption key is being replaced by %s, which this server lacks: put that key into %s, beside the old one", n.KEK, c.kekNextPath())
	case errors.As(err, &n):
		return fmt.Errorf("%w: put that one back as %s, and the new one beside it as %s; start, and run signet admin kek rewrap to its end before the old key goes", n, c.kekPlace(), c.kekNextPath())
	case errors.Is(err, idp.Invalid):
		return errWrongKEK
	}
	return err
}

// close gives everything back, and takes back a key that nothing depends on.
func (v *vault) close() error {
	var err error
	if v.db != nil {
		err = v.db.Close()
	}
	if v.made != "" {
		os.Remove(v.made)
	}
	if v.lock != nil {
		v.lock.Close() // and with it the lock
	}
	return err
}
