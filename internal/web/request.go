package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/google/uuid"
)

type infoKey struct{}

// info is what the outermost middleware learned of a request.
type info struct {
	trace string
	ip    string
	err   error // what the door phrased, for the access log
	code  int
}

func infoOf(ctx context.Context) *info {
	if i, ok := ctx.Value(infoKey{}).(*info); ok {
		return i
	}
	return &info{}
}

// Trace is the id of the request that ctx belongs to: a GUID made by us, shown
// on error pages, in error bodies, in the audit and in the log. It is empty
// outside of a request.
func Trace(ctx context.Context) string { return infoOf(ctx).trace }

// ClientIP is the source address of the request, without a port. Forwarding
// headers count only when the peer is a trusted proxy (see Identify).
func ClientIP(r *http.Request) string {
	if i := infoOf(r.Context()); i.ip != "" {
		return i.ip
	}
	return hostOf(r.RemoteAddr)
}

// Source is who the request counts as where tries are counted: its ClientIP, of
// IPv6 the network of 64 bits, since whoever has one address of those has them
// all (RFC 6177, Section 2). The log and the audit tell the address itself.
func Source(r *http.Request) string { return SourceOf(ClientIP(r)) }

// SourceOf is Source of an address; what is none counts as it is.
func SourceOf(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	ip = ip.Unmap()
	if ip.Is4() {
		return ip.String()
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}

// Site is the network that a request's address is handed out in: 24 bits of
// IPv4, 48 of IPv6 (RFC 6177, Section 2). Who has one of those has 65,536 Sources
// of IPv6, so what strangers can have written is counted by it as well.
func Site(r *http.Request) string {
	ip, err := netip.ParseAddr(ClientIP(r))
	if err != nil {
		return ClientIP(r)
	}
	ip = ip.Unmap().WithZone("")
	bits := 48
	if ip.Is4() {
		bits = 24
	}
	return netip.PrefixFrom(ip, bits).Masked().String()
}

func hostOf(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// Identify gives each request its trace id and its source address. It is the
// outermost middleware. X-Forwarded-For is read from the right, skipping
// trusted proxies, and only when the peer itself is one.
func Identify(trusted []netip.Prefix) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i := &info{trace: uuid.NewString(), ip: source(r, trusted)}
			w.Header().Set("X-Ms-Request-Id", i.trace)
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), infoKey{}, i)))
		})
	}
}

func source(r *http.Request, trusted []netip.Prefix) string {
	peer := hostOf(r.RemoteAddr)
	if !within(peer, trusted) {
		return peer
	}
	// Several header lines are one list, in order.
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for n := len(hops) - 1; n >= 0; n-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[n]))
		if err != nil {
			return peer // a proxy we trust does not send this: believe none of it
		}
		peer = hop.Unmap().String()
		if !within(peer, trusted) {
			return peer
		}
	}
	return peer
}

func within(addr string, prefixes []netip.Prefix) bool {
	if len(prefixes) == 0 {
		return false
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return false
	}
	for _, p := range prefixes {
		if p.Contains(ip.Unmap()) {
			return true
		}
	}
	return false
}
