package phone

import (
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/jose"
	"github.com/signetid/signet/internal/phonewire"
	"github.com/signetid/signet/internal/web"
)

// Limits of the addresses that phones speak to, per node.
const (
	codeTries   = 30  // wrong typed codes of a source, which may be an office, in a quarter of an hour (decisions 3.7)
	opensOfOne  = 20  // opened and answered with one code, a minute
	failuresOf  = 600 // unproven requests of a source, a minute: phones that were removed may go on asking
	asksOfPhone = 120 // requests of a phone, a minute: it asks every 3 seconds
	testsOf     = 5   // messages for a test to a phone, in ten minutes
	answersOf   = 10  // answers of a phone, a minute
)

// door is what phones speak to.
type door struct {
	codes, opens, failures, asks, tests, answers *web.Limiter
	decoy                                        *ecdsa.PublicKey // for phones that nobody has
	rpID                                         string           // of the passkey room
}

func newDoor(base string, now func() time.Time) (*door, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("phones: base URL: %w", err)
	}
	key, err := jose.DecoyP256()
	return &door{
		codes:    web.NewLimiter(codeTries, 15*time.Minute, 50_000, now),
		opens:    web.NewLimiter(opensOfOne, time.Minute, 10_000, now),
		failures: web.NewLimiter(failuresOf, time.Minute, 50_000, now),
		asks:     web.NewLimiter(asksOfPhone, time.Minute, 100_000, now),
		tests:    web.NewLimiter(testsOf, 10*time.Minute, 10_000, now),
		answers:  web.NewLimiter(answersOf, time.Minute, 50_000, now),
		decoy:    key, rpID: u.Hostname(),
	}, err
}

// Mount adds the addresses that phones speak to (docs/phone-protocol.md). No
// page of another origin may: there is no CORS here, no cookie is looked at,
// and what changes something is signed, or has a code.
func (m *Room) Mount(mux *http.ServeMux) {
	plain := func(pattern string, h web.HandlerFunc) {
		verb, path, _ := strings.Cut(pattern, " ")
		mux.Handle(verb+" "+phonewire.Prefix+path, web.Adapt(m.phrase, h))
	}
	by := func(pattern string, h func(http.ResponseWriter, *http.Request, signed) error) {
		plain(pattern, func(w http.ResponseWriter, r *http.Request) error {
			s, err := m.verifySigned(w, r)
			if err != nil {
				return err
			}
			return h(w, r, s)
		})
	}
	plain("POST /enrolments/open", m.postOpen)
	plain("POST /enrolments/finish", m.postFinish)
	by("GET /self", m.getSelf)
	by("PUT /self", active(m.putSelf))
	by("POST /self/test", active(m.postTest))
	by("DELETE /self", m.deleteSelf)
	by("GET /requests", active(m.getRequests))
	by("POST /requests/{id}/approve", active(m.postApprove))
	by("POST /requests/{id}/deny", active(m.postDeny))
	by("GET /history", active(m.getHistory))
}

// active keeps out phones whose words were not compared yet.
func active(h func(http.ResponseWriter, *http.Request, signed) error) func(http.ResponseWriter, *http.Request, signed) error {
	return func(w http.ResponseWriter, r *http.Request, s signed) error {
		if !s.phone.active() {
			return idp.Deniedf("phone_waiting", "phone %s was not compared yet", s.phone.id).
				Say("Compare the two words on the page where you add this phone, and say there that they are the same.")
		}
		return h(w, r, s)
	}
}

// limited is the cause of a Limited error, with the time after which to come
// again.
type limited struct {
	error
	wait time.Duration
}

func tooMany(wait time.Duration, format string, args ...any) error {
	return idp.Limitedf("too_many", "%w", limited{fmt.Errorf(format, args...), wait})
}

// words are what errors are called by their reasons; kinds, with their status,
// for the others.
var (
	words = map[string]string{
		"code_unknown": "code_unknown", "clock_off": "clock_off", "answer_unproven": "answer_unproven",
		"request_replayed": "request_replayed", "phone_waiting": "phone_waiting",
	}
	kinds = map[idp.Kind]string{
		idp.Invalid: "request_malformed", idp.Unproven: "phone_unproven", idp.Denied: "phone_refused",
		idp.NotFound: "request_unknown", idp.Conflict: "phone_exists", idp.Expired: "request_over",
		idp.Limited: "too_many", idp.Unavailable: "unavailable", idp.Internal: "failed",
	}
	sentences = map[idp.Kind]string{
		idp.Invalid: "The app sent something that could not be read.", idp.Unproven: sayUnproven,
		idp.Denied: "Your organisation does not allow that.", idp.NotFound: "That is not there any more.",
		idp.Conflict: "This phone is registered already.", idp.Expired: "This request is over.",
		idp.Limited: "That was too often. Wait a little, then try again.",
	}
)

// phrase makes a refusal of an error: the only place that does.
func (m *Room) phrase(w http.ResponseWriter, r *http.Request, e *idp.Error) {
	h := w.Header()
	f := phonewire.Fault{Error: words[e.Reason], Text: e.Public, Code: e.Code, Trace: web.Trace(r.Context())}
	if f.Error == "" {
		f.Error = kinds[e.Kind]
	}
	if f.Text == "" {
		f.Text = sentences[e.Kind]
	}
	if f.Text == "" {
		f.Text = "Something went wrong here. Try again in a moment."
	}
	if e.Field != "" {
		f.Text += " (" + e.Field + ")"
	}
	switch e.Kind {
	case idp.Unproven:
		h.Set("WWW-Authenticate", phonewire.Scheme)
		h.Set("Date", m.cfg.Now().UTC().Format(http.TimeFormat)) // what the phone's clock is held against
	case idp.Limited, idp.Unavailable:
		h.Set("Retry-After", strconv.Itoa(waitOf(e)))
	}
	web.JSON(w, web.Status(e.Kind), f) // it has no member that cannot be encoded
}

// waitOf is after how many seconds to come again.
func waitOf(e *idp.Error) int {
	var l limited
	if errors.As(e.Err, &l) && l.wait > 0 {
		return int(math.Ceil(l.wait.Seconds()))
	}
	return 5
}

// malformed names the member of a body that is wrong.
func malformed(member, format string, args ...any) *idp.Error {
	return idp.Invalidf("request_malformed", format, args...).On(member)
}

// unprovenBy is what the passkey room says of an answer: one word for all of
// it, since an app need not know more. What is not the answer's fault stays as
// it is.
func unprovenBy(err error) error {
	e := idp.AsError(err)
	if e.Kind != idp.Unproven && e.Kind != idp.Expired {
		return err
	}
	return answerUnproven("%s: %w", e.Reason, err)
}

const sayAnswer = "The passkey of this phone did not sign what was asked. Try again."

func answerUnproven(format string, args ...any) *idp.Error {
	return idp.Unprovenf("answer_unproven", "%w", fmt.Errorf(format, args...)).Say(sayAnswer)
}
