package phonewire

import (
	"encoding/json"
	"time"
)

// Prefix is where the addresses below are, after the address of the server.
const Prefix = "/phone/v1"

// Open is the body of POST /enrolments/open.
type Open struct {
	Code string `json:"code"`
}

// Opened answers it.
type Opened struct {
	Tenant  Tenant          `json:"tenant"`
	User    User            `json:"user"`
	Options json.RawMessage `json:"options,omitempty"` // {"publicKey": PublicKeyCredentialCreationOptionsJSON}; not there when the person may have no more passkeys
	Reuse   json.RawMessage `json:"reuse,omitempty"`   // {"publicKey": PublicKeyCredentialRequestOptionsJSON}: for a phone that has a passkey of this person
	Push    PushOffer       `json:"push"`
	Expires time.Time       `json:"expires"`
}

// Tenant and User are whose account it is.
type (
	Tenant struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Domain string `json:"domain"`
	}
	User struct {
		ID   string `json:"id"`
		Name string `json:"name"` // user name
		Full string `json:"displayName"`
	}
)

// PushOffer says by what roads messages can come.
type PushOffer struct {
	VAPID string   `json:"vapid,omitempty"` // the application server key of Web Push
	Kinds []string `json:"kinds"`           // of "webpush", "apns", "fcm"
}

// Push is where messages for a phone go. Kind "webpush" has Endpoint, P256DH and
// Auth (RFC 8030, RFC 8291); "apns" and "fcm" have Token, "apns" Topic too.
type Push struct {
	Kind     string `json:"kind"`
	Endpoint string `json:"endpoint,omitempty"`
	P256DH   string `json:"p256dh,omitempty"`
	Auth     string `json:"auth,omitempty"`
	Token    string `json:"token,omitempty"`
	Topic    string `json:"topic,omitempty"`
	Sandbox  bool   `json:"sandbox,omitempty"` // of APNs
}

// Finish is the body of POST /enrolments/finish. One of Passkey and Reuse is
// there: what navigator.credentials gave, as its toJSON writes it.
type Finish struct {
	Code      string          `json:"code"`
	Name      string          `json:"name"`     // of the phone; its person's word
	Platform  string          `json:"platform"` // "Android", "iOS", …; shown, never trusted
	App       string          `json:"app"`      // name and version of the app
	Key       json.RawMessage `json:"key"`      // JWK, EC P-256, public
	Passkey   json.RawMessage `json:"passkey,omitempty"`
	Reuse     json.RawMessage `json:"reuse,omitempty"`
	Push      *Push           `json:"push,omitempty"`
	Signature string          `json:"signature"` // r and s, 64 bytes, of EnrolMessage
}

// Finished answers it. The same words are on the page that enrols; the phone is
// good for nothing until its person has said there that they are.
type Finished struct {
	Phone string    `json:"phone"` // id
	Words []string  `json:"words"` // two
	Until time.Time `json:"until"` // when waiting for that ends
}

// States of a phone.
const (
	Waiting = "waiting" // for its person to compare the words
	Active  = "active"
)

// Self answers GET and PUT /self.
type Self struct {
	State  string    `json:"state"`
	Name   string    `json:"name"`
	Tenant Tenant    `json:"tenant"`
	User   User      `json:"user"`
	Push   string    `json:"push"` // kind of the subscription, "" for none
	Offer  PushOffer `json:"pushOffer"`
	Report bool      `json:"report"` // the app offers to report
	RPID   string    `json:"rpId"`
	// Passkey is the id of the credential that approves here.
	Passkey string    `json:"passkey"`
	Usable  bool      `json:"usable"` // what it approves counts at present
	Now     time.Time `json:"now"`
}

// Change is the body of PUT /self; what is not there stays.
type Change struct {
	Name *string `json:"name,omitempty"`
	App  *string `json:"app,omitempty"`
	// Push replaces the subscription; NoPush takes it away.
	Push   *Push `json:"push,omitempty"`
	NoPush bool  `json:"noPush,omitempty"`
}

// Requests answers GET /requests.
type Requests struct {
	Requests []Request `json:"requests"`
	Now      time.Time `json:"now"`
}

// Request is a sign-in that waits for this phone.
type Request struct {
	ID      string    `json:"id"`
	Nonce   string    `json:"nonce"`
	Context string    `json:"context"` // JSON of Context; kept as it came, since it is signed
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// Context is what a person is shown. What the organisation does not show is
// not there.
type Context struct {
	App     string    `json:"app,omitempty"`
	Browser string    `json:"browser"` // "Firefox on Linux"
	Known   bool      `json:"known"`   // this person has signed in there before
	Place   *Place    `json:"place,omitempty"`
	Network string    `json:"network,omitempty"` // who runs it
	Time    time.Time `json:"time"`
	// Warn are words for what speaks against it: "country" (another than the
	// phone's), "hosting" (a data centre).
	Warn []string `json:"warn,omitempty"`
}

// Place is where an address is, as far as a table knows.
type Place struct {
	Kind    string `json:"kind"`              // "country", "private", "this", "unknown"
	Country string `json:"country,omitempty"` // ISO 3166-1 alpha-2
	IP      string `json:"ip,omitempty"`
}

// Approve is the body of POST /requests/{id}/approve.
type Approve struct {
	Number    string          `json:"number"`
	Assertion json.RawMessage `json:"assertion"` // AuthenticationResponseJSON over Approval.Challenge
	Signature string          `json:"signature"` // of AnswerMessage
}

// Deny is the body of POST /requests/{id}/deny. A request that was denied may
// still be reported.
type Deny struct {
	Report bool `json:"report"`
}

// Results of a request, in replies and in the history.
const (
	Approved    = "approved"
	Denied      = "denied"
	Reported    = "reported"
	WrongNumber = "wrong_number"
	Expired     = "expired"
	Cancelled   = "cancelled"
)

// Result answers both.
type Result struct {
	Result string `json:"result"`
}

// History answers GET /history, newest first.
type History struct {
	Entries []Entry `json:"entries"`
}

// Entry is a request that is over.
type Entry struct {
	ID      string    `json:"id"`
	Context string    `json:"context"`
	Result  string    `json:"result"`
	Time    time.Time `json:"time"`
	Here    bool      `json:"here"` // answered on this phone
	Phone   string    `json:"phone,omitempty"`
}

// Tested answers POST /self/test: what became of the message, and what to do.
type Tested struct {
	Result string `json:"result"` // "sent", "gone", "none", "later", "config"
	Text   string `json:"text"`
}

// Fault is the body of every refusal.
type Fault struct {
	Error string `json:"error"`   // a word: "code_unknown"
	Text  string `json:"message"` // a sentence for the person
	Code  int    `json:"code,omitempty"`
	Trace string `json:"trace"`
}

// Claims are those of the JWS that a phone signs for each request (ES256, typ
// "signet-phone+jwt", kid the id of the phone), sent as
// "Authorization: Phone <JWS>".
type Claims struct {
	Tenant string `json:"tid"`
	Method string `json:"htm"`
	URL    string `json:"htu"` // scheme, host and path
	Issued int64  `json:"iat"` // seconds; at most 60 off
	ID     string `json:"jti"`
	Body   string `json:"bh,omitempty"` // SHA-256 of the body, when there is one
}

// Type is the typ of that JWS, Scheme the word in the header.
const (
	Type   = "signet-phone+jwt"
	Scheme = "Phone"
)
