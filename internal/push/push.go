package push

import (
	"context"
	"fmt"
	"time"

	"github.com/signetid/signet/internal/idp"
)

// Target is where messages for one phone go. Kind decides which fields count,
// as in phonewire.Push.
type Target struct {
	Kind     string `json:"kind"`
	Endpoint string `json:"endpoint,omitempty"` // a capability: never logged
	P256DH   string `json:"p256dh,omitempty"`
	Auth     string `json:"auth,omitempty"`
	Token    string `json:"token,omitempty"`
	Topic    string `json:"topic,omitempty"`
	Sandbox  bool   `json:"sandbox,omitempty"`
}

// String says the kind and nothing that lets anybody send.
func (t Target) String() string { return "push target of kind " + t.Kind }

// GoString is String.
func (t Target) GoString() string { return t.String() }

// Format keeps the target's secrets out of every fmt verb.
func (t Target) Format(f fmt.State, _ rune) { f.Write([]byte(t.String())) }

// The kinds of targets.
const (
	WebPush = "webpush"
	APNs    = "apns"
	FCM     = "fcm"
)

// Message is what a phone is told. It has no secret, no number and no name
// (security.md PHN06).
type Message struct {
	ID       string        `json:"id"` // opaque: what waits
	Title    string        `json:"title"`
	Body     string        `json:"body"`
	Lang     string        `json:"lang,omitempty"` // of Title and Body, BCP 47
	Navigate string        `json:"navigate"`       // address in the app
	Topic    string        `json:"topic"`          // a newer message of one topic takes the place of an older one that was not delivered; at most 32 of base64url
	Lives    time.Duration `json:"-"`              // after that it is of no use; at most MaxLife
}

// MaxLife is the longest that a message is worth sending (passkeys-and-phone.md
// §6.8).
const MaxLife = 2 * time.Minute

// Outcome says what became of a message.
type Outcome string

// The outcomes. Gone: the target will never take one again. Later: try again
// after Result.After. Faulty: something is set up wrong, here or with the
// target, which Result.Err says; to try again is of no use.
const (
	Delivered Outcome = "delivered"
	Gone      Outcome = "gone"
	Later     Outcome = "later"
	Faulty    Outcome = "config"
)

// Result is what a push service answered. Err is nil for Delivered; otherwise
// it is an idp.Error with a stable reason, and Public is a sentence for whoever
// asked for a test. Neither has an address or a token in it.
type Result struct {
	Outcome Outcome
	After   time.Duration // of Later: what the service asked for; 0 when it said nothing
	Err     error
}

// Text is the sentence of Err; "" of what was delivered.
func (r Result) Text() string {
	if r.Err == nil {
		return ""
	}
	return idp.AsError(r.Err).Public
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
