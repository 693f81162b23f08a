package push

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
)

// Where Apple's service is, and how long one token of ours serves. [K] Apple
// wants a new one every 20 to 60 minutes (passkeys-and-phone.md §6.9).
const (
	apnsBase    = "https://api.push.apple.com"
	apnsSandbox = "https://api.sandbox.push.apple.com"
	apnsToken   = 40 * time.Minute
)

// APNsConfig lets messages be sent to an app of the operator's by Apple's
// service, with a signing key of his ("token authentication").
type APNsConfig struct {
	Key    []byte   // PEM, PKCS #8, as Apple gives it: AuthKey_….p8
	KeyID  string   // ten characters
	Team   string   // ten characters
	Topics []string // bundle ids of the apps; the first is that of targets that name none
	Base   string   // in the place of both of Apple's addresses; empty: those
}

func (c *APNsConfig) serves(topic string) bool {
	return topic == "" || slices.Contains(c.Topics, topic)
}

type apns struct {
	cfg    APNsConfig
	client *http.Client
	now    func() time.Time
	signer *jose.Signer

	mu    sync.Mutex
	token string
	made  time.Time
}

func newAPNs(c APNsConfig, client *http.Client, now func() time.Time) (*apns, error) {
	key, err := pkcs8[*ecdsa.PrivateKey](c.Key)
	if err != nil {
		return nil, idp.Invalidf("push_apns", "apns-key is not the .p8 file that Apple gave: %w", err)
	}
	if c.KeyID == "" || c.Team == "" || len(c.Topics) == 0 {
		return nil, idp.Invalidf("push_apns", "apns-key needs apns-key-id, apns-team and apns-topic beside it")
	}
	signer, err := jose.NewSigner("ES256", c.KeyID, "JWT", key)
	if err != nil {
		return nil, idp.Invalidf("push_apns", "apns-key is not the .p8 file that Apple gave: %w", err)
	}
	return &apns{cfg: c, client: client, now: now, signer: signer}, nil
}

// pkcs8 reads one private key of type K from PEM. Errors never quote it.
func pkcs8[K any](text []byte) (key K, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return key, fmt.Errorf("it has no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return key, err
	}
	key, ok := parsed.(K)
	if !ok {
		return key, fmt.Errorf("it holds a %T", parsed)
	}
	return key, nil
}

// bearer is a token of ours, made anew when it is old or one was refused.
func (a *apns) bearer(refused string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	if a.token != "" && a.token != refused && now.Sub(a.made) < apnsToken && !now.Before(a.made) {
		return a.token, nil
	}
	t, err := a.signer.Sign(map[string]any{"iss": a.cfg.Team, "iat": now.Unix()})
	if err != nil {
		return "", err
	}
	a.token, a.made = t, now
	return t, nil
}

// alert is the body: what the system shows, and what waits.
type alert struct {
	APS struct {
		Alert struct {
			Title string `json:"title"`
			Body  string `json:"body,omitempty"`
		} `json:"alert"`
		Sound string `json:"sound"`
	} `json:"aps"`
	ID       string `json:"id"`
	Navigate string `json:"navigate"`
}

func (a *apns) Send(ctx context.Context, to Target, m Message) Result {
	var b alert
	b.APS.Alert.Title, b.APS.Alert.Body, b.APS.Sound = m.Title, m.Body, "default"
	b.ID, b.Navigate = m.ID, m.Navigate
	body, err := json.Marshal(b)
	if err != nil {
		return faulty("push_message", "The message cannot be written.", "%w", err)
	}
	token, err := a.bearer("")
	if err != nil {
		return faulty("push_apns", "This server cannot sign for Apple's service.", "%w", err)
	}
	r, lost := a.post(ctx, to, m, body, token)
	if lost == nil && r.status == http.StatusForbidden && r.reason() == "ExpiredProviderToken" {
		if token, err = a.bearer(token); err != nil {
			return faulty("push_apns", "This server cannot sign for Apple's service.", "%w", err)
		}
		r, lost = a.post(ctx, to, m, body, token)
	}
	if lost != nil {
		return *lost
	}
	return r.apns(a.now())
}

func (a *apns) post(ctx context.Context, to Target, m Message, body []byte, token string) (reply, *Result) {
	base := apnsBase
	if to.Sandbox {
		base = apnsSandbox
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cmp.Or(a.cfg.Base, base)+"/3/device/"+to.Token, bytes.NewReader(body))
	if err != nil {
		r := faulty("push_token_malformed", "The notification token is damaged.", "device token makes no address")
		return reply{}, &r
	}
	h := req.Header
	h.Set("Authorization", "bearer "+token)
	h.Set("Content-Type", "application/json")
	h.Set("apns-topic", cmp.Or(to.Topic, a.cfg.Topics[0]))
	h.Set("apns-push-type", "alert")
	h.Set("apns-priority", "10")
	h.Set("apns-expiration", strconv.FormatInt(a.now().Add(m.Lives).Unix(), 10))
	if m.Topic != "" {
		h.Set("apns-collapse-id", m.Topic)
	}
	return call(a.client, req)
}

// reason is the word that Apple's service gives in its body.
func (r reply) reason() string {
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(r.body, &said) != nil || !word.MatchString(said.Reason) {
		return ""
	}
	return said.Reason
}

// apns judges an answer of Apple's service. [K] The statuses and words are
// those of Apple's "Handling notification responses from APNs".
func (r reply) apns(now time.Time) Result {
	why := r.reason()
	switch s := r.status; {
	case s == http.StatusOK:
		return Result{Outcome: Delivered}
	case s == http.StatusGone, s == http.StatusBadRequest && why == "BadDeviceToken":
		return gone("push_gone", "%s: %d %s", r.host, s, why)
	case s == http.StatusTooManyRequests, s >= 500:
		return r.later(now)
	}
	return faulty("push_apns", fmt.Sprintf("Apple's service refuses this server's message: %s.", cmp.Or(why, strconv.Itoa(r.status))),
		"%s: %d %s", r.host, r.status, r.excerpt())
}
