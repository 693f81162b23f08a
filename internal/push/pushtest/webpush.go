package pushtest

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// kept is how many messages wait to be taken; beyond that they are lost, as
// with a service that stores too much.
const kept = 4096

// WebPush is a push service in the sense of RFC 8030.
type WebPush struct {
	server
	subs sync.Map // id → *Subscription
	all  chan Message
}

// Start starts a service, to be closed.
func Start() *WebPush {
	s := &WebPush{all: make(chan Message, kept)}
	mux := http.NewServeMux()
	mux.HandleFunc("/p/{id}", s.serve)
	s.start(mux)
	return s
}

// New starts a service for a test, which fails for faults that are left.
func New(t testing.TB) *WebPush {
	t.Helper()
	s := Start()
	t.Cleanup(func() {
		s.Close()
		s.check(t)
	})
	return s
}

// Close ends the service.
func (s *WebPush) Close() { s.close() }

// Subscription is what a browser gives: the endpoint and the keys of one
// phone.
type Subscription struct {
	Endpoint string
	P256DH   string // as PushSubscription.getKey gives it, base64url without padding
	Auth     string

	script  // for messages to this one alone
	id      string
	key     *ecdh.PrivateKey
	auth    []byte
	vapid   string // applicationServerKey, when it is bound to one
	arrived chan Message
}

// Message is what arrived and was in order, opened.
type Message struct {
	Subscription *Subscription
	TTL          int
	Urgency      string
	Topic        string
	Subject      string // VAPID's sub
	Key          string // VAPID's k
	Plain        []byte
	Size         int // of the body on the wire
	At           time.Time
}

// Subscribe makes a subscription. With an application server key (base64url)
// messages by another are refused.
func (s *WebPush) Subscribe(vapid string) *Subscription {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	auth := make([]byte, 16)
	rand.Read(auth)
	id := rand.Text()
	sub := &Subscription{
		Endpoint: s.URL() + "/p/" + id, id: id, key: key, auth: auth, vapid: vapid, arrived: make(chan Message, kept),
		P256DH: base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()),
		Auth:   base64.RawURLEncoding.EncodeToString(auth),
	}
	s.subs.Store(id, sub)
	return sub
}

// Unsubscribe ends a subscription: messages to it are answered with 410.
func (s *WebPush) Unsubscribe(sub *Subscription) {
	s.subs.Delete(sub.id)
}

// Next waits for a message to any subscription.
func (s *WebPush) Next(ctx context.Context) (Message, error) { return wait(ctx, s.all) }

// Arrived waits for a message to any subscription, in a test.
func (s *WebPush) Arrived(t testing.TB) Message { t.Helper(); return must(t, s.all) }

// Next waits for a message to this subscription.
func (s *Subscription) Next(ctx context.Context) (Message, error) { return wait(ctx, s.arrived) }

// Arrived waits for a message to this subscription, in a test.
func (s *Subscription) Arrived(t testing.TB) Message { t.Helper(); return must(t, s.arrived) }

// Waiting is how many messages have arrived and were not taken.
func (s *Subscription) Waiting() int { return len(s.arrived) }

// serve takes a message (RFC 8030, Section 5).
func (s *WebPush) serve(w http.ResponseWriter, r *http.Request) {
	found, ok := s.subs.Load(r.PathValue("id"))
	if !ok {
		w.WriteHeader(http.StatusGone)
		return
	}
	sub := found.(*Subscription)
	m, status, problem := s.judge(sub, r)
	if problem != "" {
		s.fault("%s", problem)
		w.WriteHeader(status)
		io.WriteString(w, `{"reason":"`+problem+`"}`)
		return
	}
	a := sub.next()
	if a.Status == 0 && !a.Hang && a.Do == nil {
		a = s.next()
	}
	if a.Status == 0 && !a.Hang || a.Status/100 == 2 {
		// Told before it is answered: who waits for it may look at once.
		push(s.all, m)
		push(sub.arrived, m)
	}
	w.Header().Set("Location", s.URL()+"/m/"+rand.Text())
	s.say(w, r, a, http.StatusCreated, "")
}

func push(c chan<- Message, m Message) {
	select {
	case c <- m:
	default:
	}
}

// judge looks at everything that a service, or a browser behind it, would.
func (s *WebPush) judge(sub *Subscription, r *http.Request) (m Message, status int, problem string) {
	if r.Method != http.MethodPost {
		return m, http.StatusMethodNotAllowed, "method " + r.Method
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return m, http.StatusBadRequest, "body cannot be read"
	}
	h := r.Header
	m = Message{Subscription: sub, Urgency: h.Get("Urgency"), Topic: h.Get("Topic"), Size: len(body), At: time.Now()}
	// TTL is required (RFC 8030, Section 5.2).
	if m.TTL, err = strconv.Atoi(h.Get("TTL")); err != nil || m.TTL < 0 {
		return m, http.StatusBadRequest, "TTL is missing or no number"
	}
	switch m.Urgency { // Section 5.3
	case "", "very-low", "low", "normal", "high":
	default:
		return m, http.StatusBadRequest, "Urgency is none"
	}
	// Section 5.4: at most 32 characters of base64url.
	if len(m.Topic) > 32 || strings.Trim(m.Topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return m, http.StatusBadRequest, "Topic is too long or not base64url"
	}
	if h.Get("Content-Encoding") != "aes128gcm" { // RFC 8291, Section 4
		return m, http.StatusUnsupportedMediaType, "Content-Encoding is not aes128gcm"
	}
	if len(body) > 4096 { // RFC 8030, Section 7.2
		return m, http.StatusRequestEntityTooLarge, "body is longer than 4096 bytes"
	}
	if m.Subject, m.Key, problem = vapid(h.Get("Authorization"), s.URL(), sub.vapid, m.At); problem != "" {
		return m, http.StatusForbidden, problem
	}
	if m.Plain, err = Open(sub.key, sub.auth, body); err != nil {
		return m, http.StatusBadRequest, "body cannot be opened"
	}
	return m, 0, ""
}
