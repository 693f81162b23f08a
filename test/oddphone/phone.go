package oddphone

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Phone is an app with one account.
type Phone struct {
	Server           string
	HTTP             *http.Client
	Key              *ecdsa.PrivateKey
	Passkey          *Passkey
	ID, Tenant, User string
	Now              func() time.Time
}

// Answer is a reply, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Refusal is an error as the page writes it.
type Refusal struct{ Error, Message, Code, Trace string }

// Refusal reads the body as an error.
func (a Answer) Refusal() (r Refusal) {
	if json.Unmarshal([]byte(a.Body), &r) != nil {
		return Refusal{}
	}
	return r
}

// into reads the body of a success.
func (a Answer) into(out any) error {
	if a.Status/100 != 2 {
		return fmt.Errorf("%d %s", a.Status, a.Body)
	}
	if len(a.Body) == 0 {
		return nil
	}
	return json.Unmarshal([]byte(a.Body), out)
}

// New is an app that knows a server, with a key of its own.
func New(server string) (*Phone, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return &Phone{Server: server, Key: key, Now: time.Now, HTTP: &http.Client{Timeout: 20 * time.Second}}, err
}

// point is the two coordinates of a public key.
func point(key *ecdsa.PublicKey) (x, y string) {
	raw, _ := key.Bytes()
	return b64.EncodeToString(raw[1:33]), b64.EncodeToString(raw[33:])
}

// jwk is the public key with its required members in the order of RFC 7638.
func (p *Phone) jwk() string {
	x, y := point(&p.Key.PublicKey)
	return fmt.Sprintf(`{"crv":"P-256","kty":"EC","x":%q,"y":%q}`, x, y)
}

// thumbprint is that of RFC 7638, as bytes.
func (p *Phone) thumbprint() []byte {
	sum := sha256.Sum256([]byte(p.jwk()))
	return sum[:]
}

// sign is r‖s over a message.
func sign(key *ecdsa.PrivateKey, message []byte) []byte {
	sum := sha256.Sum256(message)
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err) // a P-256 key and 32 bytes
	}
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

// message is a label, a zero byte, and parts with their lengths.
func message(label string, parts ...[]byte) []byte {
	out := append([]byte(label), 0)
	for _, p := range parts {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(p))), p...)
	}
	return out
}

// call is one signed request, open to be spoilt.
type call struct {
	method, path string
	body         []byte
	header       map[string]any // of the JWS
	claims       map[string]any
	key          *ecdsa.PrivateKey
	scheme       string
	unsigned     bool
	spoil        func(jws string) string
}

// edit changes a call before it is signed.
type edit func(*call)

// Do sends a signed request.
func (p *Phone) Do(ctx context.Context, method, path string, body any, edits ...edit) (Answer, error) {
	c := &call{method: method, path: path, key: p.Key, scheme: "Phone",
		header: map[string]any{"alg": "ES256", "typ": "signet-phone+jwt", "kid": p.ID},
		claims: map[string]any{"tid": p.Tenant, "htm": method, "htu": p.Server + "/phone/v1" + strings.Split(path, "?")[0],
			"iat": p.Now().Unix(), "jti": b64.EncodeToString(random(16))}}
	switch b := body.(type) {
	case nil:
	case []byte:
		c.body = b
	default:
		var err error
		if c.body, err = json.Marshal(body); err != nil {
			return Answer{}, err
		}
	}
	if c.body != nil {
		sum := sha256.Sum256(c.body)
		c.claims["bh"] = b64.EncodeToString(sum[:])
	}
	for _, e := range edits {
		e(c)
	}
	var auth string
	if !c.unsigned {
		header, err1 := json.Marshal(c.header)
		claims, err2 := json.Marshal(c.claims)
		if err1 != nil || err2 != nil {
			return Answer{}, fmt.Errorf("%w, %w", err1, err2)
		}
		jws := b64.EncodeToString(header) + "." + b64.EncodeToString(claims)
		jws += "." + b64.EncodeToString(sign(c.key, []byte(jws)))
		if c.spoil != nil {
			jws = c.spoil(jws)
		}
		auth = c.scheme + " " + jws
	}
	return p.send(ctx, c.method, c.path, auth, c.body)
}

func (p *Phone) send(ctx context.Context, method, path, auth string, body []byte) (Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, p.Server+"/phone/v1"+path, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if auth != "" {
		r.Header.Set("Authorization", auth)
	}
	r.Header.Set("User-Agent", "odd/1")
	res, err := p.HTTP.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, res.Header, string(text)}, err
}

// tell posts to an address that wants no signed request.
func (p *Phone) tell(ctx context.Context, path string, body any) (Answer, error) {
	raw, ok := body.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return Answer{}, err
		}
	}
	return p.send(ctx, http.MethodPost, path, "", raw)
}
