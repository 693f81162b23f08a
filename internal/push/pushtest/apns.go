package pushtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// APNs stands in the place of Apple's service. It knows the apps with the
// topics that it is told, one team and one key.
type APNs struct {
	server
	Topics []string
	key    *ecdsa.PrivateKey
	now    func() time.Time
	got    chan APNsMessage
}

// What APNsConfig is to name.
const (
	APNsKeyID = "KEY1234567"
	APNsTeam  = "TEAM123456"
)

// APNsMessage is what arrived and was in order.
type APNsMessage struct {
	Token      string
	Topic      string
	Collapse   string
	Expiration time.Time
	Bearer     string
	Body       map[string]any
	Proto      int // of HTTP
}

// NewAPNs starts one for a test. now is the clock that it judges tokens by.
func NewAPNs(t testing.TB, now func() time.Time, topics ...string) *APNs {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &APNs{Topics: topics, key: key, now: now, got: make(chan APNsMessage, kept)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /3/device/{token}", s.serve)
	s.start(mux)
	t.Cleanup(func() {
		s.close()
		s.check(t)
	})
	return s
}

// P8 is the key as Apple gives it.
func (s *APNs) P8() []byte {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// Arrived waits for a message.
func (s *APNs) Arrived(t testing.TB) APNsMessage { t.Helper(); return must(t, s.got) }

func (s *APNs) serve(w http.ResponseWriter, r *http.Request) {
	m := APNsMessage{Token: r.PathValue("token"), Topic: r.Header.Get("apns-topic"), Collapse: r.Header.Get("apns-collapse-id"), Proto: r.ProtoMajor}
	if status, reason := s.judge(&m, r); reason != "" {
		s.fault("%s", reason)
		w.WriteHeader(status)
		io.WriteString(w, `{"reason":"`+reason+`"}`)
		return
	}
	a := s.next()
	if a.Status == 0 && !a.Hang {
		select {
		case s.got <- m:
		default:
		}
	}
	s.say(w, r, a, http.StatusOK, "")
}

// judge answers with the words of Apple's documentation.
func (s *APNs) judge(m *APNsMessage, r *http.Request) (status int, reason string) {
	if status, reason = s.provider(m, r.Header.Get("Authorization")); reason != "" {
		return status, reason
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 8192))
	if err != nil || len(body) > 4096 {
		return http.StatusRequestEntityTooLarge, "PayloadTooLarge"
	}
	known := false
	for _, t := range s.Topics {
		known = known || t == m.Topic
	}
	seconds, err := strconv.ParseInt(r.Header.Get("apns-expiration"), 10, 64)
	m.Expiration = time.Unix(seconds, 0)
	switch {
	case json.Unmarshal(body, &m.Body) != nil || m.Body["aps"] == nil:
		return http.StatusBadRequest, "PayloadEmpty"
	case !known:
		return http.StatusBadRequest, "DeviceTokenNotForTopic"
	case r.Header.Get("apns-push-type") != "alert":
		return http.StatusBadRequest, "InvalidPushType"
	case r.Header.Get("apns-priority") != "10":
		return http.StatusBadRequest, "BadPriority"
	case err != nil:
		return http.StatusBadRequest, "BadExpirationDate"
	case len(m.Collapse) > 64:
		return http.StatusBadRequest, "BadCollapseId"
	}
	return 0, ""
}

// provider checks whose token of the sender it is.
func (s *APNs) provider(m *APNsMessage, header string) (status int, reason string) {
	text, ok := strings.CutPrefix(header, "bearer ")
	if !ok {
		return http.StatusForbidden, "MissingProviderToken"
	}
	m.Bearer = text
	token, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || token.Signatures[0].Protected.KeyID != APNsKeyID {
		return http.StatusForbidden, "InvalidProviderToken"
	}
	body, err := token.Verify(&s.key.PublicKey)
	var claims struct {
		Issuer string `json:"iss"`
		Issued int64  `json:"iat"`
	}
	if err != nil || json.Unmarshal(body, &claims) != nil || claims.Issuer != APNsTeam {
		return http.StatusForbidden, "InvalidProviderToken"
	}
	if age := s.now().Sub(time.Unix(claims.Issued, 0)); age > time.Hour || age < -time.Minute {
		return http.StatusForbidden, "ExpiredProviderToken"
	}
	return 0, ""
}
