package broker

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/signetid/signet/internal/device"
	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/nonce"
	"github.com/signetid/signet/internal/prt"
	"github.com/signetid/signet/internal/signin"
	"github.com/signetid/signet/internal/web"
)

// The names of what a device's browser carries, as a header or as a cookie
// (device-protocol.md §9.3).
const (
	prtCredential    = "x-ms-RefreshTokenCredential"
	deviceCredential = "x-ms-DeviceCredential"
)

// maxPieces is in how many cookies a credential may come [I]
// (device-protocol.md §9.3).
const maxPieces = 8

// Brought reads what a device's browser carries to the authorization endpoint
// of a tenant. What is not good is as if it was not there, and is recorded: the
// person may still sign in by hand. stale says that it lacks nothing but a nonce
// that is good now (device-protocol.md §4.1). Its error is a trouble of our own.
//
// Nothing is burnt: the corridor does that for all nonces of the request, when
// it grants something for them.
func (s *Server) Brought(r *http.Request, t idp.TenantID) (b signin.Brought, stale bool, err error) {
	ctx := r.Context()
	if err := s.on(ctx, t); err != nil {
		if ours(err) {
			return b, false, err
		}
		return b, false, nil
	}
	x := exchange{peer: signin.Peer{IP: web.ClientIP(r), Agent: r.UserAgent(), Trace: web.Trace(ctx)}}
	if text := s.credential(r, prtCredential); text != "" {
		b, stale, err = s.carriedPRT(ctx, x, t, text)
		if err != nil || stale {
			return signin.Brought{}, stale, err
		}
	}
	if text := s.credential(r, deviceCredential); text != "" {
		err = s.carriedDevice(ctx, x, t, text, &b, &stale)
	}
	if stale || err != nil {
		return signin.Brought{}, stale, err
	}
	return b, false, nil
}

// TenantOf is whose a request's credential says it is, unverified: for
// addresses that name no tenant.
func (s *Server) TenantOf(r *http.Request) (idp.TenantID, bool) {
	m, err := jose.ParseLoose(s.credential(r, prtCredential), "HS256")
	if err != nil {
		return "", false
	}
	var p payload
	if m.Read(&p) != nil {
		return "", false
	}
	return prt.Tenant(p.Token)
}

// credential finds one in the header or in cookies: whole, or in numbered
// pieces. A cookie only where nobody on the way can read it.
func (s *Server) credential(r *http.Request, name string) string {
	if v := r.Header.Get(name); v != "" {
		return v
	}
	if !s.private() {
		return ""
	}
	text := cookie(r, name)
	for n := 1; n <= maxPieces; n++ {
		piece := cookie(r, name+strconv.Itoa(n))
		if piece == "" {
			break
		}
		text += piece
	}
	return text
}

// cookie is the one cookie of that name: of two neither is to be believed.
func cookie(r *http.Request, name string) string {
	if all := r.CookiesNamed(name); len(all) == 1 {
		return all[0].Value
	}
	return ""
}

// private says whether people reach us by TLS, or from this machine alone: on
// plain HTTP a cookie is everybody's (device-protocol.md §15).
func (s *Server) private() bool {
	u, err := url.Parse(s.cfg.BaseURL)
	if err != nil {
		return false
	}
	host := u.Hostname()
	return u.Scheme == "https" || host == "localhost" || host == "127.0.0.1" || host == "::1" || strings.HasSuffix(host, ".localhost")
}

// carriedPRT verifies a credential that is signed with a PRT's key.
func (s *Server) carriedPRT(ctx context.Context, x exchange, t idp.TenantID, text string) (b signin.Brought, stale bool, err error) {
	q := request{exchange: x}
	if q.message, err = jose.ParseLoose(text, "HS256"); err == nil {
		err = q.message.Read(&q.payload)
	}
	if err != nil {
		return b, false, s.ignored(ctx, x, t, "", "", unreadable(err))
	}
	if of, ok := prt.Tenant(q.Token); !ok || of != t {
		return b, false, s.ignored(ctx, x, t, "", "", notOurs("tenant_differs"))
	}
	o, found := s.cfg.PRTs.Find(ctx, t, q.Token)
	if unopened(found) {
		return b, false, s.ignored(ctx, x, t, "", "", found)
	}
	proof := o.Prove(q.message)
	if proof != nil && idp.AsError(proof).Code != codeKDF {
		return b, false, s.ignored(ctx, x, t, o.PRT.User, o.PRT.Device, proof)
	}
	p, err := s.judge(ctx, q, o, found, proof)
	if err != nil {
		return b, false, err
	}
	if q.nonces, err = s.nonces(ctx, t, q.payload.Nonce); err != nil {
		if p.refusal != nil && !ours(err) {
			err = p.refusal // a new nonce would not help
		}
		return b, p.refusal == nil && !ours(err), s.ignored(ctx, x, t, o.PRT.User, o.PRT.Device, err)
	}
	p.nonces = q.nonces
	if p.refusal != nil {
		// The signature was good: its nonces are spent, whatever is shown now.
		_, err := s.cfg.Corridor.Carried(ctx, s.carried(p, activityUse))
		if ours(err) {
			return b, false, err
		}
		return b, false, nil
	}
	return signin.Brought{
		Standing: signin.Standing{User: o.PRT.User, PRT: o.PRT.ID, Device: o.PRT.Device, Ends: o.PRT.Ends},
		Proofs:   o.PRT.Proofs, Nonces: q.nonces,
	}, false, nil
}

// carriedDevice verifies a credential that is signed with a device's key. Beside
// a good PRT it proves nothing new, but its nonce belongs to the request
// (device-protocol.md §0 fact 5); alone it says which device this is.
func (s *Server) carriedDevice(ctx context.Context, x exchange, t idp.TenantID, text string, b *signin.Brought, stale *bool) error {
	m, err := jose.ParseLoose(text, "RS256", "ES256")
	var p payload
	if err == nil {
		err = m.Read(&p)
	}
	if err != nil {
		return s.ignored(ctx, x, t, "", "", unreadable(err))
	}
	d, err := s.identify(ctx, m)
	if err == nil && d.Tenant != t {
		err, d = deviceFailed("tenant_differs", "device of %s", d.Tenant), device.Device{}
	}
	if err == nil {
		err = p.inTime(s.cfg.Now())
	}
	if err != nil {
		return s.ignored(ctx, x, t, "", d.ID, err)
	}
	if b.PRT != "" && b.Device != d.ID {
		return s.ignored(ctx, x, t, "", d.ID, deviceFailed("other_device", "PRT of device %s beside %s", b.Device, d.ID))
	}
	nonces, err := s.nonces(ctx, t, p.Nonce)
	if err != nil {
		*stale = b.PRT == "" && !ours(err)
		return s.ignored(ctx, x, t, "", d.ID, err)
	}
	for _, n := range nonces {
		if !slices.ContainsFunc(b.Nonces, func(o nonce.Sealed) bool { return string(o.ID) == string(n.ID) && o.Tenant == n.Tenant }) {
			b.Nonces = append(b.Nonces, n)
		}
	}
	b.Device = d.ID
	return nil
}

// ignored records a credential that counts for nothing. A trouble of our own is
// none of its own.
func (s *Server) ignored(ctx context.Context, x exchange, t idp.TenantID, u idp.UserID, d idp.DeviceID, err error) error {
	told := s.unburnt(ctx, x, activityUse, t, u, d, err)
	if ours(told) {
		return told
	}
	return nil
}
