package push

import (
	"context"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Target is where messages for one phone go. Kind decides which fields count,
// as in phonewire.Push.
type Target struct {
	Kind     string `json:"kind"`
	Endpoint string `json:"endpoint,omitempty"`
	P256DH   string `json:"p256dh,omitempty"`
	Auth     string `json:"auth,omitempty"`
	Token    string `json:"token,omitempty"`
	Topic    string `json:"topic,omitempty"`
	Sandbox  bool   `json:"sandbox,omitempty"`
}

// The kinds of targets.
const (
	WebPush = "webpush"
	APNs    = "apns"
	FCM     = "fcm"
)

// Message is what a phone is told. It has no secret, no number and no name
// (security.md PHN06).
type Message struct {
	ID       string // opaque: what waits
	Title    string
	Body     string
	Navigate string        // address in the app
	Topic    string        // a newer message of one topic takes the place of an older one that was not delivered; at most 32 of base64url
	Lives    time.Duration // after that it is of no use
}

// Outcome says what became of a message.
type Outcome string

// The outcomes. Gone: the target will never take one again. Later: try again
// after Result.After. Config: something of ours is wrong, which Result.Err says.
const (
	Delivered Outcome = "delivered"
	Gone      Outcome = "gone"
	Later     Outcome = "later"
	Config    Outcome = "config"
)

// Result is what a push service answered.
type Result struct {
	Outcome Outcome
	After   time.Duration
	Err     error
}

// Sender is one road.
type Sender interface {
	Send(context.Context, Target, Message) Result
}

// Ref names whose target it is, for the record and for OnGone.
type Ref struct {
	Tenant idp.TenantID
	Phone  idp.CredentialID
}
