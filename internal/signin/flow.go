package signin

import (
	"encoding/json"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/method"
	"github.com/signetid/signet/internal/policy"
	"github.com/signetid/signet/internal/session"
)

// Flow is one person's journey from a door to an outcome. Until something is
// proven it is a sealed value and no row (decisions 1.2).
type Flow struct {
	ID     idp.FlowID      `json:"id"` // made by Start
	Tenant idp.TenantID    `json:"tenant"`
	Door   string          `json:"door"`          // who takes over when it is done: "oidc", "portal"
	Ask    json.RawMessage `json:"ask,omitempty"` // the door's own; the corridor never looks inside
	// Client is who asked; empty for our own pages. ClientName and LeadsTo
	// are for the page to show.
	Client     idp.ClientID `json:"client,omitempty"`
	ClientName string       `json:"clientName,omitempty"`
	LeadsTo    string       `json:"leadsTo,omitempty"`
	Scopes     []string     `json:"scopes,omitempty"`
	ACR        []string     `json:"acr,omitempty"` // any one of them
	// Required is the strength that the administrator of the client demands,
	// whatever the request asks.
	Required  string     `json:"required,omitempty"`
	MaxAge    *int64     `json:"maxAge,omitempty"` // seconds; nil: not asked
	Prompt    []string   `json:"prompt,omitempty"` // login and consent mean something here
	LoginHint string     `json:"loginHint,omitempty"`
	HintUser  idp.UserID `json:"hintUser,omitempty"` // when set, nobody else will do
	// Enlists says that all this leads to is the registration of devices and
	// their keys. A pass does for that, once: the session that it opens is
	// restricted, and none on a pass finishes such a flow (ADR 0021).
	Enlists bool `json:"enlists,omitempty"`
	// Browser is the digest of the browser cookie: another browser cannot
	// go on with this flow (SES05). See BrowserDigest.
	Browser []byte    `json:"browser"`
	Started time.Time `json:"started"` // set by Start
	Expires time.Time `json:"expires"` // set by Start
	// Proofs and User are what was proven so far in this flow without
	// finishing it.
	Proofs []idp.Proof `json:"proofs,omitempty"`
	User   idp.UserID  `json:"user,omitempty"`
	// Standing is what the flow was entered with; set by Bring.
	Standing  *Standing `json:"standing,omitempty"`
	Consented bool      `json:"consented,omitempty"`
	// Asked says that the sign-in of this flow is done, and that the person
	// is to be asked to register a method before the door takes over: see
	// Nudge. Recorded says that the audit has it already.
	Asked    bool `json:"asked,omitempty"`
	Recorded bool `json:"recorded,omitempty"`
	// Waiting is what was asked by another road, of a stored flow; nil: nothing.
	// It may be over: see Waits.
	Waiting *Waiting `json:"waiting,omitempty"`

	handle  string // as given to Resume
	version int64  // of the row; 0: a sealed flow
	// until is when the row is to go, if that is before Expires.
	until time.Time
}

// Handle is the value that goes on with the flow: sealed, or the id of a
// stored one. It is empty before Start.
func (f Flow) Handle() string { return f.handle }

// Stored says whether the flow has a row, so that its handle is an id and may
// stand in an address.
func (f Flow) Stored() bool { return f.version > 0 }

// Peer is who sent the request, for audit and session rows. Rooms never see
// it.
type Peer struct {
	IP, Agent string
	Browser   string // the browser cookie itself
	Trace     string
}

// StepKind says what comes next in a flow.
type StepKind string

// The steps.
const (
	Done     StepKind = "done"     // Session satisfies the flow: the door takes over
	StepUp   StepKind = "step-up"  // another proof is needed: offer methods
	Register StepKind = "register" // the person must register a method first
	Nudge    StepKind = "nudge"    // the person is asked to register Step.Nudge first, and may say "not now": see Later
	Consent  StepKind = "consent"  // the person must allow NewScopes
	Wait     StepKind = "wait"     // the answer that Flow.Waiting is about has not come yet by its other road; nothing was burnt
	Deny     StepKind = "deny"     // policy says no, whatever else is proven
)

// Step is what comes next. Every page load asks for it.
type Step struct {
	Kind    StepKind
	Session session.Session // the session the flow stands on, when there is one
	// Bearer, when not empty, must be set in the browser's cookie in the
	// place of Replaces.
	Bearer    string
	Replaces  string
	Handle    string // to go on with; may differ from the one that came in
	Flow      Flow
	Decision  policy.Decision
	NewScopes []string // for Consent
	// Nudge is what to register, for Nudge. It is Forced only when a rule has
	// come to require it since the sign-in; then there is no "not now".
	Nudge policy.Nudge
	// Recorded says that the audit has this sign-in, with its client: a
	// gesture made in this step finished the flow, or one before a Nudge.
	Recorded bool
	// Detail is what the room said of the answer that led here, as the record
	// has it. With Decision it comes beside an error of Answer, too: of what
	// this browser itself has shown.
	Detail map[string]string
}

// Offer is a method that the tenant's policy allows.
type Offer struct {
	ID   idp.MethodID
	View method.View
	// Waits says that the method is asked by another road: by Ask, not Begin.
	Waits bool
	// Away says that the browser fetches the answer at another address: by Ask,
	// too, and what the step's Flow.Waiting shows is {"go": URL}.
	Away bool
}

// Begun is a ceremony that has begun.
type Begun struct {
	Ceremony string          // sealed; comes back with the answer
	Show     json.RawMessage // for the page
	Expires  time.Time
}
