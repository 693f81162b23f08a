package push

import (
	"context"
	"net/http"
	"time"
)

// Look does once what Run does again and again.
func (s *Service) Look(ctx context.Context) error { return s.look(ctx) }

// Sweep does what Run does once a minute.
func (s *Service) Sweep(ctx context.Context) error { return drop(ctx, s.cfg.DB, s.cfg.Now()) }

// StartLanes lets the service send without looking by itself, until stop.
func (s *Service) StartLanes(ctx context.Context) (stop func()) {
	s.lanes.start(ctx)
	return s.lanes.stop
}

// Idle waits until nothing is being sent.
func (s *Service) Idle() { s.lanes.all.Wait() }

// Ways of a message, for tests.
const (
	ClaimFor  = claimFor
	LaneWide  = laneWide
	FirstWait = firstWait
	Record    = record
)

// RetryAfter reads the header.
func RetryAfter(v string, now time.Time) time.Duration { return retryAfter(v, now) }

// Judge is what a status and a body of a service come to, by kind.
func Judge(kind string, status int, body string, now time.Time) Result {
	r := reply{status: status, header: http.Header{}, body: []byte(body), host: "push.example"}
	switch kind {
	case APNs:
		return r.apns(now)
	case FCM:
		return r.fcm(now)
	}
	return r.web(now)
}
