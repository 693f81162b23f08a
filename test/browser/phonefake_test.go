package browser

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/signetid/signet/internal/phoneapp"
	"github.com/signetid/signet/internal/phonewire"
)

// desk is the smallest server that the phone app can talk to: the real pages,
// and a /phone/v1 of its own that checks every octet by package phonewire. What
// waits, what is over and what is refused is as a test says, so that each view
// can be seen.
type desk struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	code     string
	orgs     []phonewire.Tenant // of enrolments, in turn
	phones   map[string]*deskPhone
	requests []*deskRequest
	history  []phonewire.Entry
	refuse   string // what every signed request is told, or ""
	seen     map[string]bool
	asked    int // GET /requests
	skew     time.Duration
}

// deskPhone is one that was enrolled.
type deskPhone struct {
	self phonewire.Self
	key  *ecdsa.PublicKey // the phone's own
	pass *ecdsa.PublicKey // of its passkey
	push *phonewire.Push
}

// deskRequest is a sign-in that waits.
type deskRequest struct {
	phonewire.Request
	phone, number, result string
}

var b64 = base64.RawURLEncoding

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, code: b64.EncodeToString([]byte("a code of 16 byt")), phones: map[string]*deskPhone{}, seen: map[string]bool{},
		orgs: []phonewire.Tenant{
			{ID: "7b2c2a0e-0000-4000-8000-000000000001", Name: "Nordhafen Werft", Domain: "nordhafen.example"},
			{ID: "7b2c2a0e-0000-4000-8000-000000000002", Name: "Skipper Sailing School", Domain: "skipper.example"},
		}}
	mux := http.NewServeMux()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://localhost:" + fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	app, err := phoneapp.New(phoneapp.Config{BaseURL: base, ErrorPage: func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}})
	if err != nil {
		t.Fatal(err)
	}
	app.Mount(mux)
	mux.HandleFunc("POST /phone/v1/enrolments/open", d.open)
	mux.HandleFunc("POST /phone/v1/enrolments/finish", d.finish)
	mux.HandleFunc("GET /phone/v1/self", d.signed(d.selfOf))
	mux.HandleFunc("PUT /phone/v1/self", d.signed(d.change))
	mux.HandleFunc("DELETE /phone/v1/self", d.signed(d.remove))
	mux.HandleFunc("POST /phone/v1/self/test", d.signed(func(http.ResponseWriter, *http.Request, *deskPhone, []byte) any {
		return phonewire.Tested{Result: "sent", Text: "Sent."}
	}))
	mux.HandleFunc("GET /phone/v1/requests", d.signed(d.list))
	mux.HandleFunc("POST /phone/v1/requests/{id}/approve", d.signed(d.approve))
	mux.HandleFunc("POST /phone/v1/requests/{id}/deny", d.signed(d.deny))
	mux.HandleFunc("GET /phone/v1/history", d.signed(func(_ http.ResponseWriter, _ *http.Request, p *deskPhone, _ []byte) any {
		return phonewire.History{Entries: d.history}
	}))
	mux.HandleFunc("GET /favicon.ico", http.NotFound)
	d.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
	d.Start()
	d.URL = base
	t.Cleanup(d.Close)
	return d
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func fault(w http.ResponseWriter, status int, word, text string) {
	reply(w, status, phonewire.Fault{Error: word, Text: text, Trace: "0af7651916cd43dd"})
}

// vapid is a public key that a browser takes for one.
func vapid() string {
	scalar := make([]byte, 32)
	scalar[31] = 7
	key, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		panic(err) // 7 is a scalar
	}
	return b64.EncodeToString(key.PublicKey().Bytes())
}

var offer = phonewire.PushOffer{VAPID: vapid(), Kinds: []string{"webpush"}}

const deskChallenge = "Y2hhbGxlbmdlIG9mIHRoaXMgZGVzaywgMzIgYnl0ZXM"

func (d *desk) open(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var in phonewire.Open
	json.NewDecoder(r.Body).Decode(&in)
	if in.Code != d.code && in.Code != "K7QF2M9X" {
		fault(w, http.StatusNotFound, "code_unknown", "This code does not work. It may be mistyped, used or over. Get a new one on the other screen.")
		return
	}
	user := fmt.Sprintf(`{"id":%q,"name":"ada@nordhafen.example","displayName":"Ada Lindqvist"}`, b64.EncodeToString([]byte("ada")))
	reply(w, http.StatusOK, phonewire.Opened{
		Tenant: d.orgs[len(d.phones)%2], User: phonewire.User{ID: "u1", Name: "ada@nordhafen.example", Full: "Ada Lindqvist"}, Push: offer, Expires: time.Now().Add(10 * time.Minute),
		Options: json.RawMessage(`{"publicKey":{"rp":{"id":"localhost","name":"Nordhafen"},"user":` + user + `,"challenge":"` + deskChallenge + `","pubKeyCredParams":[{"type":"public-key","alg":-7}],` +
			`"excludeCredentials":` + d.held() + `,"authenticatorSelection":{"residentKey":"required","userVerification":"required"}}}`),
		Reuse: json.RawMessage(`{"publicKey":{"rpId":"localhost","challenge":"` + deskChallenge + `","allowCredentials":` + d.held() + `,"userVerification":"required"}}`),
	})
}

// held are the passkeys that are there, as descriptors.
func (d *desk) held() string {
	out := []map[string]string{}
	for _, p := range d.phones {
		out = append(out, map[string]string{"type": "public-key", "id": p.self.Passkey})
	}
	b, _ := json.Marshal(out)
	return string(b)
}

type credential struct {
	RawID    string `json:"rawId"`
	Response struct {
		ClientDataJSON    string `json:"clientDataJSON"`
		PublicKey         string `json:"publicKey"`
		AuthenticatorData string `json:"authenticatorData"`
		Signature         string `json:"signature"`
	} `json:"response"`
}

func (c credential) challenge() []byte {
	var client struct{ Challenge string }
	json.Unmarshal(unb64(c.Response.ClientDataJSON), &client)
	return unb64(client.Challenge)
}

// signedBy says that the key made the assertion.
func (c credential) signedBy(key *ecdsa.PublicKey) bool {
	client := sha256.Sum256(unb64(c.Response.ClientDataJSON))
	sum := sha256.Sum256(append(unb64(c.Response.AuthenticatorData), client[:]...))
	return key != nil && ecdsa.VerifyASN1(key, sum[:], unb64(c.Response.Signature))
}

func unb64(s string) []byte { b, _ := b64.DecodeString(s); return b }

type jwk struct{ Kty, Crv, X, Y string }

// key is nil for what is no key.
func (k jwk) key() *ecdsa.PublicKey {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, unb64(k.X), unb64(k.Y)))
	if err != nil {
		return nil
	}
	return key
}

// raw checks r and s of 32 bytes each.
func raw(key *ecdsa.PublicKey, message, sig []byte) bool {
	sum := sha256.Sum256(message)
	return key != nil && len(sig) == 64 && ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
}

func (d *desk) finish(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var in phonewire.Finish
	json.NewDecoder(r.Body).Decode(&in)
	var cred credential
	var key jwk
	which := in.Passkey
	if len(in.Reuse) > 0 {
		which = in.Reuse
	}
	json.Unmarshal(which, &cred)
	json.Unmarshal(in.Key, &key)
	if d.refuse != "" {
		fault(w, http.StatusConflict, d.refuse, "This phone is in the account already.")
		return
	}
	thumb := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + key.X + `","y":"` + key.Y + `"}`))
	p := &deskPhone{key: key.key(), push: in.Push}
	if !raw(p.key, phonewire.EnrolMessage(in.Code, unb64(deskChallenge), thumb[:], unb64(cred.RawID)), unb64(in.Signature)) {
		fault(w, http.StatusBadRequest, "phone_unproven", "The signature of the enrolment is not the phone’s.")
		return
	}
	if len(in.Reuse) > 0 {
		for _, other := range d.phones {
			if other.self.Passkey == cred.RawID && cred.signedBy(other.pass) {
				p.pass = other.pass
			}
		}
		if p.pass == nil {
			fault(w, http.StatusBadRequest, "phone_unproven", "The passkey is not one of yours.")
			return
		}
	} else if pub, err := x509.ParsePKIXPublicKey(unb64(cred.Response.PublicKey)); err == nil {
		p.pass, _ = pub.(*ecdsa.PublicKey)
	}
	id := fmt.Sprintf("phone-%d", len(d.phones)+1)
	p.self = phonewire.Self{State: phonewire.Waiting, Name: in.Name, Tenant: d.orgs[len(d.phones)%2], User: phonewire.User{ID: "u1", Name: "ada@nordhafen.example", Full: "Ada Lindqvist"},
		Offer: offer, Report: true, RPID: "localhost", Passkey: cred.RawID, Usable: true}
	if in.Push != nil {
		p.self.Push = in.Push.Kind
	}
	d.phones[id] = p
	reply(w, http.StatusOK, phonewire.Finished{Phone: id, Words: []string{"harbour", "violet"}, Until: time.Now().Add(10 * time.Minute)})
}

// signed checks the JWS of a request by hand, claim by claim, and hands on
// whose it is. The answer of fn is sent unless it is nil.
func (d *desk) signed(fn func(http.ResponseWriter, *http.Request, *deskPhone, []byte) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		defer d.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		p, word := d.proven(r, body)
		if word == "clock_off" {
			w.Header().Set("Date", time.Now().Add(d.skew).UTC().Format(http.TimeFormat))
		}
		if word == "" && p.self.State == phonewire.Waiting && !strings.HasSuffix(r.URL.Path, "/self") {
			fault(w, http.StatusForbidden, "phone_waiting", "Say on the other screen that the two words match.")
			return
		}
		if word != "" {
			fault(w, http.StatusUnauthorized, word, "This phone is not known here: "+word)
			return
		}
		if d.refuse != "" {
			fault(w, http.StatusForbidden, d.refuse, "Your organisation does not let this phone approve sign-ins.")
			return
		}
		if answer := fn(w, r, p, body); answer != nil {
			reply(w, http.StatusOK, answer)
		}
	}
}

func (d *desk) proven(r *http.Request, body []byte) (*deskPhone, string) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), phonewire.Scheme+" ")
	part := strings.Split(token, ".")
	if len(part) != 3 {
		return nil, "phone_unproven"
	}
	var head struct{ Alg, Typ, Kid string }
	var c phonewire.Claims
	json.Unmarshal(unb64(part[0]), &head)
	json.Unmarshal(unb64(part[1]), &c)
	p := d.phones[head.Kid]
	sum := sha256.Sum256(body)
	hash := ""
	if len(body) > 0 {
		hash = b64.EncodeToString(sum[:])
	}
	now := time.Now().Add(d.skew).Unix()
	switch {
	case p == nil || head.Alg != "ES256" || head.Typ != phonewire.Type || !raw(p.key, []byte(part[0]+"."+part[1]), unb64(part[2])):
		return nil, "phone_unproven"
	case c.Tenant != p.self.Tenant.ID || c.Method != r.Method || c.URL != d.URL+r.URL.Path || c.Body != hash:
		d.t.Errorf("claims of another request: %+v for %s %s%s, body %q", c, r.Method, d.URL, r.URL.Path, hash)
		return nil, "phone_unproven"
	case len(unb64(c.ID)) < 12 || d.seen[c.ID]:
		d.t.Errorf("jti %q is short or was used", c.ID)
		return nil, "phone_unproven"
	case c.Issued < now-60 || c.Issued > now+60:
		return nil, "clock_off"
	}
	d.seen[c.ID] = true
	return p, ""
}

func (d *desk) selfOf(_ http.ResponseWriter, _ *http.Request, p *deskPhone, _ []byte) any {
	p.self.Now = time.Now()
	return p.self
}

func (d *desk) change(w http.ResponseWriter, r *http.Request, p *deskPhone, body []byte) any {
	var in phonewire.Change
	json.Unmarshal(body, &in)
	if in.Name != nil {
		p.self.Name = *in.Name
	}
	if in.Push != nil {
		p.push, p.self.Push = in.Push, in.Push.Kind
	}
	return d.selfOf(w, r, p, nil)
}

func (d *desk) remove(w http.ResponseWriter, _ *http.Request, p *deskPhone, _ []byte) any {
	for id, other := range d.phones {
		if other == p {
			delete(d.phones, id)
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (d *desk) phoneID(p *deskPhone) string {
	for id, other := range d.phones {
		if other == p {
			return id
		}
	}
	return ""
}

func (d *desk) list(_ http.ResponseWriter, _ *http.Request, p *deskPhone, _ []byte) any {
	d.asked++
	out := phonewire.Requests{Requests: []phonewire.Request{}, Now: time.Now()}
	for _, q := range d.requests {
		if q.phone == d.phoneID(p) && q.result == "" && q.Expires.After(time.Now()) {
			out.Requests = append(out.Requests, q.Request)
		}
	}
	return out
}

// ask has a sign-in wait for the phone.
func (d *desk) ask(phone, number string, c phonewire.Context, life time.Duration) *deskRequest {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	c.Time = now
	text, _ := json.Marshal(c)
	id := binary.BigEndian.AppendUint64([]byte("request "), uint64(len(d.requests)+1))
	q := &deskRequest{phone: phone, number: number, Request: phonewire.Request{
		ID: b64.EncodeToString(id), Nonce: b64.EncodeToString([]byte("a nonce of thirty-two bytes long")), Context: string(text),
		Created: now.Add(life - 2*time.Minute), Expires: now.Add(life),
	}}
	d.requests = append(d.requests, q)
	return q
}

func (d *desk) find(w http.ResponseWriter, r *http.Request, p *deskPhone, states ...string) *deskRequest {
	for _, q := range d.requests {
		if q.ID != r.PathValue("id") || q.phone != d.phoneID(p) {
			continue
		}
		for _, s := range states {
			if q.result == s {
				return q
			}
		}
		fault(w, http.StatusGone, "request_over", "This request is over.")
		return nil
	}
	fault(w, http.StatusNotFound, "request_unknown", "There is no such request.")
	return nil
}

func (d *desk) approve(w http.ResponseWriter, r *http.Request, p *deskPhone, body []byte) any {
	q := d.find(w, r, p, "")
	if q == nil {
		return nil
	}
	var in phonewire.Approve
	var cred credential
	json.Unmarshal(body, &in)
	json.Unmarshal(in.Assertion, &cred)
	want := phonewire.Approval{Tenant: p.self.Tenant.ID, User: p.self.User.ID, Request: unb64(q.ID), Nonce: unb64(q.Nonce), Number: in.Number, Context: q.Context, Phone: d.phoneID(p)}.Challenge()
	if string(cred.challenge()) != string(want) || !cred.signedBy(p.pass) {
		d.t.Errorf("the passkey signed another challenge, or is another")
	}
	if !raw(p.key, phonewire.AnswerMessage(want, unb64(cred.Response.AuthenticatorData), unb64(cred.Response.Signature)), unb64(in.Signature)) {
		d.t.Errorf("the phone's own signature is wrong")
	}
	q.result = phonewire.Approved
	if in.Number != q.number {
		q.result = phonewire.WrongNumber
	}
	return phonewire.Result{Result: q.result}
}

func (d *desk) deny(w http.ResponseWriter, r *http.Request, p *deskPhone, body []byte) any {
	var in phonewire.Deny
	json.Unmarshal(body, &in)
	q := d.find(w, r, p, "", phonewire.Denied)
	if q == nil {
		return nil
	}
	q.result = phonewire.Denied
	if in.Report {
		q.result = phonewire.Reported
	}
	return phonewire.Result{Result: q.result}
}

// say changes the desk while a test runs.
func (d *desk) say(fn func()) { d.mu.Lock(); defer d.mu.Unlock(); fn() }
