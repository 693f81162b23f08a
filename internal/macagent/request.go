package macagent

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/pssowire"
)

// Nonce is a server's nonce, and the id of the request that got it: the message
// that uses it has the same (apple-platform-sso.md §5).
type Nonce struct {
	Value     string
	RequestID string
	exchange  string // key of an exchange, for registrations
}

// Nonce asks for a server nonce.
func (m *Mac) Nonce(ctx context.Context) (Nonce, error) { return m.nonce(ctx, "") }

func (m *Mac) nonce(ctx context.Context, purpose string) (Nonce, error) {
	n := Nonce{RequestID: upperUUID()}
	form := url.Values{pssowire.FieldGrant: {pssowire.GrantNonce}}
	if purpose != "" {
		form.Set(pssowire.FieldPurpose, purpose)
	}
	q := &Request{Name: "nonce", URL: m.st.Conf.NonceEndpoint, form: form, id: n.RequestID, accept: "application/json"}
	msg := q.message()
	got, err := q.send(ctx, m.remote)
	q.answered(msg, got, err)
	var answer map[string]json.RawMessage
	if err == nil {
		err = got.decode(&answer)
	}
	if err == nil && got.header.Get("Cache-Control") != "no-store" {
		err = disliked("nonce_cached", "a nonce with Cache-Control %q, not no-store", got.header.Get("Cache-Control"))
	}
	if err == nil {
		msg.Answer = got.body
		if json.Unmarshal(answer[m.st.Conf.NonceKeypath], &n.Value) != nil || n.Value == "" {
			err = disliked("nonce_missing", "no text in the member %s", m.st.Conf.NonceKeypath)
		}
		_ = json.Unmarshal(answer["exchange_key"], &n.exchange) // whoever needs it looks
	}
	m.tell(msg, err)
	return n, err
}

// Request is a signed message, ready to be sent; it can be sent more than once,
// by those who want to see it refused.
type Request struct {
	Name string // "login", "refresh", "key_request" or "key_exchange"
	URL  string

	form     url.Values
	id       string
	accept   string // media type of the answer
	typ      string // of the answer's JWE
	nonce    string // ours, which comes back in the ID token
	groups   []string
	by       *person
	open     *ecdh.PrivateKey
	apv      []byte
	exchange *exchange // of a key exchange
}

// Body is the form as it is sent.
func (q *Request) Body() string { return q.form.Encode() }

// Header are the headers that it is sent with.
func (q *Request) Header() http.Header {
	return http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {q.accept}, http.CanonicalHeaderKey(pssowire.HeaderRequest): {q.id},
	}
}

func (q *Request) send(ctx context.Context, r *remote) (reply, error) {
	return r.call(ctx, http.MethodPost, q.URL, q.Header(), []byte(q.Body()))
}

// message takes a request apart.
func (q *Request) message() *Message {
	msg := &Message{Name: q.Name, Method: http.MethodPost, URL: q.URL, Form: map[string]string{}}
	for name, values := range q.form {
		if signed := takenApart(values[0]); signed != nil {
			msg.Signed = signed
			msg.Form[name] = "(the signed message)"
			continue
		}
		msg.Form[name] = values[0]
	}
	if msg.Signed != nil {
		var claims struct{ Assertion string }
		if json.Unmarshal(msg.Signed.Claims, &claims) == nil && claims.Assertion != "" {
			msg.Inner = takenApart(claims.Assertion)
		}
	}
	return msg
}

// answered notes what came.
func (q *Request) answered(msg *Message, got reply, err error) {
	msg.Type, msg.Status = got.kind(), http.StatusOK
	if said := AsRefusal(err); said.Status != 0 {
		msg.Status, msg.Answer = said.Status, asJSON(got)
	} else if err != nil {
		msg.Status = 0
	}
}

// request makes the message of a claim set: claims is finished with what every
// message has, and signed by the device.
func (m *Mac) request(name, address, typ, replyType string, n Nonce, claims *pssowire.Request) (*Request, error) {
	own, err := readKey(m.st.Keys.Encryption)
	if err != nil {
		return nil, err
	}
	q := &Request{Name: name, URL: address, id: n.RequestID, accept: "application/" + replyType, typ: m.cfg.Form.typ(replyType), nonce: claims.Nonce, by: m.st.Person}
	if q.open, err = own.ECDH(); err != nil {
		return nil, err
	}
	q.apv = pssowire.PartyV(q.open.PublicKey().Bytes(), claims.Nonce)
	claims.Crypto = pssowire.Crypto{Alg: pssowire.AlgAgreed, Enc: pssowire.EncAgreed, APV: raw64(q.apv)}
	claims.RequestNonce = n.Value
	claims.Issued, claims.Expires = m.times()
	var payload any = claims
	if name := m.st.Conf.NonceClaim; name != "request_nonce" {
		if payload, err = renamed(claims, "request_nonce", name); err != nil {
			return nil, err
		}
	}
	signed, err := m.byDevice(typ, payload)
	if err != nil {
		return nil, err
	}
	q.form = url.Values{
		pssowire.FieldVersion: {m.cfg.Form.Version}, pssowire.FieldGrant: {pssowire.GrantBearer}, m.cfg.Form.Field: {signed},
	}
	return q, nil
}

// renamed gives a claim another name.
func renamed(claims any, from, to string) (map[string]any, error) {
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		return nil, err
	}
	out[to] = out[from]
	delete(out, from)
	return out, nil
}

// Send sends a request and opens the answer, which is its plain text. It is
// judged as far as that needs nothing but the answer itself.
func (m *Mac) Send(ctx context.Context, q *Request) ([]byte, error) {
	plain, _, err := m.sent(ctx, q)
	return plain, err
}

// sent is Send, and what was told of it. Who judges further adds to that.
func (m *Mac) sent(ctx context.Context, q *Request) ([]byte, *Message, error) {
	msg := q.message()
	got, err := q.send(ctx, m.remote)
	q.answered(msg, got, err)
	if err != nil {
		return nil, msg, err
	}
	plain, header, err := q.opened(got)
	msg.Sealed, msg.Answer = header, plain
	return plain, msg, err
}

// opened judges the envelope of an answer and opens it (apple-platform-sso.md §7).
func (q *Request) opened(got reply) (plain []byte, header json.RawMessage, err error) {
	if got.kind() != q.accept {
		return nil, nil, disliked("answer_type", "a Content-Type of %q, not %s", got.kind(), q.accept)
	}
	if cc := got.header.Get("Cache-Control"); !strings.Contains(cc, "no-store") {
		return nil, nil, disliked("answer_cached", "a Cache-Control of %q, without no-store", cc)
	}
	compact := string(got.body)
	parts := strings.Split(compact, ".")
	if len(parts) != 5 || parts[1] != "" {
		return nil, nil, disliked("answer_form", "no JWE of five parts whose second is empty")
	}
	if header, err = base64.RawURLEncoding.DecodeString(parts[0]); err != nil || !json.Valid(header) {
		return nil, nil, disliked("answer_header", "a header that cannot be read")
	}
	if err := q.judgeHeader(header); err != nil {
		return nil, header, err
	}
	r, err := pssowire.Open(compact, q.open, q.apv)
	if err != nil {
		return nil, header, disliked("answer_sealed", "what it cannot open with its key, its own apv and the apu of that ephemeral key: %v", err)
	}
	if !json.Valid(r.Plain) {
		return nil, header, disliked("answer_json", "no JSON inside")
	}
	return r.Plain, header, nil
}

// judgeHeader judges the header of a JWE (apple-platform-sso.md §7.1).
func (q *Request) judgeHeader(raw []byte) error {
	var h map[string]json.RawMessage
	if err := json.Unmarshal(raw, &h); err != nil {
		return disliked("answer_header", "a header that is no object")
	}
	text := func(name string) (s string) { _ = json.Unmarshal(h[name], &s); return s }
	var epk struct{ Kty, Crv, X, Y string }
	_ = json.Unmarshal(h["epk"], &epk)
	x, errX := base64.RawURLEncoding.DecodeString(epk.X)
	y, errY := base64.RawURLEncoding.DecodeString(epk.Y)
	apv := text("apv")
	_, zip := h["zip"]
	switch {
	case text("typ") != q.typ:
		return disliked("answer_typ", "a typ of %q, not %q", text("typ"), q.typ)
	case text("alg") != pssowire.AlgAgreed || text("enc") != pssowire.EncAgreed:
		return disliked("answer_alg", "%s with %s, not ECDH-ES with A256GCM", text("alg"), text("enc"))
	case zip:
		return disliked("answer_zip", "a compressed answer")
	case epk.Kty != "EC" || epk.Crv != "P-256" || errX != nil || errY != nil || len(x) != 32 || len(y) != 32:
		return disliked("answer_epk", "an epk that is not on P-256 with two coordinates of 32 bytes")
	case text("apu") != raw64(pssowire.PartyU(append(append([]byte{4}, x...), y...))):
		return disliked("answer_apu", "an apu that is not of its epk")
	case apv != "" && apv != raw64(q.apv):
		return disliked("answer_apv", "an apv that is not the one it was sent")
	case text("kid") == "":
		return nil
	}
	if id, err := pssowire.ParseKeyID(text("kid")); err != nil || id.String() != base64.StdEncoding.EncodeToString(hashOf(q.open.PublicKey().Bytes())) {
		return disliked("answer_kid", "a kid that is not of this Mac's encryption key")
	}
	return nil
}

// times are iat and exp of what is made now.
func (m *Mac) times() (iat, exp *jose.Number) {
	now := m.clock()
	return pssowire.At(now.Unix()), pssowire.At(now.Add(messageLife).Unix())
}
