package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/signetid/signet/internal/admin"
	"github.com/signetid/signet/internal/web"
)

// Limits of a connection (security.md NET03). Bodies have their own limits,
// route by route.
const (
	headerLimit  = 32 << 10
	headerWithin = 5 * time.Second
	readWithin   = 30 * time.Second
	writeWithin  = 60 * time.Second
	idleWithin   = 2 * time.Minute
	adminWithin  = 10 * time.Minute
)

// Server is a house with its doors open: ports held, database ready.
type Server struct {
	*House
	cfg       Config
	base      string
	tlsBase   string // empty: no TLS listener
	caFile    string // of the local authority, when it certified the TLS listener
	health    *health
	main      *door
	tls       *door // nil: none
	metrics   *door // nil: none
	listeners []*door
}

// door is one listener and what it serves.
type door struct {
	net.Listener
	server *http.Server
}

// Start takes the ports and opens the house, in the order in which a failure
// costs least. Whatever fails, nothing has been changed, and the error is a
// sentence for the operator. Requests wait in the kernel until Run.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.quiet()
	tlsConf, err := cfg.tlsConfig()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	if err := s.listen(ctx, tlsConf); err != nil {
		s.closeListeners()
		return nil, err
	}
	if s.House, err = Open(ctx, cfg, s.base); err != nil {
		s.closeListeners()
		return nil, err
	}
	if err := s.House.kek.Announce(ctx); err != nil {
		s.closeListeners()
		s.House.Close()
		return nil, err
	}
	s.House.tlsBase = s.tlsBase
	s.House.hosts = s.House.openHosts()
	if err := s.secureTLS(tlsConf); err != nil {
		s.closeListeners()
		s.House.Close()
		return nil, err
	}
	// Before the first registration is judged. A list that cannot be read is
	// no reason to turn people away: names are bundled, a newer one may come.
	if err := s.Metadata.Load(ctx); err != nil {
		cfg.Log.Warn("the stored metadata is not used", "cause", err)
	}
	s.sayPush()
	if err := s.openDoors(ctx); err != nil {
		s.closeListeners()
		s.House.Close()
		return nil, err
	}
	return s, nil
}

// BaseURL is the address that people and apps use.
func (s *Server) BaseURL() string { return s.base }

func (s *Server) closeListeners() {
	for _, d := range s.listeners {
		d.Close()
	}
}

// openDoors makes the handlers and the admin socket.
func (s *Server) openDoors(ctx context.Context) error {
	s.health = newHealth(s.House.Check)
	s.health.registry.MustRegister(s.House.clock.jumps, s.House.clock.skew)
	mux := http.NewServeMux()
	s.health.mount(mux)
	trusted, err := s.cfg.proxies()
	if err != nil {
		return err
	}
	if s.cfg.ListenMetrics == "" {
		mux.Handle("GET /metrics", s.health.localMetrics(trusted))
	}
	if err := s.House.mount(mux); err != nil {
		return err
	}
	mux.Handle("POST "+admin.RemotePath, s.House.remote(s.House.administration()))
	api := s.House.api(mux)
	s.main.server = s.httpServer(ctx, s.around(api, trusted, ownHost(s.base)))
	if err := s.openHandshakes(ctx, api, trusted); err != nil {
		return err
	}
	if s.metrics != nil {
		mux := http.NewServeMux()
		s.health.mount(mux)
		mux.Handle("GET /metrics", s.health.metrics())
		s.metrics.server = s.httpServer(ctx, mux)
	}
	return s.openAdminSocket(ctx)
}

// openHandshakes makes the doors at which certificates are asked for: that of
// the TLS listener, and that of a proxy. Both have what the main one has, and
// roads that it has not (security.md CBA10).
func (s *Server) openHandshakes(ctx context.Context, api http.Handler, trusted []netip.Prefix) (err error) {
	if s.tlsBase == "" {
		return nil
	}
	roads := s.House.handshakeRoads()
	hosts := s.hosts.around(s.tlsBase, s.Directory.Resolve, roads)
	h := beside(roads, api)
	if s.tls != nil {
		if s.tls.server, err = s.tlsServer(ctx, s.around(h, trusted, hosts)); err != nil {
			return err
		}
	}
	if s.cfg.Handshake.Socket == "" {
		return nil
	}
	return s.openCertificateSocket(ctx, s.around(h, append(slices.Clone(trusted), onSocket), hosts))
}

// beside serves the roads, and everything that is none of them by rest.
func beside(roads *http.ServeMux, rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := roads.Handler(r); pattern != "" {
			roads.ServeHTTP(w, r)
			return
		}
		rest.ServeHTTP(w, r)
	})
}

// openAdminSocket listens for this machine's administrator. The lock on the
// data folder is ours, so a socket that is there was left by a crash.
func (s *Server) openAdminSocket(ctx context.Context) error {
	path := filepath.Join(s.cfg.Data, AdminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return diskError(path, err)
	}
	// Nobody may connect between bind and chmod, whatever the umask: the
	// folder is 0700.
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("the administration socket %s cannot be made: %w; a shorter --data may help", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return diskError(path, err)
	}
	server := s.httpServer(ctx, s.House.administration().Handler())
	server.ConnContext = admin.ConnContext
	// An import of many people takes longer than a page.
	server.ReadTimeout, server.WriteTimeout = adminWithin, adminWithin
	s.listeners = append(s.listeners, &door{l, server})
	return nil
}

func (s *Server) httpServer(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler:           s.cfg.Handshake.unvouched(h),
		MaxHeaderBytes:    headerLimit,
		ReadHeaderTimeout: headerWithin,
		ReadTimeout:       readWithin,
		WriteTimeout:      writeWithin,
		IdleTimeout:       idleWithin,
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		// Requests in flight finish although the process was told to stop.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
}

// Abandon gives everything back without ever having served.
func (s *Server) Abandon() error {
	s.closeListeners()
	return s.House.Close()
}

// Run serves until ctx ends and then stops without losing a request: not
// ready, drain, close the listeners, let requests in flight finish, jobs,
// database. ready is called once, when /readyz answers 200.
func (s *Server) Run(ctx context.Context, ready func(base string)) error {
	defer spaceCollections()()
	jobs, stopJobs := context.WithCancel(context.WithoutCancel(ctx))
	defer stopJobs()
	all, failed := errgroup.WithContext(ctx)
	for _, d := range s.listeners {
		all.Go(func() error {
			if err := d.server.Serve(d.Listener); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %s: %w", d.Addr(), err)
			}
			return nil
		})
	}
	background := make(chan error, 1)
	go func() { background <- s.House.Run(jobs) }()

	s.health.serving.Store(true)
	all.Go(func() error {
		if !s.health.await(failed) {
			return nil
		}
		s.cfg.Log.Info("ready", "base", s.base, "database", s.DB.Dialect())
		if ready != nil {
			ready(s.base)
		}
		s.giveBack()
		select {
		case <-failed.Done():
		case <-time.After(settled):
			s.giveBack()
		}
		return nil
	})
	var err error
	select {
	case <-failed.Done(): // told to stop, or a listener failed
	case err = <-background:
		background <- nil
	}
	s.cfg.Log.Info("stopping")
	s.stop(ctx)
	err = errors.Join(err, all.Wait())
	stopJobs()
	err = errors.Join(err, <-background)
	return errors.Join(err, s.House.Close())
}

// stop closes the doors. Connections that rest are closed by Shutdown; those
// with a request get its answer first.
func (s *Server) stop(ctx context.Context) {
	s.health.serving.Store(false)
	s.health.stopping.Store(true)
	ctx = context.WithoutCancel(ctx)
	if s.cfg.Drain > 0 {
		time.Sleep(s.cfg.Drain)
	}
	close(s.House.stopping)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Stop)
	defer cancel()
	var closing errgroup.Group
	for _, d := range s.listeners {
		closing.Go(func() error {
			if err := d.server.Shutdown(ctx); err != nil {
				d.server.Close()
				return fmt.Errorf("requests on %s took longer than %s and were cut off: %w", d.Addr(), s.cfg.Stop, err)
			}
			return nil
		})
	}
	if err := closing.Wait(); err != nil {
		s.cfg.Log.Warn("stop", "cause", err)
	}
}

// around is what every request to a door passes through, outermost first;
// trusted are the proxies that say where a request comes from, and hosts refuses
// those for other names than the door's.
func (s *Server) around(h http.Handler, trusted []netip.Prefix, hosts func(http.Handler) http.Handler) http.Handler {
	// A name keeps what it hears of HTTPS for all its ports: localhost, where
	// the pages are not on https, must not hear it.
	secure := strings.HasPrefix(s.base, "https:")
	return web.Chain(h, web.Identify(trusted), web.Log(s.cfg.Log, s.health.requests), web.Headers(secure), s.moveOn, hosts,
		web.Spelling(deviceAddresses...))
}

// moveOn tells peers that keep a connection to use another one once the stop
// has begun: when the listeners close, nobody's next request is on its way.
func (s *Server) moveOn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.health.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// ownHost refuses requests for other hosts (security.md NET02). Machines that
// ask after our health do so by any name they have.
func ownHost(base string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		own := web.Host(strings.TrimPrefix(strings.TrimPrefix(base, "https://"), "http://"))(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/healthz", "/readyz", "/metrics":
				next.ServeHTTP(w, r)
			default:
				own.ServeHTTP(w, r)
			}
		})
	}
}
