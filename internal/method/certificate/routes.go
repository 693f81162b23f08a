package certificate

import (
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/secret"
	"github.com/signetid/signet/internal/web"
)

// MountTLS adds the address at which browsers make their handshake. It belongs
// on the listener that asks for certificates and on no other (security.md
// CBA10): this is no method.Mounter.
func (m *Room) MountTLS(mux *http.ServeMux) {
	mux.Handle("GET /{tenant}"+Path, web.Adapt(phrase, m.handshake))
}

// maxFlow is how long the name of a stored flow may be.
const maxFlow = 128

// handshake takes in what a browser has shown in its handshake, for the sign-in
// that waits for it, and sends that browser back. Nothing is judged here, no
// cookie is read or set, and the flow is only a word that goes back with it.
func (m *Room) handshake(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	// The next handshake may be somebody else's (CBA14): neither the connection
	// nor the page is to be used again.
	h.Set("Connection", "close")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer") // the code is in the address
	if ok, wait := m.door.Allow(web.Source(r)); !ok {
		return idp.Limitedf("too_many", "%w", limited{wait})
	}
	ctx, now := r.Context(), m.cfg.Now()
	tenant, err := m.cfg.Tenant(ctx, r.PathValue("tenant"))
	if err != nil {
		return err
	}
	key, err := m.cfg.Key(ctx, tenant.ID)
	if err != nil {
		return fmt.Errorf("key of tickets: %w", err)
	}
	q := r.URL.Query()
	ticket, flow := q.Get("ceremony"), q.Get("flow")
	if err := openTicket(key, ticket, now); err != nil {
		return err
	}
	if len(flow) > maxFlow {
		return idp.Invalidf("flow_malformed", "flow of %d characters", len(flow))
	}
	chain, err := m.cfg.Handshake(r)
	if err != nil {
		return err
	}
	back := url.Values{"flow": {flow}}
	if len(chain) == 0 {
		back.Set("none", "1")
		return web.SeeOther(w, r, m.returnTo(tenant.ID, back))
	}
	raw, err := flatten(chain)
	if err != nil {
		return err
	}
	code := secret.Token()
	kept := handover{
		code: secret.Digest(code), tenant: tenant.ID, ceremony: ticket, chain: raw,
		expires: now.Add(handoverLives).Truncate(time.Millisecond),
	}
	if err := insertHandover(ctx, m.cfg.DB, kept); err != nil {
		return fmt.Errorf("keep handshake: %w", err)
	}
	m.recent.put(kept)
	back.Set("code", code)
	return web.SeeOther(w, r, m.returnTo(tenant.ID, back))
}

func (m *Room) returnTo(t idp.TenantID, q url.Values) string {
	return strings.TrimSuffix(m.cfg.Base, "/") + "/" + string(t) + Return + "?" + q.Encode()
}

// The bounds of what is kept of a handshake (security.md CBA11).
const (
	maxChain      = 10
	maxChainBytes = 64 << 10
)

// flatten writes certificates one after the other, as many as there is room
// for: the leaf must be among them.
func flatten(chain []*x509.Certificate) ([]byte, error) {
	var out []byte
	for i, c := range chain[:min(len(chain), maxChain)] {
		if len(out)+len(c.Raw) > maxChainBytes {
			if i == 0 {
				return nil, idp.Invalidf("certificate_too_big", "certificate of %d bytes", len(c.Raw)).
					Say("This certificate is too large to be used here. Choose another one.")
			}
			break
		}
		out = append(out, c.Raw...)
	}
	return out, nil
}

// limited is the cause of a Limited error: the time after which to come again.
type limited struct{ wait time.Duration }

func (l limited) Error() string { return "handshakes of one source" }

var sentences = map[idp.Kind]string{
	idp.Invalid:     "This address is only good in the middle of a sign-in. Go back to where you came from, and start again.",
	idp.NotFound:    "There is no such organisation here. Check the address.",
	idp.Expired:     "The time is up. Nobody was let in. Start again.",
	idp.Limited:     "That was too often. Wait a little, then start again.",
	idp.Unavailable: "This does not work at the moment. Try again in a moment.",
}

// phrase writes a plain page: this listener has none of the portal's, and
// whoever sees it has not come from one of ours.
func phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	text := e.Public
	if text == "" {
		text = sentences[e.Kind]
	}
	if text == "" {
		text = "Something went wrong here. Try again in a moment."
	}
	h := w.Header()
	var l limited
	if errors.As(e, &l) {
		h.Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(l.wait.Seconds())))))
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.WriteHeader(web.Status(e.Kind))
	fmt.Fprintf(w, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Sign in</title><p>%s</p><p>%s</p></html>\n",
		html.EscapeString(text), html.EscapeString(web.Trace(r.Context())))
}
