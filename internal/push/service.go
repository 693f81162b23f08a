package push

import (
	"cmp"
	"context"
	"crypto/x509"
	"embed"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/outbound"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/sqldb"
)

// Migrations make the tables vapid_key and push_message.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Config is what a Service needs.
type Config struct {
	DB  *sqldb.DB
	Now func() time.Time
	// Key seals what is stored: the VAPID key and the targets of messages on
	// their way. It is the installation's.
	Key func(context.Context) (*secret.Key, error)

	// Subject says to push services whom to ask about us: mailto:… or https://…
	// with a public host (see CheckSubject). Empty: Web Push is closed.
	Subject string
	// Hosts may be endpoints of Web Push besides the vendors'.
	Hosts []Host
	// Roots are whose certificates Hosts may show; nil: the system's.
	Roots *x509.CertPool
	// Proxy is how the public internet is reached; nil: directly. Private Hosts
	// are always called directly.
	Proxy *url.URL
	APNs  *APNsConfig // nil: that road is closed
	FCM   *FCMConfig

	// Failed hears what went wrong while a message was sent in the background.
	// It may be nil.
	Failed func(error)
}

// Bounds of sending.
const (
	sendWithin = 10 * time.Second
	// claimFor is how long a node has a message for itself: a try, and what it
	// may wait for its turn. A node that dies with it leaves it to the others
	// afterwards.
	claimFor  = sendWithin + 5*time.Second
	bodyLimit = 16 << 10 // of an answer
	keepIdle  = 90 * time.Second
)

// Service sends messages. It is safe for concurrent use. Prepare it before the
// first Queue; Run sends what is queued.
type Service struct {
	cfg     Config
	roads   map[string]Sender // by kind; what is not there is closed
	hosts   map[string]road   // operator's, by host and port
	vendors *http.Client

	key   atomic.Pointer[secret.Key]
	vapid atomic.Pointer[vapid]
	mu    sync.Mutex // while the VAPID key is read

	onGone func(context.Context, *sqldb.Tx, Ref) error
	lanes  lanes
}

// road is the client for one set of hosts, and the name of the lane that
// messages to them wait in.
type road struct {
	lane   string
	client *http.Client
}

// New makes a service. Errors say what to change in the configuration.
func New(c Config) (*Service, error) {
	s := &Service{cfg: c, roads: map[string]Sender{}, hosts: map[string]road{}}
	public := outbound.Rules{Name: "push", Port: "443", Idle: keepIdle, Proxy: c.proxy()}
	s.vendors = outbound.Client(public)
	for _, h := range c.Hosts {
		rules := public
		rules.Port, rules.Roots = h.Port, c.Roots
		if h.Private {
			rules.Private, rules.Proxy = true, nil
		}
		s.hosts[h.String()] = road{lane: h.String(), client: outbound.Client(rules)}
	}
	if c.Subject != "" {
		if err := CheckSubject(c.Subject); err != nil {
			return nil, err
		}
		s.roads[WebPush] = webSender{s}
	}
	if c.APNs != nil {
		a, err := newAPNs(*c.APNs, s.clientOf(c.APNs.Base), c.Now)
		if err != nil {
			return nil, err
		}
		s.roads[APNs] = a
	}
	if c.FCM != nil {
		f, err := newFCM(*c.FCM, s.clientOf(c.FCM.Base), c.Now)
		if err != nil {
			return nil, err
		}
		s.roads[FCM] = f
	}
	return s, nil
}

func (c Config) proxy() func(*http.Request) (*url.URL, error) {
	if c.Proxy == nil {
		return nil
	}
	return http.ProxyURL(c.Proxy)
}

// clientOf is the client of an address that the configuration names in the
// place of a vendor's: one of Hosts, or else a public one.
func (s *Service) clientOf(base string) *http.Client {
	u, err := url.Parse(base)
	if err != nil || base == "" {
		return s.vendors
	}
	if r, ok := s.hosts[net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))]; ok {
		return r.client
	}
	return s.vendors
}

// Prepare makes or reads the key that seals targets, so that Queue need not.
func (s *Service) Prepare(ctx context.Context) error {
	if s.key.Load() != nil {
		return nil
	}
	k, err := s.cfg.Key(ctx)
	if err != nil {
		return fmt.Errorf("key of push messages: %w", err)
	}
	s.key.Store(k)
	return nil
}

// OnGone has fn take a subscription away that will never take a message again,
// in the transaction that ends the message. Call it before Run.
func (s *Service) OnGone(fn func(context.Context, *sqldb.Tx, Ref) error) { s.onGone = fn }

// Kinds are the roads that are open, as the constants say.
func (s *Service) Kinds() []string {
	var all []string
	for _, k := range []string{WebPush, APNs, FCM} {
		if s.roads[k] != nil {
			all = append(all, k)
		}
	}
	return all
}

// Send sends a message now and says what became of it, for a test and for the
// queue. It takes 10 seconds at most. A target that Check refuses is Faulty.
func (s *Service) Send(ctx context.Context, to Target, m Message) Result {
	if err := s.Check(to); err != nil {
		return Result{Outcome: Faulty, Err: err}
	}
	if m.Lives <= 0 {
		return Result{Outcome: Faulty, Err: idp.Expiredf("push_late", "message has no life left").Say("The message came too late to be sent.")}
	}
	m.Lives = min(m.Lives, MaxLife)
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	return s.roads[to.Kind].Send(ctx, to, m)
}
