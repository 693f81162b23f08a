package policy

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/signetid/signet/internal/cache"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations holds the table of this package.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Bus tells the other nodes, and this one, that something changed.
type Bus interface {
	Publish(ctx context.Context, tx *sqldb.Tx, topic, key string) error
	Subscribe(topic string, fn func(key string))
}

// Topic is the bus topic of changed policies; the key is the tenant.
const Topic = "policy"

// Config is what a Store needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	Bus Bus // nil: nothing is cached
	// Groups lists the groups of a user. It is called only for a tenant whose
	// policy names groups; nil there is an error.
	Groups func(context.Context, idp.TenantID, idp.UserID) ([]idp.GroupID, error)
	// Models are the key models that are known, to find typing errors in
	// what is saved; nil: none is.
	Models Models
	// Status is what is known of a key model at present; nil: nothing is.
	// It is asked at each sign-in.
	Status func(aaguid string) idp.ModelStatus
}

// Store keeps one policy a tenant.
type Store struct {
	cfg   Config
	cache *cache.Cache[idp.TenantID, *snapshot]
}

// snapshot is a policy with what is asked of it for every person.
type snapshot struct {
	Policy
	grouped bool // it names groups
}

// New makes a store.
func New(cfg Config) *Store {
	s := &Store{cfg: cfg}
	size := 0
	if cfg.Bus != nil {
		size = 10_000
	}
	s.cache = cache.New(size, func(ctx context.Context, t idp.TenantID) (*snapshot, error) {
		p, err := s.Load(ctx, cfg.DB, t)
		return &snapshot{Policy: p, grouped: len(p.NamedGroups()) > 0}, err
	})
	if cfg.Bus != nil {
		cfg.Bus.Subscribe(Topic, func(key string) {
			if key == "" {
				s.cache.DropAll()
				return
			}
			s.cache.Drop(idp.TenantID(key))
		})
	}
	return s
}

// Get returns the tenant's policy; Default for one that never saved any. The
// snapshot is shared: Clone it before changing it.
func (s *Store) Get(ctx context.Context, t idp.TenantID) (Policy, error) {
	snap, err := s.cache.Get(ctx, t)
	return snap.Policy, err
}

// For returns the policy of the user's tenant and the user as rules see one: what
// Judge and Decide need of a person. tenant is for a user who is not known. The
// policy is the shared snapshot itself, never to be changed; beside an error it
// is one that allows nothing.
func (s *Store) For(ctx context.Context, tenant idp.TenantID, u idp.User) (*Policy, Who, error) {
	w := Who{User: u}
	snap, err := s.cache.Get(ctx, tenant)
	if err != nil {
		return new(Policy), w, fmt.Errorf("policy: %w", err)
	}
	if !u.Known() || !snap.grouped {
		return &snap.Policy, w, nil
	}
	if s.cfg.Groups == nil {
		return new(Policy), w, errors.New("policy names groups, and nobody knows them")
	}
	groups, err := s.cfg.Groups(ctx, tenant, u.ID)
	if err != nil {
		return new(Policy), w, fmt.Errorf("groups of %s: %w", u.ID, err)
	}
	w.Groups = NewGroups(groups)
	return &snap.Policy, w, nil
}

// Present gives proofs that were kept, in a session, a flow or a grant, as they
// are to be judged now: what is known of the models of their keys may have
// changed since. What it is given is not changed.
func (s *Store) Present(proofs []idp.Proof) []idp.Proof {
	if s.cfg.Status == nil || len(proofs) == 0 {
		return proofs
	}
	proofs = slices.Clone(proofs)
	for i := range proofs {
		if f := &proofs[i].Facts; f.AAGUID != "" {
			f.Status = s.cfg.Status(f.AAGUID)
		}
	}
	return proofs
}

// Parse is Parse with the models that the store knows.
func (s *Store) Parse(form []byte) (Policy, error) { return Parse(form, s.cfg.Models) }

// Check is CheckWith, with the models that the store knows.
func (s *Store) Check(p Policy) error { return p.CheckWith(s.cfg.Models) }

// Put saves p. It is Conflict when the tenant's policy is no longer of
// p.Version, and Invalid when settings contradict each other or a list names a
// model with a typing error: see Check. The audit
// record, in the same transaction, is the caller's to write: see Record. Who
// would be locked out is the caller's question, too: see LocksOut.
func (s *Store) Put(ctx context.Context, tx *sqldb.Tx, t idp.TenantID, p Policy) error {
	if t == "" {
		return idp.Invalidf("no_tenant", "policy without a tenant")
	}
	if err := s.Check(p); err != nil {
		return err
	}
	doc, err := encode(p)
	if err != nil {
		return err
	}
	// A row of version 0 never exists: the first save inserts version 1.
	var n int64
	if p.Version == 0 {
		n, err = tx.Exec(ctx, `
			insert into policy (tenant_id, version, doc, changed_at) values ($1, 1, $2, $3)
			on conflict (tenant_id) do nothing`, t, doc, s.cfg.Now().UnixMilli())
	} else {
		n, err = tx.Exec(ctx, `
			update policy set version = version + 1, doc = $3, changed_at = $4
			where tenant_id = $1 and version = $2`, t, p.Version, doc, s.cfg.Now().UnixMilli())
	}
	if err != nil {
		return fmt.Errorf("save policy of %s: %w", t, err)
	}
	if n == 0 {
		return idp.Conflictf("policy_changed", "policy of %s is not of version %d", t, p.Version).
			Say("The policy was changed meanwhile. Look at it again.")
	}
	if s.cfg.Bus == nil {
		return nil
	}
	return s.cfg.Bus.Publish(ctx, tx, Topic, string(t))
}

// Load reads the tenant's policy from q: what is to be changed must be read
// in the transaction that changes it.
func (s *Store) Load(ctx context.Context, q sqldb.Querier, t idp.TenantID) (Policy, error) {
	var version, changed int64
	var doc string
	err := q.QueryRow(ctx, `select version, doc, changed_at from policy where tenant_id = $1`, t).Scan(&version, &doc, &changed)
	if errors.Is(err, idp.NotFound) {
		return Default(), nil
	}
	if err != nil {
		return Policy{}, fmt.Errorf("load policy of %s: %w", t, err)
	}
	p, err := decode(doc)
	if err != nil {
		return Policy{}, fmt.Errorf("read policy of %s: %w", t, err)
	}
	p.Version, p.Changed = version, time.UnixMilli(changed).UTC()
	return p, nil
}

// encode writes what differs from Default, so that a setting nobody touched
// follows the default of a later release.
func encode(p Policy) (string, error) {
	all, err := tree(p)
	if err != nil {
		return "", err
	}
	base, err := tree(Default())
	if err != nil {
		return "", err
	}
	changed := without(all, base)
	for m := range Default().Methods {
		// A method that is not in the map at all is off.
		if _, ok := p.Methods[m]; !ok {
			methods, _ := changed["methods"].(map[string]any)
			if methods == nil {
				methods = make(map[string]any)
			}
			methods[string(m)] = map[string]any{"on": false}
			changed["methods"] = methods
		}
	}
	doc, err := json.Marshal(changed)
	return string(doc), err
}

// decode refuses what it does not understand.
func decode(doc string) (Policy, error) {
	var first struct {
		Settings  map[string]string `json:"settings"`
		Strengths json.RawMessage   `json:"strengths"`
	}
	if err := json.Unmarshal([]byte(doc), &first); err != nil {
		return Policy{}, err
	}
	if first.Settings == nil && doc != "{}" {
		return Parse([]byte(doc), nil)
	}
	// The form of the first release: settings by their names.
	p := Default()
	if len(first.Strengths) > 0 {
		var own []Strength
		if err := json.Unmarshal(first.Strengths, &own); err != nil {
			return Policy{}, err
		}
		p.Strengths = append(p.Strengths, own...)
	}
	for name, value := range first.Settings {
		if err := p.Set(name, value); err != nil {
			return Policy{}, err
		}
	}
	return p, p.Check()
}
