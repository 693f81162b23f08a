package audit

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/signetid/signet/internal/idp"
)

// Categories of events.
const (
	SignIn = "signin"
	Change = "change"
	Token  = "token"
	System = "system"
)

// Outcomes of events.
const (
	Success     = "success"
	Failure     = "failure"
	Interrupted = "interrupted"
)

// Event is one thing that happened.
type Event struct {
	ID         idp.EventID // UUIDv7, given by Write
	Tenant     idp.TenantID
	At         time.Time // given by Write when zero
	Category   string
	Activity   string // a stable word: "signin.done", "passkey.register"
	Outcome    string
	Actor      string // user id, "client:<id>", "cli:<os user>"; empty: nobody proven
	User       idp.UserID
	UserName   string
	Client     idp.ClientID
	Session    idp.SessionID
	Method     idp.MethodID
	Credential idp.CredentialID
	Rule       string
	Reason     string
	Code       int // AADSTS number, as in the reply
	IP         string
	Agent      string
	Trace      string
	Detail     map[string]string
	// Times is how often it happened: more than 1 only for counted
	// anonymous failures.
	Times int
}

// What text of one event may hold, in characters.
const (
	maxWord   = 64
	maxText   = 256
	maxDetail = 1024
	maxPairs  = 32
)

// clean makes everything in e harmless and bounded.
func (e Event) clean() Event {
	word := func(s string) string { return Clean(s, maxWord) }
	text := func(s string) string { return Clean(s, maxText) }
	e.Category, e.Activity, e.Outcome = word(e.Category), word(e.Activity), word(e.Outcome)
	e.Actor, e.UserName, e.Rule, e.Reason = text(e.Actor), text(e.UserName), text(e.Rule), text(e.Reason)
	e.User, e.Client, e.Session = idp.UserID(text(string(e.User))), idp.ClientID(text(string(e.Client))), idp.SessionID(text(string(e.Session)))
	e.Method, e.Credential = idp.MethodID(word(string(e.Method))), idp.CredentialID(Clean(string(e.Credential), maxDetail*2))
	e.IP, e.Agent, e.Trace = word(e.IP), text(e.Agent), text(e.Trace)
	if len(e.Detail) > 0 {
		detail := make(map[string]string, len(e.Detail))
		for k, v := range e.Detail {
			if len(detail) < maxPairs {
				detail[word(k)] = Clean(v, maxDetail)
			}
		}
		e.Detail = detail
	}
	return e
}

// Clean writes control characters, invisible and bidirectional formatting as
// visible escapes and cuts s to limit characters (security.md LOG02): what is shown of an
// event is what is in it, on one line.
func Clean(s string, limit int) string {
	if len(s) <= limit && isPlain(s) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == limit {
			b.WriteRune('…')
			break
		}
		n++
		switch {
		case r == utf8.RuneError:
			b.WriteRune(utf8.RuneError) // also stands for what is no UTF-8
		case Unprintable(r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Unprintable says whether r has no place in a line of text that people
// read: controls, line and paragraph separators, bidirectional marks and
// overrides, and characters that show nothing.
func Unprintable(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) ||
		r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\uffa0' // fillers that look like nothing
}
