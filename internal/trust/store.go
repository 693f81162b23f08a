package trust

import (
	"context"
	"crypto/x509"
	"embed"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/job"
	"github.com/signetid/signet/internal/pkix"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations hold the tables of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Bus tells the other nodes, and this one, that something changed.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Topic is the bus topic of changed authorities; the key is the tenant.
const Topic = "trust"

// Limits bound what is fetched.
type Limits struct {
	CRLBytes int64         // of one list; 0: 20 MiB (security.md CBA05)
	CRLTime  time.Duration // of one download; 0: 10 s
	OCSPTime time.Duration // of one question to a responder; 0: 5 s
}

// Config is what a Store needs.
type Config struct {
	DB     *sqldb.DB
	Now    func() time.Time
	Bus    Bus // nil: nothing is cached
	Limits Limits
	// Private are hosts in networks of the operator's own, as "host" or
	// "host:port": lists may be fetched from them at any address.
	Private []string
}

// How much of lists a node has in memory: so many, and so many bytes together. A
// list of a million entries is 32 MB, and whoever administers one organisation
// must not fill the memory of all (security.md CBA11). What finds no room is
// read from the database each time.
const (
	maxLists     = 512
	maxListBytes = 256 << 20
)

// Store keeps the authorities of all tenants. It is safe for concurrent use.
type Store struct {
	cfg   Config
	cache *cache.Cache[idp.TenantID, *anchors]
	// check says how a certificate is not revoked whose issuer has a list or a
	// responder. An error that is no *pkix.Fault failed on our side.
	check func(ctx context.Context, q question) (Checked, error)

	withdrawn []func(context.Context, *sqldb.Tx, idp.TenantID) error

	net     *fetcher
	once    singleflight.Group
	lists   *cache.Cache[listKey, *pkix.CRL]
	answers answers
}

// New makes a store.
func New(cfg Config) *Store {
	s := &Store{cfg: cfg, net: newFetcher(cfg)}
	s.check = s.revocation
	size, lists := 0, 0
	if cfg.Bus != nil {
		size, lists = 1_000, maxLists
	}
	s.cache = cache.New(size, s.loadAnchors)
	s.lists = cache.New(lists, s.loadList).Weighed(maxListBytes, func(l *pkix.CRL) int {
		if l == nil {
			return 0 // that there is none is kept, too
		}
		return l.Size()
	})
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(Topic, func(key string) {
			if key == "" {
				s.cache.DropAll()
				return
			}
			s.cache.Drop(idp.TenantID(key))
		})
		cfg.Bus.Subscribe(ListTopic, func(key string) {
			var k listKey
			if f := strings.Fields(key); len(f) == 3 {
				k = listKey{idp.TenantID(f[0]), idp.AuthorityID(f[1]), ListKind(f[2])}
			}
			s.lists.Drop(k)
		})
	}
	return s
}

// OnWithdraw has fn called in the transaction that takes trust from an
// authority: that removes it, switches it off, or makes it no anchor any more.
// It is called behind the change, and may refuse it. It is called by app while
// wiring.
func (s *Store) OnWithdraw(fn func(context.Context, *sqldb.Tx, idp.TenantID) error) {
	s.withdrawn = append(s.withdrawn, fn)
}

// withdraw calls those who want to know.
func (s *Store) withdraw(ctx context.Context, tx *sqldb.Tx, t idp.TenantID) error {
	for _, fn := range s.withdrawn {
		if err := fn(ctx, tx, t); err != nil {
			return err
		}
	}
	return nil
}

// Jobs is the background work of this package.
func (s *Store) Jobs() []job.Job { return append(s.listJobs(), s.purge()) }

func (s *Store) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Millisecond) }

// question is what is asked of lists and responders: whether cert, which by has
// issued, is revoked. Everything else about path holds.
type question struct {
	cert  *x509.Certificate
	by    Authority           // by.Cert is the issuer in path
	path  []*x509.Certificate // leaf first, anchor last
	held  *anchors            // the tenant's authorities as of this verification
	rules Rules
	now   time.Time
}
