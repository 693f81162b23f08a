package psso

import (
	"errors"
	"net/http"

	"github.com/signetid/signet/internal/idp"
	"github.com/signetid/signet/internal/web"
)

// wordToken says that a token is not good: 401, with no person's proof to ask
// for again but a sign-in.
const wordToken = "invalid_token"

// registration is around the addresses that our extension calls: one source may
// not ask without end, and errors have their reason beside the word
// (docs/macos-registration.md). macOS itself comes to none of them, so that 401
// can mean the token.
func (s *Server) registration(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if ok, wait := s.asks.Allow(web.Source(r)); !ok {
			f := limited("registration_requests", wait, "source %s", web.ClientIP(r))
			f.Word = "slow_down"
			return f
		}
		err := h(w, r)
		if err == nil {
			return nil
		}
		f := worded(err)
		if f.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		}
		return f
	}
}

// worded is an error as the extension reads it: the reason is a part of the
// contract, where it is not a trouble of our own.
func worded(err error) *Fault {
	var given *Fault
	f := told(err)
	if !errors.As(err, &given) && f.Status == http.StatusUnauthorized {
		f.Word = wordToken
	}
	if f.Sub == "" && !ours(f.Cause) {
		out := *f
		out.Sub = f.Cause.Reason
		f = &out
	}
	return f
}

// sessionOver is every refresh token that does not do beside a key of its Mac:
// which of the reasons it is stays in the log.
func sessionOver(refusal error) error {
	e := idp.AsError(refusal)
	f := fault(http.StatusUnauthorized, e.Kind, wordToken, e.Code, e.Reason, "The sign-in on this Mac is over. Sign in first.", "%w", refusal)
	f.Sub = "session_over"
	return f
}
