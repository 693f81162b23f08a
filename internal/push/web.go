package push

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	webpush "github.com/SherClockHolmes/webpush-go"
)

// record is the size that every message has on the wire, so that it tells
// nothing by its length: a title, a line and an address fit well. 4096 bytes
// are allowed (RFC 8291, Section 4), but [K] Firefox on Android takes 3070,
// since what carries it there encodes it once more (webpush-go, issue 23).
const record = 2048

// webSender sends by Web Push. What is encrypted and signed is the library's
// (RFC 8291, RFC 8292). Of its ways: it signs for 12 hours whatever it is told,
// takes a subject without mailto:, and pads to the record.
type webSender struct{ s *Service }

// declarative is the body: what a browser that knows Declarative Web Push shows
// by itself, and a service worker elsewhere reads ([K] web_push 8030, Safari
// 18.4; a worker that fails then costs no subscription).
type declarative struct {
	Marker       int          `json:"web_push"`
	Notification notification `json:"notification"`
	ID           string       `json:"id"`
}

type notification struct {
	Title    string `json:"title"`
	Body     string `json:"body,omitempty"`
	Navigate string `json:"navigate"`
	Lang     string `json:"lang,omitempty"`
	Silent   bool   `json:"silent"`
}

func (w webSender) Send(ctx context.Context, to Target, m Message) Result {
	u, way, err := w.s.endpoint(to.Endpoint)
	if err != nil {
		return Result{Outcome: Faulty, Err: err}
	}
	public, auth, err := webKeys(to)
	if err != nil {
		return Result{Outcome: Faulty, Err: err}
	}
	keys, err := w.s.keys(ctx)
	if err != nil {
		return later(0, "push_key", "This server cannot read its own key for notifications.", "%w", err)
	}
	body, err := json.Marshal(declarative{8030, notification{Title: m.Title, Body: m.Body, Navigate: m.Navigate, Lang: m.Lang}, m.ID})
	if err != nil {
		return faulty("push_message", "The message cannot be written.", "%w", err)
	}
	host := u.Hostname()
	res, err := webpush.SendNotificationWithContext(ctx, body, &webpush.Subscription{
		Endpoint: u.String(),
		Keys:     webpush.Keys{P256dh: base64.RawURLEncoding.EncodeToString(public.Bytes()), Auth: base64.RawURLEncoding.EncodeToString(auth)},
	}, &webpush.Options{
		HTTPClient: way.client, RecordSize: record, TTL: seconds(m.Lives), Topic: m.Topic, Urgency: webpush.UrgencyHigh,
		Subscriber: strings.TrimPrefix(w.s.cfg.Subject, "mailto:"), VAPIDPublicKey: keys.public, VAPIDPrivateKey: keys.private,
	})
	if errors.Is(err, webpush.ErrMaxPadExceeded) {
		return faulty("push_too_large", "The message is too large.", "message of %d bytes", len(body))
	}
	if err != nil {
		return unsent(err, host)
	}
	r, lost := read(res, host)
	if lost != nil {
		return *lost
	}
	return r.web(w.s.cfg.Now())
}

// seconds rounds down, but never to nothing.
func seconds(d time.Duration) int { return max(int(d/time.Second), 1) }

// web judges the answer of a push service (RFC 8030, Sections 5 and 8.4;
// passkeys-and-phone.md §6.8).
func (r reply) web(now time.Time) Result {
	switch s := r.status; {
	case s == http.StatusCreated, s == http.StatusOK, s == http.StatusAccepted, s == http.StatusNoContent:
		return Result{Outcome: Delivered}
	case s == http.StatusNotFound, s == http.StatusGone:
		return gone("push_gone", "%s: %d", r.host, s)
	case s == http.StatusTooManyRequests, s >= 500:
		return r.later(now)
	case s == http.StatusRequestEntityTooLarge:
		return faulty("push_too_large", "The push service "+shown(r.host)+" says that the message is too large.", "%s: %d", r.host, s)
	case s == http.StatusBadRequest, s == http.StatusUnauthorized, s == http.StatusForbidden:
		return faulty("push_vapid", "The push service "+shown(r.host)+" does not accept this server's key or its address (push-subject)"+r.why()+".",
			"%s: %d %s", r.host, s, r.excerpt())
	}
	return faulty("push_status", "The push service "+shown(r.host)+" gives an answer that is none.", "%s: %d %s", r.host, r.status, r.excerpt())
}

// word is what a service's reason may look like to be repeated.
var word = regexp.MustCompile(`^[A-Za-z_]{1,40}$`)

// why is the reason that Apple's services give, for a sentence.
func (r reply) why() string {
	var said struct {
		Reason string `json:"reason"`
	}
	if json.Unmarshal(r.body, &said) != nil || !word.MatchString(said.Reason) {
		return ""
	}
	return ": " + said.Reason
}
