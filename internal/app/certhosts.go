package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/trust"
	"github.com/signetid/signet/internal/web"
)

// How long what is known of tenants' own host names is taken as it is, how soon
// a name that is not known is looked for again, and how long a handshake waits
// for that: not longer than a person notices, whatever the database does. One
// that takes longer than hostsRead is not waited for by anybody.
const (
	hostsKept  = 10 * time.Second
	hostsAgain = time.Second
	hostsWait  = 250 * time.Millisecond
	hostsRead  = 5 * time.Second
)

// maxHintBytes bounds the names of authorities in one handshake, each with its
// two bytes of length.
const maxHintBytes = 16 << 10

// certificateHosts are the host names that tenants have of their own for
// handshakes (decisions 5.6). A name may be claimed by several tenants, since
// nobody asks them for a proof: it leads to each of them then, and browsers hear
// no hints there, so that a claim takes nothing away from anybody.
type certificateHosts struct {
	now   func() time.Time
	all   func(context.Context) ([]idp.Tenant, error)
	rules func(context.Context, idp.TenantID) (policy.CertificateRules, error)
	// hints are the raw subjects of a tenant's authorities; nil: there are none.
	hints func(context.Context, idp.TenantID) ([][]byte, error)
	// shared are names that are everybody's: of the pages, and of the address
	// that all tenants share. No tenant has one of them.
	shared func(name string) bool

	known   atomic.Pointer[hostTable]
	stale   atomic.Bool
	mu      sync.Mutex
	reading chan struct{} // closed when who reads is done; nil: nobody does
}

// hostTable is what was read at one moment.
type hostTable struct {
	read  time.Time
	hosts map[string]*certificateHost // by name, lower case
}

type certificateHost struct {
	tenants map[idp.TenantID]bool
	hints   *x509.CertPool // nil: none are told
}

// ownName is a tenant's name for handshakes, if it is one.
func ownName(host string) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || net.ParseIP(host) != nil {
		return ""
	}
	return host
}

// read is what is so now.
func (x *certificateHosts) read(ctx context.Context) (*hostTable, error) {
	table := &hostTable{read: x.now(), hosts: map[string]*certificateHost{}}
	tenants, err := x.all(ctx)
	if err != nil {
		return nil, err
	}
	told := map[string]idp.TenantID{}
	for _, t := range tenants {
		r, err := x.rules(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		name := ownName(r.Host)
		if name == "" || x.shared(name) {
			continue
		}
		h := table.hosts[name]
		if h == nil {
			h = &certificateHost{tenants: map[idp.TenantID]bool{}}
			table.hosts[name] = h
		}
		h.tenants[t.ID] = true
		if r.Hints {
			told[name] = t.ID
		}
	}
	for name, t := range told {
		h := table.hosts[name]
		if len(h.tenants) > 1 || x.hints == nil {
			continue
		}
		raw, err := x.hints(ctx, t)
		if err != nil {
			return nil, err
		}
		h.hints = poolOf(raw)
	}
	return table, nil
}

// poolOf is what crypto/tls takes names of authorities from. Nothing is
// verified by it: handshakes ask for a certificate and judge none.
func poolOf(subjects [][]byte) *x509.CertPool {
	pool, size := x509.NewCertPool(), 0
	for _, s := range subjects {
		if size += 2 + len(s); size > maxHintBytes {
			break
		}
		pool.AddCert(&x509.Certificate{Raw: s, RawSubject: s})
	}
	if size == 0 {
		return nil
	}
	return pool
}

// find is what is known of a name, nil for one that no tenant has. It reads anew
// when what is there is old, or has not got the name; what cannot be read in
// time is as it was.
func (x *certificateHosts) find(ctx context.Context, name string) *certificateHost {
	if name = ownName(name); name == "" || x.shared(name) {
		return nil
	}
	t, now := x.known.Load(), x.now()
	if t != nil && !x.stale.Load() {
		h := t.hosts[name]
		if age := now.Sub(t.read); age < hostsAgain || h != nil && age < hostsKept {
			return h
		}
	}
	late := time.NewTimer(hostsWait)
	defer late.Stop()
	select {
	case <-x.renew(ctx):
	case <-late.C:
	case <-ctx.Done():
	}
	if t = x.known.Load(); t == nil {
		return nil
	}
	return t.hosts[name]
}

// renew reads once for all who ask meanwhile. What it gives is closed when that
// is done, well or not.
func (x *certificateHosts) renew(ctx context.Context) <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.reading != nil {
		return x.reading
	}
	done := make(chan struct{})
	x.reading = done
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hostsRead)
		defer cancel()
		x.stale.Store(false) // what changes from now on is to be read again
		t, err := x.read(ctx)
		if err == nil {
			x.known.Store(t)
		} else {
			x.stale.Store(true)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		x.reading = nil
		close(done)
	}()
	return done
}

// configure is tls.Config.GetConfigForClient: at a tenant's own name browsers
// are told which authorities to choose from, everywhere else nothing (security.md
// CBA14: authorities are the tenant's own business).
func (x *certificateHosts) configure(conf *tls.Config) func(*tls.ClientHelloInfo) (*tls.Config, error) {
	return func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		h := x.find(hello.Context(), hello.ServerName)
		if h == nil || h.hints == nil {
			return nil, nil
		}
		told := conf.Clone()
		told.GetConfigForClient, told.ClientCAs = nil, h.hints
		return told, nil
	}
}

// around lets requests for a tenant's own name pass to that tenant's handshake
// and to nothing else; those for base go on to next.
func (x *certificateHosts) around(base string, resolve func(context.Context, string) (idp.Tenant, error), roads http.Handler) func(http.Handler) http.Handler {
	u, err := url.Parse(base)
	shared, port := "", ""
	if err == nil {
		shared, port = u.Host, u.Port()
	}
	return func(next http.Handler) http.Handler {
		next = ownHost(base)(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name, at, err := net.SplitHostPort(r.Host)
			if err != nil {
				name, at = r.Host, ""
			}
			if r.Host == shared || at != port {
				next.ServeHTTP(w, r)
				return
			}
			h := x.find(r.Context(), name)
			if h == nil {
				next.ServeHTTP(w, r) // which says that it is no host of ours
				return
			}
			ref, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
			t, err := resolve(r.Context(), ref)
			if idp.AsError(err) != nil && idp.AsError(err).Kind != idp.NotFound {
				http.Error(w, "This does not work at the moment. Trace id: "+web.Trace(r.Context()), http.StatusServiceUnavailable)
				return
			}
			if err != nil || !h.tenants[t.ID] {
				http.Error(w, "This server does not answer for that organisation at this host.", http.StatusMisdirectedRequest)
				return
			}
			roads.ServeHTTP(w, r)
		})
	}
}

// certificateAddress is where browsers of a tenant make their handshake, without
// a slash at the end; empty: nowhere.
func (h *House) certificateAddress(ctx context.Context, t idp.TenantID) (string, error) {
	if h.tlsBase == "" {
		return "", nil
	}
	r, err := h.certificateRules(ctx, t)
	if err != nil {
		return "", err
	}
	name := ownName(r.Host)
	if name == "" || h.sharedName(name) {
		return h.tlsBase, nil
	}
	u, err := url.Parse(h.tlsBase)
	if err != nil {
		return "", err
	}
	if port := u.Port(); port != "" {
		name = net.JoinHostPort(name, port)
	}
	return "https://" + name, nil
}

// sharedName says whether a host name is everybody's.
func (h *House) sharedName(name string) bool {
	for _, base := range []string{h.base, h.tlsBase} {
		if u, err := url.Parse(base); err == nil && strings.EqualFold(u.Hostname(), name) {
			return true
		}
	}
	return false
}

// openHosts begins to know tenants' own names. What changes is known at once
// where it changed, and on the other nodes when they hear of it.
func (h *House) openHosts() *certificateHosts {
	x := &certificateHosts{
		now: h.cfg.Now, all: h.Directory.Tenants, rules: h.certificateRules, hints: h.Trust.Hints, shared: h.sharedName,
	}
	for _, topic := range []string{policy.Topic, trust.Topic} {
		h.bus.Subscribe(topic, func(string) { x.stale.Store(true) })
	}
	return x
}

func (h *House) certificateRules(ctx context.Context, t idp.TenantID) (policy.CertificateRules, error) {
	p, err := h.Policies.Get(ctx, t)
	return p.Certificate, err
}
