package agent

import (
	"net/http"

	"github.com/signetid/signet/internal/idp"
)

// AADSTS numbers that tell a device what to do (device-protocol.md §3.2).
const (
	codeDeviceUnknown  = 50155
	codeDeviceDisabled = 135011
	codeNonce          = 140000
	codeSessionKey     = 140001
	codeRevoked        = 50173
	codePRTOver        = 700082
	codeUserDisabled   = 50057
	codeUserUnknown    = 50034
	codeKeyUnknown     = 130004
	codeKeyWrong       = 130005
	codeKeyDisabled    = 130007
	codeKeyHomeless    = 130008
	codePolicy         = 53003
	codePending        = 70016
	codeSlowDown       = "slow_down"
)

// again is what each kind of refusal asks the person for.
const (
	signInAgain = "Sign in again: signet device sign-in"
	joinAgain   = "Forget it here with signet device leave --force, then join again: signet device join"
	keyAgain    = "Make a new one: signet device hello reset"
	askAdmin    = "Ask your administrator"
)

// advice is what the person can do about a refusal; empty: nothing that we
// know of.
func (r *Refusal) advice() (idp.Kind, string) {
	switch r.Code {
	case codeDeviceDisabled:
		return idp.Denied, "An administrator has disabled this device. " + askAdmin
	case codeDeviceUnknown:
		return idp.Denied, "The server does not know this device any more. " + joinAgain
	case codeKeyUnknown, codeKeyWrong, codeKeyDisabled, codeKeyHomeless:
		return idp.Unproven, "The server does not accept this device's key of yours. " + keyAgain
	case codeUserDisabled, codeUserUnknown:
		return idp.Denied, "Your account cannot sign in. " + askAdmin
	case codePolicy:
		return idp.Denied, "A rule of your organisation refuses this: " + r.Text
	}
	switch {
	case r.Suberror == "device_authentication_failed":
		return idp.Denied, "The server does not accept this device. " + joinAgain
	case r.Suberror == "bad_token":
		return idp.Expired, "What you were signed in with is not valid any more. " + signInAgain
	case r.Suberror == "token_expired":
		return idp.Expired, "Your sign-in on this device is over. " + signInAgain
	case r.OAuth == "interaction_required", r.Suberror == "basic_action":
		return idp.Denied, "More than this sign-in is asked for: " + r.Text + ". " + signInAgain
	case r.Status == http.StatusTooManyRequests, r.OAuth == "temporarily_unavailable":
		return idp.Limited, "The server asks to wait. Run this again in a minute"
	case r.Status >= 500:
		return idp.Unavailable, "The server has a fault of its own (" + r.Text + "). Run this again later"
	}
	return idp.Denied, "The server refuses: " + r.Text
}

// advised makes the error of a refusal: its code, a stable word, and a
// sentence that says what to do.
func advised(r *Refusal) error {
	kind, text := r.advice()
	e := &idp.Error{Kind: kind, Reason: r.word(), Code: r.Code, Public: text, Err: r}
	return e
}

func (r *Refusal) word() string {
	for _, w := range []string{r.Suberror, r.Reason, r.OAuth} {
		if w != "" {
			return w
		}
	}
	return "refused"
}

// overForPRT says whether the refusal means that the PRT is of no use any more.
func (r *Refusal) overForPRT() bool {
	switch r.Code {
	case codeRevoked, codePRTOver, codeSessionKey, 70000, 70008, 70043:
		return true
	}
	return r.Suberror == "token_expired"
}
